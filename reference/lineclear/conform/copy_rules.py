"""Rules of copies: both ends stay unchanged until the copy is done or an operation waits for it.

Guarantees: each function checks an event and applies it only if no rule is broken.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lineclear.conform.block_rules import exists, holders, pool_of
from lineclear.conform.rule_context import RuleContext
from lineclear.conform.state import DEFAULT, Copying, LoggedPool


def copy(check: RuleContext, event: dict[str, Any]) -> None:
    """A copy of blocks is issued."""
    state, op = check.state, event["op"]
    after, after_step = set(event.get("after", ())), event.get("after_step", 0)
    if op in state.copies:
        check.broken(
            "ordered.done", f"copy {op} is issued, but a copy with this number is open", copy=op
        )
    if after_step > state.steps > 0:
        check.broken(
            "ordered.number",
            f"copy {op} waits for step {after_step}, but the last one that was issued is {state.steps}",
            copy=op,
            after_step=after_step,
        )
    src = [(pool_of(check, name), block) for name, block in event["src"]]
    dst = [(pool_of(check, name), block) for name, block in event["dst"]]
    for pool, block in (*src, *dst):
        exists(check, "allocation.exists", pool, block)
    for pool, block in dst:
        where = ((pool.name, block),)
        if block in pool.published:
            check.broken(
                "exclusive_write.published",
                f"copy {op} writes into block {block} of {pool.name}, but it is published",
                holders(pool, block),
                where,
            )
        elif block not in pool.held:
            check.broken(
                "exclusive_write.shared",
                f"copy {op} writes into block {block} of {pool.name}, which no table names",
                (),
                where,
            )
        busy = max(pool.fence.get(block, 0), using(pool, block))
        overlaps(check, op, pool, block, busy, after_step)
    for pool, block in src:
        for table in pool.held.get(block, ()):
            table.sequence.sync()
        overlaps(check, op, pool, block, writing(pool, block), after_step)
    for other in state.copies.values():
        if other.op in after:
            continue
        theirs = {*other.src, *other.dst}
        clash = [block_id for block_id in dst if block_id in theirs]
        clash += [block_id for block_id in src if block_id in other.dst]
        for pool, block in clash[:1]:
            check.broken(
                "ordered.copy",
                f"copy {op} uses block {block} of {pool.name}, but copy {other.op}, which uses it "
                "too, is not done and is not in `after`",
                holders(pool, block),
                ((pool.name, block),),
                copy=other.op,
            )
    if check.found:
        return
    state.copies[op] = Copying(op, src, dst)
    for (pool, block), (target, block_id) in zip(src, dst, strict=True):
        whose = {table.sequence.live for table in pool.held.get(block, ())}
        into = {table.sequence.live for table in target.held.get(block_id, ())}
        # A request that has named the block copies it before it writes into it (copy on write).
        may = whose | pool.left.get(block, set())
        foreign = whose and block not in pool.published and may.isdisjoint(into)
        target.filled[block_id] = 0 if foreign else pool.filled.get(block, 0)
        if block in pool.entry:
            target.entry[block_id] = pool.entry[block]
        state.touch(target, block_id)


def using(pool: LoggedPool, block: int) -> int:
    """The last step that reads or writes the block through a table that names it."""
    return max((table.sequence.step for table in pool.held.get(block, ())), default=0)


def writing(pool: LoggedPool, block: int) -> int:
    """The last step that may write the block."""
    return 0 if pool.name != DEFAULT else using(pool, block)


def overlaps(
    check: RuleContext, op: int, pool: LoggedPool, block: int, busy: int, after_step: int
) -> None:
    """Reports a violation if an unsettled step uses the block and the copy does not wait for it.

    Args:
        check: the checker that runs the rules.
        op: number of the copy.
        pool: the pool.
        block: a block id in it.
        busy: the last step that uses the block, 0 for none.
        after_step: the step that the copy waits for, 0 for none.
    """
    if pool.name == DEFAULT and busy > check.state.settled and after_step < busy:
        check.broken(
            "ordered.copy",
            f"copy {op} uses block {block} of {pool.name}, but step {busy}, which uses it, is not "
            f"settled and the copy does not wait for it (after_step is {after_step})",
            holders(pool, block),
            ((pool.name, block),),
            step=busy,
            after_step=after_step,
        )


def steps_wait(check: RuleContext, event: dict[str, Any]) -> None:
    """A step that touches an end of an open copy waits for it."""
    n, after = event["n"], set(event.get("after", ()))
    for copying in check.state.copies.values():
        if copying.op in after:
            continue
        for verb, block_ids in (("read", copying.dst), ("write", copying.src)):
            for pool, block in block_ids:
                for table in pool.held.get(block, ()):
                    q = table.sequence
                    if q.step != n or pool.name != DEFAULT:
                        continue
                    at = table.blocks.index(block)
                    wrote = q.frontier > at * table.size and q.synced < (at + 1) * table.size
                    if verb == "write" and not wrote:
                        continue
                    check.broken(
                        "ordered.copy",
                        f"{q.live.r!r} {verb}s block {block} in step {n}, but copy {copying.op} "
                        f"{'into' if verb == 'read' else 'out of'} it is not done and not in "
                        "`after`",
                        (q.live.r,),
                        ((pool.name, block),),
                        copy=copying.op,
                    )


def done(check: RuleContext, event: dict[str, Any]) -> None:
    """A copy is done."""
    state, op = check.state, event["op"]
    copying = state.copies.get(op)
    if copying is None:
        check.broken(
            "ordered.done", f"copy {op} is done, but no copy with this number is open", copy=op
        )
        return
    del state.copies[op]
    state.idle = 0
    if event.get("failed", False):
        for pool, block in copying.dst:
            pool.filled.pop(block, None)
            for table in pool.held.get(block, ()):
                if pool.name == DEFAULT:
                    table.sequence.lower(table.blocks.index(block) * table.size)
                pool.filled.pop(block, None)


HANDLERS: dict[str, Callable[[Any, dict[str, Any]], None]] = {"copy": copy, "done": done}
