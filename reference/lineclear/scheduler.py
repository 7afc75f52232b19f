"""The scheduler: policies decide, the table of actions enforces.

Guarantees: every change to a request or a block is an action of `lineclear_spec.actions`; a call that raises has changed
nothing; the same calls give the same journal. It knows nothing about token ids, devices or the time of day.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Hashable, Iterable
from typing import Any

from lineclear.config import Config
from lineclear.entry import Entry, RunningOrder, WaitingQueue
from lineclear.journal import Ring
from lineclear.outcome import Outcome
from lineclear.plan import BlockOperation, Joined, Plan, Scheduled
from lineclear.policies import Policy, make
from lineclear.preemption import swaps
from lineclear.request import (
    Accepted,
    Finished,
    InvalidRequest,
    PlanError,
    Rejected,
    Request,
    SchedulerError,
)
from lineclear.stats import Counters, stats
from lineclear.step import Step
from lineclear_spec import actions
from lineclear_spec.ledger import Ledger, Refused, Sequence
from lineclear_spec.ledger import Request as Record
from lineclear_spec.lifecycle import Phase

__all__ = ["Flight", "Scheduler"]

Journal = Callable[[str, tuple[object, ...]], None]


class Flight:
    """A step in flight: what `commit` must know about it."""

    __slots__ = ("copies", "left", "plan", "sampling", "steady", "step")

    def __init__(
        self, plan: Plan, step: int, sampling: tuple[Sequence, ...], steady: tuple[Sequence, ...], copies: list[int]
    ) -> None:
        self.plan = plan
        self.step = step
        self.sampling = sampling  # not steady when the step was issued, and sampled
        self.steady = steady  # steady when the step was issued
        self.left: dict[Sequence, None] = {}  # of those, the ones that are no longer
        self.copies = copies  # block copies, done when the forward is

    def sequence(self, position: int) -> Sequence:
        """Whom a position of `plan.sampling` stands for."""
        size = len(self.sampling)
        return self.sampling[position] if position < size else self.steady[position - size]


class Scheduler:
    """A continuous-batching scheduler over a paged KV cache.

    Args:
        config: settings; the default preset if None.
        policy: who comes first; the built-in one of `config.scheduling_policy` if None.
        clock: seconds, for the metrics' time stamps only; None stamps nothing.
        journal: called with every action and its arguments; a ring of the last 4,096 if None.
    """

    def __init__(
        self,
        config: Config | None = None,
        policy: Policy | None = None,
        clock: Callable[[], float] | None = None,
        journal: Journal | None = None,
    ) -> None:
        self.config = config or Config()
        self.policy = policy or make(self.config.scheduling_policy)
        self.clock = clock
        self.ledger = Ledger(self.config.limits())
        self.journal: Journal = Ring() if journal is None else journal
        self.ledger.journal = self.journal
        self.entries: dict[Hashable, Entry] = {}
        self.of: dict[Record, Entry] = {}
        self.running = RunningOrder()
        self.queue = WaitingQueue(self.config.swapped_first)
        self.explicit: dict[Sequence, None] = {}  # running and not steady
        self.seats = 0  # sequences that running requests may have
        self.flights: deque[Flight] = deque()
        self.replaced: dict[Sequence, None] = {}  # whose whole table the next plan tells
        self.preempted: list[tuple[Hashable, str]] = []  # since the last plan
        self.policy_failures: list[str] = []
        self.failed_copies: list[Hashable] = []
        self.counters = Counters()
        self.draining = False
        self.arrivals = 0
        self.joined: dict[Sequence, int] = {}  # steady sequence -> steps issued when it became steady
        self.members: dict[Sequence, Scheduled] = {}  # steady sequence -> its row
        self.view: tuple[Scheduled, ...] = ()
        self.view_sequences: tuple[Sequence, ...] = ()
        self.view_version = 0

    # ---- requests ----------------------------------------------------------------------------------------------

    def add(self, request: Request) -> Accepted | Rejected:
        """Takes a request in, or turns it away with the reason.

        Raises:
            InvalidRequest: the id is that of a live request, or is not hashable.
        """
        name = request.request_id
        try:
            known = name in self.entries
        except TypeError as error:
            raise InvalidRequest(f"request_id must be hashable, not {name!r}") from error
        if known:
            raise InvalidRequest(f"request_id {name!r} is live already; abort it or use another id")
        if self.draining:
            return self._reject(request, "the scheduler is draining and takes no new requests")
        most = self.config.max_waiting
        if most is not None and len(self.ledger.waiting) >= most:
            return self._reject(request, f"max_waiting: {most} requests wait already")
        record = self.ledger.new_request(
            request.prompt_tokens, request.prompt_tokens + request.max_tokens, request.n
        )
        try:
            sequence = actions.submit(self.ledger, record)
        except Refused as refused:
            actions.reject(self.ledger, record)
            return self._reject(request, self._explain(record, refused.guard))
        self.arrivals += 1
        entry = Entry(request, record, self.arrivals, self._key(request))
        entry.name_branch(sequence)
        self.entries[name] = entry
        self.of[record] = entry
        self.queue.push(entry)
        return Accepted(name)

    def _reject(self, request: Request, reason: str) -> Rejected:
        self.counters.rejected += 1
        return Rejected(request.request_id, reason)

    def _explain(self, record: Record, guard: str) -> str:
        config = self.config
        figures = {
            "the request fits into max_model_len": f"{record.limit} tokens, max_model_len is {config.max_model_len}",
            "its sequences fit into max_num_seqs": f"n is {record.parallel}, max_num_seqs is {config.max_num_seqs}",
            "without chunking it fits into max_num_batched_tokens": (
                f"up to {record.limit - 1} tokens at once, max_num_batched_tokens is {config.max_num_batched_tokens}"
            ),
            "its worst case fits into the GPU pool": (
                f"up to {self.ledger.worst_case(record)} blocks, the pool has {config.num_gpu_blocks}"
            ),
        }
        return f"not so: {guard} ({figures[guard]})" if guard in figures else f"not so: {guard}"

    def _key(self, request: Request) -> Any:
        """The policy's key, or 0 (first come, first served) for all once it has failed."""
        if self.policy_failures:
            return 0
        try:
            key = self.policy.key(request)
            parts = key if isinstance(key, tuple) else (key,)
            if not parts or any(
                isinstance(p, bool) or not isinstance(p, int | float) or math.isnan(p) for p in parts
            ):
                raise TypeError(f"a key is a number or a tuple of numbers, not {key!r}")
        except Exception as error:
            self._policy_failed(error)
            return 0
        return parts

    def _policy_failed(self, error: Exception) -> None:
        """From now on first come, first served; the failure is reported under the policy's name."""
        name = getattr(self.policy, "name", type(self.policy).__name__)
        self.policy_failures.append(f"{name}: {type(error).__name__}: {error}")
        running = list(self.running.entries.values())
        self.running = RunningOrder()
        for entry in self.entries.values():
            entry.order = (0, entry.number)
        for entry in running:
            self.running.add(entry)
        self.queue.rebuild(
            [e for e in self.entries.values() if e.record.phase in (Phase.WAITING, Phase.SWAPPED)]
        )

    def may_displace(self, waiting: Entry, running: Entry) -> bool:
        """The policy's answer; never, once it has failed."""
        if self.policy_failures:
            return False
        try:
            return bool(self.policy.may_displace(waiting.user, running.user))
        except Exception as error:
            self._policy_failed(error)
            return False

    def abort(self, request_id: Hashable) -> bool:
        """Ends a request in whatever phase it is; False if it is not live (clients race with the end)."""
        entry = self.entries.get(request_id)
        if entry is None:
            return False
        self._leave_all(entry)
        phase = entry.record.phase
        members = tuple(entry.record.members)
        actions.abort(self.ledger, entry.record)
        self._forget(entry, phase, members)
        self.counters.aborted += 1
        return True

    def abort_all(self) -> list[Hashable]:
        """Aborts every live request; their ids."""
        names = list(self.entries)
        for name in names:
            self.abort(name)
        return names

    def drain(self) -> int:
        """Takes no new requests from now on; how many are still live."""
        self.draining = True
        return len(self.entries)

    # ---- phases, with what the scheduler keeps beside them -----------------------------------------------------

    def start(self, entry: Entry) -> None:
        """The request runs now."""
        self.running.add(entry)
        self.seats += entry.user.n
        for sequence in entry.record.members:
            self.explicit[sequence] = None
            self.replaced[sequence] = None

    def stop(self, entry: Entry, members: Iterable[Sequence]) -> None:
        """The request runs no longer."""
        self.running.remove(entry)
        self.seats -= entry.user.n
        for sequence in members:
            self.explicit.pop(sequence, None)
            self.replaced.pop(sequence, None)

    def join(self, sequence: Sequence) -> None:
        """The sequence becomes steady, if it may."""
        ledger = self.ledger
        if (
            sequence.slot_tokens != sequence.reach_tokens
            or sequence.known_tokens != ledger.computed(sequence) + 1
            or sequence.promised_samples != ledger.steps - ledger.settled
            or sequence.reach_tokens >= sequence.request.limit - 1
        ):
            return
        try:
            actions.join_batch(ledger, sequence)
        except Refused:
            return
        entry = self.of[sequence.request]
        del self.explicit[sequence]
        self.joined[sequence] = ledger.steps
        self.members[sequence] = Scheduled(
            entry.user.request_id, entry.branches[sequence], 1, 0, None, True, False
        )

    def leave(self, sequence: Sequence) -> None:
        """The sequence is steady no longer."""
        actions.leave_batch(self.ledger, sequence)
        self.explicit[sequence] = None
        joined = self.joined.pop(sequence)
        del self.members[sequence]
        for flight in self.flights:
            if flight.step > joined:
                flight.left[sequence] = None

    def _leave_all(self, entry: Entry) -> None:
        for sequence in entry.record.members:
            if sequence.steady:
                self.leave(sequence)

    def _forget(self, entry: Entry, phase: Phase, members: Iterable[Sequence]) -> None:
        """The request has ended."""
        if phase == Phase.RUNNING:
            self.stop(entry, members)
        else:
            self.queue.leave(entry)
        del self.entries[entry.user.request_id]
        del self.of[entry.record]

    def end(self, entry: Entry) -> None:
        """The request is complete."""
        self._leave_all(entry)
        phase, members = entry.record.phase, tuple(entry.record.members)
        actions.finish(self.ledger, entry.record)
        self._forget(entry, phase, members)

    def preempt(self, entry: Entry) -> None:
        """The request gives way: by a swap if the mode prefers it and the CPU has room, else by recompute."""
        ledger, record = self.ledger, entry.record
        self._leave_all(entry)
        computed = sum(ledger.computed(s) for s in record.members)
        swap = swaps(self.config, entry, computed) and record.copy == 0 and record.blocks > 0
        if swap and record.blocks > ledger.cpu.free:
            swap = self._discard_for(entry)
        self.stop(entry, record.members)
        if swap:
            actions.swap_out(ledger, record)
        else:
            actions.recompute(ledger, record)
            self.counters.recomputed_tokens += computed
        entry.preemptions += 1
        mode = "swap" if swap else "recompute"
        self.counters.preemptions[mode] += 1
        self.preempted.append((entry.user.request_id, mode))
        self.queue.push(entry)

    def _discard_for(self, entry: Entry) -> bool:
        """Whether less important swapped requests could be discarded to make room, and were."""
        ledger = self.ledger
        behind = [e for r in ledger.swapped if (e := self.of[r]).order > entry.order]
        behind.sort(key=lambda e: e.order, reverse=True)
        room, chosen = ledger.cpu.free, []
        for other in behind:
            if room >= entry.record.blocks:
                break
            chosen.append(other)
            room += other.record.blocks
        if room < entry.record.blocks:
            return False
        for other in chosen:
            self.counters.recomputed_tokens += sum(ledger.computed(s) for s in other.record.members)
            actions.discard_swapped(ledger, other.record)
            self.counters.discarded += 1
            self.queue.push(other)
        return True

    # ---- steps -------------------------------------------------------------------------------------------------

    def schedule(self) -> Plan:
        """The next step: an immutable plan, in flight from now on unless it only moves blocks or is empty.

        Raises:
            SchedulerError: `depth` steps are in flight; commit the oldest first.
        """
        ledger = self.ledger
        if len(self.flights) >= self.config.depth:
            raise SchedulerError(
                f"{len(self.flights)} of {self.config.depth} steps are in flight; commit the oldest plan first"
            )
        if ledger.barrier > ledger.done and ledger.retired() > ledger.done:
            actions.retire(ledger)
        ended = ledger.endings.get(ledger.steps)
        if ended:
            for sequence in list(ended):
                self.leave(sequence)
        if (
            not self.explicit
            and self.queue.head() is None
            and ledger.batch
            and len(ledger.boundaries.get(ledger.steps, ())) <= ledger.gpu.free
        ):
            return self._issue((), (), ())  # nothing but steady sequences: no loop over them
        step = Step(self)
        step.build()
        return self._issue(tuple(step.rows), tuple(step.sampling), tuple(step.sampling_sequences))

    def _issue(
        self, rows: tuple[Scheduled, ...], sampling: tuple[Scheduled, ...], sequences: tuple[Sequence, ...]
    ) -> Plan:
        ledger = self.ledger
        carried = ledger.carried
        tokens = ledger.step_tokens + len(ledger.batch)
        step = None
        if tokens:
            actions.issue_step(ledger)
            step = ledger.steps
        elif carried < ledger.issued:
            actions.carry(ledger)
        if self.view_version != ledger.batch_changes:
            self.view_sequences = tuple(ledger.batch)
            self.view = tuple(map(self.members.__getitem__, self.view_sequences))
            self.view_version = ledger.batch_changes
        operations, copies = self._operations(carried)
        new_blocks, tables = self._tables()
        plan = Plan(
            step,
            Joined(rows, self.view if tokens else ()),
            Joined(sampling, self.view if tokens else ()),
            tokens,
            sum(row.prefill for row in rows),
            operations,
            new_blocks,
            tables,
            tuple(self.preempted),
        )
        self.preempted.clear()
        if step is not None:
            self.flights.append(Flight(plan, step, sequences, self.view_sequences, copies))
            self.counters.steps += 1
        return plan

    def _operations(self, carried: int) -> tuple[tuple[BlockOperation, ...], list[int]]:
        ledger = self.ledger
        made: list[BlockOperation] = []
        copies: list[int] = []
        for number in range(carried + 1, ledger.issued + 1):
            operation = ledger.operations[number]
            record = operation.request
            owner = self.of.get(record) if record is not None else None
            if operation.kind == "copy_block":
                copies.append(number)
            made.append(
                BlockOperation(
                    number,
                    operation.kind,
                    operation.wait,
                    None if owner is None else owner.user.request_id,
                    tuple(operation.blocks),
                )
            )
        return tuple(made), copies

    def _tables(
        self,
    ) -> tuple[tuple[tuple[Hashable, int, int], ...], tuple[tuple[Hashable, int, tuple[int, ...]], ...]]:
        ledger, of, replaced = self.ledger, self.of, self.replaced
        rows, running = self.members, Phase.RUNNING
        new: list[tuple[Hashable, int, int]] = []
        for sequence, place in ledger.grown:
            row = rows.get(sequence)
            if row is not None:  # steady: its name is at hand
                new.append((row.request_id, row.branch, place))
            elif sequence not in replaced and sequence.alive and sequence.request.phase == running:
                entry = of[sequence.request]
                new.append((entry.user.request_id, entry.branches[sequence], place))
        ledger.grown.clear()
        tables = tuple(
            (
                of[s.request].user.request_id,
                of[s.request].branches[s],
                tuple([block.place for block in s.table]),
            )
            for s in replaced
        )
        replaced.clear()
        return tuple(new), tables

    def commit(self, plan: Plan, sampled: Any, stopped: Iterable[int] = ()) -> list[Finished]:
        """What the oldest step in flight sampled; the requests that are finished by it.

        Args:
            plan: the oldest plan that has a step and was not committed.
            sampled: one token for each entry of `plan.sampling`, as an array or a list of whole numbers; or for each a
                list of continuations, each a list of 1 to 1 + lookahead tokens. One continuation is the usual case, k of
                them fork k - 1 branches, none prunes the branch.
            stopped: positions in `plan.sampling` that end with this token (stop token, stop string).

        Raises:
            PlanError: the plan is foreign, stale or out of order.
            SampledError: tokens or positions do not match the plan.
        """
        if plan.step is None and plan not in [flight.plan for flight in self.flights]:
            if len(sampled):
                raise PlanError("the plan has no step, so nothing can be sampled for it")
            return []
        if not self.flights or self.flights[0].plan is not plan:
            if any(flight.plan is plan for flight in self.flights):
                raise PlanError(f"plans commit in order: step {self.flights[0].step} comes before step {plan.step}")
            raise PlanError("the plan is not in flight here: it is committed already, or another scheduler's")
        outcome = Outcome(self, self.flights[0], sampled, stopped)  # refuses before anything changes
        self.flights.popleft()
        return outcome.apply()

    def complete(self, operations: Iterable[int], failed: Iterable[int] = ()) -> list[Hashable]:
        """Swaps that are done, by number; a failed one turns its request into a recompute, tokens kept.

        Returns:
            The ids of requests whose copy failed.

        Raises:
            SchedulerError: a number is no open swap that a plan has carried; nothing has changed.
        """
        bad = list(dict.fromkeys(failed))
        numbers = [n for n in dict.fromkeys(operations) if n not in bad]
        ledger = self.ledger
        for number in (*numbers, *bad):
            operation = ledger.operations.get(number)
            if operation is None or number > ledger.carried or operation.kind not in ("swap_in", "swap_out"):
                raise SchedulerError(f"operation {number} is no swap in flight; complete each one once")
        hurt: list[Hashable] = []
        for number in numbers:
            actions.settle_copy(ledger, number)
        for number in bad:
            record = ledger.operations[number].request
            if record is None or record.copy != number or record not in self.of:
                actions.settle_copy(ledger, number)  # what it moved is given up already
                continue
            entry = self.of[record]
            self._leave_all(entry)
            if record.phase == Phase.RUNNING:
                self.stop(entry, record.members)
            self.counters.recomputed_tokens += sum(ledger.computed(s) for s in record.members)
            actions.fail_copy(ledger, record)
            self.queue.push(entry)
            self.counters.failed_copies += 1
            hurt.append(entry.user.request_id)
        return hurt

    def stats(self) -> dict[str, int | float]:
        """Figures by vLLM's metric names."""
        return stats(self)

