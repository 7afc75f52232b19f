"""Builds one step: growth, preemption, decodes, prefills, admission.

Invariant: every change is an action of the table, and the table refuses none of them.

Running sequences grow first, in the order of the policy; a request that cannot grow preempts one behind it, or
itself. If none was preempted, the head of the queue may displace less important requests. Decodes are scheduled,
unfinished prefills share what is left of the budget, and then requests are admitted in order until one does not fit.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any, NamedTuple

from lineclear.config import Config
from lineclear.plan import Scheduled, new_row
from lineclear.scheduling.decode_batch import DecodeBatch
from lineclear.scheduling.live_request import LiveRequest
from lineclear.scheduling.live_requests import LiveRequests
from lineclear.scheduling.policy_adapter import PolicyAdapter
from lineclear.scheduling.prefix_cache import PrefixCache
from lineclear.scheduling.room import Room
from lineclear.scheduling.sequence_demand import (
    SequenceDemand,
    demand_of,
    spare_last_holders,
)
from lineclear.scheduling.transitions import Transitions
from lineclear.scheduling.victims import Victims
from lineclear_spec import actions
from lineclear_spec.kernel.ledger import Ledger
from lineclear_spec.kernel.lifecycle import Phase
from lineclear_spec.kernel.progress import (
    Need,
    admits_others,
    behind,
    chunk,
    enters_beside,
    grows,
    is_sheltered,
    lacks,
    may_be_displaced,
    may_be_passed,
)
from lineclear_spec.kernel.records import Sequence


class StepParts(NamedTuple):
    """The parts of a scheduler that build a step.

    Attributes:
        config: settings.
        ledger: the state that the table's actions change.
        live: where each request stands.
        batch: which sequences are in the decode batch.
        victims: selects victims.
        transitions: moves requests between phases.
        adapter: asks the policy.
        cache: finds blocks, and says which can be evicted.
    """

    config: Config
    ledger: Ledger
    live: LiveRequests
    batch: DecodeBatch
    victims: Victims
    transitions: Transitions
    adapter: PolicyAdapter
    cache: PrefixCache


class Step:
    """The step that `Scheduler.schedule` builds.

    Attributes:
        decodes_every_step: whether a sequence that runs and decodes is in every step, so that it may
            join the decode batch.
    """

    decodes_every_step = True

    def __init__(self, parts: StepParts) -> None:
        """Nothing is scheduled yet but the sequences in the decode batch."""
        self.config = parts.config
        self.ledger = parts.ledger
        self.live = parts.live
        self.batch = parts.batch
        self.victims = parts.victims
        self.transitions = parts.transitions
        self.adapter = parts.adapter
        self.cache = parts.cache
        self.room = Room(parts.config, parts.ledger, parts.live, parts.cache)
        # requests that may pass one that does not enter
        self.max_bypasses: float = parts.config.max_bypasses
        self.prefills: list[tuple[Scheduled, Sequence]] = []
        self.decodes: list[tuple[Scheduled, Sequence]] = []
        self.preempted = False  # a request was preempted for growth
        self.displaced = False  # a request was preempted for a more important waiting one
        self.blocked = False  # a running prefill did not get its share of the tokens
        self.admission_blocked_by = ""  # why the step lets no request in, see `stall.GUARDS`
        self.shares: list[list[Any]] | None = None  # [demand, tokens] of prompts that may get more
        cut = self.config.enable_chunked_prefill  # a prompt that may not be cut has no share
        self.asks = cut and self.adapter.shares and not self.adapter.failures
        if self.asks or (cut and self.room.most < self.config.max_num_batched_tokens):
            self.shares = []

    @property
    def pairs(self) -> list[tuple[Scheduled, Sequence]]:
        """Rows and their sequences, prefills first."""
        return [*self.prefills, *self.decodes]

    def build(self) -> None:
        """The whole step, up to issuing it."""
        demands = self._make_room(self._demands())
        paused = self.live.paused
        if not self.preempted and not paused:
            demands = self._displace(demands)
        self._run(demands)
        pause = self.config.pause_after_preemption
        if paused:
            self.admission_blocked_by = "paused"
        elif admits_others(self.preempted, pause, self.displaced, self.blocked):
            self._admit_all()
        else:
            self.admission_blocked_by = self._why_none_enters()
        self._share_out()

    def _why_none_enters(self) -> str:
        """The reason why the step admits no request, by the names of `stall.GUARDS`."""
        if self.displaced:
            return "displaced"
        return "prefill_first" if self.blocked else "pause_after_preemption"

    # ---- growth --------------------------------------------------------------------------------

    def _demands(self) -> list[SequenceDemand]:
        """Demands of every running sequence that is not in the decode batch, in policy order."""
        ledger, config, of = self.ledger, self.config, self.live.of
        if not self.batch.explicit:
            return []
        found: list[SequenceDemand] = []
        for sequence in self.batch.explicit:
            demand = demand_of(ledger, config, sequence, of[sequence.request])
            if demand is not None:
                found.append(demand)
        found.sort(key=lambda demand: demand.entry.rank)
        spare_last_holders(ledger, found)
        return found

    def _make_room(self, demands: list[SequenceDemand]) -> list[SequenceDemand]:
        """Preempts until every running sequence that is left can grow; the demands that are left."""
        while True:
            due, blocks = self.ledger.due().count, sum([demand.blocks for demand in demands])
            available = self.cache.available
            if grows(due, blocks, available):
                self.room.due = due
                return demands
            self.preempted = True
            entry = self._first_that_cannot_grow(demands, due + blocks - available)
            victim = self._victim_after(entry) or entry
            self.transitions.preempt_for_growth(victim)
            demands = [demand for demand in demands if demand.entry is not victim]

    def _first_that_cannot_grow(self, demands: list[SequenceDemand], lacking: int) -> LiveRequest:
        """The first in the order for which, after those before it, no blocks are left.

        By the rule `last` the last one stands for itself and the one before it for all others, which have the
        same victim.

        Args:
            demands: of sequences that are not in the decode batch.
            lacking: blocks that all together want and that are not available, at least 1.
        """
        due, running = self.ledger.boundaries.get(self.ledger.steps, {}), self.live.running
        wants: Counter[LiveRequest] = Counter()
        for demand in demands:
            wants[demand.entry] += demand.blocks
        at = len(running)
        lowest = max(0, at - 2) if self.victims.rule == "last" else 0
        while lacking > 0 and at > lowest:
            at -= 1
            entry = running.entries[running.orders[at]]
            lacking -= wants.get(entry, 0) + sum([q in due for q in entry.record.members])
        return running.entries[running.orders[at]]

    def _victim_after(self, entry: LiveRequest) -> LiveRequest | None:
        """The victim among the running requests strictly behind the entry."""
        return self.victims.after(entry)

    # ---- tokens --------------------------------------------------------------------------------

    def _chunk(self, demand: SequenceDemand, tokens: int) -> int:
        """The number of these tokens of a sequence that this step takes: all, a part, or none."""
        left = self.room.left
        # Whether it is divisible is asked only if that is needed.
        divisible = tokens > left and self.ledger.divisible(demand.sequence)
        taken: int = chunk(tokens, left, divisible)
        return taken

    def _run(self, demands: list[SequenceDemand]) -> None:
        """Decodes first, then each unfinished prefill its share of what is left, in policy order."""
        for demand in demands:
            if demand.decode:
                self._compute(demand, demand.tokens)
        for demand in demands:
            if not demand.decode:
                share = 0 if self.blocked else self.room.share(demand)
                tokens = self._chunk(demand, share)
                self.blocked = self.blocked or lacks(tokens, share)
                self._note(demand, share)
                self._prefill(demand, tokens)

    def _note(self, demand: SequenceDemand, share: int) -> None:
        """Notes a request that could use more than its share, so that requests that enter see it (`Room.longs`)."""
        if lacks(share, demand.tokens):
            self.room.longs.add(demand.entry)

    def _prefill(self, demand: SequenceDemand, tokens: int) -> None:
        """Computes so many tokens, or what the policy lets one step compute of them for now."""
        if self.shares is None or not tokens or demand.decode:
            self._compute(demand, tokens)
            return
        self.transitions.grow(demand)
        if self.asks:
            ledger = self.ledger
            sharers = len(ledger.running) + len(ledger.waiting) + len(ledger.swapped)
            budget = self.config.max_num_batched_tokens
            tokens = min(tokens, self.adapter.share(demand.entry.view(ledger), budget, sharers))
        self.shares.append([demand, tokens])
        self.room.reserved += tokens

    def _share_out(self) -> None:
        """Tokens left over go to prompts in the order; then all are scheduled."""
        if not self.shares:
            return
        left = self.room.left
        for pair in self.shares:
            demand, tokens = pair
            more = min(demand.tokens - tokens, left)
            pair[1] += more
            left -= more
        self.room.reserved = 0
        for demand, tokens in self.shares:
            self._schedule(demand, tokens)

    def _compute(self, demand: SequenceDemand, tokens: int) -> None:
        """Gives the demand's sequence its blocks, and schedules its next positions."""
        self.transitions.grow(demand)
        if tokens:
            self._schedule(demand, tokens)

    def _schedule(self, demand: SequenceDemand, tokens: int) -> None:
        """Schedules the next positions of the demand's sequence."""
        ledger, sequence = self.ledger, demand.sequence
        drafts = max(0, tokens - (demand.tokens - demand.drafts))
        promised = sequence.own_samples
        actions.schedule_tokens(ledger, sequence, tokens, drafts)
        samples, prefill = sequence.own_samples > promised, not demand.decode
        start = ledger.first_scheduled(sequence)
        branch = demand.entry.branch(sequence)
        row = new_row(
            Scheduled,
            (demand.entry.request_id, branch, tokens, drafts, start, samples, prefill, 0),
        )
        (self.decodes if demand.decode else self.prefills).append((row, sequence))

    # ---- admission -----------------------------------------------------------------------------

    def _admit_all(self) -> None:
        """From the head of the queue as long as there is room; up to `max_bypasses` requests may enter before one
        that cannot.
        """
        queue = self.live.waiting
        most = self.max_bypasses
        passed: list[LiveRequest] = []
        while (entry := queue.head()) is not None:
            have, want = self.room.offered(entry)
            beside = not self.room.longs or enters_beside(True, entry.record.width)
            if not beside and not self.admission_blocked_by:
                self.admission_blocked_by = "beside_a_prompt"
            fits = beside and not entry.record.open_swap and have.covers(want)
            awaits = fits and self.config.wait_for_prefix and self._awaits(entry)
            if awaits and not self.admission_blocked_by:
                self.admission_blocked_by = "prefix"
            if fits and not awaits:
                if passed and not all(may_be_passed(other.bypassed, most) for other in passed):
                    break
                for other in passed:
                    other.bypassed += 1
                self._enter(entry)
            elif len(passed) < most:
                passed.append(queue.pop())
            else:
                break
        for entry in passed:
            queue.push(entry)

    def _awaits(self, entry: LiveRequest) -> bool:
        """Whether it waits for a block that one before it in the order computes: so the first never does."""
        if entry.record.phase != Phase.WAITING:
            return False
        found = self.cache.computing(entry.record.members[0])
        return any(behind(self.live.of[other.request].rank, entry.rank) for other in found)

    def _enter(self, entry: LiveRequest, displacing: bool = False) -> None:
        """The request runs, and computes what the step has tokens for."""
        drafts = entry.record.phase == Phase.SWAPPED  # those of one that waits are not counted
        self.transitions.enter(entry, is_sheltered(displacing, bool(self.room.longs)))
        for demand in self.room.demands_of(entry, drafts):
            share = self.room.share(demand)
            self._note(demand, share)
            self._prefill(demand, self._chunk(demand, share))

    def planned(self) -> Need:
        """The resources that running requests will take of a step that is not begun."""
        taken = sum(self._uses(self._demands()).values(), Need())
        return Need(taken.blocks, 0, min(taken.tokens, self.room.left), 0, taken.longs)

    def growth(self) -> Counter[LiveRequest]:
        """Blocks that each running request will take of a step that is not begun."""
        return self._due() + Counter({e: n.blocks for e, n in self._uses(self._demands()).items()})

    def _due(self) -> Counter[LiveRequest]:
        """Blocks that each request's sequences in the decode batch take: a group may have several that are due."""
        return Counter([self.live.of[sequence.request] for sequence in self.ledger.due().records])

    def _uses(self, demands: list[SequenceDemand]) -> dict[LiveRequest, Need]:
        """The resources that each running request will take, if there are tokens for all of it.

        A prompt that goes on takes what a victim leaves, up to its share: a request that waits has tokens
        only if every prompt that runs has its share.
        """
        uses: dict[LiveRequest, Need] = {}
        long: set[LiveRequest] = set()
        for demand in demands:
            share = self.room.share(demand)
            uses[demand.entry] = uses.get(demand.entry, Need()) + Need(demand.blocks, 0, share)
            if lacks(share, demand.tokens):
                long.add(demand.entry)
        if self.config.max_long_partial_prefills is not None:
            for entry in long:
                uses[entry] += Need(longs=1)
        return uses

    # ---- displacement --------------------------------------------------------------------------

    def _displace(self, demands: list[SequenceDemand]) -> list[SequenceDemand]:
        """The head may displace running requests and is then admitted, alone; the demands left."""
        running, ledger = self.live.running, self.ledger
        head = self.live.waiting.head()
        if head is None or head.record.open_swap or running.last_after(head) is None:
            return demands
        uses = self._uses(demands)
        planned = sum(uses.values(), Need())
        have, want = self.room.offered(head)
        if (have - planned).covers(want):
            return demands  # it is admitted anyway
        candidates: list[LiveRequest] = []  # those looked at; all of them if no victims are found
        seen = head.view(self.ledger)

        def from_the_last() -> Iterator[LiveRequest]:
            for entry in running.from_the_last(head):
                spared = not may_be_displaced(entry.sheltered, entry.kept_a_token)
                if not spared and self.adapter.may_displace(seen, entry.view(self.ledger)):
                    candidates.append(entry)
                    yield entry

        # A block that it shares with a victim goes with the victim, so it counts as needed.
        if head.record.phase == Phase.WAITING:
            want += Need(self.room.saved(head.record.members[0]), 0, 0)
        due = self._due()

        def gain(entry: LiveRequest) -> Need:
            batched = sum([sequence.in_decode_batch for sequence in entry.record.members])
            most = ledger.worst_case(entry.record)
            own = Need(
                self.cache.gain(entry.record) + due[entry], entry.seats_taken, batched, most
            )
            return own + uses.get(entry, Need())

        victims = self.victims.choose(from_the_last(), gain, have - planned, want)
        if victims is None and candidates and len(candidates) == len(running):
            # When no other request runs, the watermark is waived.
            have, _ = self.room.offered(head, watermark=False)
            everything = sum(map(gain, candidates), have - planned)
            victims = candidates if everything.covers(want) else None
        if victims is None or self.adapter.failures:
            return demands
        # The more important get the room in the CPU pool first, so no copy is made only to be lost.
        for victim in sorted(victims, key=lambda entry: entry.rank):
            self.transitions.preempt(victim)
        self.room.due = self.ledger.due().count
        self.displaced = True
        self._run([demand for demand in demands if demand.entry not in victims])
        self._enter(head, displacing=True)
        return []
