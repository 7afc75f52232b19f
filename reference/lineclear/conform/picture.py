"""Text form of a violation: the rule, its values, the relevant log as a table of blocks.

Guarantees: every cell is the checker's state after that event; the last row shows the state before
the event that breaks the rule. Counterexamples use the same table.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from lineclear.conform.checker import Checker
from lineclear.conform.events import Event, RequestId
from lineclear.conform.reduce import Reduced
from lineclear.conform.rule_context import Violation
from lineclear.conform.state import DEFAULT, ENDLESS, HOLE, LoggedPool, LoggedSequence, LogState
from lineclear_spec.report.picture import LETTERS, MOST_BLOCKS, table

Who = tuple[RequestId, int]
#: Rows of a table that are shown; of a longer one the last.
MOST_ROWS = 40
#: Letters that the legend explains.
MOST_LETTERS = 24
LEGEND = (
    "letters: table entries of a sequence, c published, . free, ~ still in use by an operation"
)


class Letters:
    """Assigns a letter to each sequence, in order of first use."""

    def __init__(self) -> None:
        self.names: dict[Who, str] = {}

    def __call__(self, r: RequestId, s: int = 0) -> str:
        """The letter of a sequence."""
        number = len(self.names)
        turn = number // len(LETTERS)
        return self.names.setdefault((r, s), LETTERS[number % len(LETTERS)] + str(turn or ""))

    def lines(self) -> list[str]:
        """The legend; of many letters the first."""
        names = [
            f"{letter} = {r!r}" + (f" sequence {s}" if s else "")
            for (r, s), letter in self.names.items()
        ]
        more = [f"{len(names) - MOST_LETTERS} more"] if len(names) > MOST_LETTERS else []
        return [f"    {', '.join([*names[:MOST_LETTERS], *more])}"] if names else []


def call(event: Event, letters: Letters) -> str:
    """An event as a call."""
    kind = event["e"]
    who = letters(event["r"], event.get("s", 0)) if "r" in event else ""
    where = "".join(f" {name} {event[name]}" for name in ("pool", "group") if name in event)
    if kind == "step":
        rows = [
            f"{letters(row[0], row[4] if len(row) == 5 else 0)} {row[1]}+{row[2]}"
            + ("" if row[3] else " no sample")
            for row in event["rows"]
        ]
        more = f", {len(rows) - 6} more" if len(rows) > 6 else ""
        after = [f"{name} {event[name]}" for name in ("after", "after_step") if event.get(name)]
        return f"step {event['n']}: {', '.join(rows[:6])}{more}" + "".join(f"; {a}" for a in after)
    if kind == "submit":
        rest = [
            f"{name} {event[name]}" for name in ("prompt", "max", "n", "priority") if name in event
        ]
        return f"submit {who}: {', '.join(rest)}"
    if kind in ("alloc", "hit", "free"):
        at = f" at {event['at']}" if "at" in event else ""
        keys = f" keys {event['keys']}" if "keys" in event else ""
        return f"{kind} {who}{at} {short(event['blocks'])}{keys}{where}"
    if kind in ("store", "evict"):
        keys = f" keys {short(event['keys'])}" if "keys" in event else ""
        return f"{kind} {short(event['blocks'])}{keys}{where}"
    if kind == "copy":
        pairs = [
            f"{a[0]}:{a[1]} to {b[0]}:{b[1]}"
            for a, b in zip(event["src"], event["dst"], strict=True)
        ]
        return f"copy {event['op']}: {', '.join(pairs[:4])}{' ...' if len(pairs) > 4 else ''}"
    if kind == "check":
        parts = [
            f"{name} {short(event[name])}"
            for name in ("free", "waiting", "running")
            if name in event
        ]
        return f"check {', '.join(parts)}"
    rest = [f"{name} {value}" for name, value in event.items() if name not in ("e", "r", "s")]
    return " ".join(part for part in (kind, who, *rest) if part)


def short(value: Any, most: int = 40) -> str:
    """A list, shortened to a column's width."""
    text = json.dumps(value)
    return text if len(text) <= most else text[: most - 3] + "..."


def cell(state: LogState, pool: LoggedPool, block: int, letters: Letters) -> str:
    """The holders of a block, and whether it is published or still in use.

    Args:
        state: the state to draw.
        pool: a pool of it.
        block: a block id in the pool.
        letters: names a sequence by its request and its number.
    """
    names = [letters(t.sequence.live.r, t.sequence.s) for t in pool.held.get(block, ())]
    text = "".join(dict.fromkeys(names)) + ("c" if block in pool.published else "")
    if text:
        return text
    busy = pool.fence.get(block, 0) > state.settled or any(
        (pool, block) in copying.src or (pool, block) in copying.dst
        for copying in state.copies.values()
    )
    return "~" if busy else "."


def facts(state: LogState, letters: Letters) -> dict[str, str]:
    """Phase and counters of every sequence; steps in flight."""
    found: dict[str, str] = {}
    for live in state.live.values():
        for s, q in live.sequences.items():
            known = "?" if q.num_tokens >= ENDLESS else str(q.num_tokens)
            found[letters(live.r, s)] = f"{live.phase} {q.frontier}/{known}"
    if state.steps:
        found["settled"] = f"{state.settled}/{state.steps}"
    return found


def touched(events: Iterable[Event], pool: str) -> list[int]:
    """The blocks of a pool that some event names."""
    found: set[int] = set()
    for event in events:
        if "blocks" in event and event.get("pool", DEFAULT) == pool:
            found.update(event["blocks"])
        for end in (*event.get("src", ()), *event.get("dst", ())):
            if end[0] == pool:
                found.add(end[1])
    return sorted(found)


def draw(reduced: Reduced) -> list[str]:
    """The reduced log as a table, with a legend."""
    checker = Checker(reduced.header, validate=False)
    state, letters = checker.state, Letters()
    wanted = reduced.violation.blocks
    columns = {
        name: chosen(pool, wanted, touched(reduced.events, name))
        for name, pool in state.pools.items()
    }
    second = next((name for name in columns if name != DEFAULT and columns[name][0]), "")
    rows: list[Row] = [("0", "start", *both(state, columns, second, letters), "")]
    before = facts(state, letters)
    for number, event in enumerate(reduced.events, start=1):
        text = call(event, letters)
        last = number == len(reduced.events)
        if not last:
            checker.feed(event)
        now = facts(state, letters)
        change = ", ".join(f"{k} {v}" for k, v in now.items() if before.get(k) != v)
        rows.append(
            (str(number), text, *both(state, columns, second, letters), "" if last else change)
        )
        before = now
    hidden = len(rows) - MOST_ROWS
    lines = drawn(rows[max(hidden, 0) :], columns, second)
    if hidden > 0:
        lines.insert(0, f"    {hidden} earlier events are not shown")
    return [*lines, f"    {LEGEND}", *letters.lines()]


def draw_state(state: LogState, violation: Violation) -> list[str]:
    """The state in which an event breaks a rule, block by block, and who holds what."""
    letters = Letters()
    for r in (r for r in state.live if r in violation.requests):
        letters(r)
    text = call(violation.event, letters)
    wanted = violation.blocks
    named = [state.live.get(r) or state.leaving.get(r) for r in violation.requests]
    mine = [block for live in named if live is not None for block in live.blocks()]
    columns = {
        name: chosen(pool, wanted, [b for where, b in mine if where == name])
        for name, pool in state.pools.items()
    }
    second = next((name for name in columns if name != DEFAULT and columns[name][0]), "")
    row = (str(violation.number), text, *both(state, columns, second, letters), "")
    return [
        *drawn([row], columns, second),
        *letters.lines(),
        *state_lines(state, violation.requests),
    ]


Columns = dict[str, tuple[list[int], int]]
Row = tuple[str, str, list[str], list[str], str]


def both(
    state: LogState, columns: Columns, second: str, letters: Letters
) -> tuple[list[str], list[str]]:
    """The cells of the default pool, and of a second one.

    Args:
        state: the state to draw.
        columns: by pool, the block ids that are drawn and the number of those that are not.
        second: name of the second pool, "" for none.
        letters: names a sequence by its request and its number.
    """
    first, other = (
        [cell(state, state.pools[name], block, letters) for block in columns[name][0]]
        if name
        else []
        for name in (DEFAULT, second)
    )
    return first, other


def drawn(rows: list[Row], columns: Columns, second: str) -> list[str]:
    """Rows as a table; says how many blocks it leaves out."""
    pools = (DEFAULT, second)
    ids = tuple(columns[name][0] if name else [] for name in pools)
    hidden = sum(columns[name][1] for name in pools if name)
    lines = table(rows, (ids[0], ids[1]), pools, "computed/tokens")
    return [*lines, f"    {hidden} blocks are not shown"] if hidden else lines


def chosen(
    pool: LoggedPool, wanted: Iterable[tuple[str, int]], named: Iterable[int]
) -> tuple[list[int], int]:
    """The blocks to show, and how many are left out: all of a small pool; of a large one those that
    the violation names, then those that the events name.
    """
    mine = dict.fromkeys([*(b for name, b in wanted if name == pool.name), *named])
    if pool.name == DEFAULT and pool.last - pool.first <= MOST_BLOCKS:
        mine = dict.fromkeys([*range(pool.first, pool.last)])
    found = list(mine)
    return sorted(found[:MOST_BLOCKS]), max(0, len(found) - MOST_BLOCKS)


def held(q: LoggedSequence) -> str:
    """The blocks that a sequence names, pool by pool."""
    parts = [
        f"{t.pool.name} {' '.join('-' if b == HOLE else str(b) for b in t.blocks)}"
        + (f" (group {t.group})" if t.group else "")
        for t in q.holds()
    ]
    return "; ".join(parts) or "nothing"


def state_lines(state: LogState, involved: Iterable[RequestId] = (), most: int = 12) -> list[str]:
    """Live requests, those involved first: their progress, and the blocks each holds."""
    lines: list[str] = []
    first = set(involved)
    every = [*state.live.values(), *state.leaving.values()]
    for live in sorted(every, key=lambda live: live.r not in first):
        for s, q in live.sequences.items():
            known = "?" if q.num_tokens >= ENDLESS else q.num_tokens
            name = f"{live.r!r}" + (f" sequence {s}" if s else "")
            lines.append(
                f"    {name} {live.phase}, {q.frontier} of {known} computed, holds {held(q)}"
            )
    if len(lines) > most:
        lines = [*lines[:most], f"    ... and {len(lines) - most} more"]
    for name, pool in state.pools.items():
        blocks = pool.last - pool.first
        used = len(pool.held.keys() | pool.published.keys())
        lines.append(f"    {name}: {blocks - used} of {blocks} blocks free")
    for copying in state.copies.values():
        lines.append(f"    copy {copying.op} is not done")
    return lines
