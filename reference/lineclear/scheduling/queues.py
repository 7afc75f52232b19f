"""The two orders of live requests: those that run, sorted, and those that wait, in one heap.

Invariant: the heap has at most twice as many cells as requests wait, and FORGOTTEN more.
"""

from __future__ import annotations

import heapq
from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterable, Iterator

from lineclear.scheduling.live_request import Cell, LiveRequest, Order
from lineclear_spec.kernel.lifecycle import Phase
from lineclear_spec.kernel.progress import behind

#: Cells that are void before the heap is looked through for them.
FORGOTTEN = 64


class RunningOrder:
    """Running requests, sorted."""

    def __init__(self) -> None:
        """No request runs."""
        self.orders: list[Order] = []
        self.entries: dict[Order, LiveRequest] = {}

    def __len__(self) -> int:
        """How many."""
        return len(self.orders)

    def add(self, entry: LiveRequest) -> None:
        """The request runs."""
        orders, rank = self.orders, entry.rank
        if not orders or rank > orders[-1]:
            orders.append(rank)  # what enters last mostly is the last
        else:
            insort(orders, rank)
        self.entries[rank] = entry

    def remove(self, entry: LiveRequest) -> None:
        """The request runs no longer."""
        at = bisect_left(self.orders, entry.rank)
        del self.orders[at]
        del self.entries[entry.rank]

    def after(self, entry: LiveRequest) -> list[LiveRequest]:
        """The entries strictly after this one, in order."""
        return [self.entries[o] for o in self.orders[bisect_right(self.orders, entry.rank) :]]

    def from_the_last(self, entry: LiveRequest) -> Iterator[LiveRequest]:
        """The entries strictly after this one, the last one first."""
        # of this moment: a policy that fails meanwhile has all sorted again
        entries = self.entries
        for order in reversed(self.orders):
            if not behind(entry.rank, order):
                return
            yield entries[order]

    def last_after(self, entry: LiveRequest) -> LiveRequest | None:
        """The very last one, if it is strictly after the entry."""
        if not self.orders or not behind(entry.rank, self.orders[-1]):
            return None
        return self.entries[self.orders[-1]]

    def rebuild(self) -> None:
        """Sorts again: the ranks of those that run have changed."""
        running = list(self.entries.values())
        self.orders, self.entries = [], {}
        for entry in running:
            self.add(entry)


class WaitingQueue:
    """Waiting and swapped requests: one heap of cells; a cell that is void is skipped when it
    surfaces, so that leaving and changing one's place cost no more than coming.
    """

    def __init__(self, swapped_first: bool) -> None:
        """No request waits."""
        self.heap: list[Cell] = []
        self.swapped_first = swapped_first
        self.stale = 0  # cells in the heap that are void

    def __iter__(self) -> Iterator[LiveRequest]:
        """All that wait or are swapped out, in no order."""
        return (cell[1] for cell in self.heap if cell[1].cell is cell and cell[1].queued)

    def push(self, entry: LiveRequest) -> None:
        """The request waits, at its place in the order; an earlier place is void."""
        place = entry.order
        if self.swapped_first:
            place = (0 if entry.record.phase == Phase.SWAPPED else 1, *place)
        cell = entry.cell
        if cell is not None:
            if place == cell[0]:
                self.stale -= not entry.queued
                entry.queued = True
                return
            self.stale += entry.queued  # one that left is counted already
        entry.place = place
        entry.queued = True
        cell = entry.cell = (place, entry)
        heap = self.heap
        if heap and place > heap[(len(heap) - 1) >> 1][0]:
            heap.append(cell)  # it stays behind its parent: what arrives last mostly does
        else:
            heapq.heappush(heap, cell)
        self._tidy()

    def leave(self, entry: LiveRequest) -> None:
        """The request is no longer to be found here."""
        entry.queued = False
        self.stale += 1
        self._tidy()

    def _tidy(self) -> None:
        """Throws out what is void once that is most of the heap."""
        if self.stale <= FORGOTTEN + len(self.heap) // 2:
            return
        kept: list[Cell] = []
        for cell in self.heap:
            entry = cell[1]
            if entry.cell is cell:
                if entry.queued:
                    kept.append(cell)
                else:
                    entry.cell = None
        heapq.heapify(kept)
        self.heap = kept
        self.stale = 0

    def head(self) -> LiveRequest | None:
        """The first one, which stays."""
        heap = self.heap
        while heap:
            cell = heap[0]
            entry = cell[1]
            if entry.cell is cell:
                if entry.queued:
                    return entry
                entry.cell = None
            heapq.heappop(heap)
            self.stale -= 1
        return None

    def pop(self) -> LiveRequest:
        """Takes the head out, which `head` has named."""
        entry = heapq.heappop(self.heap)[1]
        entry.queued, entry.cell = False, None
        return entry

    def clear(self) -> None:
        """No request waits any longer."""
        for _, entry in self.heap:
            entry.queued, entry.cell = False, None
        self.heap.clear()
        self.stale = 0

    def rebuild(self, entries: Iterable[LiveRequest]) -> None:
        """Starts over with these, in their present order."""
        waiting = list(entries)
        self.clear()
        for entry in waiting:
            self.push(entry)
