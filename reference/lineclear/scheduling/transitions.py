"""What the scheduler keeps beside the ledger: entries, two orders, seats and steady rows.

Guarantees: each method takes the action of the table and changes what stands beside the ledger
with it, so that the two never part between calls. It knows nothing about when an action is wanted.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable, Iterable
from typing import TYPE_CHECKING

from lineclear.config import Config
from lineclear.journal import Ring
from lineclear.plan import Scheduled
from lineclear.policies import Policy
from lineclear.scheduling.counters import Counters
from lineclear.scheduling.policy_adapter import Advice
from lineclear.scheduling.queues import Entry
from lineclear.scheduling.victims import swaps
from lineclear_spec import actions
from lineclear_spec.lifecycle import Phase
from lineclear_spec.progress import behind
from lineclear_spec.records import Refused, Sequence
from lineclear_spec.records import Request as Record

if TYPE_CHECKING:
    from lineclear.scheduling.dispatch import Flight

__all__ = ["Bookkeeping", "Journal"]

Journal = Callable[[str, tuple[object, ...]], None]


class Bookkeeping(Advice):
    """Every live request, in the order of the policy and in its phase.

    Args:
        config: settings.
        policy: who comes first; the built-in one of `config.scheduling_policy` if None.
        journal: called with every action and its arguments; a ring of the last 4,096 if None.
    """

    def __init__(self, config: Config, policy: Policy | None, journal: Journal | None) -> None:
        """Nothing is live."""
        super().__init__(config, policy)
        self.journal: Journal = Ring() if journal is None else journal
        self.ledger.journal = self.journal
        self.of: dict[Record, Entry] = {}  # those that ran once
        self.explicit: dict[Sequence, None] = {}  # running and not steady
        self.arrivals = 0  # requests that were accepted
        self.seats = 0  # sequences that running requests may have
        self.flights: deque[Flight] = deque()
        self.replaced: dict[Sequence, None] = {}  # whose whole table the next plan tells
        self.preempted: list[tuple[Hashable, str]] = []  # since the last plan
        self.counters = Counters()
        self.swaps = 0  # swap-outs, for rules in which they make an order
        self.refrained = ""  # why the last step that was built let nobody in, see `stall.GUARDS`
        self.joined: dict[Sequence, int] = {}  # steady -> steps issued when it became steady
        self.members: dict[Sequence, Scheduled] = {}  # steady -> its row

    # ---- phases --------------------------------------------------------------------------------

    def start(self, entry: Entry, displacing: bool = False) -> None:
        """The request runs now; `displacing`: others were preempted for it to enter."""
        self.of[entry.record] = entry
        entry.entered_by_displacing = displacing
        entry.kept_a_token = False
        self.running.add(entry)
        self.seats += entry.n
        entry.bypassed = 0
        for sequence in entry.record.members:
            self.explicit[sequence] = None
            self.replaced[sequence] = None
        if self.reviews is not None:
            self.look_again(entry)

    def stop(self, entry: Entry, members: Iterable[Sequence]) -> None:
        """The request runs no longer."""
        self.running.remove(entry)
        entry.entered_by_displacing = False
        self.seats -= entry.n
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
            return  # it writes a shared block first
        entry = self.of[sequence.request]
        del self.explicit[sequence]
        self.joined[sequence] = ledger.steps
        if self.tenants is not None:
            self.tell("steady", entry, 1)
        branch = entry.branch(sequence)
        self.members[sequence] = Scheduled(entry.name, branch, 1, 0, None, True, False)

    def leave(self, sequence: Sequence) -> None:
        """The sequence is steady no longer."""
        actions.leave_batch(self.ledger, sequence)
        self.explicit[sequence] = None
        if self.tenants is not None:
            self.tell("steady", self.of[sequence.request], -1)
        joined = self.joined.pop(sequence)
        del self.members[sequence]
        for flight in self.flights:
            if flight.step > joined:
                flight.left[sequence] = None

    def leave_all(self, entry: Entry) -> None:
        """None of its sequences is steady any longer."""
        for sequence in entry.record.members:
            if sequence.steady:
                self.leave(sequence)

    def end(self, entry: Entry, action: Callable[..., object] = actions.finish) -> None:
        """The request ends, by `finish` or by `abort`, and nothing of it is kept."""
        self.leave_all(entry)
        phase, members = entry.record.phase, tuple(entry.record.members)
        action(self.ledger, entry.record)
        if phase == Phase.RUNNING:
            self.stop(entry, members)
        else:
            self.queue.leave(entry)
        del self.entries[entry.name]
        self.of.pop(entry.record, None)
        self.closed(entry)

    # ---- giving way ----------------------------------------------------------------------------

    def preempt(self, entry: Entry) -> None:
        """The request gives way: by swap if the mode says so and there is room, else recompute."""
        ledger, record = self.ledger, entry.record
        self.leave_all(entry)
        computed = self.computed(entry)
        swap = record.copy == 0 and swaps(self.config, entry, computed, ledger)
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
        self.preempted.append((entry.name, mode))
        if self.config.broken == "tail_requeue":
            self.arrivals += 1  # as if it arrived now: behind everybody of its key
            entry.order = (*entry.order[:-1], self.arrivals)
            entry.rank = (*entry.rank[:-1], self.arrivals)
        self.wait(entry)

    def computed(self, entry: Entry) -> int:
        """Tokens whose KV is lost if the request gives its blocks up."""
        return sum(map(self.ledger.computed, entry.record.members))

    def _discard_for(self, entry: Entry) -> bool:
        """Discards less important CPU copies if that makes room; whether there is room now."""
        ledger = self.ledger
        others = [self.of[record] for record in ledger.swapped]
        others = [other for other in others if behind(entry.rank, other.rank)]
        others.sort(key=lambda other: other.rank, reverse=True)
        room = ledger.cpu.free
        chosen: list[Entry] = []
        for other in others:
            if room >= entry.record.blocks:
                break
            chosen.append(other)
            room += other.record.blocks
        if room < entry.record.blocks:
            return False
        for other in chosen:
            self.counters.recomputed_tokens += self.computed(other)
            actions.discard_swapped(ledger, other.record)
            self.counters.discarded += 1
            self.queue.push(other)
        return True

    def lose(self, entry: Entry) -> None:
        """A copy of the request failed: it waits, what its sequences know is kept."""
        self.leave_all(entry)
        if entry.record.phase == Phase.RUNNING:
            self.stop(entry, entry.record.members)
        self.counters.recomputed_tokens += self.computed(entry)
        self.counters.failed_copies += 1
        actions.fail_copy(self.ledger, entry.record)
        self.wait(entry)
