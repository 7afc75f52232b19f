"""A live request as the scheduler sees it, and the two orders it stands in.

Guarantees: running requests are sorted by the policy's order, waiting and swapped ones form one heap in that order. It
knows nothing about blocks.
"""

from __future__ import annotations

import heapq
from bisect import bisect_left, bisect_right, insort
from typing import Any

from lineclear.request import Output, Request
from lineclear_spec.ledger import Request as Record
from lineclear_spec.ledger import Sequence
from lineclear_spec.lifecycle import Phase

__all__ = ["Entry", "RunningOrder", "WaitingQueue"]

Order = tuple[Any, int]


class Entry:
    """One live request."""

    __slots__ = (
        "branches",
        "branches_made",
        "bypassed",
        "number",
        "order",
        "outputs",
        "preemptions",
        "record",
        "user",
        "version",
    )

    def __init__(self, user: Request, record: Record, number: int, key: Any) -> None:
        self.user = user
        self.record = record
        self.number = number  # of its arrival
        self.order: Order = (key, number)
        self.branches: dict[Sequence, int] = {}
        self.branches_made = 0
        self.outputs: list[Output] | None = None
        self.preemptions = 0
        self.bypassed = 0  # requests behind it that were let pass
        self.version = 0  # of its place in the heap

    def name_branch(self, sequence: Sequence) -> None:
        """A new sequence gets the next branch number."""
        self.branches[sequence] = self.branches_made
        self.branches_made += 1

    @property
    def tokens(self) -> int:
        """Known tokens of all its sequences; steady ones by their table."""
        return sum(max(s.known_tokens, s.slot_tokens) for s in self.record.members)


class RunningOrder:
    """Running requests, sorted."""

    def __init__(self) -> None:
        self.orders: list[Order] = []
        self.entries: dict[Order, Entry] = {}

    def __len__(self) -> int:
        return len(self.orders)

    def add(self, entry: Entry) -> None:
        """The request runs."""
        insort(self.orders, entry.order)
        self.entries[entry.order] = entry

    def remove(self, entry: Entry) -> None:
        """The request runs no longer."""
        at = bisect_left(self.orders, entry.order)
        del self.orders[at]
        del self.entries[entry.order]

    def after(self, entry: Entry) -> list[Entry]:
        """Those strictly after the entry, in order."""
        return [self.entries[o] for o in self.orders[bisect_right(self.orders, entry.order) :]]

    def last_after(self, entry: Entry) -> Entry | None:
        """The very last one, if it is strictly after the entry."""
        if not self.orders or self.orders[-1] <= entry.order:
            return None
        return self.entries[self.orders[-1]]


class WaitingQueue:
    """Waiting and swapped requests: one heap, entries that left it are skipped when they surface."""

    def __init__(self, swapped_first: bool) -> None:
        self.heap: list[tuple[Any, int, Entry]] = []
        self.swapped_first = swapped_first

    def push(self, entry: Entry) -> None:
        """The request waits, at its place in the order."""
        entry.version += 1
        place: Any = entry.order
        if self.swapped_first:
            place = (0 if entry.record.phase == Phase.SWAPPED else 1, entry.order)
        heapq.heappush(self.heap, (place, entry.version, entry))

    def leave(self, entry: Entry) -> None:
        """The request is no longer to be found here."""
        entry.version += 1

    def head(self) -> Entry | None:
        """The first one, which stays."""
        heap = self.heap
        while heap:
            _, version, entry = heap[0]
            if entry.version == version:
                return entry
            heapq.heappop(heap)
        return None

    def pop(self) -> None:
        """Takes the head out."""
        heapq.heappop(self.heap)

    def rebuild(self, entries: list[Entry]) -> None:
        """Starts over with these."""
        self.heap.clear()
        for entry in entries:
            self.push(entry)
