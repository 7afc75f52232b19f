"""The positions that each step computes and the tokens that it samples, request by request.

Guarantees: what a request computed and lost counts as recomputed, less what it then finds in the cache; a
sample counts only for a request that is live, has kept its KV and whose branch has not ended.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping

from lineclear.plan import Plan
from lineclear.simulation.decodes import Decodes
from lineclear.simulation.metrics import Collector
from lineclear.simulation.sampler import Sampler, SimulatedRequest
from lineclear.simulation.steptime import StepTime
from lineclear_spec.kernel.ledger import Ledger

#: Actions after which what was computed has to be computed again.
GIVING_UP = frozenset({"recompute", "discard_swapped", "fail_copy"})
#: Of a step that samples: by position one token, or one list of tokens per continuation.
SampledTokens = list[int | list[list[int]]]


class Accounting:
    """Keeps the counters of live requests, and those of the collector that speak of steps.

    Args:
        live: the requests that have not ended.
        decodes: keeps the counters of most of them.
        sampler: draws how many drafts are accepted.
        collector: counts what operators look at.
        model: how long a step takes.
        shares: whether requests may find blocks in the cache.
    """

    def __init__(
        self,
        live: Mapping[Hashable, SimulatedRequest],
        *,
        decodes: Decodes,
        sampler: Sampler,
        collector: Collector,
        model: StepTime,
        shares: bool,
    ) -> None:
        self.live = live
        self.decodes = decodes
        self.sampler = sampler
        self.collector = collector
        self.model = model
        self.shares = shares

    def step(self, plan: Plan, ledger: Ledger, now: float) -> float:
        """Counts what a step computes; its seconds.

        Args:
            plan: of the step.
            ledger: of the scheduler, after it planned.
            now: seconds.
        """
        collector = self.collector
        groups = plan.scheduled_seq_groups
        pairs = 0
        filled, others = self.decodes.schedule(groups.second)
        for row in (*groups.first, *others):
            live = self.live[row.request_id]
            self.decodes.put_back(live)
            collector.schedule(row.request_id, now)
            if self.shares and row.start and not live.computed:
                live.computed = row.start  # found in the cache, after a recompute too
                if collector.times[row.request_id].preemptions:
                    collector.recomputed_tokens -= row.start
            live.computed += row.tokens
            filled += live.computed
            if row.prefill and row.start is not None:
                pairs += row.tokens * row.start + row.tokens * (row.tokens + 1) // 2
        named = ledger.gpu.total - ledger.gpu.free - len(ledger.resting)
        context = named * ledger.limits.block_size
        collector.held_slots += context
        # Branches that share a block count it twice.
        collector.filled_slots += min(filled, context)
        collector.steps += 1
        collector.batched_tokens += plan.num_batched_tokens
        collector.batched_sequences += len(groups)
        return self.model.step(plan.num_batched_tokens, len(groups), context, pairs)

    def sample(self, plan: Plan, dropped: set[int], now: float) -> tuple[SampledTokens, list[int]]:
        """Samples for everybody whom a step sampled for.

        Args:
            plan: of the step.
            dropped: positions of `plan.sampling` that have lost their KV.
            now: seconds.

        Returns:
            What is sampled at each position, and the positions that have generated all, ascending.
        """
        sampled: SampledTokens = [0] * len(plan.sampling)
        stopped, others = self.decodes.sample(plan, dropped, now)
        for position in others:
            row = plan.sampling[position]
            live = self.live.get(row.request_id)
            if live is None:
                continue  # it ended while the step was in flight
            self.decodes.put_back(live)
            if position in dropped or live.done(row.branch):
                continue  # it lost its KV, or its branch has ended
            lengths = self.sampler.lengths(live, row)
            if lengths != [1]:
                sampled[position] = [[0] * length for length in lengths]
            self.collector.tokens(row.request_id, live.fresh, now)
            if live.done(row.branch) and live.generated[row.branch] < live.cap:
                stopped.append(position)
        return sampled, sorted(stopped)

    def free(self, request_id: Hashable) -> None:
        """What the request has computed has to be computed again."""
        live = self.live[request_id]
        self.decodes.put_back(live)
        self.collector.recomputed_tokens += live.computed
        live.computed = 0
