"""Computes the step that a scheduler must make, on plain data.

Guarantees: `Expected` changes its own copy of the state as the step must change it, and says who is
preempted, discarded and admitted, who computes what, and which rule kept anything from entering. It is
written for reading: it counts everything again whenever it asks.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable

from lineclear.oracle.entering import Entering
from lineclear.oracle.orders import Orders
from lineclear.oracle.preempting import NEW, Preempting, worst_first
from lineclear.oracle.publishing import watch
from lineclear.oracle.serving import Serving
from lineclear.oracle.state import OracleRequest, OracleSequence, OracleState
from lineclear.oracle.work import Demand, Work, demand, work_of
from lineclear_spec.kernel.lifecycle import Phase


class Expected:
    """One step.

    Args:
        state: before the step; it is changed.
        orders: of the policy.
        listed: position of each sequence in the scheduler's list of those that run; the design states no
            order among the sequences of one request.

    Attributes:
        preempted: who, and by which mode, in order.
        discarded: whose CPU copies, in order.
        admitted: who entered, in order.
        rows: what is computed, prefills first; decodes in no order.
        reason: why nothing else was admitted, or "".
        displaced: whether the head of the queue displaced others.
        sheltered: who entered and is not displaced before it has kept a token.
        void: requests whose samples in flight are worthless from now on.
        lost: tokens that have to be computed again.
        alone: requests that preempted themselves although nothing else ran.
    """

    def __init__(
        self, state: OracleState, orders: Orders, listed: Callable[[OracleSequence], int]
    ) -> None:
        """Works the step out."""
        self.state, self.config, self.orders, self.listed = state, state.config, orders, listed
        self.preempting = Preempting(state, orders)
        self.serving = Serving(state, orders)
        self.entering = Entering(state, self.serving)
        self.admitted: list[Hashable] = []
        self.reason = ""
        self.displaced = False
        self.sheltered: list[Hashable] = []
        orders.begin()
        works = {live: self.works(live) for live in state.running}
        grew = self.preempting.make_room(works)
        if not grew:
            self.displace(works)
        for live in [
            live for live in works if live.phase != Phase.RUNNING or live.name in self.admitted
        ]:
            del works[live]
        self.serving.serve(works)
        if self.displaced:
            self.start(next(live for live in state.lives if live.name in self.admitted))
        pause = grew and self.config.pause_after_preemption
        if self.displaced or self.serving.short or pause:
            self.reason = (
                "displaced"
                if self.displaced
                else "prefill_first"
                if self.serving.short
                else "pause_after_preemption"
            )
        else:
            self.admit()
        self.serving.hand_out()
        if any(tokens for _, tokens in (*self.serving.prefills, *self.serving.decodes)):
            state.evict_for(state.cache.due)
        self.rows = self.serving.rows()
        self.preempted, self.discarded = self.preempting.preempted, self.preempting.discarded
        self.lost, self.alone = self.preempting.lost, self.preempting.alone
        self.void = self.preempting.void

    def works(self, live: OracleRequest) -> list[Work]:
        """The demands of a running request's sequences."""
        return work_of(self.state, live, sorted(live.branches, key=self.listed))

    # ---- displacement --------------------------------------------------------------------------

    def displace(self, works: dict[OracleRequest, list[Work]]) -> None:
        """The head of the queue preempts those that the policy lets it, if that is enough."""
        head = self.orders.head()
        if head is None or head.copying:
            return
        want = demand(self.state, head, head.phase == Phase.SWAPPED)
        whole = want  # what it shares with a victim it would have to take itself
        if head.phase == Phase.WAITING:
            saved = self.state.saved(head.branches[0])
            whole = Demand(want.blocks + saved, want.seats, want.tokens)
        candidates = [
            live
            for live in works
            if live.rank > head.rank
            and not live.protected
            and self.orders.may_displace(head, live)
        ]
        enough = self.entering.enough
        if enough(head, want, works, ()) or not enough(head, whole, works, candidates):
            return
        want = whole
        victims: list[OracleRequest] = []
        for live in sorted(candidates, key=worst_first(self.config.victim), reverse=True):
            if enough(head, want, works, victims):
                break
            victims.append(live)
        for live in reversed(tuple(victims)):
            spared = [other for other in victims if other is not live]
            if enough(head, want, works, spared):
                victims = spared
        for live in sorted(victims, key=lambda live: live.rank):
            self.preempting.preempt(live)
        self.displaced = True
        self.admitted.append(head.name)

    # ---- admission -----------------------------------------------------------------------------

    def admit(self) -> None:
        """The head of the queue while it fits; so many as `max_bypasses` says may be passed."""
        passed: list[OracleRequest] = []
        while (head := self.orders.head()) is not None:
            kept_out = bool(self.serving.longs) and len(head.branches) > 1
            if kept_out and not self.reason:
                self.reason = "beside_a_prompt"
            fits = not kept_out and self.entering.fits(head)
            waits = fits and self.entering.waits_for_prefix(head)
            if waits and not self.reason:
                self.reason = "prefix"
            if fits and not waits:
                if any(other.bypassed >= self.config.max_bypasses for other in passed):
                    break
                for other in passed:
                    other.bypassed += 1
                self.admitted.append(head.name)
                self.start(head)
            elif len(passed) < self.config.max_bypasses:
                passed.append(head)
                self.orders.put_aside(head)
            else:
                break
        self.orders.put_back()

    def start(self, live: OracleRequest) -> None:
        """The request runs: it has its blocks, and computes what the step has tokens for."""
        if self.displaced or self.serving.longs:
            self.sheltered.append(live.name)
        first = not live.started
        self.orders.enters(live)
        if live.phase == Phase.SWAPPED:
            live.open_swap = NEW
            self.state.evict_for(len(live.blocks))
        live.phase, live.bypassed = Phase.RUNNING, 0
        self.orders.entered(live)
        leader = live.branches[0]
        waited = not leader.table
        if waited:  # room for every token that it knows
            self.take_all(leader, first)
        for branch in live.branches[waited:]:
            watch(self.state, branch, 0)
        for work in work_of(self.state, live, enters=waited):
            self.serving.begin(work)

    def take_all(self, leader: OracleSequence, first: bool) -> None:
        """The leader shares what can be found, and takes a block for the rest of what it knows.

        Args:
            leader: of a request that enters without blocks.
            first: whether it enters for the first time, so that its tokens count for the hit rate.
        """
        state, size = self.state, self.config.block_size
        shared, blocks = state.found(leader), -(-leader.num_tokens // size)
        state.evict_for(blocks - len(shared), shared)
        state.cache.wake(shared)
        leader.table = shared + state.take(blocks - len(shared))
        leader.num_dispatched_tokens = leader.num_computed_tokens = len(shared) * size
        leader.num_allocated_slots = leader.num_tokens
        watch(state, leader, len(shared))
        if first:
            state.cache.queries += leader.num_tokens
            state.cache.hits += len(shared) * size
