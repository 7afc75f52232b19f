"""Rules of cached blocks (hit, published, evicted), and of the engine's own free lists.

Guarantees: each function checks an event and applies it only if no rule is broken.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lineclear.conform.block_rules import exists, holders, named, pool_of, repeated
from lineclear.conform.rule_context import RuleContext
from lineclear.conform.schema import free_lists
from lineclear.conform.state import DEFAULT


def store(check: RuleContext, event: dict[str, Any]) -> None:
    """Blocks are published."""
    pool = pool_of(check, event.get("pool", DEFAULT))
    keys: list[Any] = event.get("keys") or [None] * len(event["blocks"])
    for block, key in zip(event["blocks"], keys, strict=True):
        where = ((pool.name, block),)
        if not exists(check, "publish.evicted", pool, block):
            continue
        tables = pool.held.get(block, [])
        for table in tables:
            table.sequence.sync()
        size = tables[0].size if tables else check.header.block_size
        filled = pool.filled.get(block, 0)
        whole = filled >= size or (bool(tables) and check.header.same_step_hits)
        if not tables or not whole:
            why = f"{filled} of {size} positions are computed" if tables else "no table names it"
            check.broken(
                "publish.computed",
                f"block {block} of {pool.name} is published, but {why}",
                holders(pool, block),
                where,
                computed=filled,
                of=size,
            )
        old = pool.published.get(block)
        if old is not None and key is not None and old != key:
            check.broken(
                "publish.key",
                f"block {block} of {pool.name} is published under {key!r}, but it is already published "
                f"under {old!r}",
                holders(pool, block),
                where,
                has=old,
                wants=key,
            )
    if check.found:
        return
    for block, key in zip(event["blocks"], keys, strict=True):
        check.state.touch(pool, block)
        tables = pool.held.get(block, [])
        if tables and pool.filled.get(block, 0) < tables[0].size:
            pool.promised[block] = tables[0]
        pool.published[block] = key


def evict(check: RuleContext, event: dict[str, Any]) -> None:
    """Removes blocks from the cache."""
    pool = pool_of(check, event.get("pool", DEFAULT))
    keys: list[Any] = event.get("keys") or [None] * len(event["blocks"])
    for block, key in zip(event["blocks"], keys, strict=True):
        where = ((pool.name, block),)
        if block not in pool.published:
            check.broken(
                "publish.evicted",
                f"block {block} of {pool.name} is evicted, but it is not published"
                + (f" under {key!r} or any other key" if key is not None else ""),
                holders(pool, block),
                where,
            )
            continue
        content = pool.published[block]
        if key is not None and content is not None and key != content:
            check.broken(
                "publish.key",
                f"block {block} of {pool.name} is evicted as {key!r}, but it is published under "
                f"{content!r}",
                holders(pool, block),
                where,
                has=content,
                wants=key,
            )
    if check.found:
        return
    for block in event["blocks"]:
        check.state.touch(pool, block)
        pool.published.pop(block, None)
        pool.promised.pop(block, None)


def conserve(check: RuleContext, event: dict[str, Any]) -> None:
    """Compares the engine's free lists with the blocks that are neither named nor published."""
    if "free" not in event:
        return
    for name, ids in free_lists(event["free"]).items():
        pool = pool_of(check, name)
        mine, theirs = pool.free(), set(ids)
        twice = sorted(repeated(ids))
        both, lost = sorted(theirs - mine), sorted(mine - theirs)
        parts: list[str] = []
        if twice:
            parts.append(f"the engine's free list names {twice} twice")
        for block in both[:3]:
            has = holders(pool, block)
            why = (
                f"{named(has)} holds it"
                if has
                else "it is published"
                if block in pool.published
                else f"{name} has no such block"
            )
            parts.append(f"block {block} is on the engine's free list, but {why}")
        if lost:
            parts.append(
                f"blocks {lost[:8]}{' and more' if len(lost) > 8 else ''} are neither held "
                "nor published, but missing from the engine's free list"
            )
        if parts:
            wrong = tuple((name, b) for b in (*twice, *both, *lost))
            involved = dict.fromkeys(r for _, b in wrong for r in holders(pool, b))
            check.broken(
                "conservation.free",
                f"{name}: {'; '.join(parts)}",
                tuple(involved),
                wrong,
                free_for_the_engine=len(ids),
                free_by_the_log=len(mine),
            )


HANDLERS: dict[str, Callable[[Any, dict[str, Any]], None]] = {"store": store, "evict": evict}
