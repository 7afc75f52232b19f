"""The difference of two observations of a scheduler, as events of the log.

Guarantees: the events lead from the first observation to the second, in an order that a scheduler
could have taken; an allocation released within the same call is invisible and not reported. The
checker of the log decides whether the events are allowed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Hashable, Mapping, Sequence
from typing import Any

from lineclear.testing.protocol import Copy, Limits, Observation, Row

Event = dict[str, Any]

#: The log's name for the pool of host blocks.
HOST = "cpu"


def text(key: Hashable) -> str | int:
    """A key in the log's form."""
    return key if type(key) is str or type(key) is int else repr(key)


class PoolMap:
    """Maps block ids to pools."""

    def __init__(self, limits: Limits) -> None:
        self.device = limits.device_ids

    def parts(self, blocks: Sequence[int]) -> list[tuple[str, list[int]]]:
        """Blocks by pool; an unknown id counts as one of the device's."""
        host = [b for b in blocks if b >= self.device.stop]
        device = [b for b in blocks if b not in host]
        return [(pool, ids) for pool, ids in (("gpu", device), (HOST, host)) if ids]

    def of(self, block: int) -> str:
        """The pool of one block."""
        return HOST if block >= self.device.stop else "gpu"


def event(kind: str, pool: str = "gpu", **fields: Any) -> Event:
    """An event; omits the name of the default pool."""
    return {"e": kind, **fields, **({} if pool == "gpu" else {"pool": pool})}


def difference(
    before: Observation,
    after: Observation,
    limits: Limits,
    *,
    rows: Mapping[str, Row] | None = None,
    copies: Sequence[Copy] = (),
    ended: Collection[str] = (),
    number: int = 0,
    after_step: int = 0,
) -> list[Event]:
    """The events between two observations.

    Args:
        before: the first.
        after: the second.
        limits: limits of the scheduler.
        rows: rows of the step in which `after` was observed, by request: a block that is new to a
            table and lies before the row's start was found, not allocated.
        copies: copies of the step, made in order before its forward pass.
        ended: requests that ended in between and hold no block.
        number: the first free number of a copy.
        after_step: the last step before the copies.
    """
    between = Between(before, after, limits, copies)
    pools = between.pools
    first: list[Event] = []  # blocks without copies
    taken: list[Event] = []
    moved: dict[str, tuple[list[Event], list[Event]]] = {}  # by request: allocated, then freed
    movers = dict.fromkeys(between.owner[copy.target] for copy in between.copies)
    for name in sorted({*before.tables, *after.tables}):
        old, new = before.tables.get(name, ()), after.tables.get(name, ())
        same = common(old, new)
        row = None if rows is None else rows.get(name)
        replaced = in_place(old, new, same)
        for k in replaced:
            first.append(event("free", pools.of(old[k]), r=name, at=k, blocks=[old[k]]))
            taken.append({**between.acquired_at(name, k, row), "at": k})
        if replaced:
            same = min(len(old), len(new))
        was_out = any(pools.of(b) == HOST for b in old)
        is_out = any(pools.of(b) == HOST for b in new)
        if was_out and new and not is_out:
            first.append(event("resume", r=name, how="swap"))
        if was_out and not new and name not in ended:  # what was swapped out is recomputed
            first += between.released(name, same)
            first += [event("resume", r=name), event("preempt", r=name, how="recompute")]
            continue
        if name not in ended and between.preempted(name, is_out and not was_out):
            first.append(event("preempt", r=name, how="swap" if is_out else "recompute"))
        gone = between.released(name, same)
        got = between.acquired(name, same, row)
        if name in movers:
            moved[name] = got, gone
        else:
            first += gone
            taken += got
    stored, evicted = between.published()
    held = {block for table in before.tables.values() for block in table}
    early = [e for e in stored if held.issuperset(e["blocks"])]
    hits = {b for e in taken if e["e"] == "hit" for b in e["blocks"]}
    found = [e for e in evicted if hits.issuperset(e["blocks"])]  # found first, then evicted
    events = [*early, *first, *[e for e in evicted if e not in found]]
    for name in movers:  # in the order of the copies: a block that one vacates, the next may take
        got, gone = moved.get(name, ([], []))
        events += [*got, *between.moves(name, number, after_step), *gone]
    withdrawn = {b for e in found for b in e["blocks"]}  # new publications come last
    later = [e for e in stored if e not in early]
    anew = [e for e in later if not withdrawn.isdisjoint(e["blocks"])]
    later = [e for e in later if e not in anew]
    return [*events, *in_turn(taken, later, held), *found, *anew]


def in_turn(taken: list[Event], stored: list[Event], held: Collection[int]) -> list[Event]:
    """A hit of a block published by the same call comes after its publication."""
    fresh = {block for e in stored for block in e["blocks"]}
    named = set(held)
    events: list[Event] = []
    while taken:
        late = {e["r"] for e in taken if e["e"] == "hit" and not fresh.isdisjoint(e["blocks"])}
        now = [e for e in taken if e["r"] not in late] or taken
        taken = [e for e in taken if e not in now]
        events += now
        named.update(block for e in now for block in e["blocks"])
        done = [e for e in stored if named.issuperset(e["blocks"])]
        stored = [e for e in stored if e not in done]
        events += done
        fresh.difference_update(block for e in done for block in e["blocks"])
    return [*events, *stored]


def common(old: Sequence[int], new: Sequence[int]) -> int:
    """Number of leading entries in which two tables agree."""
    pairs = zip(old, new, strict=False)
    return next((k for k, (a, b) in enumerate(pairs) if a != b), min(len(old), len(new)))


def in_place(old: Sequence[int], new: Sequence[int], same: int) -> list[int]:
    """Entries that differ although later ones agree; none if all later ones differ."""
    size = min(len(old), len(new))
    differ = [k for k in range(same, size) if old[k] != new[k]]
    return differ if differ and differ[-1] + 1 < size else []


class Between:
    """What happened to blocks between two observations.

    Args:
        before: the first.
        after: the second.
        limits: limits of the scheduler.
        copies: copies between them, in order.

    Attributes:
        owner: the request in whose table a block is, by block.
        copies: those to blocks that a table names.
    """

    def __init__(
        self, before: Observation, after: Observation, limits: Limits, copies: Sequence[Copy]
    ) -> None:
        self.before, self.after = before, after
        self.size = limits.block_size
        self.pools = PoolMap(limits)
        tables = after.tables
        self.owner = {block: name for name, table in tables.items() for block in table}
        self.copies = lasting(copies, self.owner)
        self._targets = {copy.target for copy in self.copies}
        self._named = Counter(block for table in tables.values() for block in set(table))

    def preempted(self, name: str, swapped: bool) -> bool:
        """Whether a live request stopped running; `swapped`: whether its blocks moved to the host."""
        before, after = self.before, self.after
        if swapped:
            return True
        if before.running is not None and after.waiting is not None:
            return name in before.running and name in after.waiting
        return bool(before.tables.get(name)) and not after.tables.get(name)

    def released(self, name: str, at: int) -> list[Event]:
        """Entries from `at` on are freed; positions are counted within each pool."""
        old, pools = self.before.tables.get(name, ()), self.pools
        events: list[Event] = []
        for pool, blocks in pools.parts(old[at:]):
            kept = [b for b in old[:at] if pools.of(b) == pool]
            events.append(event("free", pool, r=name, at=len(kept), blocks=blocks))
        return events

    def acquired(self, name: str, at: int, row: Row | None) -> list[Event]:
        """Entries from `at` on are new: found by content, or allocated.

        Args:
            name: request id.
            at: first entry that is new.
            row: its row in the forward pass between both, None without one.
        """
        events: list[Event] = []
        for k in range(at, len(self.after.tables.get(name, ()))):
            one = self.acquired_at(name, k, row)
            last = events[-1] if events else None
            if last is not None and (last["e"], last.get("pool")) == (one["e"], one.get("pool")):
                last["blocks"] += one["blocks"]
            else:
                events.append(one)
        return events

    def acquired_at(self, name: str, k: int, row: Row | None) -> Event:
        """One such entry."""
        block = self.after.tables[name][k]
        before, after = self.before.cached, self.after.cached
        shared = self._named[block] > 1 or (
            block in before and before[block] == after.get(block, NEVER)
        )
        if block in self._targets:
            found = False
        elif row is None:
            found = shared
        else:  # blocks before the row were found; a block in which it begins may be its own
            found = row.start >= (k + 1) * self.size or (row.start > k * self.size and shared)
        # no key: the model decides which content the request needs
        return event("hit" if found else "alloc", self.pools.of(block), r=name, blocks=[block])

    def published(self) -> tuple[list[Event], list[Event]]:
        """Blocks that became findable, and blocks that no longer are, one event for each."""

        def lost(
            kind: str, old: Mapping[int, Hashable], new: Mapping[int, Hashable]
        ) -> list[Event]:
            """An event for each block that is in `old` and not the same in `new`."""
            events: list[Event] = []
            for block, key in old.items():
                if block not in new or new[block] != key:
                    named = {"keys": [text(key)]} if key is not None else {}
                    events.append(event(kind, self.pools.of(block), blocks=[block], **named))
            return events

        before, after = self.before.cached, self.after.cached
        return lost("store", after, before), lost("evict", before, after)

    def moves(self, name: str, number: int, after_step: int) -> list[Event]:
        """The copies to a request's blocks, each after every previous step, and complete before the next.

        Args:
            name: request id.
            number: number of the first copy of the pass.
            after_step: the last step that was issued, 0 for none.
        """
        events: list[Event] = []
        waits = {"after_step": after_step} if after_step else {}
        for k, copy in enumerate(self.copies):
            if self.owner[copy.target] == name:
                src, dst = ([[self.pools.of(b), b]] for b in (copy.source, copy.target))
                events.append({"e": "copy", "op": number + k, "src": src, "dst": dst, **waits})
                events.append({"e": "done", "op": number + k})
        return events


#: Compares unequal to every key.
NEVER = object()


def lasting(copies: Sequence[Copy], owner: Mapping[int, str]) -> list[Copy]:
    """Copies to blocks that a table names afterwards, each from where its content was at first.

    Blocks copied out and freed in the same call are invisible, like any block that one call allocates and frees.
    """
    origin: dict[int, int] = {}
    made: dict[int, Copy] = {}
    for copy in copies:
        source = origin[copy.target] = origin.get(copy.source, copy.source)
        if copy.target in owner:
            made.pop(copy.target, None)
            made[copy.target] = Copy(source, copy.target)
    return list(made.values())


def check_event(seen: Observation, limits: Limits, dying: Collection[str] = ()) -> Event:
    """The scheduler's own view of its state; a dying request may be in no queue."""
    pools = PoolMap(limits)
    free: Any = list(seen.free)
    if limits.host_blocks:
        free = {"gpu": [], HOST: []}
        for block in seen.free:
            free[pools.of(block)].append(block)
    queues = {"waiting": seen.waiting, "running": seen.running}
    known = {name: list(ids) for name, ids in queues.items() if ids is not None}
    if len(known) == 2:
        known["running"] += [r for r in dying if r not in known["running"] + known["waiting"]]
    return {"e": "check", "free": free, **known}
