"""Rules of steps: rows, budget, order of steps, order of the queue, progress.

Guarantees: a row that goes on where its sequence's last one ended, in a block that was found
writable before, costs a handful of comparisons; any other is looked at whole. A step of which one
row is wrong is not applied further than its rows before it.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from lineclear.conform.block_rules import holders, named, sequence_of
from lineclear.conform.copy_rules import steps_wait
from lineclear.conform.state import (
    DEFAULT,
    ENDLESS,
    HOLE,
    PREEMPTED,
    RUNNING,
    SWAPPED,
    WAITING,
    Live,
    Sequence,
    Table,
)

if TYPE_CHECKING:
    from lineclear.conform.checker import Checker

__all__ = ["HANDLERS", "IDLE"]

#: Calls in a row that schedule nothing, with nothing in flight, that are no news yet.
IDLE = 4


class Issue:
    """A step that is being judged."""

    __slots__ = ("admitted", "after_step", "expected", "n")

    def __init__(self, n: int, after_step: int) -> None:
        self.n = n
        self.after_step = after_step
        self.admitted: list[Live] = []
        self.expected: list[tuple[Table, int, Sequence]] = []  # promised blocks that a row reads


def step(check: Checker, event: dict[str, Any]) -> None:
    """A forward pass over some rows."""
    state, header = check.state, check.header
    n: int = event["n"]
    rows: list[list[Any]] = event["rows"]
    numbered(check, n)
    leaders = state.leaders
    issue = Issue(n, event.get("after_step", 0))
    tokens_in_step = kept = 0
    drafts = header.drafts
    for row in rows:
        q: Sequence | None = None
        if len(row) == 4:
            r, start, tokens, samples = row
            q = leaders.get(r)
            end = start + tokens
            if (  # the usual row: it goes on where the last one ended, and samples
                q is not None
                and start == q.frontier
                and end == q.known
                and end <= q.safe_to
                and start >= q.safe_from
                and samples == 1
                and q.step != n
                and tokens > 0
            ):
                q.step = n
                q.frontier = end
                q.known = end = end + 1
                tokens_in_step += tokens
                if end > q.best:
                    q.best = end
                    kept += 1
                if end > q.limit:
                    past_end(check, q)
                continue
        start, tokens, samples = row[1:4]
        end = start + tokens
        if (
            q is None
            or end > q.safe_to
            or start < q.safe_from
            or start > q.frontier
            or tokens < 1
            or end > q.known + drafts
            or (samples and end < q.known)
            or q.step == n
        ):
            q = look(check, issue, row)
            if q is None:
                continue
        q.step = n
        if end > q.frontier:
            q.frontier = end
        tokens_in_step += tokens
        if samples and q.known < ENDLESS:
            q.known = known = q.known + samples
            if known > q.limit:
                past_end(check, q)
            if known > q.best:
                q.best = known
                kept += 1
        elif samples:
            kept += 1
    if header.max_tokens is not None and tokens_in_step > header.max_tokens:
        check.broken(
            "budget.tokens",
            f"step {n} computes {tokens_in_step} tokens, max_tokens is {header.max_tokens}",
            tuple(dict.fromkeys(row[0] for row in rows)),
            tokens=tokens_in_step,
            max_tokens=header.max_tokens,
        )
    if header.max_seqs is not None and len(rows) > header.max_seqs:
        check.broken(
            "budget.seats",
            f"step {n} has {len(rows)} rows, max_seqs is {header.max_seqs}",
            tuple(dict.fromkeys(row[0] for row in rows)),
            rows=len(rows),
            max_seqs=header.max_seqs,
        )
    if issue.expected:
        promises(check, issue)
    if state.copies:
        steps_wait(check, event)
    if check.found:
        return
    state.steps = n
    state.flights.append((n, rows))
    if "settle" in check.omitted:
        while len(state.flights) > header.depth:
            state.settled = state.flights.popleft()[0]
    if issue.admitted:
        in_order(check, issue.admitted)
    if rows:
        state.idle = 0
        called(check, kept)
    else:
        idle(check, event)


def numbered(check: Checker, n: int) -> None:
    """Steps are numbered one after the other, and no more than depth are in flight.

    A log may begin in the middle of a run, so the first step may have any number.
    """
    state, header = check.state, check.header
    if state.steps and n != state.steps + 1:
        check.broken(
            "ordered.number", f"step {n} follows step {state.steps}", step=n, last=state.steps
        )
    if len(state.flights) >= header.depth and "settle" not in check.omitted:
        check.broken(
            "ordered.depth",
            f"step {n} is issued with {len(state.flights)} steps not settled, depth is "
            f"{header.depth}",
            in_flight=len(state.flights),
            depth=header.depth,
        )


def past_end(check: Checker, q: Sequence) -> None:
    """The sequence is given more tokens than it may have."""
    live = q.live
    check.broken(
        "length.max",
        f"{live.r!r} is given token {q.known - live.prompt} of at most {live.limit - live.prompt}",
        (live.r,),
        generated=q.known - live.prompt,
        max=live.limit - live.prompt,
    )


def look(check: Checker, issue: Issue, row: list[Any]) -> Sequence | None:
    """Every rule of one row; None if it breaks one."""
    r, start, tokens = row[0], row[1], row[2]
    found = len(check.found)
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
            check.broken("phase.row", f"{r!r} is in step {issue.n}, and it is swapped out", (r,))
        elif live.phase in (WAITING, PREEMPTED):
            issue.admitted.append(live)
    end = start + tokens
    if end > q.known + check.header.drafts:
        drafts = f" and {check.header.drafts} drafts" if check.header.drafts else ""
        check.broken(
            "length.known",
            f"{r!r} computes positions {start} to {end - 1} in step {issue.n}, and it has "
            f"{q.known} tokens{drafts}",
            (r,),
            end=end,
            known=q.known,
        )
    if row[3] and end < q.known < ENDLESS:
        check.broken(
            "length.newest",
            f"{r!r} computes positions {start} to {end - 1} in step {issue.n} and samples, and it "
            f"has {q.known} tokens: the newest is not computed",
            (r,),
            end=end,
            known=q.known,
        )
    if q.fence > check.state.settled and issue.after_step < q.fence:
        check.broken(
            "ordered.fence",
            f"{r!r} writes in step {issue.n} into a block that step {q.fence} uses, and does not "
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


def tables(check: Checker, issue: Issue, q: Sequence, start: int, end: int) -> None:
    """What a row reads and writes, in each group of layers."""
    r, state = q.live.r, check.state
    q.sync()
    frontier = safe_to = ENDLESS
    safe_from = 0
    for group, (size, window) in state.groups.items():
        table = state.table(q, DEFAULT, group)
        blocks = table.blocks
        here = f" of group {group}" if group else ""
        low = 0 if window is None else max(0, start + 1 - window) // size
        needed = -(-end // size)
        if needed > len(blocks) or HOLE in blocks[low:needed]:
            room = len(blocks) * size
            empty = [i for i in range(low, min(needed, len(blocks))) if blocks[i] == HOLE]
            why = f"entry {empty[0]} is empty" if empty else f"has room for {room}"
            check.broken(
                "capacity.room",
                f"{r!r} needs {end} positions in step {issue.n}, and its table{here} {why} "
                f"({len(blocks)} blocks of {size})",
                (r,),
                needs=end,
                room=room,
            )
            needed = min(needed, len(blocks))
        frontier = min(frontier, content(issue, table, max(low, 0), start))
        lo, hi = writable(check, issue, table, start, needed)
        safe_from, safe_to = max(safe_from, lo), min(safe_to, hi)
    if start > frontier:
        check.broken(
            "computed.start",
            f"{r!r} starts at position {start} in step {issue.n}, and only {frontier} positions "
            "of it are computed" + misplaced(q, frontier),
            (r,),
            start=start,
            computed=frontier,
        )
    if not check.found:
        q.frontier = q.synced = max(q.frontier, min(frontier, max(start, q.frontier)))
        q.safe_from, q.safe_to = safe_from, safe_to


def content(issue: Issue, table: Table, low: int, start: int) -> int:
    """Positions from entry `low` on whose KV exists, as far as a row that begins at `start` reads."""
    size, filled, blocks = table.size, table.pool.filled, table.blocks
    q = table.sequence
    # What the sequence computed itself is known; hits and copies are found block by block.
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


def misplaced(q: Sequence, frontier: int) -> str:
    """What the block at that position holds, if it is KV of other positions."""
    for table in q.tables.values():
        at = frontier // table.size
        block = table.blocks[at] if at < len(table.blocks) else HOLE
        entry = table.pool.entry.get(block, at)
        if table.pool.name == DEFAULT and entry != at:
            return f": block {block} at entry {at} holds what was computed for entry {entry}"
    return ""


def writable(
    check: Checker, issue: Issue, table: Table, start: int, needed: int
) -> tuple[int, int]:
    """Positions around `start` that the row may write; a block that it may not is broken."""
    size, pool, blocks = table.size, table.pool, table.blocks
    r = table.sequence.live.r
    first = start // size
    safe = first
    again = False
    for index in range(first, len(blocks)):
        block = blocks[index]
        if block == HOLE:
            break
        alone = len(pool.held.get(block, ())) <= 1
        mine = pool.promised.get(block) is table
        if mine:  # published before it is computed: it is looked at again with every row
            again = True
            continue
        if alone and block not in pool.published:
            safe = index + 1
            continue
        if index >= needed:
            break
        where = ((pool.name, block),)
        has = holders(pool, block)
        if not alone:
            check.broken(
                "exclusive_write.shared",
                f"{r!r} writes into block {block} in step {issue.n}, and "
                f"{len(pool.held[block])} table entries of {named(has)} name it",
                tuple(dict.fromkeys((r, *has))),
                where,
                entries=len(pool.held[block]),
            )
        if block in pool.published:
            check.broken(
                "exclusive_write.published",
                f"{r!r} writes into block {block} in step {issue.n}, and it is published",
                (r,),
                where,
                key=pool.published[block],
            )
        safe = index + 1
    return (0, 0) if again else (first * size, safe * size)


def promises(check: Checker, issue: Issue) -> None:
    """What a row reads of a block that this same step computes is computed by this step."""
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


def in_order(check: Checker, admitted: list[Live]) -> None:
    """Nobody that comes before an admitted request still waits."""
    if check.header.order is None or not check.state.live:
        return
    queue = check.queue
    while queue and (
        queue[0][2].phase not in (WAITING, PREEMPTED)
        or check.state.live.get(queue[0][2].r) is not queue[0][2]
    ):
        heapq.heappop(queue)
    if not queue:
        return
    head: Live = queue[0][2]
    last = max(admitted, key=lambda live: live.place)
    if head.place < last.place:
        check.broken(
            "queue_order.passed",
            f"{last.r!r} is admitted while {head.r!r}, which comes before it "
            f"({check.header.order}), waits",
            (last.r, head.r),
            admitted=list(last.place),
            waits=list(head.place),
        )


def called(check: Checker, kept: int) -> None:
    """A call of the engine; in some it keeps a token."""
    state = check.state
    if kept or not state.live:
        state.dry = 0
        check.allowed = check.header.patience
        return
    state.dry += 1
    if state.dry > check.allowed:
        check.allowed = bound = allowed(check)
        if state.dry > bound:
            check.broken(
                "progress.kept",
                f"no request kept a token in {state.dry} calls; by the lengths of the "
                f"{len(state.live)} live requests {bound} are enough",
                tuple(state.live),
                calls=state.dry,
                bound=bound,
            )


def allowed(check: Checker) -> int:
    """Calls in which every known token can be computed, and the header's patience."""
    header = check.header
    chunk = header.chunk or header.max_tokens or 1
    known = [
        min(q.known, 1 << 40)
        for live in check.state.live.values()
        for q in live.sequences.values()
    ]
    return header.patience + sum(4 + -(-tokens // chunk) for tokens in known)


def idle(check: Checker, event: dict[str, Any]) -> None:
    """The engine scheduled nothing."""
    state = check.state
    called(check, 0)
    flying = state.flights and "settle" not in check.omitted
    if not state.live or flying or state.copies:
        state.idle = 0
        return
    state.idle += 1
    if state.idle > IDLE + check.header.depth:
        check.broken(
            "progress.moves",
            f"nothing was scheduled in {state.idle} calls in a row, though no step is in flight, "
            f"no copy is open and {len(state.live)} requests are live",
            tuple(state.live),
            calls=state.idle,
            allowed=IDLE + check.header.depth,
        )


def settle(check: Checker, event: dict[str, Any]) -> None:
    """The oldest step in flight is over."""
    state, n = check.state, event["n"]
    if not state.flights or state.flights[0][0] != n:
        flying = [number for number, _ in state.flights]
        check.broken(
            "ordered.settle",
            f"step {n} is settled, and the steps in flight are {flying or 'none'}, in this order",
            step=n,
            in_flight=flying,
        )
    if check.found:
        return
    if not state.flights:  # the log omits steps
        state.settled = n
        return
    _, rows = state.flights.popleft()
    state.settled = n
    state.idle = 0
    if "kept" in event:
        corrected(check, rows, event["kept"])


def corrected(check: Checker, rows: list[list[Any]], kept: list[list[Any]]) -> None:
    """Rows of a settled step kept another number of tokens than they were to sample."""
    samples = {(row[0], row[4] if len(row) == 5 else 0): row[3] for row in rows}
    for row in kept:
        s = row[2] if len(row) == 3 else 0
        live = check.state.live.get(row[0])
        q = None if live is None else live.sequences.get(s)
        if q is None or q.known >= ENDLESS:
            continue
        change = row[1] - samples.get((row[0], s), 0)
        q.known += change
        q.best = max(q.known, q.best + min(change, 0))
        if q.known > q.limit:
            past_end(check, q)
        if change < 0 or check.header.drafts:
            q.lower(min(q.frontier, q.known - 1))


HANDLERS: dict[str, Callable[[Any, dict[str, Any]], None]] = {
    "step": step,
    "idle": idle,
    "settle": settle,
}
