"""Compares a scheduler with a test device and with its users' expectations.

Guarantees: expectations follow from plans, from the device's record and from users' calls. The
ledger is read only to be compared with them (`agree`). The driver decides which tokens are accepted,
and what forks, stops or fails, and when.

Compared after every call:

- requests that are accepted, live and finished, with branches, tokens and reasons;
- operations that the ledger counts as complete are those that were reported or that a committed step
  waited for, no more and no fewer;
- positions of a step whose samples are dropped are exactly those of sequences that ended, of requests
  whose copy in failed, and of requests that were recomputed before their copy in was known to be good;
- no token is kept that was computed on a failed copy.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from lineclear.request import Accepted, Finished, Rejected, Request
from lineclear.testing.device import Device, DeviceRow, DeviceSequence, Forward
from lineclear_spec.lifecycle import Phase

if TYPE_CHECKING:
    from lineclear.config import Config
    from lineclear.oracle import Oracle
    from lineclear.plan import Plan
    from lineclear.scheduler import Scheduler

__all__ = ["Bench", "BenchFlight", "BenchRequest", "Disagreement", "fits"]

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


def fits(config: Config, request: Request) -> bool:
    """Whether a request can run alone: only full blocks of the prompt stay shared."""
    size, longest = config.block_size, request.prompt_tokens + request.max_tokens
    shared = request.prompt_tokens // size
    blocks = shared + request.n * (-(-(longest - 1) // size) - shared)
    return (
        longest <= config.max_model_len
        and request.n <= config.max_num_seqs
        and blocks <= config.num_gpu_blocks
        and (config.enable_chunked_prefill or longest - 1 <= config.max_num_batched_tokens)
    )


class Bench:
    """Forwards calls to a scheduler and a device, and compares the two.

    Args:
        scheduler: without live requests.
        device: a new device.
        judge: receives the scheduler's calls in its place and judges them; None for none.
    Attributes:
        live: accepted requests that have not ended.
        flights: steps in flight, oldest first.
        kept: number of tokens that commits kept.
        dropped: number of samples that commits dropped.
    """

    def __init__(self, scheduler: Scheduler, device: Device, judge: Oracle | None = None) -> None:
        """Starts without requests."""
        self.scheduler = scheduler
        self.judge = judge
        self.device = device
        self.live: dict[Hashable, BenchRequest] = {}
        self.flights: deque[BenchFlight] = deque()
        self.kept = 0
        self.dropped = 0

    @property
    def called(self) -> Scheduler | Oracle:
        """The object that gets the calls."""
        return self.judge or self.scheduler

    # ---- users ---------------------------------------------------------------------------------

    def add(self, request: Request) -> Accepted | Rejected:
        """Adds a request; checks against `fits` whether it must be accepted.

        Raises:
            Disagreement: it is accepted but does not fit, or it fits, the queue has room, and it is
                rejected.
        """
        scheduler, config = self.scheduler, self.scheduler.config
        most = config.max_waiting
        waiting = sum(entry.record.phase == Phase.WAITING for entry in scheduler.entries.values())
        closed = scheduler.draining or (most is not None and waiting >= most)
        answer = self.called.add(request)
        if isinstance(answer, Rejected) != (closed or not fits(config, request)):
            raise Disagreement(
                f"{request} is {'rejected: ' + answer.reason if isinstance(answer, Rejected) else 'accepted'}"
            )
        if isinstance(answer, Accepted):
            name = request.request_id
            branch = self.device.add(name, request.prompt_tokens)
            self.live[name] = BenchRequest(request, {0: branch})
        return answer

    def abort(self, name: Hashable) -> None:
        """Aborts a request.

        Raises:
            Disagreement: the scheduler and the users disagree whether it was live.
        """
        if self.called.abort(name) != (name in self.live):
            raise Disagreement(
                f"abort of {name!r}, which is {'live' if name in self.live else 'not'}"
            )
        if self.live.pop(name, None) is not None:
            self.device.drop(name)

    # ---- steps ---------------------------------------------------------------------------------

    def schedule(self) -> Plan:
        """Schedules the next plan and gives it to the device.

        Raises:
            WrongContent: a forward read KV that is not its own.
        """
        plan = self.called.schedule()
        for name, mode in plan.preempted:
            if name not in self.live:
                raise Disagreement(f"{name!r} was preempted but is not live")
            self._preempted(self.live[name], mode)
        for operation in plan.operations:
            live = self.live.get(operation.request_id)
            if operation.kind in ("swap_in", "swap_out") and live is not None:
                live.copy = operation.number, operation.kind
        # It runs at the end of the step, so that no copy in the CPU pool is left, also of one that was
        # swapped out, lost its copy and entered anew in this very step.
        for name in {name for name, _, _ in plan.tables}:
            if name in self.live and (self.live[name].copy or (0, ""))[1] == "swap_out":
                self.live[name].copy = None
        forward = self.device.launch(plan)
        if (forward is None) != (plan.step is None):
            raise Disagreement(
                f"step {plan.step} names {forward and forward.number} as its forward"
            )
        if forward is not None:
            rows = plan.sampling
            owners = [self.live[row.request_id] for row in rows]
            self.flights.append(BenchFlight(plan, forward, owners))
        return plan

    def _preempted(self, live: BenchRequest, mode: str) -> None:
        """A request was preempted; by recompute it loses its KV and everything based on a copy not
        yet known to have succeeded."""
        if mode != "recompute":
            return
        if live.copy is not None and live.copy[1] == "swap_in" and self._open(live.copy[0]):
            self._void(live)
        live.copy = None

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

    def commit(
        self,
        sizes: Sequence[Sizes] | None = None,
        stopped: Iterable[int | tuple[int, int]] = (),
        form: Callable[[Plan, list[list[list[int]]]], Any] | None = None,
    ) -> list[Finished]:
        """Commits the oldest step in flight.

        Args:
            sizes: tokens of each continuation, for each position; one token each if None.
            stopped: see `Scheduler.commit`.
            form: converts a plan and the continuations to the argument of `commit`.

        Raises:
            Disagreement: the scheduler keeps, drops or finishes something unexpected.
        """
        flight = self.flights[0]
        failed = self.device.record.urgent(flight.forward.number)
        if failed:
            self.report((), failed)
        self.device.finish(flight.plan)
        late = self.device.record.urgent(flight.forward.number)
        if late:  # a copy that failed only now
            self.report((), late)
        expected = self.expected(flight)
        found = sorted(self.scheduler.dropped(flight.plan))
        if found != expected:
            raise Disagreement(
                f"step {flight.plan.step} drops positions {found} of its samples, not {expected}"
            )
        self.flights.popleft()
        answers: list[list[list[int]]] = []
        for position, row in enumerate(flight.forward.sampling):
            chosen = ONE if sizes is None or position in expected else sizes[position]
            answers.append([self._tokens(row, k, size) for k, size in enumerate(chosen)])
        stopped = [entry for entry in stopped if _position(entry) not in expected]
        given = answers if form is None else form(flight.plan, answers)
        ends = self._learn(flight, answers, stopped, set(expected))
        # The model does not know which samples are worthless: it may call each of them a stop token.
        outcome = self.called.commit(flight.plan, given, [*stopped, *expected])
        self.device.committed(flight.plan)
        said = {finished.request_id: outputs_of(finished) for finished in outcome}
        if said != ends or len(outcome) != len(ends):
            raise Disagreement(f"step {flight.plan.step} finishes {said}, not {ends}")
        return outcome

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
            stops.setdefault(_position(entry), []).append(
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

    # ---- copies --------------------------------------------------------------------------------

    def report(self, done: Iterable[int], failed: Iterable[int] = ()) -> list[Hashable]:
        """Reports swaps as done to the scheduler; runs those first that have not run.

        Raises:
            Disagreement: the scheduler drops the KV of another request than the one whose swap failed.
        """
        done, failed = list(done), list(failed)
        for number in (*done, *failed):
            self.device.run(number)
        for number in failed:
            self.device.spoil(number)
        owners = {number: owner for number in failed if (owner := self.owner(number)) is not None}
        failed_requests = list(owners.values())
        found = self.called.complete([*done, *failed], failed)
        if found != failed_requests:
            raise Disagreement(f"failed copies {failed} affect {found}, not {failed_requests}")
        for number, name in owners.items():
            live = self.live[name]
            if live.copy == (number, "swap_in"):
                self._void(live)
            live.copy = None
        self.device.reported([*done, *failed])
        return found

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

    # ---- agreement -----------------------------------------------------------------------------

    def agree(self) -> None:
        """Compares the scheduler's state with the record and with the users.

        Raises:
            Disagreement: with the first difference.
        """
        scheduler, ledger = self.scheduler, self.scheduler.ledger
        believed = {n for n in ledger.operations if n <= ledger.carried}
        unknown = set(self.device.record.unknown)
        if settled := unknown - believed:
            raise Disagreement(
                f"operation {min(settled)} counts as complete, but was not reported, and no committed "
                "step waited for it"
            )
        if left := believed - unknown:
            raise Disagreement(f"operation {min(left)} is over, but counts as open")
        if set(scheduler.entries) != set(self.live):
            raise Disagreement(f"{set(scheduler.entries)} are live, not {set(self.live)}")
        for flight in self.flights:
            found, expected = sorted(scheduler.dropped(flight.plan)), self.expected(flight)
            if found != expected:
                raise Disagreement(
                    f"step {flight.plan.step} would drop positions {found}, not {expected}"
                )
        for name, live in self.live.items():
            record = scheduler.entries[name].record
            copy = live.copy[0] if live.copy is not None and self._open(live.copy[0]) else 0
            if record.copy != copy and self._resident(name):
                raise Disagreement(f"request {name!r} waits for copy {record.copy}, not {copy}")
            known = sorted(ledger.known(sequence) for sequence in record.members)
            if known != sorted(len(branch.tokens) for branch in live.branches.values()):
                raise Disagreement(f"request {name!r} is counted with {known} tokens")

    def width(self, live: BenchRequest) -> int:
        """Number of sequences of a request."""
        return len(live.branches)

    def room(self, flight: BenchFlight) -> Counter[BenchRequest]:
        """Maximum number of forks of each request in a step."""
        return Counter(
            {live: max(live.request.n - len(live.branches), 0) for live in flight.owners}
        )


def _position(entry: int | tuple[int, int]) -> int:
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
