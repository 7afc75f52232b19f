"""Computes whether a request can enter a step, on plain data.

Guarantees: as `step.py`, of which it is a part. Every resource is asked for: blocks, seats, tokens, a place among
long prompts, and room for the most that all may need where that is promised.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable

from lineclear.oracle.serving import Serving, in_order_of_service
from lineclear.oracle.state import OracleRequest, OracleState, ceil_div
from lineclear.oracle.work import Demand, Work, demand, most_blocks, work_of
from lineclear_spec.kernel.lifecycle import Phase


class Entering:
    """The part of a step that says who fits.

    Args:
        state: as the step changes it.
        serving: what is served so far.
    """

    def __init__(self, state: OracleState, serving: Serving) -> None:
        self.state, self.config, self.serving = state, state.config, serving

    def fits(self, live: OracleRequest) -> bool:
        """Whether there is what the request needs."""
        want = demand(self.state, live, live.phase == Phase.SWAPPED)
        kept = self.kept if self.state.running else 0
        return (
            not live.copying
            and want.blocks <= self.state.gpu_free - kept
            and want.seats <= self.state.seats_free
            and want.tokens <= self.serving.tokens
            and self.guaranteed(live, self.state.running)
            and self.may_be_long(live, self.serving.longs)
        )

    def enough(
        self,
        head: OracleRequest,
        want: Demand,
        works: dict[OracleRequest, list[Work]],
        without: Collection[OracleRequest],
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
            share = self.serving.share(work)
            if self.serving.part(work, share, tokens) < share:
                return False  # a prompt that runs goes before it
            tokens -= share
        return (
            want.blocks <= self.state.gpu_free + gone - grown - kept
            and want.seats <= seats
            and want.tokens <= tokens
            and self.guaranteed(head, rest)
            and self.may_be_long(
                head, {w.live for r in rest for w in works[r] if self.serving.long(w)}
            )
        )

    @property
    def kept(self) -> int:
        """Blocks that admission leaves free while anything runs."""
        config = self.config
        remaining = sum(
            min(live.limit - branch.num_tokens, 4096)
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

    def waits_for_prefix(self, live: OracleRequest) -> bool:
        """Whether one that runs before it has the name of the first block that it would not find, and has
        not computed it.
        """
        config, state = self.config, self.state
        if not config.wait_for_prefix or live.phase != Phase.WAITING:
            return False
        leader, size = live.branches[0], config.block_size
        words, at = leader.block_names[: (leader.num_tokens - 1) // size], len(state.found(leader))
        return at < len(words) and any(
            branch.block_names[at : at + 1] == (words[at],)
            and branch.num_computed_tokens < (at + 1) * size
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
            return not any(self.serving.long(work) for work in work_of(self.state, live))
        leader = live.branches[0]
        known = leader.num_tokens
        if len(live.branches) == 1:
            known = max(known, min(known + leader.scheduled_samples, live.limit - 1))
        lacks = known - len(self.state.found(leader)) * self.config.block_size
        return lacks <= self.serving.threshold
