# pyright: basic
"""Checks each call of a scheduler against the rules.

Guarantees: a call raises `Undone` if it left behind anything else than it should in a plan, a table, a
queue, a seat or a counter, and names the rule; what it does not judge it counts by name. Whatever the
scheduler itself raises passes through.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from lineclear.oracle.books import check_answer, check_plan, has_room, refuses
from lineclear.oracle.cache import BlockNumbers, uses_of
from lineclear.oracle.calls import committed, completed, sizes_of
from lineclear.oracle.compare import compare, same
from lineclear.oracle.inspection import Inspection
from lineclear.oracle.own_tenants import Tenants
from lineclear.oracle.publishing import publish_output
from lineclear.oracle.rules import Undone
from lineclear.oracle.state import OracleSequence, OracleState, live_of
from lineclear.oracle.step import Expected
from lineclear.oracle.step_judge import counters_of, judge
from lineclear.request import Accepted, Rejected, Request, Sampled, SampledError
from lineclear_spec.kernel.lifecycle import Phase

if TYPE_CHECKING:
    from lineclear.plan import Plan, Scheduled
    from lineclear.request import Finished
    from lineclear.scheduler import Scheduler


class Oracle(Inspection):
    """Calls one scheduler and judges what it does; it is called in place of the scheduler.

    Args:
        scheduler: which; it must be new.

    Attributes:
        judged: steps that were judged.
        limits: steps that did less than they could, by the rule that says so.
    """

    def __init__(self, scheduler: Scheduler) -> None:
        super().__init__(scheduler)
        self.judged = 0
        self.limits: Counter[str] = Counter()

    def add(self, request: Request) -> Accepted | Rejected:
        """Calls `add`; a live id, tried first, is refused.

        Raises:
            Undone: the answer is wrong, or something else changed.
        """
        scheduler, memory = self.scheduler, self.memory
        if request.request_id in memory.live:
            return scheduler.add(request)
        if memory.live and not scheduler.adapter.foreign:
            refuses(scheduler, replace(request, request_id=next(iter(memory.live))))
        state = self.observe()
        room = has_room(scheduler)
        answer = scheduler.add(request)
        check_answer(scheduler, request, answer, room)
        if not isinstance(answer, Rejected):
            entry = scheduler.entries.get(request.request_id)
            if entry is None:
                raise Undone(
                    "ended", f"request {request.request_id!r} was accepted and is nowhere"
                )
            memory.live[request.request_id] = entry.number
            memory.aborted.pop(request.request_id, None)
            live = live_of(scheduler, entry, {}, False, BlockNumbers())
            orders = self.orders(state) if self.own() is not None else None
            if orders is not None:
                orders.place(live)
                orders.waits(live)
            state.lives.append(live)
        self.check_state(state)
        return answer

    def abort(self, request_id: Hashable) -> bool:
        """Calls `abort`.

        Raises:
            Undone: a live request is not ended, or something else changed.
        """
        scheduler, memory = self.scheduler, self.memory
        state = self.observe()
        answer = scheduler.abort(request_id)
        same("abort", f"abort of request {request_id!r}", answer, request_id in memory.live)
        if memory.live.pop(request_id, None) is not None:
            memory.aborted[request_id] = None
        orders = self.orders(state) if self.own() is not None else None
        waited = set[Hashable]() if orders is None else orders.waiting_tenants()
        gone = [live for live in state.lives if live.name == request_id]
        for live in gone:
            publish_output(state, live, live.branches)
            state.let_go(live)
        state.lives = [live for live in state.lives if live.name != request_id]
        if orders is not None:
            orders.ended(gone, waited)
        self.check_state(state)
        self.check_cache(state)
        return answer

    def complete(self, operations: Iterable[int], failed: Iterable[int] = ()) -> list[Hashable]:
        """Calls `complete`.

        Raises:
            Undone: another request failed than the one whose copy failed, or something else changed.
        """
        scheduler, memory = self.scheduler, self.memory
        done, bad = list(operations), list(failed)
        state = self.observe()
        orders = self.orders(state)
        failed_requests = scheduler.complete(done, bad)
        if orders is None or (scheduler.policy_failures and not state.fcfs):
            self.check_lists()
            return failed_requests
        running = {live.name for live in state.of_phase(Phase.RUNNING)}
        try:
            lost = [live.name for live in completed(state, orders, done, bad)]
        except Exception:
            if not scheduler.adapter.foreign:
                raise
            self.check_lists()  # the copy of the policy raised
            return failed_requests
        same("blocks", "requests whose copy failed", failed_requests, lost)
        for name in lost:
            if name in running:
                memory.void[name] = (memory.live[name], state.steps)
        self.check_state(state)
        self.check_cache(state, sure=len(lost) <= 1)
        return failed_requests

    def commit(self, plan: Plan, sampled: Sampled, stopped: Iterable[Any] = ()) -> list[Finished]:
        """Calls `commit`.

        Raises:
            Undone: a token is lost or made, or another request ends than those that should.
        """
        scheduler, memory = self.scheduler, self.memory
        stops = list(stopped)
        state = self.observe()
        counters = scheduler.counters
        before = counters.generated_tokens, sum(counters.finished.values())
        if plan.step in memory.issued:
            self._refuses_forks(plan, state)
        finished = scheduler.commit(plan, sampled, stops)
        if plan.step is None:
            return finished
        issued = memory.issued.pop(plan.step, {})
        memory.rows.pop(plan.step, None)
        later = {row: tokens for rows in memory.rows.values() for row, tokens in rows.items()}

        def kept(row: Scheduled) -> bool:
            return memory.keeps(plan, row, issued)

        orders = self.orders(state) if self.own() is not None else None
        waited = set[Hashable]() if orders is None else orders.waiting_tenants()
        before_it, had = list(state.lives), sum(len(live.outputs) for live in state.lives)
        ended, generated = committed(state, plan, kept, sampled, stops, later)
        left = [live.outputs for live in state.lives] + [
            outputs for _, outputs, _ in ended.values()
        ]
        over = sum(map(len, left)) - had  # branches that have ended
        if orders is not None:
            orders.ended([live for live in before_it if live.name in ended], waited)
        same(
            "finish",
            "requests that end",
            {f.request_id: (sorted(f.outputs), f.preemptions) for f in finished},
            {name: (outputs, preemptions) for name, (_, outputs, preemptions) in ended.items()},
        )
        for one in finished:  # the design states no order among branches that end together
            last = {one.outputs[-1].reason} & ended[one.request_id][0]
            same("finish", f"why request {one.request_id!r} ended", {one.reason}, last)
        for name in ended:
            del memory.live[name]
        grown = (
            counters.generated_tokens - before[0],
            sum(counters.finished.values()) - before[1],
        )
        same("counts", "generated tokens, finished requests", grown, (generated, len(ended)))
        learned = {
            row.request_id
            for row, sizes in zip(plan.sampling, sizes_of(plan, sampled), strict=True)
            if sizes and kept(row)
        }
        for name in learned:
            memory.sheltered.pop(name, None)
        self.check_state(state)
        self.check_cache(state, sure=over <= 1)
        return finished

    def schedule(self) -> Plan:
        """Calls `schedule`.

        Raises:
            Undone: it is not the step that the rules give.
        """
        scheduler, memory = self.scheduler, self.memory
        why = self.exemption()
        if (
            len(scheduler.flights) >= scheduler.config.max_steps_in_flight
            or scheduler.adapter.asking
        ):
            return scheduler.schedule()  # which it refuses
        memory.forget_shelters(scheduler)
        state = self.observe()
        before = counters_of(scheduler)
        orders = None if why else self.orders(state)
        expected = None
        if orders is not None:
            if not state.fcfs:
                self.check_places(orders, state)
            listed = {sequence: k for k, sequence in enumerate(scheduler.batch.explicit)}

            def position(branch: OracleSequence) -> int:
                return listed.get(branch.sequence, -1)

            try:
                expected = Expected(state, orders, position)
            except Exception:
                if not scheduler.adapter.foreign:
                    raise
                why = "policy failed"  # the copy raised, and so will the policy
        fresh = [entry for entry in scheduler.entries.values() if not entry.started]
        plan = scheduler.schedule()
        memory.charges.plan(scheduler, plan, [entry for entry in fresh if entry.started])
        check_plan(plan, memory.live, memory.aborted)
        memory.aborted.clear()
        memory.issue(plan)
        if scheduler.policy_failures and not state.fcfs:
            why = "policy failed"
        if expected is None or why:
            self.exempt[why or "no copy"] += 1
            memory.uses = uses_of(scheduler)
            memory.looked = dict(scheduler.cache.pending)
            self.check_lists()
            return plan
        judge(scheduler, expected, plan, before)
        own = self.own()
        if isinstance(own, Tenants):
            tenant = {live.name: live.user.tenant for live in expected.state.lives}
            own.sampled(tenant[row[0]] for row in expected.rows if row[5])
        for name, _ in expected.preempted:  # it may have entered again in this step
            memory.sheltered.pop(name, None)
        memory.sheltered.update(dict.fromkeys(expected.sheltered))
        self.check_lists()
        self.judged += 1
        if expected.reason:
            self.limits[expected.reason] += 1
        for name in expected.void:
            memory.void[name] = (memory.live[name], expected.state.steps)
        return plan

    def _refuses_forks(self, plan: Plan, state: OracleState) -> None:
        """A group may not fork into a sequence more than it has seats, and nothing changes.

        Raises:
            Undone: such a commit is accepted, or leaves a trace.
        """
        lives = {live.name: live for live in state.lives if live.n > 1}
        issued = {} if plan.step is None else self.memory.issued[plan.step]
        for position, row in enumerate(plan.sampling):
            live = lives.get(row.request_id)
            if live is None or issued.get(live.name) != live.number:
                continue
            if all(branch.number != row.branch for branch in live.branches):
                continue
            sampled: list[Any] = [0] * len(plan.sampling)
            sampled[position] = [[0]] * (live.seats - len(live.branches) + 2)
            try:
                self.scheduler.commit(plan, sampled)
            except SampledError:
                compare(self.scheduler, state, {})
                return
            raise Undone("seats", f"request {live.name!r} forks beyond its {live.seats} seats")
