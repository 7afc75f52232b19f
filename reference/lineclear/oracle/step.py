"""Computes the step that a scheduler must make, on plain data.

Guarantees: `Expected` changes its own copy of the state as the step must change it, and says who is
preempted, discarded and admitted, who computes what, and which rule kept anything from entering. It is
written for reading: it counts everything again whenever it asks.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterable
from typing import Any

from lineclear.oracle.orders import Orders
from lineclear.oracle.preempting import NEW, Preempting, worst_first
from lineclear.oracle.publishing import watch
from lineclear.oracle.state import OracleRequest, OracleSequence, OracleState, ceil_div
from lineclear.oracle.work import Demand, Work, demand, divides, grow, most_blocks, work_of
from lineclear_spec.lifecycle import Phase

__all__ = ["Expected", "ServedRow"]

#: Request, branch, tokens, drafts, first position, whether it samples, whether it is a prefill.
ServedRow = tuple[Hashable, int, int, int, int, bool, bool]


class Expected(Preempting):
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
        self.preempted: list[tuple[Hashable, str]] = []
        self.discarded: list[Hashable] = []
        self.admitted: list[Hashable] = []
        self.prefills: list[tuple[Work, int]] = []
        self.decodes: list[tuple[Work, int]] = []
        self.rows: list[ServedRow] = []
        self.reason = ""
        self.displaced = False
        self.short = False  # an unfinished prompt lacks tokens of its share
        self.longs: set[OracleRequest] = set()  # whose prompts could use more than their share
        self.sheltered: list[Hashable] = []
        self.lost = self.alone = 0
        self.void: list[Hashable] = []
        orders.begin()
        works = {live: self.works(live) for live in state.running}
        grew = self.make_room(works)
        if not grew:
            self.displace(works)
        for live in [
            live for live in works if live.phase != Phase.RUNNING or live.name in self.admitted
        ]:
            del works[live]
        if self.displaced:
            head = next(live for live in state.lives if live.name in self.admitted)
            self.serve(works)
            self.start(head)
        else:
            self.serve(works)
        pause = grew and self.config.pause_after_preemption
        if self.displaced or self.short or pause:
            self.reason = (
                "displaced"
                if self.displaced
                else "prefill_first"
                if self.short
                else "pause_after_preemption"
            )
        else:
            self.admit()
        self.hand_out()
        if any(tokens for _, tokens in (*self.prefills, *self.decodes)):
            state.evict_for(state.cache.due)
        self.write()

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
        if self.enough(head, want, works, ()) or not self.enough(head, whole, works, candidates):
            return
        want = whole
        victims: list[OracleRequest] = []
        for live in sorted(candidates, key=worst_first(self.config.victim), reverse=True):
            if self.enough(head, want, works, victims):
                break
            victims.append(live)
        for live in reversed(tuple(victims)):
            spared = [other for other in victims if other is not live]
            if self.enough(head, want, works, spared):
                victims = spared
        for live in sorted(victims, key=lambda live: live.rank):
            self.preempt(live)
        self.displaced = True
        self.admitted.append(head.name)

    def enough(
        self,
        head: OracleRequest,
        want: Demand,
        works: dict[OracleRequest, list[Work]],
        without: Any,
    ) -> bool:
        """Whether a request can enter once these have been preempted and the others have grown.

        Args:
            head: the request.
            want: its demand.
            works: of those that run.
            without: who is preempted.
        """
        rest = [live for live in works if live not in without]
        gone = sum(self.state.gain(live) for live in without)
        grown = sum(work.blocks for live in rest for work in works[live])
        kept = self.kept if rest else 0
        seats = self.state.seats_free + sum(live.seats for live in without)
        tokens = self.config.max_num_batched_tokens
        for work in in_order_of_service([work for live in rest for work in works[live]]):
            share = self.share(work)
            if self.part(work, share, tokens) < share:
                return False  # a prompt that runs goes before it
            tokens -= share
        return (
            want.blocks <= self.state.gpu_free + gone - grown - kept
            and want.seats <= seats
            and want.tokens <= tokens
            and self.guaranteed(head, rest)
            and self.may_be_long(head, {w.live for r in rest for w in works[r] if self.long(w)})
        )

    @property
    def kept(self) -> int:
        """Blocks that admission leaves free while anything runs."""
        config = self.config
        remaining = sum(
            min(live.limit - branch.known, 4096)
            for live in self.state.running
            for branch in live.branches
        )
        reserved = math.ceil(config.schedule_conservativeness * remaining)
        return int(config.watermark * config.num_gpu_blocks) + ceil_div(
            reserved, config.block_size
        )

    def guaranteed(self, head: OracleRequest, others: Iterable[OracleRequest]) -> bool:
        """Whether the head fits beside the others even if all of them need the most that they may."""
        if self.config.capacity_policy != "guaranteed_no_evict":
            return True
        size = self.config.block_size
        most = [most_blocks(size, r.prompt, r.limit, r.n) for r in (head, *others)]
        return sum(most) <= self.config.num_gpu_blocks

    # ---- service -------------------------------------------------------------------------------

    @property
    def tokens(self) -> int:
        """Tokens of the step that nothing has taken."""
        taken = sum(tokens for _, tokens in (*self.prefills, *self.decodes))
        return self.config.max_num_batched_tokens - taken

    def share(self, work: Work) -> int:
        """The tokens that a sequence may take while others could use them: a prompt no more than the
        threshold.
        """
        if work.decodes:
            return work.tokens
        return min(work.tokens, self.threshold)

    @property
    def threshold(self) -> int:
        """The limit on the tokens of one prompt: all that a sequence may have if there is none."""
        config, given = self.config, self.config.long_prefill_token_threshold
        if given == 0 or not config.enable_chunked_prefill:
            return config.max_model_len
        return config.max_num_batched_tokens // 4 or 1 if given is None else given

    def part(self, work: Work, share: int, tokens: int) -> int:
        """The number of tokens that a sequence takes of those left: it is cut only if that is allowed."""
        if share <= tokens:
            return share
        return tokens if divides(self.config, work.branch) else 0

    def serve(self, works: dict[OracleRequest, list[Work]]) -> None:
        """Serves running requests: decodes, then unfinished prompts in order, until one does not get its
        share.
        """
        for work in in_order_of_service([work for found in works.values() for work in found]):
            share = self.share(work)
            part = 0 if self.short else self.part(work, share, self.tokens)
            if not work.decodes:
                self.short = self.short or part < share
                if share < work.tokens:
                    self.longs.add(work.live)
            self.give(work, part)

    def give(self, work: Work, tokens: int) -> None:
        """The sequence takes its blocks, and so many tokens, or the share that the policy allows."""
        grow(self.state, work)
        if work.decodes:
            self.decodes.append((work, tokens))
            return
        if self.config.enable_chunked_prefill and tokens:
            share = self.orders.share(work.live)
            tokens = tokens if share is None else min(tokens, share)
        self.prefills.append((work, tokens))

    def hand_out(self) -> None:
        """Gives tokens that the shares left over to the first in the order that can use them."""
        if not self.config.enable_chunked_prefill:
            return
        for k, (work, tokens) in enumerate(self.prefills):
            if tokens:
                more = min(work.tokens - tokens, self.tokens)
                self.prefills[k] = (work, tokens + more)

    # ---- admission -----------------------------------------------------------------------------

    def admit(self) -> None:
        """The head of the queue while it fits; so many as `bypass` says may be passed."""
        passed: list[OracleRequest] = []
        while (head := self.orders.head()) is not None:
            kept_out = bool(self.longs) and len(head.branches) > 1
            if kept_out and not self.reason:
                self.reason = "prefill_first"
            fits = not kept_out and self.fits(head)
            waits = fits and self.waits_for_prefix(head)
            if waits and not self.reason:
                self.reason = "prefix"
            if fits and not waits:
                if any(other.bypassed >= self.config.bypass for other in passed):
                    break
                for other in passed:
                    other.bypassed += 1
                self.admitted.append(head.name)
                self.start(head)
            elif len(passed) < self.config.bypass:
                passed.append(head)
                self.orders.put_aside(head)
            else:
                break
        self.orders.put_back()

    def fits(self, live: OracleRequest) -> bool:
        """Whether there is what the request needs."""
        want = demand(self.state, live, live.phase == Phase.SWAPPED)
        kept = self.kept if self.state.running else 0
        return (
            not live.copying
            and want.blocks <= self.state.gpu_free - kept
            and want.seats <= self.state.seats_free
            and want.tokens <= self.tokens
            and self.guaranteed(live, self.state.running)
            and self.may_be_long(live, self.longs)
        )

    def waits_for_prefix(self, live: OracleRequest) -> bool:
        """Whether one that runs before it has the name of the first block that it would not find, and has
        not computed it.
        """
        config, state = self.config, self.state
        if not config.wait_for_prefix or live.phase != Phase.WAITING:
            return False
        leader, size = live.branches[0], config.block_size
        words, at = leader.words[: (leader.known - 1) // size], len(state.found(leader))
        return at < len(words) and any(
            branch.words[at : at + 1] == (words[at],)
            and branch.computed < (at + 1) * size
            and (config.prefix_caching == "all" or other.prompt // size > at)
            for other in state.running
            if other.rank < live.rank
            for branch in other.branches
        )

    def may_be_long(self, live: OracleRequest, longs: set[OracleRequest]) -> bool:
        """Whether a request that enters is not long, or fewer that are run than may."""
        most = self.config.max_long_partial_prefills
        if most is None or len(longs) < most:
            return True
        if live.phase == Phase.SWAPPED:
            return not any(self.long(work) for work in work_of(self.state, live))
        leader = live.branches[0]
        known = leader.known
        if len(live.branches) == 1:
            known = max(known, min(known + leader.pending, live.limit - 1))
        lacks = known - len(self.state.found(leader)) * self.config.block_size
        return lacks <= self.threshold

    def long(self, work: Work) -> bool:
        """Whether a prompt could use more than its share."""
        return self.share(work) < work.tokens

    def start(self, live: OracleRequest) -> None:
        """The request runs: it has its blocks, and computes what the step has tokens for."""
        if self.displaced or self.longs:
            self.sheltered.append(live.name)
        first = not live.started
        self.orders.enters(live)
        if live.phase == Phase.SWAPPED:
            live.copy = NEW
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
            if self.share(work) < work.tokens:
                self.longs.add(live)
            self.give(work, self.part(work, self.share(work), self.tokens))

    def take_all(self, leader: OracleSequence, first: bool) -> None:
        """The leader shares what can be found, and takes a block for the rest of what it knows.

        Args:
            leader: of a request that enters without blocks.
            first: whether it enters for the first time, so that its tokens count for the hit rate.
        """
        state, size = self.state, self.config.block_size
        shared, blocks = state.found(leader), -(-leader.known // size)
        state.evict_for(blocks - len(shared), shared)
        state.cache.wake(shared)
        leader.table = shared + state.take(blocks - len(shared))
        leader.reach = leader.computed = len(shared) * size
        leader.slots = leader.known
        watch(state, leader, len(shared))
        if first:
            state.cache.queries += leader.known
            state.cache.hits += len(shared) * size

    # ---- the plan ------------------------------------------------------------------------------

    def write(self) -> None:
        """The rows of the plan, and the counters after it."""
        for work, tokens in (*self.prefills, *self.decodes):
            if not tokens:
                continue
            branch = work.branch
            drafts = max(0, tokens - (work.tokens - work.drafts))
            samples = work.start + tokens - drafts == branch.known + branch.pending
            branch.reach = work.start + tokens
            branch.pending += samples
            self.rows.append(
                (
                    work.live.name,
                    branch.number,
                    tokens,
                    drafts,
                    work.start,
                    samples,
                    not work.decodes,
                )
            )


def in_order_of_service(works: list[Work]) -> list[Work]:
    """Decodes before unfinished prompts, each in their order."""
    return sorted(works, key=lambda work: not work.decodes)
