"""Rules of one row of a step: it reads computed positions and writes its own blocks.

Guarantees: `look` checks a row completely and records in the sequence which positions later rows
may write without a new check.
"""

from __future__ import annotations

from typing import Any

from lineclear.conform.block_rules import holders, named, sequence_of
from lineclear.conform.rule_context import RuleContext
from lineclear.conform.state import (
    DEFAULT,
    ENDLESS,
    HOLE,
    PREEMPTED,
    RUNNING,
    SWAPPED,
    WAITING,
    LoggedRequest,
    LoggedSequence,
    LoggedTable,
)


class Issue:
    """A step being checked."""

    __slots__ = ("admitted", "after_step", "expected", "n")

    def __init__(self, n: int, after_step: int) -> None:
        self.n = n
        self.after_step = after_step
        self.admitted: list[LoggedRequest] = []
        self.expected: list[
            tuple[LoggedTable, int, LoggedSequence]
        ] = []  # promised blocks that a row reads


def past_end(check: RuleContext, q: LoggedSequence) -> None:
    """Reports a sequence that gets more tokens than its limit."""
    live = q.live
    check.broken(
        "length.max",
        f"{live.r!r} gets token {q.num_tokens - live.prompt} of at most {live.limit - live.prompt}",
        (live.r,),
        generated=q.num_tokens - live.prompt,
        max=live.limit - live.prompt,
    )


def look(
    check: RuleContext, issue: Issue, row: list[Any], leader: LoggedSequence | None
) -> LoggedSequence | None:
    """Checks every rule of one row; None if it breaks one.

    Args:
        check: the checker.
        issue: the step.
        row: the row.
        leader: its sequence, if that is known to be live.
    """
    r, start, tokens = row[0], row[1], row[2]
    found = len(check.found)
    q = leader
    if q is None:
        event = {"r": r, "s": row[4]} if len(row) == 5 else {"r": r}
        q = sequence_of(check, event, f"is in step {issue.n}")
        if q is None:
            return None
    if q.step == issue.n:
        check.broken("once.row", f"{r!r} is in step {issue.n} twice", (r,), step=issue.n)
    if tokens < 1:
        check.broken(
            "budget.empty",
            f"{r!r} computes {tokens} tokens in step {issue.n}",
            (r,),
            tokens=tokens,
        )
    live = q.live
    if live.phase != RUNNING:
        if live.phase == SWAPPED:
            check.broken("phase.row", f"{r!r} is in step {issue.n}, but it is swapped out", (r,))
        elif live.phase in (WAITING, PREEMPTED):
            issue.admitted.append(live)
    end = start + tokens
    if end > q.num_tokens + check.header.drafts:
        drafts = f" and {check.header.drafts} drafts" if check.header.drafts else ""
        check.broken(
            "length.known",
            f"{r!r} computes positions {start} to {end - 1} in step {issue.n}, but it has "
            f"{q.num_tokens} tokens{drafts}",
            (r,),
            end=end,
            known=q.num_tokens,
        )
    if row[3] and end < q.num_tokens < ENDLESS:
        check.broken(
            "length.newest",
            f"{r!r} computes positions {start} to {end - 1} in step {issue.n} and samples, but it "
            f"has {q.num_tokens} tokens: the newest is not computed",
            (r,),
            end=end,
            known=q.num_tokens,
        )
    if q.fence > check.state.settled and issue.after_step < q.fence:
        check.broken(
            "ordered.fence",
            f"{r!r} writes in step {issue.n} into a block that step {q.fence} uses, but does not "
            f"wait for it (after_step is {issue.after_step})",
            (r,),
            step=q.fence,
            after_step=issue.after_step,
        )
    tables(check, issue, q, start, end)
    if len(check.found) > found:
        return None
    live.phase = RUNNING
    return q


def tables(check: RuleContext, issue: Issue, q: LoggedSequence, start: int, end: int) -> None:
    """What a row reads and writes, in each group of layers.

    Args:
        check: the checker that runs the rules.
        issue: the step.
        q: the sequence of the row.
        start: first position that the row computes.
        end: the position after its last one.
    """
    r, state = q.live.r, check.state
    q.sync()
    frontier = safe_to = ENDLESS
    safe_from = 0
    for group, (size, window) in state.groups.items():
        table = q.tables.get((DEFAULT, group)) or state.table(q, DEFAULT, group)
        blocks = table.blocks
        low = 0 if window is None else max(0, start + 1 - window) // size
        needed = -(-end // size)
        if needed > len(blocks) or HOLE in blocks[low:needed]:
            here = f" of group {group}" if group else ""
            room = len(blocks) * size
            empty = [i for i in range(low, min(needed, len(blocks))) if blocks[i] == HOLE]
            why = f"entry {empty[0]} is empty" if empty else f"has room for {room}"
            check.broken(
                "capacity.room",
                f"{r!r} needs {end} positions in step {issue.n}, but its table{here} {why} "
                f"({len(blocks)} blocks of {size})",
                (r,),
                needs=end,
                room=room,
            )
            needed = min(needed, len(blocks))
        known = content(issue, table, low, start)
        if known < frontier:
            frontier = known
        lo, hi = writable(check, issue, table, start, needed)
        if lo > safe_from:
            safe_from = lo
        if hi < safe_to:
            safe_to = hi
    if start > frontier:
        check.broken(
            "computed.start",
            f"{r!r} starts at position {start} in step {issue.n}, but only {frontier} positions "
            "of it are computed" + misplaced(q, frontier),
            (r,),
            start=start,
            computed=frontier,
        )
    if not check.found:
        if frontier > q.frontier < start:
            q.frontier = q.synced = min(frontier, start)
        q.safe_from, q.safe_to = safe_from, safe_to


def content(issue: Issue, table: LoggedTable, low: int, start: int) -> int:
    """Positions with KV from entry `low` on, as far as a row from `start` reads.

    Args:
        issue: the step; gets what must be computed by another row of it.
        table: a table of the row's sequence.
        low: entry to begin with.
        start: first position that the row computes.
    """
    size, filled, blocks = table.size, table.pool.filled, table.blocks
    q = table.sequence
    # What the sequence computed itself is known; hits and copies are looked up block by block.
    index = max(low, q.frontier // size)
    while index * size < start and index < len(blocks):
        block = blocks[index]
        count = filled.get(block, 0) if block != HOLE else 0
        if table.pool.entry.get(block, index) != index:
            count = 0  # it is KV of other positions
        author = table.pool.promised.get(block)
        if count < size and author is not None and author is not table:
            issue.expected.append((author, block, q))
            count = size
        if count < size:
            return index * size + count
        index += 1
    return max(index * size, q.frontier)


def misplaced(q: LoggedSequence, frontier: int) -> str:
    """Describes the block at that position if it holds KV of other positions."""
    for table in q.tables.values():
        at = frontier // table.size
        block = table.blocks[at] if at < len(table.blocks) else HOLE
        entry = table.pool.entry.get(block, at)
        if table.pool.name == DEFAULT and entry != at:
            return f": block {block} at entry {at} holds what was computed for entry {entry}"
    return ""


def writable(
    check: RuleContext, issue: Issue, table: LoggedTable, start: int, needed: int
) -> tuple[int, int]:
    """Positions around `start` that the row may write; reports a block that it may not write.

    Args:
        check: the checker that runs the rules.
        issue: the step.
        table: a table of the row's sequence.
        start: first position that the row computes.
        needed: number of entries that hold the row's positions.
    """
    size, pool, blocks = table.size, table.pool, table.blocks
    first = start // size
    safe = first
    again = False
    for index in range(first, len(blocks)):
        block = blocks[index]
        if block == HOLE:
            break
        tables = pool.held.get(block, ())
        alone = len(tables) <= 1
        if pool.promised and pool.promised.get(block) is table:
            again = True  # published before it is computed: checked again with every row
            continue
        if alone and block not in pool.published:
            safe = index + 1
            continue
        if index >= needed:
            break
        where = ((pool.name, block),)
        r, has = table.sequence.live.r, holders(pool, block)
        if not alone:
            check.broken(
                "exclusive_write.shared",
                f"{r!r} writes into block {block} in step {issue.n}, but "
                f"{len(tables)} table entries of {named(has)} name it",
                tuple(dict.fromkeys((r, *has))),
                where,
                entries=len(tables),
            )
        if block in pool.published:
            check.broken(
                "exclusive_write.published",
                f"{r!r} writes into block {block} in step {issue.n}, but it is published",
                (r,),
                where,
                key=pool.published[block],
            )
        safe = index + 1
    return (0, 0) if again else (first * size, safe * size)


def promises(check: RuleContext, issue: Issue) -> None:
    """Checks that what a row reads of a block being computed in this step is computed by it."""
    for author, block, q in issue.expected:
        author.sequence.sync()
        filled = author.pool.filled.get(block, 0)
        if filled < author.size:
            check.broken(
                "computed.start",
                f"{q.live.r!r} reads block {block} in step {issue.n}, of which only {filled} of "
                f"{author.size} positions are computed by then",
                (q.live.r, author.sequence.live.r),
                ((author.pool.name, block),),
                computed=filled,
                of=author.size,
            )
