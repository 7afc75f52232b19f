# pyright: basic
"""What the proof of each obligation uses: hints that make it cheap to prove again.

Guarantees: nothing rests on a hint. It names some of the premises that an obligation may use, and a solver is asked
with these first: what follows from fewer premises follows from all. One that is stale costs a question more. A hint
that names what an obligation may not use is no hint (`of`).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from pathlib import Path

import z3

from lineclear_spec.symbolic.goals import Unit

CORES = Path(__file__).with_name("cores.json")
#: Numbers of premises: the hypotheses of a unit, then its assumptions.
Core = list[int]


@cache
def read_cores() -> dict[str, list[Core | None]]:
    """By unit, a hint for each obligation that is asked, in their order; None if there is none."""
    found: dict[str, list[Core | None]] = json.loads(CORES.read_text()) if CORES.exists() else {}
    return found


def of(unit: Unit) -> list[Core | None]:
    """The hints for the obligations of a unit that are asked; as many, None where there is none that may be used."""
    asked = unit.asked
    hints = read_cores().get(unit.name, [])
    if len(hints) != len(asked):
        return [None for _ in asked]
    return [
        hint
        if hint is None or all(0 <= k < len(unit.hypotheses) + goal.depth for k in hint)
        else None
        for hint, goal in zip(hints, asked, strict=True)
    ]


def core_of(
    unit: Unit, solver: z3.Solver, ask: Callable[[z3.Solver], z3.CheckSatResult]
) -> list[Core | None]:
    """What the solver, when it is asked, says that the proof of each obligation of a unit uses; None if it is not
    proved.
    """
    solver.set("unsat_core", True)
    found: list[Core | None] = []
    count = 0

    def add(formulas: Iterable[z3.BoolRef]) -> None:
        nonlocal count
        for formula in formulas:
            solver.assert_and_track(formula, z3.Bool(f"premise.{count}", solver.ctx))
            count += 1

    add(unit.hypotheses)
    added = 0
    for goal in unit.asked:
        add(unit.assumptions[added : goal.depth])
        added = max(added, goal.depth)
        solver.push()
        solver.add(z3.Not(goal.formula))
        proved = ask(solver) == z3.unsat
        numbers = (
            [int(str(name).partition(".")[2]) for name in solver.unsat_core()] if proved else []
        )
        found.append(sorted(numbers) if proved else None)
        solver.pop()
    return found


def write_cores(cores: Sequence[tuple[str, list[Core | None]]]) -> None:
    """Record the hints of each unit."""
    lines = [
        f"{json.dumps(name)}: {json.dumps(rows, separators=(',', ':'))}" for name, rows in cores
    ]
    CORES.write_text("{\n" + ",\n".join(lines) + "\n}\n")
