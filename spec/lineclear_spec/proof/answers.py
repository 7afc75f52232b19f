# pyright: basic
"""Answers that a solver gave before, kept by the text of what it was asked.

Guarantees: an answer is used again only for the same formulas in the same order, the same solver,
seed and budget; only units whose every obligation was proved are kept; a damaged file counts as absent. A kept
answer is believed: a program that can write to the folder can forge one.

The formulas are made anew each time, so it needs no list of what a unit depends on: whatever was
edited, a unit is asked again if its formulas, the solver, seed, budget or the text of the module that asks are others.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import z3

if TYPE_CHECKING:
    from lineclear_spec.proof.obligations import Unit


@dataclass(frozen=True, slots=True)
class Result:
    """The answer to one obligation.

    Attributes:
        unit: what was asked about: an action, a block step, a lemma, `start`, `arithmetic` ...
        label: a clause, a contract's part, a precondition ... (see `proof.obligations.Goal`).
        kind: see `proof.obligations.Goal`; `frame` if nothing that the clause reads is written.
        status: proved, refuted or unknown.
        seconds: wall time, for people only.
        rlimit: solver resources used.
        seed: the solver's random seed.
        solver: z3 or cvc5.
        recalled: whether an earlier run asked it, of the same formulas.
    """

    unit: str
    label: str
    kind: str
    status: str
    seconds: float
    rlimit: int
    seed: int = 0
    solver: str = "z3"
    recalled: bool = False

    @property
    def key(self) -> str:
        """Name of the obligation, without the answer."""
        return f"{self.unit}/{self.kind}/{self.label}"

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def text_of(unit: Unit) -> str:
    """Everything that a solver is asked of a unit: declarations, hypotheses, and goals in their order."""
    solver = z3.Solver()
    solver.add(*unit.hypotheses, *unit.assumptions)
    solver.add(*[goal.formula for goal in unit.asked])
    goals = [
        f"{goal.kind} {goal.label} {goal.depth} {'frame' if goal.formula is None else 'asked'}"
        for goal in unit.goals
    ]
    sizes = f"{len(unit.hypotheses)} {len(unit.assumptions)}"
    return "\n".join([unit.name, sizes, *goals, str(solver.sexpr())])


def answered(
    folder: Path | None, unit: Unit, settings: tuple[object, ...], ask: Callable[[], list[Result]]
) -> list[Result]:
    """The answers to a unit: those of an earlier run if it was asked the same, else of this one.

    Args:
        folder: where answers are kept; None to ask.
        unit: what is asked.
        settings: the solver with its version, the seed, the budget, the text of the module that asks it.
        ask: asks the solver.
    """
    if folder is None:
        return ask()
    key = hashlib.sha256("\n".join([*map(str, settings), text_of(unit)]).encode()).hexdigest()
    path = folder / f"{unit.name}-{key[:32]}.json"
    try:
        whole: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        rows: list[dict[str, Any]] = whole["results"]
        found = [replace(Result(**row), recalled=True) for row in rows]
        labels = [r.label for r in found if r.kind != "lemma"]
        whole_unit = whole["key"] == key and labels == [goal.label for goal in unit.goals]
        if whole_unit and all(r.status == "proved" for r in found):
            return found
    except (OSError, ValueError, KeyError, TypeError):
        pass
    results = ask()
    if all(result.status == "proved" for result in results):
        keep(path, {"key": key, "results": [result.as_dict() for result in results]})
    return results


def keep(path: Path, content: dict[str, Any]) -> None:
    """Writes a whole file, or none: a folder that cannot be written is no error."""
    temporary = ""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".")
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump(content, file)
        os.replace(temporary, path)
    except OSError:
        if temporary and os.path.exists(temporary):
            os.unlink(temporary)
