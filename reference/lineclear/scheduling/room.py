"""What a step has for requests that enter, and what each of them needs.

Invariant: a request that enters with what it needs is refused nothing by the table. `have` and `want` run on
formulas, too (`theorems/entering.py`).
"""

from __future__ import annotations

from math import ceil

from lineclear.config import Config
from lineclear.scheduling.live_request import LiveRequest
from lineclear.scheduling.live_requests import LiveRequests
from lineclear.scheduling.prefix_cache import PrefixCache
from lineclear.scheduling.sequence_demand import (
    SequenceDemand,
    demand_of,
    remaining_tokens,
    spare_last_holders,
)
from lineclear_spec.kernel.ledger import Ledger
from lineclear_spec.kernel.lifecycle import Phase
from lineclear_spec.kernel.progress import (
    Need,
    asked_tokens,
    beside,
    kept_free,
    lacks,
    least_tokens,
    room,
    share_of,
    tokens_left,
    tokens_on_admission,
)
from lineclear_spec.kernel.records import Sequence
from lineclear_spec.logic import larger


class Room:
    """Room for requests in the step that is being built.

    Attributes:
        due: blocks that issue_step will take.
        reserved: tokens that prompts will get of the step and that are not scheduled yet.
        most: tokens that one prompt may take while others could use them.
        watermark: blocks that admission leaves free while a request runs.
        counts_worst: whether a request enters only if its worst case fits beside those of all that run.
        longs: requests of the step with a prompt that could use more than its share.
    """

    def __init__(
        self, config: Config, ledger: Ledger, live: LiveRequests, cache: PrefixCache
    ) -> None:
        """All of it: nothing is due and nothing is promised.

        Args:
            config: settings.
            ledger: the state.
            live: where each request stands.
            cache: finds blocks, and says which can be evicted.
        """
        self.config = config
        self.ledger = ledger
        self.live = live
        self.cache = cache
        self.due = 0
        self.reserved = 0
        self.most = config.most_of_a_prompt
        self.watermark = config.watermark_blocks
        self.counts_worst = config.capacity_policy != "max_utilization"
        self.longs: set[LiveRequest] = set()

    @property
    def left(self) -> int:
        """Tokens that the step may still compute."""
        ledger, budget = self.ledger, self.config.max_num_batched_tokens
        left: int = tokens_left(
            budget, ledger.step_tokens, ledger.decode_batch_size, self.reserved
        )
        return left

    def demands_of(self, entry: LiveRequest, drafts: bool = True) -> list[SequenceDemand]:
        """Demands of one request's sequences, with drafts if they may have any."""
        ledger, config, members = self.ledger, self.config, entry.record.members
        if len(members) == 1:
            demand = demand_of(ledger, config, members[0], entry, drafts=drafts)
            if demand is None or not demand.copy:
                return [] if demand is None else [demand]
        made = [demand_of(ledger, config, sequence, entry, drafts=drafts) for sequence in members]
        found = [demand for demand in made if demand is not None]
        spare_last_holders(ledger, found)
        return found

    def want(self, entry: LiveRequest) -> Need:
        """The resources that the entry needs to run in this step."""
        ledger, record = self.ledger, entry.record
        if record.phase == Phase.SWAPPED:
            demands = self.demands_of(entry)
            growth = sum([demand.blocks for demand in demands])
            tokens = sum(
                [least_tokens(j.tokens, j.decode, ledger.divisible(j.sequence)) for j in demands]
            )
            tokens = asked_tokens(larger(1, tokens), self.config.max_num_batched_tokens)
            return Need(record.blocks + growth, entry.seats, tokens)
        leader, *others = record.members
        # A step that is in flight may still sample a token for a request that was preempted
        # meanwhile: it is computed with the others.
        tokens = leader.own_tokens
        if not others:
            tokens = tokens_on_admission(tokens, leader.own_samples, record.limit)
        blocks = ledger.need(tokens) - self.saved(leader)
        if others:
            full = ledger.block_of(record.prompt)
            blocks += sum([beside(ledger.need(branch.own_tokens), full) for branch in others])
        tokens = least_tokens(tokens, False, ledger.divisible(leader))
        tokens = asked_tokens(tokens, self.config.max_num_batched_tokens)
        return Need(blocks, entry.seats, tokens)

    def have(self, watermark: bool = True) -> Need:
        """The resources for admission: the watermark is kept only while something runs."""
        live = self.live
        kept = kept_free(self._kept(), len(live.running)) if watermark else 0
        free, seats = self._available(), self.config.max_num_seqs
        return room(free, self.due, kept, seats, live.seats, self.left)

    def offered(self, entry: LiveRequest, watermark: bool = True) -> tuple[Need, Need]:
        """What there is for admission, and what the entry needs of it; with worst cases and long prompts, if
        these count.
        """
        have, want = self.have(watermark), self.want(entry)
        if self.counts_worst:
            ledger = self.ledger
            have += Need(worst=ledger.gpu.total - self.live.worst)
            want += Need(worst=ledger.worst_case(entry.record))
        most = self.config.max_long_partial_prefills
        if most is not None:
            have += Need(longs=most - len(self.longs))
            want += Need(longs=int(self.is_long(entry)))
        return have, want

    def share(self, demand: SequenceDemand) -> int:
        """The tokens that a sequence may take of the step while others could use them."""
        share: int = share_of(demand.tokens, demand.decode, self.most)
        return share

    def is_long(self, entry: LiveRequest) -> bool:
        """Whether a request that waits could use more than the share of a prompt when it enters."""
        record = entry.record
        if record.phase == Phase.SWAPPED:
            demands = self.demands_of(entry)
            return any(lacks(self.share(demand), demand.tokens) for demand in demands)
        leader = record.members[0]
        tokens = leader.own_tokens
        if record.width == 1:
            tokens = tokens_on_admission(tokens, leader.own_samples, record.limit)
        found = self.cache.hits(leader) * self.config.block_size if self.cache.enabled else 0
        long: bool = lacks(self.most, tokens - found)
        return long

    def _kept(self) -> int:
        """Blocks that admission leaves free while a request runs."""
        kept, share = self.watermark, self.config.schedule_conservativeness
        if share:
            ledger = self.ledger
            tokens = sum([remaining_tokens(ledger, record) for record in ledger.running])
            kept += ledger.need(ceil(share * tokens))
        return kept

    def _available(self) -> int:
        """Blocks that are free or can be evicted."""
        return self.cache.available

    def saved(self, leader: Sequence) -> int:
        """Blocks that an entering sequence need not take: found, and in use by requests or readers."""
        return self.cache.saved(leader) if self.cache.enabled else 0
