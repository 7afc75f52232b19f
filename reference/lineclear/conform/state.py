"""The state after a log's events: live requests, block tables, block contents.

Guarantees: its size depends on the engine's size and on the live requests, never on the length of
the log. It applies changes without checking them.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from lineclear.conform.events import DEFAULT_POOL, RequestId
from lineclear.conform.header import Header

DEFAULT = DEFAULT_POOL
#: A table entry without a block.
HOLE = -1
ENDLESS = 1 << 60
WAITING, RUNNING, PREEMPTED, SWAPPED = "waiting", "running", "preempted", "swapped"


class LoggedPool:
    """The blocks of one pool.

    Attributes:
        held: block -> the tables that name it.
        filled: number of leading positions of a block that hold KV; absent for none.
        entry: the table entry that this KV was computed for: KV depends on the position.
        published: blocks that can be hit, with their keys (None if the log has no keys).
        promised: published blocks not computed yet, and the table that will compute them.
        fence: for a freed block, the last step that may still use it.
        left: for a block that a table names, the live requests whose tables named it before, and none now.
    """

    __slots__ = (
        "entry", "fence", "filled", "first", "held", "last", "left", "name", "promised", "published",
    )  # fmt: skip

    def __init__(self, name: str, blocks: int, first: int) -> None:
        self.name = name
        self.first = first
        self.last = first + blocks
        self.held: dict[int, list[LoggedTable]] = {}
        self.filled: dict[int, int] = {}
        self.entry: dict[int, int] = {}
        self.published: dict[int, str | int | None] = {}
        self.promised: dict[int, LoggedTable] = {}
        self.fence: dict[int, int] = {}
        self.left: dict[int, set[LoggedRequest]] = {}

    def free(self) -> set[int]:
        """The blocks that no table names and nothing publishes."""
        return set(range(self.first, self.last)) - self.held.keys() - self.published.keys()


@dataclass(eq=False, slots=True)
class LoggedTable:
    """The block table of one sequence in one pool, for one group of layers.

    Attributes:
        sequence: whose table it is.
        pool: where its blocks are.
        group: group of layers, "" for the only one.
        size: tokens per block in this group.
        window: positions that a token of this group reads, its own included; None for all.
    """

    sequence: LoggedSequence
    pool: LoggedPool
    group: str
    size: int
    window: int | None
    blocks: list[int] = field(default_factory=list[int])


class LoggedSequence:
    """One sequence of a live request.

    Attributes:
        num_tokens: prompt, sampled, and being sampled by a step in flight. (Not lineclear's `num_tokens`, which
            has no samples in flight.)
        best: maximum of `num_tokens` so far.
        frontier: number of leading positions whose KV exists, as far as checked.
        synced: number of positions entered in `LoggedPool.filled`.
        safe_from, safe_to: positions that a row may write without a new check.
        step: the last step that it is in.
        fence: the last step that must be over before this sequence's next one starts.
        limit: maximum of `known`.
    """

    __slots__ = (
        "best", "fence", "frontier", "limit", "live", "num_tokens", "s", "safe_from", "safe_to", "step",
        "synced", "tables",
    )  # fmt: skip

    def __init__(self, live: LoggedRequest, s: int, known: int) -> None:
        self.live = live
        self.limit = live.limit
        self.s = s
        self.num_tokens = self.best = known
        self.frontier = self.synced = 0
        self.safe_from = self.safe_to = 0
        self.step = 0
        self.fence = 0
        self.tables: dict[tuple[str, str], LoggedTable] = {}

    def sync(self) -> None:
        """Enters computed rows into the pools."""
        synced, frontier = self.synced, self.frontier
        if synced == frontier:
            return
        first, last = (synced, frontier) if synced < frontier else (frontier, synced)
        for (pool, _), table in self.tables.items():
            if pool != DEFAULT:
                continue
            size, blocks = table.size, table.blocks
            filled, entry, promised = table.pool.filled, table.pool.entry, table.pool.promised
            for index in range(first // size, min(-(-last // size), len(blocks))):
                block = blocks[index]
                if block != HOLE:
                    count = min(max(frontier - index * size, 0), size)
                    filled[block] = count
                    entry[block] = index
                    if count == size and promised and promised.get(block) is table:
                        del promised[block]
        self.synced = frontier

    def lower(self, frontier: int) -> None:
        """Positions beyond this one are no longer computed."""
        if frontier < self.frontier:
            self.sync()
            self.frontier = frontier
            self.sync()
        self.safe_to = 0

    def holds(self) -> list[LoggedTable]:
        """Its tables that name a block."""
        return [t for t in self.tables.values() if any(b != HOLE for b in t.blocks)]


class LoggedRequest:
    """A live request.

    Attributes:
        arrival: a number that increases with every submit.
        gone: sequences that have ended.
        place: its place in the order that the header states.
    """

    __slots__ = (
        "arrival", "gone", "limit", "n", "phase", "place", "priority", "prompt", "r", "sequences",
    )  # fmt: skip

    def __init__(self, event: Any, arrival: int) -> None:
        self.r: RequestId = event["r"]
        self.prompt: int = event["prompt"]
        limit: int | None = event.get("max")
        self.limit = ENDLESS if limit is None else self.prompt + limit
        self.n: int = event.get("n", 1)
        self.priority: int = event.get("priority", 0)
        self.arrival = arrival
        self.place: tuple[int, int] = (0, arrival)
        self.phase = WAITING
        self.sequences = {0: LoggedSequence(self, 0, self.prompt)}
        self.gone: set[int] = set()

    def blocks(self) -> list[tuple[str, int]]:
        """The blocks that it names, with their pools."""
        tables = [table for q in self.sequences.values() for table in q.holds()]
        return [(table.pool.name, b) for table in tables for b in table.blocks if b != HOLE]


class Copying(NamedTuple):
    """A copy that is not complete."""

    op: int
    src: list[tuple[LoggedPool, int]]
    dst: list[tuple[LoggedPool, int]]


class LogState:
    """Everything that the events so far have led to.

    Attributes:
        live: requests by id.
        leaders: sequence 0 of each of them.
        groups: block size and window of each group of layers; first_group: the first one's name.
        leaving: ended requests that still hold blocks, where the header allows that.
        ended: the last ends, for messages: (r, kind, number of the event).
        flights: steps that are issued and not settled: (n, rows).
        copies: copies that are not complete, by number.
        steps, settled: the last step that was issued, and that was settled.
        dry: calls in a row without a kept token; idle: calls in a row that scheduled nothing.
    """

    def __init__(self, header: Header) -> None:
        """Starts before the first event."""
        self.header = header
        self.pools = {DEFAULT: LoggedPool(DEFAULT, header.blocks, header.first_id)}
        for name, size in header.pools.items():
            self.pools[name] = LoggedPool(name, size.blocks, size.first_id)
        self.groups = {
            name: (group.block_size or header.block_size, group.window)
            for name, group in header.groups.items()
        } or {"": (header.block_size, None)}
        self.first_group = next(iter(self.groups))
        self.live: dict[RequestId, LoggedRequest] = {}
        self.leaders: dict[RequestId, LoggedSequence] = {}
        self.leaving: dict[RequestId, LoggedRequest] = {}
        self.ended: deque[tuple[RequestId, str, int]] = deque(maxlen=256)
        self.flights: deque[tuple[int, list[list[Any]]]] = deque()
        self.copies: dict[int, Copying] = {}
        self.arrivals = 0
        self.steps = self.settled = 0
        self.dry = self.idle = 0

    def submit(self, event: Any) -> LoggedRequest:
        """Adds a live request."""
        self.arrivals += 1
        live = LoggedRequest(event, self.arrivals)
        if "lengths" in self.header.omits or "samples" in self.header.omits:
            for sequence in live.sequences.values():
                sequence.num_tokens = ENDLESS
        order = self.header.order
        if order == "priority_low_first":
            live.place = (live.priority, live.arrival)
        elif order == "priority_high_first":
            live.place = (-live.priority, live.arrival)
        self.live[live.r] = live
        self.leaders[live.r] = live.sequences[0]
        return live

    def sequence(self, r: RequestId, s: int) -> LoggedSequence | None:
        """A sequence of a live request; created if the request may have it."""
        live = self.live.get(r)
        if live is None:
            return None
        found = live.sequences.get(s)
        if found is None and s < live.n and s not in live.gone:
            found = self.begin(live, s)
        return found

    def begin(self, live: LoggedRequest, s: int) -> LoggedSequence:
        """Adds a sequence to a request."""
        first = next(iter(live.sequences.values()))
        known = ENDLESS if first.num_tokens == ENDLESS else live.prompt
        sequence = live.sequences[s] = LoggedSequence(live, s, known)
        if s == 0:
            self.leaders[live.r] = sequence
        return sequence

    def close(self, live: LoggedRequest, s: int) -> None:
        """Removes a sequence of a request."""
        del live.sequences[s]
        live.gone.add(s)
        if s == 0:
            self.leaders.pop(live.r, None)

    def table(self, sequence: LoggedSequence, pool: str, group: str) -> LoggedTable:
        """A table of the sequence; created if absent."""
        table = sequence.tables.get((pool, group))
        if table is None:
            size, window = self.groups[group]
            table = LoggedTable(sequence, self.pools[pool], group, size, window)
            sequence.tables[pool, group] = table
        return table

    def name(self, table: LoggedTable, block: int, at: int | None = None) -> None:
        """The table names this block from now on."""
        table.pool.held.setdefault(block, []).append(table)
        if at is None:
            table.blocks.append(block)
        else:
            table.blocks[at] = block

    def touch(self, pool: LoggedPool, block: int) -> None:
        """Makes the sequences that name the block check it again before they write."""
        for table in pool.held.get(block, ()):
            table.sequence.sync()
            table.sequence.safe_to = 0

    def drop(self, table: LoggedTable, at: int, count: int) -> None:
        """These entries of a table name no block from now on."""
        sequence, pool = table.sequence, table.pool
        sequence.sync()
        # Steps use blocks of the default pool only.
        busy = sequence.step if pool.name == DEFAULT and sequence.step > self.settled else 0
        for index in range(at, at + count):
            block = table.blocks[index]
            if block == HOLE:
                continue
            table.blocks[index] = HOLE
            holders = pool.held.get(block, [])
            if table in holders:
                holders.remove(table)
            if not holders:
                pool.held.pop(block, None)
                pool.left.pop(block, None)
            else:
                for other in holders:
                    other.sequence.safe_to = 0
                if self.live.get(sequence.live.r) is sequence.live:
                    pool.left.setdefault(block, set()).add(sequence.live)
            if busy:
                pool.fence[block] = max(pool.fence.get(block, 0), busy)
            if pool.promised.get(block) is table:
                del pool.promised[block]
        while table.blocks and table.blocks[-1] == HOLE:
            table.blocks.pop()
        if pool.name == DEFAULT:
            end = (at + count) * table.size
            if table.window is None or end > sequence.frontier - table.window:
                # The remaining entries do not change, so their entries in the pools stay.
                sequence.frontier = sequence.synced = min(sequence.frontier, at * table.size)
            sequence.safe_to = 0

    def lose(self, live: LoggedRequest) -> None:
        """Drops the samples of steps in flight for a request."""
        for _, rows in self.flights:
            for row in rows:
                q = live.sequences.get(row[4] if len(row) == 5 else 0)
                if row[0] == live.r and q is not None and q.num_tokens < ENDLESS:
                    q.num_tokens -= row[3]
                    q.best = max(q.num_tokens, q.best - row[3])
        self.forget_rows(live)

    def forget_rows(self, live: LoggedRequest) -> None:
        """Steps in flight give a request no tokens, nor a later one with its id."""
        for at, (n, rows) in enumerate(self.flights):
            self.flights[at] = (n, [row for row in rows if row[0] != live.r])

    def leave(self, live: LoggedRequest, kind: str, number: int) -> None:
        """Removes a request that has ended."""
        del self.live[live.r]
        self.leaders.pop(live.r, None)
        self.forget_rows(live)
        for pool in self.pools.values():
            for gone in pool.left.values():
                gone.discard(live)
        self.ended.append((live.r, kind, number))
        if any(sequence.holds() for sequence in live.sequences.values()):
            self.leaving[live.r] = live

    def history(self, r: RequestId) -> str:
        """When a dead request ended, for messages."""
        for name, kind, number in reversed(self.ended):
            if name == r:
                return f"it ended at event {number} ({kind})"
        return "it was never submitted, or ended long ago"
