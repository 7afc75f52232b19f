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

from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from lineclear.oracle.books import fits, has_room
from lineclear.request import Accepted, Finished, Rejected, Request, SchedulerError
from lineclear.testing.device import Device
from lineclear.testing.expectations import (
    ONE,
    BenchFlight,
    BenchRequest,
    Disagreement,
    Expectations,
    Sizes,
    outputs_of,
    position_of,
)

if TYPE_CHECKING:
    from lineclear.oracle import Oracle
    from lineclear.plan import Plan
    from lineclear.scheduler import Scheduler

__all__ = ["ONE", "Bench", "BenchFlight", "BenchRequest", "Disagreement", "Sizes"]


class Bench(Expectations):
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
        super().__init__(scheduler, device)
        self.judge = judge

    @property
    def called(self) -> Scheduler | Oracle:
        """The object that gets the calls."""
        return self.judge or self.scheduler

    # ---- users ---------------------------------------------------------------------------------

    def add(self, request: Request, tokens: Sequence[int] | None = None) -> Accepted | Rejected:
        """Adds a request; checks against `fits` whether it must be accepted.

        Args:
            request: what is asked for.
            tokens: its prompt; tokens that no sequence has had if None.

        Raises:
            Disagreement: it is accepted but does not fit, or it fits, the queue has room, and it is rejected.
        """
        scheduler, config = self.scheduler, self.scheduler.config
        closed = not has_room(scheduler)
        answer = self.called.add(request)
        if isinstance(answer, Rejected) != (closed or not fits(config, request)):
            raise Disagreement(
                f"{request} is {'rejected: ' + answer.reason if isinstance(answer, Rejected) else 'accepted'}"
            )
        if isinstance(answer, Accepted):
            name = request.request_id
            branch = self.device.add(name, request.prompt_tokens if tokens is None else tokens)
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
        stopped = [entry for entry in stopped if position_of(entry) not in expected]
        given = answers if form is None else form(flight.plan, answers)
        ends = self._learn(flight, answers, stopped, set(expected))
        # The model does not know which samples are worthless: it may call each of them a stop token.
        outcome = self.called.commit(flight.plan, given, [*stopped, *expected])
        self.device.committed(flight.plan)
        said = {finished.request_id: outputs_of(finished) for finished in outcome}
        if said != ends or len(outcome) != len(ends):
            raise Disagreement(f"step {flight.plan.step} finishes {said}, not {ends}")
        return outcome

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

    def misreport(self, which: int) -> None:
        """Makes one of the reports that must be refused without a change: of a copy that no plan has, of a
        forward, or of one that is over.

        Args:
            which: of those that are possible now, counted round.

        Raises:
            Disagreement: it was not refused, or something is changed.
        """
        record, ledger = self.device.record, self.scheduler.ledger
        over = [n for n in range(1, record.newest + 1) if n not in record.unknown]
        others = [n for n in record.unknown if n not in record.swaps()]
        beyond = record.newest + 1
        wrong: list[tuple[list[Any], list[int]]] = [
            ([beyond], []),
            ([0], []),
            (["1"], []),
            ([], [beyond]),
        ]
        wrong += [([], over[k:][:1]) for k in range(-min(len(over), 2), 0)]
        wrong += [([], others[:1]), (others[:1], [])] if others else []
        done, failed = wrong[which % len(wrong)]
        before = set(ledger.operations)
        try:
            self.scheduler.complete([*done, *record.swaps()], failed)
        except SchedulerError:
            if before == set(ledger.operations):
                return
        raise Disagreement(f"complete({done}, {failed}) is not refused without a change")

    def overask(self, request: Request) -> None:
        """Asks for the fewest tokens that no longer fit; it must be rejected.

        Args:
            request: its prompt, its sequences and its id, which is free.

        Raises:
            Disagreement: it is accepted.
        """
        while fits(self.scheduler.config, request):
            request = replace(request, max_tokens=request.max_tokens + 1)
        self.add(request)

    # ---- agreement -----------------------------------------------------------------------------

    def agree(self) -> None:
        """Compares the scheduler's state with the record and with the users.

        Raises:
            Disagreement: with the first difference.
        """
        scheduler, ledger = self.scheduler, self.scheduler.ledger
        believed = {n for n in ledger.operations if n <= ledger.dispatched}
        unknown = set(self.device.record.unknown)
        if early := unknown - believed:
            raise Disagreement(
                f"operation {min(early)} counts as complete, but was not reported, and no committed "
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
            if record.open_swap != copy and self._resident(name):
                raise Disagreement(
                    f"request {name!r} waits for copy {record.open_swap}, not {copy}"
                )
            known = sorted(ledger.num_tokens(sequence) for sequence in record.members)
            if known != sorted(len(branch.tokens) for branch in live.branches.values()):
                raise Disagreement(f"request {name!r} is counted with {known} tokens")
