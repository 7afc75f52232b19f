"""A live request as the scheduler sees it, and the two orders it stands in.

Guarantees: running requests are sorted by the policy's order, waiting and swapped ones form one
heap in that order, whose size is at most twice their number and a few more. It knows nothing about blocks.
"""

from __future__ import annotations

import heapq
from bisect import bisect_left, bisect_right, insort
from collections.abc import Callable, Hashable, Iterable, Iterator
from typing import Any

from lineclear.request import Output, Request
from lineclear.view import View
from lineclear_spec.ledger import Ledger
from lineclear_spec.lifecycle import Phase
from lineclear_spec.progress import behind
from lineclear_spec.records import Request as Record
from lineclear_spec.records import Sequence

__all__ = ["Entry", "RunningOrder", "WaitingQueue"]

#: The parts of the policy's key, then the number of the arrival.
Order = tuple[Any, ...]
new_view: Callable[[type[View], tuple[Any, ...]], View] = getattr(tuple, "__new__")  # noqa: B009
#: Tenant, prediction and deadline of most requests.
NO_WISHES = (None, None, None)


class Entry:
    """One live request."""

    __slots__ = (
        "arrival_time",
        "asked",
        "branches_made",
        "bypassed",
        "cell",
        "entered_by_displacing",
        "first",
        "kept_a_token",
        "n",
        "name",
        "number",
        "order",
        "others",
        "outputs",
        "place",
        "preemptions",
        "priority",
        "queued",
        "rank",
        "record",
        "review",
        "since",
        "started",
        "wishes",
    )

    def __init__(
        self,
        user: Request,
        record: Record,
        first: Sequence,
        number: int,
        key: tuple[Any, ...] = (),
    ) -> None:
        """A request that was accepted.

        Args:
            user: what the caller asked for.
            record: the request in the ledger.
            first: its first sequence.
            number: of its arrival.
            key: its place, by the policy, until it is told another by `stand`.
        """
        self.name = user.request_id
        self.n = user.n
        self.priority = user.priority
        self.arrival_time = user.arrival_time
        wishes = (user.tenant, user.predicted_tokens, user.deadline)
        self.wishes = None if wishes == NO_WISHES else wishes
        self.asked: Request | None = None  # made again if somebody looks: most only wait
        self.record = record
        self.number = number  # of its arrival
        self.order: Order = (*key, number)  # among those that wait
        self.rank: Order = self.order  # among those that run
        self.review = -1  # the step before which the policy looks at it again
        self.since = 0  # steps issued when it began to wait
        self.started = False  # it ran once
        self.place: Order = self.order  # in the heap
        self.cell: Cell | None = None  # what stands for it in the heap
        self.queued = False  # it waits or is swapped out
        self.first = first  # branch 0; most requests have no other
        self.others: dict[Sequence, int] | None = None
        self.branches_made = 1
        self.outputs: list[Output] | None = None
        self.preemptions = self.bypassed = 0  # how often; requests behind it that were let pass
        self.entered_by_displacing = False  # it runs, and others were preempted for it to enter
        self.kept_a_token = False  # it has learned a token since it runs

    def stand(self, key: tuple[Any, ...], rank: tuple[Any, ...] | None) -> None:
        """Its places in the two orders, before it stands in either; no rank is the key's."""
        self.order = (*key, self.number)
        self.rank = self.order if rank is None else (*rank, self.number)

    @property
    def tenant(self) -> Hashable:
        """Whom its service is charged to."""
        return None if self.wishes is None else self.wishes[0]

    @property
    def user(self) -> Request:
        """What the caller asked for, as a policy sees it."""
        if self.asked is None:
            prompt, limit = self.record.prompt, self.record.limit
            tenant, predicted, deadline = self.wishes or NO_WISHES
            self.asked = Request(
                request_id=self.name,
                prompt_tokens=prompt,
                max_tokens=limit - prompt,
                n=self.n,
                priority=self.priority,
                arrival_time=self.arrival_time,
                tenant=tenant,
                predicted_tokens=predicted,
                deadline=deadline,
            )
        return self.asked

    def view(self, ledger: Ledger) -> View:
        """How a policy sees it now."""
        known = ledger.known(self.record.members[0]) if self.record.members else 0
        generated = max(0, known - self.record.prompt)
        steps = ledger.steps
        waiting = None if self.record.phase == Phase.RUNNING else steps - self.since
        seen = (self.user, self.number, generated, self.preemptions, steps, waiting)
        return new_view(View, seen)  # a third of what the class's own constructor costs

    def name_branch(self, sequence: Sequence) -> None:
        """A branch that forked gets the next number."""
        if self.others is None:
            self.others = {}
        self.others[sequence] = self.branches_made
        self.branches_made += 1

    def branch(self, sequence: Sequence) -> int:
        """The number of one of its sequences."""
        return 0 if self.others is None or sequence is self.first else self.others[sequence]

    def forget_branch(self, sequence: Sequence) -> None:
        """The sequence has ended."""
        if self.others is not None:
            self.others.pop(sequence, None)

    def tokens(self, ledger: Ledger) -> int:
        """Known tokens of all its sequences."""
        return sum(map(ledger.known, self.record.members))


class RunningOrder:
    """Running requests, sorted."""

    def __init__(self) -> None:
        """Nobody runs."""
        self.orders: list[Order] = []
        self.entries: dict[Order, Entry] = {}

    def __len__(self) -> int:
        """How many."""
        return len(self.orders)

    def add(self, entry: Entry) -> None:
        """The request runs."""
        insort(self.orders, entry.rank)
        self.entries[entry.rank] = entry

    def remove(self, entry: Entry) -> None:
        """The request runs no longer."""
        at = bisect_left(self.orders, entry.rank)
        del self.orders[at]
        del self.entries[entry.rank]

    def after(self, entry: Entry) -> list[Entry]:
        """Those strictly after the entry, in order."""
        return [self.entries[o] for o in self.orders[bisect_right(self.orders, entry.rank) :]]

    def from_the_last(self, entry: Entry) -> Iterator[Entry]:
        """Those strictly after the entry, the last one first."""
        for order in reversed(self.orders):
            if not behind(entry.rank, order):
                return
            yield self.entries[order]

    def last_after(self, entry: Entry) -> Entry | None:
        """The very last one, if it is strictly after the entry."""
        if not self.orders or not behind(entry.rank, self.orders[-1]):
            return None
        return self.entries[self.orders[-1]]


#: A place in the order, and who stands there.
Cell = tuple[Order, Entry]
#: Cells that are void before the heap is looked through for them.
FORGOTTEN = 64


class WaitingQueue:
    """Waiting and swapped requests: one heap of cells; a cell that is void is skipped when it
    surfaces, so that leaving and changing one's place cost no more than coming.
    """

    def __init__(self, swapped_first: bool) -> None:
        """Nobody waits."""
        self.heap: list[Cell] = []
        self.swapped_first = swapped_first
        self.stale = 0  # cells in the heap that are void

    def __iter__(self) -> Iterator[Entry]:
        """All that wait or are swapped out, in no order."""
        return (cell[1] for cell in self.heap if cell[1].cell is cell and cell[1].queued)

    def push(self, entry: Entry) -> None:
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

    def leave(self, entry: Entry) -> None:
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

    def head(self) -> Entry | None:
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

    def pop(self) -> Entry:
        """Takes the head out, which `head` has named."""
        entry = heapq.heappop(self.heap)[1]
        entry.queued, entry.cell = False, None
        return entry

    def clear(self) -> None:
        """Nobody waits any longer."""
        for _, entry in self.heap:
            entry.queued, entry.cell = False, None
        self.heap.clear()
        self.stale = 0

    def rebuild(self, entries: Iterable[Entry]) -> None:
        """Starts over with these, in their present order."""
        waiting = list(entries)
        self.clear()
        for entry in waiting:
            self.push(entry)
