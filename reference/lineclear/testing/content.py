"""An executor without a device: it keeps the content of every block, token by token.

Guarantees: it sees only plans, so a wrong table, a missing copy, or a block that two requests
write shows as a read of another sequence's token. It executes everything at once, in plan order;
`device.py` does so in any order that waits allow.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable

from lineclear.plan import Plan
from lineclear.testing.device import Device, DeviceSequence, WrongContent

__all__ = ["ContentExecutor", "DeviceSequence", "WrongContent"]


class _Sampling(Device):
    """A device whose tokens come from the caller."""

    def __init__(self, block_size: int, sample: Callable[[], int]) -> None:
        """Starts with empty pools."""
        super().__init__(block_size)
        self.token = sample  # type: ignore[method-assign]


class ContentExecutor:
    """Executes plans on two pools of tokens.

    Args:
        block_size: tokens in a block.
        sample: returns a new, unique token.
        accept: maps a number of drafts to the number accepted.
    """

    def __init__(
        self, block_size: int, sample: Callable[[], int], accept: Callable[[int], int]
    ) -> None:
        """Starts with empty pools."""
        self.block_size = block_size
        self.accept = accept
        self.device = _Sampling(block_size, sample)

    @property
    def branches(self) -> dict[tuple[Hashable, int], DeviceSequence]:
        """Every sequence by (request id, branch)."""
        return self.device.branches

    def add(self, request_id: Hashable, prompt: Iterable[int]) -> DeviceSequence:
        """Adds an accepted request with these tokens."""
        return self.device.add(request_id, list(prompt))

    def fork(
        self, parent: DeviceSequence, name: tuple[Hashable, int], tokens: Iterable[int]
    ) -> DeviceSequence:
        """Adds a branch created by a commit, with these tokens, sharing all KV of its parent."""
        return self.device.fork(parent, name, tokens)

    def execute(self, plan: Plan) -> list[list[int]]:
        """Executes the plan; returns the tokens sampled for each entry of `plan.sampling`.

        They are pending until the commit; then the caller moves them to `tokens` or drops them.

        Raises:
            WrongContent: a sequence read another's token.
        """
        forward = self.device.launch(plan)
        if forward is None:
            return []
        sampled: list[list[int]] = []
        for row in forward.sampling:
            accepted = self.accept(len(row.guesses))
            assert row.token is not None
            tokens = [*row.guesses[:accepted], row.token]
            row.branch.pending[-1:] = tokens
            row.branch.position += accepted
            sampled.append(tokens)
        return sampled
