"""The difference of two observations of a scheduler, as events of the log.

Guarantees: the events lead from the first observation to the second, in an order that a scheduler
could have taken; an allocation released within the same call is invisible and not reported. The
checker of the log decides whether the events are allowed.
"""

from __future__ import annotations

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
    pools = PoolMap(limits)
    first: list[Event] = []  # blocks without copies
    taken: list[Event] = []
    moved: dict[str, tuple[list[Event], list[Event]]] = {}  # by request: allocated, then freed
    owner = {block: name for name, table in after.tables.items() for block in table}
    copies = lasting(copies, owner)
    movers = dict.fromkeys(owner[copy.target] for copy in copies if copy.target in owner)
    for name in sorted({*before.tables, *after.tables}):
        old, new = before.tables.get(name, ()), after.tables.get(name, ())
        same = common(old, new)
        row = None if rows is None else rows.get(name)
        replaced = in_place(old, new, same)
        for k in replaced:
            first.append(event("free", pools.of(old[k]), r=name, at=k, blocks=[old[k]]))
            (one,) = acquired(before, after, limits, pools, name, new[: k + 1], k, row, copies)
            taken.append({**one, "at": k})
        if replaced:
            same = min(len(old), len(new))
        was_out = any(pools.of(b) == HOST for b in old)
        is_out = any(pools.of(b) == HOST for b in new)
        if was_out and new and not is_out:
            first.append(event("resume", r=name, how="swap"))
        if was_out and not new and name not in ended:  # what was swapped out is recomputed
            first += released(pools, name, old, same)
            first += [event("resume", r=name), event("preempt", r=name, how="recompute")]
            continue
        if name not in ended and preempted(name, before, after, is_out and not was_out):
            first.append(event("preempt", r=name, how="swap" if is_out else "recompute"))
        gone = released(pools, name, old, same)
        got = acquired(before, after, limits, pools, name, new, same, row, copies)
        if name in movers:
            moved[name] = got, gone
        else:
            first += gone
            taken += got
    stored, evicted = published(before, after, pools)
    held = {block for table in before.tables.values() for block in table}
    early = [e for e in stored if held.issuperset(e["blocks"])]
    hits = {b for e in taken if e["e"] == "hit" for b in e["blocks"]}
    found = [e for e in evicted if hits.issuperset(e["blocks"])]  # found first, then evicted
    events = [*early, *first, *[e for e in evicted if e not in found]]
    matched: set[int] = set()
    for name in movers:  # in the order of the copies: a block that one vacates, the next may take
        got, gone = moved.get(name, ([], []))
        mine = [k for k, c in enumerate(copies) if owner.get(c.target) == name]
        matched.update(mine)
        events += [*got, *moves(copies, mine, pools, number, after_step), *gone]
    rest = [k for k in range(len(copies)) if k not in matched]
    events += moves(copies, rest, pools, number, after_step)
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


def preempted(name: str, before: Observation, after: Observation, swapped: bool) -> bool:
    """Whether a live request stopped running between two observations.

    Args:
        name: request id.
        before: the first observation.
        after: the second.
        swapped: whether its blocks moved to the host in between.
    """
    if swapped:
        return True
    if before.running is not None and after.waiting is not None:
        return name in before.running and name in after.waiting
    return bool(before.tables.get(name)) and not after.tables.get(name)


def released(pools: PoolMap, name: str, old: Sequence[int], at: int) -> list[Event]:
    """Entries from `at` on are freed; positions are counted within each pool.

    Args:
        pools: says of which pool a block is.
        name: request id.
        old: its table before.
        at: first entry that is freed.
    """
    events: list[Event] = []
    for pool, blocks in pools.parts(old[at:]):
        kept = [b for b in old[:at] if pools.of(b) == pool]
        events.append(event("free", pool, r=name, at=len(kept), blocks=blocks))
    return events


def acquired(
    before: Observation,
    after: Observation,
    limits: Limits,
    pools: PoolMap,
    name: str,
    new: Sequence[int],
    at: int,
    row: Row | None,
    copies: Sequence[Copy],
) -> list[Event]:
    """Entries from `at` on are new: found by content, or allocated.

    Args:
        before: the observation before.
        after: the observation after.
        limits: of the scheduler.
        pools: says of which pool a block is.
        name: request id.
        new: its table after.
        at: first entry that is new.
        row: its row in the forward pass between both, None without one.
        copies: copies of that forward pass.
    """
    events: list[Event] = []
    targets = {copy.target for copy in copies}
    others = {b for other, table in after.tables.items() if other != name for b in table}
    for k in range(at, len(new)):
        block = new[k]
        shared = block in others or (
            block in before.cached and before.cached[block] == after.cached.get(block, NEVER)
        )
        if block in targets:
            found = False
        elif row is None:
            found = shared
        else:  # blocks before the row were found; a block in which it begins may be its own
            end = (k + 1) * limits.block_size
            found = row.start >= end or (row.start > k * limits.block_size and shared)
        kind = "hit" if found else "alloc"
        last = events[-1] if events else None
        if last is not None and (last["e"], last.get("pool", "gpu")) == (kind, pools.of(block)):
            last["blocks"].append(block)
        else:  # no key: the model decides which content the request needs
            events.append(event(kind, pools.of(block), r=name, blocks=[block]))
    return events


#: Compares unequal to every key.
NEVER = object()


def published(
    before: Observation, after: Observation, pools: PoolMap
) -> tuple[list[Event], list[Event]]:
    """Blocks that became findable, and blocks that no longer are, one event for each."""
    stored: list[Event] = []
    evicted: list[Event] = []
    for block, key in before.cached.items():
        if block not in after.cached or after.cached[block] != key:
            named = {"keys": [text(key)]} if key is not None else {}
            evicted.append(event("evict", pools.of(block), blocks=[block], **named))
    for block, key in after.cached.items():
        if block not in before.cached or before.cached[block] != key:
            named = {"keys": [text(key)]} if key is not None else {}
            stored.append(event("store", pools.of(block), blocks=[block], **named))
    return stored, evicted


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


def moves(
    copies: Sequence[Copy], chosen: Sequence[int], pools: PoolMap, number: int, after_step: int
) -> list[Event]:
    """Some of the copies, each after every previous step, and complete before the next.

    Args:
        copies: copies of the forward pass.
        chosen: indices of those that are reported.
        pools: says of which pool a block is.
        number: number of the first copy of the pass.
        after_step: the last step that was issued, 0 for none.
    """
    events: list[Event] = []
    for k in chosen:
        source, target = copies[k].source, copies[k].target
        ends = {"src": [[pools.of(source), source]], "dst": [[pools.of(target), target]]}
        waits = {"after_step": after_step} if after_step else {}
        events.append({"e": "copy", "op": number + k, **ends, **waits})
        events.append({"e": "done", "op": number + k})
    return events


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
