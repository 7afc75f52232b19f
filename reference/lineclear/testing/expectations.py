"""What a scheduler must do next, as its users and the test device know it.

Guarantees: expectations follow from plans, from the device's record and from users' calls. Of the
scheduler only the phase of a request is read, where no plan shows it (`owner`).
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Hashable, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from lineclear.request import Finished, Request
from lineclear.testing.device import Device
from lineclear.testing.device_rows import DeviceRow, DeviceSequence, Forward
from lineclear_spec.kernel.lifecycle import Phase

if TYPE_CHECKING:
    from lineclear.plan import Plan
    from lineclear.scheduler import Scheduler

#: For each position of `plan.sampling`, the number of tokens of each continuation; none prunes.
Sizes = tuple[int, ...]
Outputs = list[tuple[int, int, str]]  # (branch, generated tokens, reason)
#: One continuation of one token.
ONE: Sizes = (1,)


class Disagreement(AssertionError):
    """The scheduler's state or result differs from what the device and the users expect."""


@dataclass(eq=False, slots=True)
class BenchRequest:
    """A request as its user sees it.

    Attributes:
        request: the request.
        branches: its sequences by number.
        made: number of sequences so far.
        outputs: tokens of the ended ones.
        copy: number and kind of its last swap, while it holds the swapped blocks.
    """

    request: Request
    branches: dict[int, DeviceSequence]
    made: int = 1
    outputs: Outputs = field(default_factory=list[tuple[int, int, str]])
    copy: tuple[int, str] | None = None

    @property
    def seats(self) -> int:
        """Sequences that it may have after the next commit."""
        if self.request.may_fork_later:
            return self.request.n
        return max(len(self.branches), self.request.n - len(self.outputs))

    def generated(self, branch: DeviceSequence) -> int:
        """Tokens of a sequence beyond the prompt."""
        return len(branch.tokens) - self.request.prompt_tokens


@dataclass(eq=False, slots=True)
class BenchFlight:
    """A step in flight: its plan, its forward, the owners of its samples, and the void samples."""

    plan: Plan
    forward: Forward
    owners: list[BenchRequest]
    void: set[int] = field(default_factory=set[int])


class Expectations:
    """Live requests and steps in flight as the users and the device see them.

    Args:
        scheduler: without live requests.
        device: a new device.
    Attributes:
        live: accepted requests that have not ended.
        flights: steps in flight, oldest first.
        kept: number of tokens that commits kept.
        dropped: number of samples that commits dropped.
    """

    def __init__(self, scheduler: Scheduler, device: Device) -> None:
        self.scheduler = scheduler
        self.device = device
        self.live: dict[Hashable, BenchRequest] = {}
        self.flights: deque[BenchFlight] = deque()
        self.kept = 0
        self.dropped = 0

    def gone(self, flight: BenchFlight, position: int) -> bool:
        """Whether the sequence at a position has ended."""
        live, (name, branch) = flight.owners[position], flight.forward.sampling[position].name
        return self.live.get(name) is not live or branch not in live.branches

    def expected(self, flight: BenchFlight) -> list[int]:
        """Positions whose samples must be dropped."""
        return [
            position
            for position in range(len(flight.owners))
            if position in flight.void or self.gone(flight, position)
        ]

    def _open(self, number: int) -> bool:
        """Whether the host has not yet learned that the operation ended."""
        return number in self.device.record.unknown

    def _void(self, live: BenchRequest) -> None:
        """Marks the samples of steps in flight for the request as void."""
        for flight in self.flights:
            for position, owner in enumerate(flight.owners):
                if owner is live:
                    flight.void.add(position)
        for branch in live.branches.values():
            branch.pending.clear()

    def _tokens(self, row: DeviceRow, which: int, size: int) -> list[int]:
        """Tokens of a continuation: the first takes drafts and the sampled token, others are new."""
        assert row.token is not None
        if which:
            return [self.device.token() for _ in range(size)]
        return [*row.guesses[: size - 1], row.token]

    def _learn(
        self,
        flight: BenchFlight,
        answers: list[list[list[int]]],
        stopped: Iterable[int | tuple[int, int]],
        dropped: set[int],
    ) -> dict[Hashable, Outputs]:
        """Appends tokens, forks and ends branches; returns outputs of the requests that finish."""
        stops: dict[int, list[int | None]] = {}
        for entry in stopped:
            stops.setdefault(position_of(entry), []).append(
                entry[1] if isinstance(entry, tuple) else None
            )
        ends: list[tuple[BenchRequest, int, str]] = []
        self.dropped += len(dropped)
        for position, row in enumerate(flight.forward.sampling):
            if position in dropped:
                continue
            live, (name, number), branch = flight.owners[position], row.name, row.branch
            failed = self.device.rests_on_failure(row)
            if failed:
                raise Disagreement(
                    f"step {flight.plan.step} keeps a token of request {name!r}, branch {number}, "
                    f"that was computed on failed copy {min(failed)}"
                )
            branch.pending.pop(0)
            if not answers[position]:
                ends.insert(0, (live, number, "pruned"))
                continue
            first, *others = answers[position]
            members = [number]
            for tokens in others:
                child = self.device.fork(branch, (name, live.made), branch.tokens + tokens)
                live.branches[live.made] = child
                members.append(live.made)
                live.made += 1
            branch.tokens += first
            if branch.position == row.sure:
                branch.position += len(first) - 1
            self.kept += sum(map(len, answers[position]))
            which = stops.get(position, [])
            for k, member in enumerate(members):
                if None in which or k in which:
                    ends.append((live, member, "stop"))
                elif live.generated(live.branches[member]) >= live.request.max_tokens:
                    ends.append((live, member, "length"))
        return self._end(ends)

    def _end(self, ends: list[tuple[BenchRequest, int, str]]) -> dict[Hashable, Outputs]:
        """Ends branches, and with the last one their request."""
        finished: dict[Hashable, Outputs] = {}
        for live, number, reason in ends:
            name = live.request.request_id
            branch = live.branches.pop(number)
            live.outputs.append((number, live.generated(branch), reason))
            if not live.branches:
                finished[name] = sorted(live.outputs)
                del self.live[name]
                self.device.drop(name)
        return finished

    def owner(self, number: int) -> Hashable | None:
        """The live request that loses its KV if this swap fails.

        None if it no longer holds what the swap moved. Plans do not show that a copy in the CPU
        pool was discarded for a more important request; the phase of the request does.
        """
        for name, live in self.live.items():
            if live.copy is not None and live.copy[0] == number and self._open(number):
                return name if self._resident(name) else None
        return None

    def _resident(self, name: Hashable) -> bool:
        """Whether the scheduler says that the request holds blocks in either pool."""
        entry = self.scheduler.entries.get(name)
        return entry is None or entry.record.phase in (Phase.RUNNING, Phase.SWAPPED)

    def room(self, flight: BenchFlight) -> Counter[BenchRequest]:
        """Maximum number of forks of each request in a step."""
        return Counter({live: live.seats - len(live.branches) for live in flight.owners})


def position_of(entry: int | tuple[int, int]) -> int:
    """The position in `plan.sampling` that an entry of `stopped` names."""
    return entry[0] if isinstance(entry, tuple) else entry


def outputs_of(finished: Finished) -> Outputs:
    """The output of a finished request.

    Raises:
        Disagreement: its reason differs from that of the branch that ended last.
    """
    if finished.reason != finished.outputs[-1].reason:
        raise Disagreement(f"{finished.request_id!r} finished by {finished.reason!r}")
    return sorted((o.branch, o.generated_tokens, o.reason) for o in finished.outputs)
