"""The scheduler: policies decide, the table of actions enforces.

Guarantees: every change to a request or a block is an action of `lineclear_spec.actions`; a call
that raises has changed nothing; the same calls give the same journal. What a policy raises that is no
`Exception` is raised by the next call, or by `add`, which then has not taken the request. It knows
nothing about token ids, devices or the time of day.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from typing import Any

from lineclear.config import Config
from lineclear.plan import Plan
from lineclear.policies import Policy
from lineclear.request import (
    Accepted,
    Finished,
    InvalidRequest,
    PlanError,
    Rejected,
    Request,
    SchedulerError,
)
from lineclear.scheduling.commit import Outcome
from lineclear.scheduling.counters import stats
from lineclear.scheduling.dispatch import Roster, issue
from lineclear.scheduling.queues import Entry
from lineclear.scheduling.step import Step
from lineclear.scheduling.transitions import Bookkeeping, Journal
from lineclear.stall import Stall, stall_report
from lineclear.view import View
from lineclear.vllm_v0 import NanoStep, V0ChunkedStep, V0Step
from lineclear_spec import actions
from lineclear_spec.records import SWAP_IN, SWAP_OUT, Refused
from lineclear_spec.records import Request as Record

__all__ = ["Scheduler"]

#: How a step is built, by the name of the rules.
STEPS: dict[str, type[Step]] = {
    "lineclear": Step,
    "vllm_v0": V0Step,
    "vllm_v0_chunked": V0ChunkedStep,
    "nano_vllm": NanoStep,
}


class Scheduler(Bookkeeping):
    """A continuous-batching scheduler over a paged KV cache.

    Args:
        config: settings; the default preset if None.
        policy: who comes first; the built-in one of `config.scheduling_policy` if None.
        clock: seconds, stamped on plans and results, used for nothing else; None stamps nothing.
        journal: called with every action and its arguments; a ring of the last 4,096 if None.
    """

    def __init__(
        self,
        config: Config | None = None,
        policy: Policy | None = None,
        clock: Callable[[], float] | None = None,
        journal: Journal | None = None,
    ) -> None:
        """Nothing is live and nothing is in flight."""
        super().__init__(config or Config(), policy, journal)
        self.clock = clock
        self.draining = False
        self._roster = Roster()
        self._step = STEPS[self.config.rules]

    # ---- requests ------------------------------------------------------------------------------

    def add(self, request: Request) -> Accepted | Rejected:
        """Takes a request in, or turns it away with the reason.

        Raises:
            InvalidRequest: the id is that of a live request, or is not hashable.
        """
        if self.asking or self.interruption is not None:
            self.answer_for()
        name = request.request_id
        try:
            known = name in self.entries
        except TypeError as error:
            raise InvalidRequest(f"request_id must be hashable, not {name!r}") from error
        if known:
            raise InvalidRequest(
                f"request_id {name!r} is live already; abort it or use another id"
            )
        if self.draining:
            return self._reject(request, "the scheduler is draining and takes no new requests")
        most = self.config.max_waiting
        if most is not None and len(self.ledger.waiting) >= most:
            return self._reject(request, f"max_waiting: {most} requests wait already")
        prompt = request.prompt_tokens
        record = self.ledger.new_request(prompt, prompt + request.max_tokens, request.n)
        try:
            sequence = actions.submit(self.ledger, record)
        except Refused as refused:
            actions.reject(self.ledger, record)
            return self._reject(request, self._explain(record, refused.guard))
        self.arrivals += 1
        entry = Entry(request, record, sequence, self.arrivals, ())  # before the policy sees it
        seen = entry.user if self.foreign else request  # a stranger gets no object of the caller's
        key, rank = self.places(View(seen, self.arrivals))
        entry.stand(key, rank)
        self.enter(entry)
        if self.interruption is not None:
            self.end(entry, actions.abort)  # nobody would know that it was accepted
            self.answer_for()
        return Accepted(name)

    def _reject(self, request: Request, reason: str) -> Rejected:
        self.counters.rejected += 1
        return Rejected(request.request_id, reason)

    def _explain(self, record: Record, guard: str) -> str:
        """The guard that failed, with the figures."""
        config = self.config
        figures = {
            "the request fits into max_model_len": (
                f"up to {record.limit} tokens, max_model_len is {config.max_model_len}"
            ),
            "its sequences fit into max_num_seqs": (
                f"n is {record.parallel}, max_num_seqs is {config.max_num_seqs}"
            ),
            "without chunking it fits into max_num_batched_tokens": (
                f"up to {record.limit - 1} tokens at once, "
                f"max_num_batched_tokens is {config.max_num_batched_tokens}"
            ),
            "its worst case fits into the GPU pool": (
                f"up to {self.ledger.worst_case(record)} blocks, "
                f"the pool has {config.num_gpu_blocks}"
            ),
        }
        return f"not so: {guard} ({figures[guard]})" if guard in figures else f"not so: {guard}"

    def abort(self, request_id: Hashable) -> bool:
        """Ends a request in whatever phase it is; False if it is not live: clients race."""
        if self.asking or self.interruption is not None:
            self.answer_for()
        entry = self.entries.get(request_id)
        if entry is None:
            return False
        self.end(entry, actions.abort)
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
        if self.asking or self.interruption is not None:
            self.answer_for()
        self.draining = True
        return len(self.entries)

    # ---- steps ---------------------------------------------------------------------------------

    def schedule(self) -> Plan:
        """The next step, in flight from now on unless it only moves blocks or is empty.

        Raises:
            SchedulerError: `depth` steps are in flight; commit the oldest first.
        """
        if self.asking or self.interruption is not None:
            self.answer_for()
        ledger = self.ledger
        if len(self.flights) >= self.config.depth:
            raise SchedulerError(
                f"{len(self.flights)} of {self.config.depth} steps are in flight; "
                "commit the oldest plan first"
            )
        time = None if self.clock is None else self.clock()
        if ledger.barrier > ledger.done and ledger.retired() > ledger.done:
            actions.retire(ledger)
        if self.reviews:
            self.review()
        ended = ledger.endings.get(ledger.steps)
        if ended:
            for sequence in list(ended):
                self.leave(sequence)
        if (
            not self.explicit
            and ledger.batch
            and len(ledger.boundaries.get(ledger.steps, ())) <= ledger.gpu.free
            and self.queue.head() is None  # asked only here: to ask a tenant's queue begins a turn
        ):
            return issue(self, self._roster, (), time)  # steady sequences only: no loop over them
        step = self._step(self)
        step.build()
        return issue(self, self._roster, step.pairs, time)

    def commit(
        self, plan: Plan, sampled: Any, stopped: Iterable[int | tuple[int, int]] = ()
    ) -> list[Finished]:
        """What the oldest step in flight sampled; the requests that are finished by it.

        Args:
            plan: the oldest plan that has a step and was not committed. A plan without a step
                needs no commit; one is accepted and does nothing.
            sampled: one token for each entry of `plan.sampling`, as an array or a list of whole
                numbers; an entry of a list may be a list of continuations instead, each a list
                of 1 to 1 + drafts tokens. One continuation is the usual case, k of them fork
                k - 1 branches, none prunes the branch. Or a mapping of (request id, branch) to
                these.
            stopped: positions in `plan.sampling` that end with this token (stop token, stop
                string); (position, k) ends only the k-th of several continuations.

        Raises:
            PlanError: the plan is foreign, stale or out of order.
            SampledError: tokens or positions do not match the plan.
        """
        if self.asking or self.interruption is not None:
            self.answer_for()
        flights = self.flights
        if plan.step is None:
            return Outcome.of_nothing(sampled, stopped)
        if not flights or flights[0].plan is not plan:
            if any(flight.plan is plan for flight in flights):
                raise PlanError(
                    f"plans commit in order: step {flights[0].step} comes before step {plan.step}"
                )
            raise PlanError(
                f"step {plan.step} is not in flight here: it is committed already, "
                "or another scheduler's"
            )
        time = None if self.clock is None else self.clock()
        outcome = Outcome(self, flights[0], sampled, stopped)  # refuses before anything changes
        flights.popleft()
        return outcome.apply(time)

    def dropped(self, plan: Plan) -> list[int]:
        """Positions of `plan.sampling` whose tokens the commit will not keep.

        The request ended meanwhile, or its KV was given up before it was known to be good: a copy
        failed, or it was preempted by a recompute while its copy in was under way. What was
        sampled for any other preempted request is kept.

        Raises:
            PlanError: the plan is not in flight.
        """
        for flight in self.flights:
            if flight.plan is plan:
                return flight.dropped()
        raise PlanError("the plan is not in flight here")

    def complete(self, operations: Iterable[int], failed: Iterable[int] = ()) -> list[Hashable]:
        """Swaps that are done, by number; a failed one turns its request into a recompute.

        A commit says that the forward ran, and with it every copy that it waited for: these need
        not be told, and to tell them later changes nothing. A failed copy has to be told before
        that commit: what the step sampled for the request is dropped then, and what it had
        generated before is kept. Block copies run with the forward and are done with it.

        Returns:
            The ids of requests whose copy failed.

        Raises:
            SchedulerError: a number is no swap that a plan has carried, or is told to have failed
                after a commit said that it was done; nothing has changed.
        """
        if self.asking or self.interruption is not None:
            self.answer_for()
        ledger = self.ledger
        bad = dict.fromkeys(failed)
        good = [number for number in dict.fromkeys(operations) if number not in bad]
        for number in (*good, *bad):
            known = type(number) is int and 0 < number <= ledger.carried
            operation = ledger.operations.get(number) if known else None
            if known and operation is None and number in bad:
                raise SchedulerError(
                    f"operation {number} is complete already; tell of a failed copy before the "
                    "commit of the step that waited for it"
                )
            if not known or (operation and operation.kind not in (SWAP_IN, SWAP_OUT)):
                raise SchedulerError(f"operation {number!r} is no swap that a plan has carried")
        for number in good:
            if number in ledger.operations:
                actions.settle_copy(ledger, number)
        hurt: list[Hashable] = []
        for number in bad:
            record = ledger.operations[number].request
            entry = None if record is None or record.copy != number else self.of.get(record)
            if entry is None:  # what it moved is given up already
                actions.settle_copy(ledger, number)
                continue
            self.lose(entry)
            hurt.append(entry.name)
        return hurt

    def stats(self) -> dict[str, int | float]:
        """Figures by vLLM's metric names."""
        return stats(self)

    def stall_report(self) -> Stall:
        """Who holds what at this moment, and which guard keeps each request that waits."""
        return stall_report(self)
