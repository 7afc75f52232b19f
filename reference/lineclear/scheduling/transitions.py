"""A running request's life: it enters, grows, is preempted, loses a copy and ends.

Invariant: each method takes the action of the table and changes what stands beside the ledger with it, so
the two agree between calls.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from lineclear.config import Config
from lineclear.scheduling.counters import Counters, PlanChanges
from lineclear.scheduling.decode_batch import DecodeBatch
from lineclear.scheduling.live_request import LiveRequest
from lineclear.scheduling.live_requests import LiveRequests
from lineclear.scheduling.policy_adapter import PolicyAdapter
from lineclear.scheduling.prefix_cache import PrefixCache
from lineclear.scheduling.sequence_demand import SequenceDemand
from lineclear.scheduling.victims import swaps
from lineclear_spec import actions
from lineclear_spec.kernel.ledger import Ledger
from lineclear_spec.kernel.lifecycle import Phase
from lineclear_spec.kernel.progress import behind
from lineclear_spec.kernel.records import Sequence


@dataclass(eq=False, slots=True)
class Transitions:
    """Moves requests between phases.

    Attributes:
        config: how a victim is preempted.
        ledger: the state that the table's actions change.
        live: where each request stands.
        batch: which sequences are in the decode batch.
        changes: what the next plan must report.
        counters: of what happened.
        adapter: tells a policy that shares among tenants.
        cache: finds, publishes and evicts blocks.
    """

    config: Config
    ledger: Ledger
    live: LiveRequests
    batch: DecodeBatch
    changes: PlanChanges
    counters: Counters
    adapter: PolicyAdapter
    cache: PrefixCache

    # ---- running -------------------------------------------------------------------------------

    def enter(self, entry: LiveRequest, sheltered: bool = False) -> None:
        """The request is admitted or swapped in; `sheltered`: it is not displaced before a token of it is committed."""
        ledger, record = self.ledger, entry.record
        self.live.waiting.leave(entry)
        if record.phase == Phase.SWAPPED:
            self.cache.free_up(record.blocks)
            actions.swap_in(ledger, record)
            for sequence in record.members:
                self.cache.watch(sequence, 0)
        elif self.cache.enabled:
            self.cache.enter(record, count=not entry.started)
        else:
            actions.admit(ledger, record)
        entry.sheltered = sheltered
        entry.kept_a_token = False
        for sequence in record.members:
            self.batch.explicit[sequence] = None
        self.live.run(entry)
        if self.adapter.tenants is not None and not entry.started:
            self.adapter.tell("admitted", entry.tenant, record.prompt, ledger.steps)
        entry.started = True

    def grow(self, demand: SequenceDemand) -> None:
        """Gives the demand's sequence its blocks."""
        ledger, sequence = self.ledger, demand.sequence
        if ledger.cached:
            self.cache.free_up(demand.blocks)
        if demand.shared:
            actions.rejoin(ledger, sequence, demand.shared)
        if demand.copy:
            actions.copy_on_write(ledger, sequence)
        if demand.slots > sequence.own_slots:
            actions.append_slots(ledger, sequence, demand.slots - sequence.own_slots)

    def _stop(self, entry: LiveRequest, members: Iterable[Sequence]) -> None:
        """The request runs no longer."""
        self.live.stop(entry)
        entry.sheltered = False
        for sequence in members:
            self.batch.explicit.pop(sequence, None)

    def end(self, entry: LiveRequest, action: Callable[..., object] = actions.finish) -> None:
        """The request ends, by `finish` or by `abort`, and nothing of it is kept."""
        if self.cache.enabled:
            self.cache.publish_output(entry, entry.record.members)
        self.batch.leave_all(entry)
        phase, members = entry.record.phase, tuple(entry.record.members)
        action(self.ledger, entry.record)
        if phase == Phase.RUNNING:
            self._stop(entry, members)
        else:
            self.live.waiting.leave(entry)
        self.live.remove(entry)
        self.changes.ended.append(entry.request_id)

    def end_each(self) -> dict[Sequence, LiveRequest]:
        """Ends every request whose only sequence is in the decode batch and has all its tokens; these, with their
        requests.
        """
        ledger = self.ledger
        ended: dict[Sequence, LiveRequest] = {}
        if ledger.steps not in ledger.endings or ledger.steps != ledger.committed:
            return ended
        live, ended_names = self.live, self.changes.ended
        for sequence in ledger.ended_alone():
            ended[sequence] = live.of[sequence.request]
        if ended and self.cache.enabled:
            if self.cache.keeps_output(ended):
                return {}  # `finish_each` would publish it
            self.cache.finish_each(ended)
        elif ended:
            actions.finish_each(ledger)
        for sequence, entry in ended.items():
            self.batch.forget(sequence, entry)
            live.finish(entry)
            ended_names.append(entry.request_id)
        return ended

    # ---- preemption ----------------------------------------------------------------------------

    def preempt_for_growth(self, victim: LiveRequest) -> None:
        """A running request is preempted because it, or one before it in the order, cannot grow."""
        self.counters.preempted_alone += len(self.live.running) == 1
        self.preempt(victim)

    def preempt(self, entry: LiveRequest, *, swap: bool = True) -> None:
        """Takes a running request's blocks: by swap if that is allowed, the mode says so and there is room."""
        ledger, record = self.ledger, entry.record
        self.batch.leave_all(entry)
        computed = entry.num_computed_tokens(ledger)
        swap = swap and record.open_swap == 0 and swaps(self.config, entry, computed, ledger)
        swap = swap and not self.cache.shares(record)  # its sealed blocks would stay on the GPU
        if swap and record.blocks > ledger.cpu.free:
            swap = self._discard_for(entry)
        self._stop(entry, record.members)
        if swap:
            actions.swap_out(ledger, record)
        else:
            self.cache.publish_output(entry, record.members)
            actions.recompute(ledger, record)
            self.counters.recomputed_tokens += computed
        entry.preemptions += 1
        mode = "swap" if swap else "recompute"
        self.counters.preemptions[mode] += 1
        self.changes.preempted.append((entry.request_id, mode))
        self.live.wait(entry)

    def _discard_for(self, entry: LiveRequest) -> bool:
        """Discards less important CPU copies if that makes room; whether there is room now."""
        ledger, live = self.ledger, self.live
        others = [live.of[record] for record in ledger.swapped]
        others = [other for other in others if behind(entry.rank, other.rank)]
        others.sort(key=lambda other: other.rank, reverse=True)
        room = ledger.cpu.free
        chosen: list[LiveRequest] = []
        for other in others:
            if room >= entry.record.blocks:
                break
            chosen.append(other)
            room += other.record.blocks
        if room < entry.record.blocks:
            return False
        for other in chosen:
            self._discard(other)
        return True

    def _discard(self, entry: LiveRequest) -> None:
        """Frees the CPU copy of a swapped request, which waits at its place."""
        self.counters.recomputed_tokens += entry.num_computed_tokens(self.ledger)
        actions.discard_swapped(self.ledger, entry.record)
        self.counters.discarded += 1
        self.live.waiting.push(entry)

    def free_all(self) -> None:
        """Every running and swapped request waits, and holds no block."""
        for record in tuple(self.ledger.running):
            self.preempt(self.live.of[record], swap=False)
        for record in tuple(self.ledger.swapped):
            self._discard(self.live.of[record])

    def restart(self, entry: LiveRequest) -> None:
        """The request's KV is lost: it waits at its place, and is computed again from its tokens.

        The record ends, and with it all samples of steps in flight; the entry goes on with a new record, whose prompt
        is all tokens that are known. The branches of a group differ behind the prompt, so a group begins again there.
        """
        ledger, old, first = self.ledger, entry.record, entry.first
        self.batch.leave_all(entry)
        known = ledger.num_tokens(first) if entry.n == 1 else old.prompt
        running, members = old.phase == Phase.RUNNING, tuple(old.members)
        self.counters.recomputed_tokens += entry.num_computed_tokens(ledger)
        self.counters.restarted += 1
        actions.abort(ledger, old)
        if running:
            self._stop(entry, members)
        self.live.of.pop(old, None)
        names = first.block_names[: ledger.block_of(known)]
        record = entry.record = ledger.new_request(known, old.limit, entry.n, names)
        entry.first = actions.submit(ledger, record)
        entry.others = entry.outputs = None
        entry.branches_made = 1
        if running:
            self.live.wait(entry)
        else:
            self.live.waiting.push(entry)

    # ---- copies --------------------------------------------------------------------------------

    def lose(self, entry: LiveRequest) -> None:
        """A copy of the request failed: it waits, and the tokens that it knows are kept."""
        self.batch.leave_all(entry)
        if entry.record.phase == Phase.RUNNING:
            self._stop(entry, entry.record.members)
        self.counters.recomputed_tokens += entry.num_computed_tokens(self.ledger)
        self.counters.failed_copies += 1
        actions.fail_copy(self.ledger, entry.record)
        self.live.wait(entry)
