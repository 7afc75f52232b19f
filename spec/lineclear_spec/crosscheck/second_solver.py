# pyright: basic
"""Every obligation again, by a second solver: cvc5, from the SMT-LIB text alone.

Guarantees: a result is `proved` only if cvc5 answers unsat within a budget of its own resource
units; `unknown` is a failure. What the two solvers have in common is the text, nothing else.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

from lineclear_spec.crosscheck.smtlib import Script, export, write
from lineclear_spec.parallel import rows_in_parallel
from lineclear_spec.proof import cores
from lineclear_spec.proof.answers import answered
from lineclear_spec.proof.cores import Core
from lineclear_spec.proof.obligations import Unit, build, units
from lineclear_spec.proof.prove import Result

__all__ = ["BUDGET", "ask", "crosscheck", "crosscheck_unit", "disagreements", "export", "version"]

#: cvc5's resource units for one obligation; the hardest that holds takes a twentieth of it.
BUDGET = 800_000
STATUS = {"unsat": "proved", "sat": "refuted", "unknown": "unknown"}
RESOURCES = "resource::resourceUnitsUsed"


def version() -> str:
    """The second solver, as results name it."""
    cvc5: Any = import_module("cvc5")
    return f"cvc5 {cvc5.__version__}"


def used(solver: Any) -> int:
    """Resource units that the solver used so far."""
    return int(solver.getStatistics()[RESOURCES]["value"])


def ask(text: str, seed: int = 0, budget: int = BUDGET) -> list[tuple[str, float, int]]:
    """cvc5's answer to each `check-sat` of a script, with seconds and resource units.

    Raises:
        RuntimeError: cvc5 does not accept the script.
    """
    cvc5: Any = import_module("cvc5")
    solver = cvc5.Solver()
    solver.setOption("incremental", "true")
    solver.setOption("rlimit-per", str(budget))
    solver.setOption("seed", str(seed))
    solver.setOption("sat-random-seed", str(seed))
    parser = cvc5.InputParser(solver)
    parser.setStringInput(cvc5.InputLanguage.SMT_LIB_2_6, text, "obligations")
    symbols = parser.getSymbolManager()
    answers: list[tuple[str, float, int]] = []
    before = 0
    while True:
        command = parser.nextCommand()
        if command.isNull():
            return answers
        started = time.perf_counter()
        output = str(command.invoke(solver, symbols)).strip()
        if command.getCommandName() == "check-sat":
            answer = output.split()[0] if output else ""  # "unknown (RESOURCEOUT)"
            if answer not in STATUS:
                raise RuntimeError(f"cvc5 answers neither sat, unsat nor unknown: {output}")
            now = used(solver)
            answers.append((answer, round(time.perf_counter() - started, 4), now - before))
            before = now
        elif output:
            raise RuntimeError(f"cvc5 does not accept the script: {output}")


def crosscheck_script(
    script: Script, seed: int = 0, budget: int = BUDGET, hints: Sequence[Core | None] = ()
) -> list[Result]:
    """cvc5's answers to the obligations of one script.

    Args:
        script: the text.
        seed: of the solver.
        budget: resources for each obligation.
        hints: for each of them, premises with which it is asked first (`cores.of`); none if empty.
    """
    answers = ask(script.hinted(hints), seed, budget) if hints else []
    left = [k for k in range(len(script.queries)) if not answers or answers[k][0] != "unsat"]
    if left:
        whole = replace(script, queries=tuple([script.queries[k] for k in left]))
        found = dict(zip(left, ask(whole.text(), seed, budget), strict=True))
        answers = [found.get(k) or answers[k] for k in range(len(script.queries))]
    return [
        Result(script.name, q.label, q.kind, STATUS[answer], seconds, units_used, seed, "cvc5")
        for q, (answer, seconds, units_used) in zip(script.queries, answers, strict=True)
    ]


def crosscheck_unit(
    unit: Unit, seed: int = 0, budget: int = BUDGET, answers: Path | None = None
) -> list[Result]:
    """Like `prove.prove_unit`, in the same order, by cvc5, with hints; lemmas of the text come first.

    Args:
        unit: whose obligations are asked.
        seed: of the solver's random numbers.
        budget: of its resources, for each obligation.
        answers: folder of earlier answers, None to ask everything.
    """
    script = write(unit)
    hints = () if unit.name == "arithmetic" else cores.of(unit)
    text = "" if answers is None else script.text()  # it is what cvc5 is asked
    settings = (version(), seed, budget, Path(__file__).read_text(encoding="utf-8"), text)
    ask_it = partial(_in_order, unit, script, seed, budget, hints)
    return answered(answers, unit, settings, ask_it)


def _in_order(
    unit: Unit, script: Script, seed: int, budget: int, hints: Sequence[Core | None]
) -> list[Result]:
    found = crosscheck_script(script, seed, budget, hints)
    rest = iter([r for r in found if r.kind != "lemma"])
    return [
        *[r for r in found if r.kind == "lemma"],
        *[
            Result(unit.name, goal.label, "frame", "proved", 0.0, 0, seed, "cvc5")
            if goal.formula is None
            else next(rest)
            for goal in unit.goals
        ],
    ]


def _job(job: tuple[str, int, int], answers: Path | None = None) -> list[Result]:
    name, seed, budget = job
    return crosscheck_unit(build(name), seed, budget, answers)


def crosscheck(
    names: Sequence[str] | None = None,
    seeds: Sequence[int] = (0,),
    workers: int | None = None,
    budget: int = BUDGET,
    progress: Callable[[str], None] | None = None,
    answers: Path | None = None,
) -> list[Result]:
    """Like `prove.prove`, by cvc5.

    Args:
        names: of units, all if None.
        seeds: of the solver.
        workers: processes at most.
        budget: resources for each obligation.
        progress: called with the name of each unit that was asked.
        answers: folder of earlier answers, None to ask everything.
    """
    jobs = [(name, seed, budget) for seed in seeds for name in (names or units())]
    return rows_in_parallel(partial(_job, answers=answers), jobs, workers, progress)


def disagreements(
    first: Iterable[Result], second: Iterable[Result]
) -> list[tuple[Result, Result]]:
    """Pairs of answers to one obligation that differ; a lemma is asked of one solver only.

    Raises:
        ValueError: the two runs were not asked the same.
    """
    left, right = ([r for r in part if r.kind != "lemma"] for part in (first, second))
    if [r.key for r in left] != [r.key for r in right]:
        raise ValueError("the two runs were asked different obligations")
    return [(a, b) for a, b in zip(left, right, strict=True) if a.status != b.status]
