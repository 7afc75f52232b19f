# pyright: basic
"""Groups that do not fit: each of their sequences runs as a request of its own.

Guarantees: the caller sees one request, with its id, its sequences in order, and the tokens that a group
with the same seed would have. What the sequences share of their prompt is left to prefix caching.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass

from lineclear_gpu.outputs import Delta, RequestOutput


@dataclass(frozen=True, slots=True)
class Branch:
    """The id of the request that is one sequence of a group; a tuple might equal an id that a caller chose."""

    group: Hashable
    number: int


def parts_of(output: RequestOutput) -> list[RequestOutput]:
    """What the requests have that are the sequences of a group, in order."""
    name, prompt, tokens = output.request_id, output.prompt, output.prompt_token_ids
    return [
        RequestOutput(Branch(name, number), prompt, tokens, [completion])
        for number, completion in enumerate(output.outputs)
    ]


class SplitGroups:
    """Groups until the caller has been given all of their output."""

    def __init__(self) -> None:
        """There is none."""
        #: What the caller sees of each, and what its requests have.
        self._groups: dict[Hashable, tuple[RequestOutput, list[RequestOutput]]] = {}

    def live(self, request_id: Hashable) -> RequestOutput | None:
        """What the caller sees of a group that has not ended; None if there is none with this id."""
        try:
            group = self._groups.get(request_id)
        except TypeError:  # an id that cannot be hashed is of no request
            return None
        return None if group is None or group[0].finished else group[0]

    def add(self, output: RequestOutput, parts: list[RequestOutput]) -> None:
        """A group that was accepted, and what its requests have."""
        self._groups[output.request_id] = output, parts

    def parts(self, output: RequestOutput) -> list[RequestOutput]:
        """What the requests of a group have; of any other request, what itself has."""
        group = self._groups.get(output.request_id)
        return [output] if group is None or group[0] is not output else group[1]

    def as_groups(self, deltas: list[Delta]) -> list[Delta]:
        """New output, that of a group's sequences under the group's id."""
        if not self._groups:
            return deltas
        shown: list[Delta] = []
        touched: dict[Hashable, None] = {}
        for delta in deltas:
            name = delta.request_id
            if isinstance(name, Branch):
                delta = delta._replace(request_id=name.group, index=name.number)
                touched[name.group] = None
            shown.append(delta)
        for group in touched:
            output, parts = self._groups[group]
            output.preemptions = sum(part.preemptions for part in parts)
            output.num_cached_tokens = parts[0].num_cached_tokens
            output.error = next((part.error for part in parts if part.error is not None), None)
            if output.finished:
                del self._groups[group]
        return shown
