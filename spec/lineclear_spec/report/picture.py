"""A trace as a picture: one row for each action, one column for each block.

Guarantees: what is drawn was executed; only the rows' last column says what changed.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from pathlib import Path

from lineclear_spec.invariants import INVARIANTS
from lineclear_spec.kernel.ledger import Ledger
from lineclear_spec.kernel.lifecycle import Phase
from lineclear_spec.kernel.records import CPU, GPU
from lineclear_spec.modelcheck.explore import apply, perform, prepare, replay
from lineclear_spec.modelcheck.worlds import BOUNDS, Bounds, Step
from lineclear_spec.mutation.mutants import Mutant, installed
from lineclear_spec.mutation.trial import Evidence, write

MOST_BLOCKS = 12
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


def world(name: str) -> Bounds:
    """The bounds of a small world."""
    return next(bounds for bounds in BOUNDS if bounds.name == name)


def letter(number: int) -> str:
    """A sequence's letter."""
    return LETTERS[(number - 1) % len(LETTERS)]


def cells(ledger: Ledger, tier: int) -> list[str]:
    """For each block id the letters of the sequences whose tables name it; `.` free, `~` fenced, `!` free and named."""
    pool = ledger.gpu if tier == GPU else ledger.cpu
    free = set(pool.order[: pool.free])
    named: dict[int, str] = {}
    for queue in (ledger.waiting, ledger.running, ledger.swapped):
        for request in queue:
            for sequence in request.members:
                for block in sequence.table:
                    if block.tier == tier:
                        named[block.block_id] = named.get(block.block_id, "") + letter(sequence.id)
    row: list[str] = []
    for block_id in range(pool.total):
        text = named.get(block_id, "")
        if block_id in free:
            text = text + "!" if text else "~" if pool.last_use[block_id] > ledger.done else "."
        row.append(text or "?")  # neither free nor named: a leak
    return row


def change(before: dict[str, str], after: dict[str, str]) -> str:
    """What is different, record by record."""
    return ", ".join(f"{name} {text}" for name, text in after.items() if before.get(name) != text)


def facts(ledger: Ledger) -> dict[str, str]:
    """Phase of every request, counters of every sequence, steps and operations in flight."""
    found: dict[str, str] = {}
    for queue in (ledger.waiting, ledger.running, ledger.swapped):
        for request in queue:
            found[f"r{request.id}"] = Phase(request.phase).name.lower()
            for s in request.members:
                found[letter(s.id)] = (
                    f"{ledger.num_computed_tokens(s)}/{ledger.num_dispatched_tokens(s)}/{ledger.num_tokens(s)}"
                    + (" decode batch" if s.in_decode_batch else "")
                )
    found["steps"] = f"{ledger.committed}/{ledger.steps}"
    return found


def call(step: Step) -> str:
    """An action as it reads."""
    return f"{step[0]}({', '.join(letter(int(a[1:])) if str(a).startswith('s') else str(a) for a in step[1])})"


#: Mark, action, a cell for each block of both pools, and what changed.
PictureRow = tuple[str, str, list[str], list[str], str]


class Picture:
    """The rows of an execution, drawn as it goes on."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self.rows: list[PictureRow] = []
        self._before: dict[str, str] = {}
        self.add("0", "start", "")

    def add(self, mark: str, action: str, text: str | None = None) -> None:
        """The ledger after an action; with a text in the place of what changed."""
        now = facts(self.ledger)
        said = change(self._before, now) if text is None else text
        self._before = now
        self.rows.append((mark, action, cells(self.ledger, GPU), cells(self.ledger, CPU), said))


def draw(evidence: Evidence, mutant: Mutant) -> list[str]:
    """The table of a trace; the last action is the mutant's."""
    *trace, final = evidence.trace
    ledger = replay(world(evidence.bounds), ())
    picture = Picture(ledger)
    for number, step in enumerate(trace, 1):
        apply(ledger, step)
        picture.add(str(number), call(step))
    if evidence.tweaks:
        write(ledger, evidence.tweaks)
        tweaks = [f"{letter(int(s[1:]))}.{name} = {value}" for s, name, value in evidence.tweaks]
        picture.add("*", "a good state", ", ".join(tweaks))
    text = None
    with installed(mutant) as body:
        try:
            perform(ledger, final, prepare(ledger, final), body)
        except Exception as error:  # the finding itself
            text = str(error)
    picture.add(str(len(evidence.trace)), call(final), text)
    return table(picture.rows)


def table(
    rows: Sequence[PictureRow],
    columns: tuple[Sequence[int], Sequence[int]] | None = None,
    pools: tuple[str, str] = ("gpu", "cpu"),
    counters: str = "computed/dispatched/tokens",
) -> list[str]:
    """Aligned columns; blocks beyond the first few are left out, and it says so.

    Args:
        rows: mark, action, a cell for each block of both pools, and what changed; the last row is
            the one that breaks the rule.
        columns: the blocks' ids, counted from 0 if None.
        pools: what the two are called; the second may be empty.
        counters: what the last column tells of a sequence.
    """
    wide = max(len(row[1]) for row in rows)
    gpu, cpu = len(rows[0][2]), len(rows[0][3])
    shown = (min(gpu, MOST_BLOCKS), min(cpu, MOST_BLOCKS))
    width = max([2, *[len(c) for row in rows for c in (*row[2], *row[3])]]) + 1

    def blocks(row: list[str], count: int) -> str:
        return "".join(f"{c:<{width}}" for c in row[:count])

    names = columns or (range(gpu), range(cpu))
    labels = [*names[0][: shown[0]], *names[1][: shown[1]]]
    width = max([width, *[len(str(n)) + 1 for n in labels]])
    head = (
        blocks([str(n) for n in names[0]], shown[0]),
        blocks([str(n) for n in names[1]], shown[1]),
    )
    lines = [f"    step  {'action':<{wide}}  {pools[0]} {head[0]} {pools[1]} {head[1]} {counters}"]
    for mark, action, left, right, text in rows:
        flag = "  x " if mark == rows[-1][0] else "    "  # the row that breaks the rule
        gap = " " * len(pools[0]), " " * len(pools[1])
        line = (
            f"{flag}{mark:>4}  {action:<{wide}}  {gap[0]} {blocks(left, shown[0])} "
            f"{gap[1]} {blocks(right, shown[1])} {text}"
        )
        lines.append(line.rstrip())
    hidden = (gpu - shown[0]) + (cpu - shown[1])
    if hidden:
        lines.append(f"    {hidden} blocks are not shown")
    return lines


def explain(mutant: Mutant, evidence: Evidence) -> str:
    """The counterexample to a mutant, whole."""
    rule = evidence.rule.split(".")[0]
    sentence = (
        INVARIANTS[rule].sentence
        if rule in INVARIANTS
        else "a postcondition of the action, or a primitive's precondition"
    )
    kind = (
        "one step from a state that satisfies every invariant; that state may be unreachable"
        if evidence.tweaks
        else f"replayable from the start state, {len(evidence.trace)} actions"
    )
    where = f"in the world `{evidence.bounds}`, block size {world(evidence.bounds).block_size}"
    source = inspect.getsourcefile(mutant.module) or ""
    lines = [
        f"LC401 {evidence.rule} broken by {call(evidence.trace[-1])} without: {mutant.text}",
        f"violated: {sentence}",
        "",
        f"  {kind}",
        f"  {where}",
        "",
        *draw(evidence, mutant),
        "",
        f"  found     {evidence.what.replace('block_id', 'block id')}",
        f"  mutant    {mutant.name}: {mutant.kind}",
        f"  source    {Path(*Path(source).parts[-4:])}:{mutant.line}",
    ]
    return "\n".join(lines)
