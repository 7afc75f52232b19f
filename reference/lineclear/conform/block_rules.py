"""Rules of single blocks: allocated, hit and freed.

Guarantees: each function checks an event and applies it only if no rule is broken.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

from lineclear.conform.events import EventError
from lineclear.conform.rule_context import RuleContext
from lineclear.conform.state import DEFAULT, HOLE, LoggedPool, LoggedSequence, LoggedTable


def pool_of(check: RuleContext, name: str) -> LoggedPool:
    """The pool with this name.

    Raises:
        EventError: the header has no such pool.
    """
    pool = check.state.pools.get(name)
    if pool is None:
        names = ", ".join(check.state.pools)
        raise EventError(
            f"pool: {name!r} is not one of {names}; declare it in the header's `pools`"
        )
    return pool


def exists(check: RuleContext, clause: str, pool: LoggedPool, block: int) -> bool:
    """Whether the block is in the pool; reports a violation if not.

    Args:
        check: the checker that runs the rules.
        clause: the clause that it breaks otherwise.
        pool: the pool.
        block: a block id.
    """
    if pool.first <= block < pool.last:
        return True
    check.broken(
        clause,
        f"{pool.name} has no block {block}: its blocks are {pool.first} to {pool.last - 1}",
        blocks=((pool.name, block),),
        first=pool.first,
        last=pool.last - 1,
    )
    return False


def holders(pool: LoggedPool, block: int) -> tuple[Any, ...]:
    """The requests whose tables name a block."""
    return tuple(dict.fromkeys(table.sequence.live.r for table in pool.held.get(block, ())))


def repeated(ids: list[Any]) -> set[Any]:
    """What a list names more than once."""
    if len(set(ids)) == len(ids):
        return set()
    return {each for each, times in Counter(ids).items() if times > 1}


def named(requests: tuple[Any, ...]) -> str:
    """Requests, as a message names them."""
    return " and ".join(repr(r) for r in requests)


def sequence_of(check: RuleContext, event: dict[str, Any], verb: str) -> LoggedSequence | None:
    """The live sequence that the event names; reports a violation if it is not live."""
    state, r, s = check.state, event["r"], event.get("s", 0)
    sequence = state.sequence(r, s)
    if sequence is None:
        if "submit" in check.omitted and r not in state.live:
            sequence = state.submit({"r": r, "prompt": 1}).sequences[0]
            sequence.num_tokens = 1 << 60
            return state.sequence(r, s) or sequence
        live = state.live.get(r)
        why = state.history(r) if live is None else f"it has {live.n} sequences"
        what = f"{r!r}" if s == 0 else f"sequence {s} of {r!r}"
        check.broken("once.live", f"{what} {verb}, but it is not live: {why}", (r,))
    return sequence


def table_of(check: RuleContext, sequence: LoggedSequence, event: dict[str, Any]) -> LoggedTable:
    """The table that the event names.

    Raises:
        EventError: the header has no such pool or group.
    """
    pool = pool_of(check, event.get("pool", DEFAULT))
    groups = check.state.groups
    group = event.get("group")
    if group is None:
        group = check.state.first_group
    elif group not in groups or group == "":
        raise EventError(f"group: {group!r} is not in the header's `groups`; declare it there")
    return check.state.table(sequence, pool.name, group)


def vacant(check: RuleContext, table: LoggedTable, at: int, event: dict[str, Any]) -> None:
    """Checks that blocks put in at an entry replace no other block.

    Args:
        check: the checker that runs the rules.
        table: the table that gets blocks.
        at: entry of the first of them.
        event: the event, with `r` and `blocks`.
    """
    here = table.blocks[at : at + len(event["blocks"])]
    if any(block != HOLE for block in here):
        r = event["r"]
        check.broken(
            "release.slice",
            f"{r!r} gets blocks for entries {at} to {at + len(event['blocks']) - 1}, which already name "
            f"blocks {here}",
            (r,),
        )


def alloc(check: RuleContext, event: dict[str, Any]) -> None:
    """Blocks are allocated to a table."""
    sequence = sequence_of(check, event, "is given blocks")
    if sequence is None:
        return
    table = table_of(check, sequence, event)
    pool, state, r = table.pool, check.state, event["r"]
    blocks: list[int] = event["blocks"]
    at: int | None = event.get("at")
    if at is not None:
        vacant(check, table, at, event)
    twice = repeated(blocks)
    wait = 0
    fenced = bool(pool.fence) and not check.header.stream_ordered
    pins = bool(state.copies) and not check.header.waits
    for block in blocks:
        if not pool.first <= block < pool.last:
            exists(check, "allocation.exists", pool, block)
            continue
        where = ((pool.name, block),)
        if block in pool.held or block in twice:
            has = holders(pool, block) or (r,)
            check.broken(
                "allocation.held",
                f"block {block} of {pool.name} is allocated to {r!r}, but {named(has)} holds it",
                (r, *has),
                where,
                holders=list(has),
            )
        elif block in pool.published:
            key = pool.published[block]
            check.broken(
                "allocation.published",
                f"block {block} of {pool.name} is allocated to {r!r}, but it is still published"
                + (f" under {key!r}" if key is not None else "")
                + ": an evict is missing",
                (r,),
                where,
                key=key,
            )
        fence = pool.fence.get(block, 0) if fenced else 0
        if fence > state.settled:
            if check.header.waits:
                wait = max(wait, fence)
            else:
                check.broken(
                    "ordered.fence",
                    f"block {block} of {pool.name} is allocated to {r!r}, but step {fence}, which "
                    f"uses it, is not settled (last settled: {state.settled})",
                    (r,),
                    where,
                    step=fence,
                    settled=state.settled,
                )
        if pins:
            pinned(check, pool, block, r)
    if check.found:
        return
    sequence.fence = max(sequence.fence, wait)
    if wait:
        sequence.safe_to = 0
    if at is not None:
        table.blocks.extend([HOLE] * (at + len(blocks) - len(table.blocks)))
    for index, block in enumerate(blocks):
        pool.filled.pop(block, None)
        pool.entry.pop(block, None)
        state.name(table, block, None if at is None else at + index)


def pinned(check: RuleContext, pool: LoggedPool, block: int, r: Any) -> None:
    """Reports a violation if a copy that is not complete uses the block.

    Args:
        check: the checker that runs the rules.
        pool: the pool.
        block: a block id in it.
        r: the request that the block is allocated to.
    """
    for copying in check.state.copies.values():
        if (pool, block) in copying.src or (pool, block) in copying.dst:
            check.broken(
                "ordered.copy",
                f"block {block} of {pool.name} is allocated to {r!r}, but copy {copying.op}, which "
                "uses it, is not done",
                (r,),
                ((pool.name, block),),
                copy=copying.op,
            )


def hit(check: RuleContext, event: dict[str, Any]) -> None:
    """Blocks with content are appended to a table."""
    sequence = sequence_of(check, event, "hits blocks")
    if sequence is None:
        return
    table = table_of(check, sequence, event)
    pool, state, r = table.pool, check.state, event["r"]
    at: int | None = event.get("at")
    if at is not None:
        vacant(check, table, at, event)
    keys: list[Any] = event.get("keys") or [None] * len(event["blocks"])
    for block, key in zip(event["blocks"], keys, strict=True):
        if not exists(check, "hit.exists", pool, block):
            continue
        where = ((pool.name, block),)
        has = holders(pool, block)
        if block not in pool.held and block not in pool.published:
            check.broken(
                "hit.there",
                f"{r!r} hits block {block} of {pool.name}, which is free: no table names it and it "
                "is not published",
                (r,),
                where,
            )
            continue
        for holder in pool.held.get(block, ()):
            holder.sequence.sync()
        filled = pool.filled.get(block, 0)
        # A sequence may share a block that another sequence of its request has begun: reads of it
        # are checked when they happen, and writes are impossible.
        own = any(
            t.sequence.live is sequence.live and t.sequence is not sequence
            for t in pool.held.get(block, ())
        )
        promised = check.header.same_step_hits and block in pool.promised
        if filled < table.size and not own and not promised:
            check.broken(
                "hit.content",
                f"{r!r} hits block {block} of {pool.name}, of which {filled} of {table.size} "
                "positions are computed",
                (r, *has),
                where,
                computed=filled,
                of=table.size,
            )
        content = pool.published.get(block)
        if key is not None and content is not None and key != content:
            check.broken(
                "hit.key",
                f"{r!r} hits block {block} of {pool.name} for the content {key!r}, but it holds "
                f"{content!r}",
                (r, *has),
                where,
                wants=key,
                has=content,
            )
    if check.found:
        return
    for index, block in enumerate(event["blocks"]):
        state.touch(pool, block)
        if at is not None:
            table.blocks.extend([HOLE] * (at + index + 1 - len(table.blocks)))
        state.name(table, block, None if at is None else at + index)


def free(check: RuleContext, event: dict[str, Any]) -> None:
    """Removes entries from a table."""
    state, r, s = check.state, event["r"], event.get("s", 0)
    live = state.live.get(r) or state.leaving.get(r)
    sequence = None if live is None else live.sequences.get(s)
    blocks: list[int] = event["blocks"]
    at: int = event["at"]
    if sequence is None:
        if "submit" not in check.omitted:
            check.broken(
                "release.known", f"{r!r} frees blocks {blocks}, but {state.history(r)}", (r,)
            )
        return
    table = table_of(check, sequence, event)
    has = table.blocks[at : at + len(blocks)]
    if (has != blocks or HOLE in blocks) and check.broken(
        "release.slice",
        f"{r!r} frees entries {at} to {at + len(blocks) - 1} as blocks {blocks}, but "
        + (
            f"its table in {table.pool.name} names {has} there"
            if has != blocks
            else f"{HOLE} is no block: an empty entry is not freed"
        ),
        (r,),
        tuple((table.pool.name, b) for b in dict.fromkeys((*blocks, *has)) if b != HOLE),
        freed=blocks,
        table=list(table.blocks),
    ):
        return
    state.drop(table, at, len(has))
    if r in state.leaving and not any(q.holds() for q in state.leaving[r].sequences.values()):
        del state.leaving[r]


HANDLERS: dict[str, Callable[[Any, dict[str, Any]], None]] = {
    "alloc": alloc,
    "hit": hit,
    "free": free,
}
