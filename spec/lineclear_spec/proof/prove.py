# pyright: basic
"""The proofs: every obligation checked by Z3, for any number of requests, sequences, blocks and tokens.

Guarantees: `unknown` is reported as a failure, and budgets are solver resources, never wall time. `refuted` means
that the solver found a model, which without model-based instantiation it does only where no quantifier is left.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import z3

from lineclear_spec.parallel import in_parallel, rows_in_parallel
from lineclear_spec.proof import cores
from lineclear_spec.proof.answers import Result, answered
from lineclear_spec.proof.cores import Core
from lineclear_spec.proof.obligations import Goal, Unit, build, units

__all__ = [
    "BASELINE", "Result", "ask", "every_key", "keys_of", "prove", "prove_unit", "read_baseline",
    "solver_version", "vanished",
]  # fmt: skip

BUDGET = 4_000_000
#: Resources for an obligation that is asked with a hint; one that holds needs less.
FEW = 400_000
BASELINE = Path(__file__).with_name("baseline.json")


def solver_version() -> str:
    """The solver, as results name it."""
    return f"z3 {z3.get_version_string()}"


def make_solver(seed: int, budget: int, context: z3.Context | None = None) -> z3.Solver:
    """A solver for proofs: no model-based instantiation, a fixed seed, a budget of resources.

    Args:
        seed: of its random numbers.
        budget: resources of each question.
        context: of the formulas; None for the one that formulas are made in.
    """
    solver = z3.Solver(ctx=context)
    solver.set("auto_config", False)
    solver.set("mbqi", False)
    solver.set("random_seed", seed)
    # Facts of one literal wait until the search restarts: without it the same proof takes up to
    # fifty times the resources under another seed.
    solver.set("smt.delay_units", True)
    solver.set("rlimit", budget)
    # Python gets Ctrl-C. z3 would catch it and end the question as if its budget were used up.
    solver.set("ctrl_c", False)
    return solver


def used(solver: z3.Solver) -> int:
    """Resources used in this context so far."""
    statistics = solver.statistics()
    for k in range(len(statistics)):
        key, value = statistics[k]
        if key == "rlimit count":
            return int(value)
    return 0


def ask(solver: z3.Solver) -> z3.CheckSatResult:
    """The solver's answer.

    Raises:
        KeyboardInterrupt: the solver was interrupted, which it would report as unknown.
    """
    answer = solver.check()
    if answer == z3.unknown and "interrupted" in solver.reason_unknown():
        raise KeyboardInterrupt
    return answer


def denied(
    solver: z3.Solver, goal: Goal, premises: Sequence[z3.BoolRef] = ()
) -> z3.CheckSatResult:
    """The solver's answer to the goal denied, with some premises besides its own."""
    solver.push()
    solver.add(*premises, z3.Not(goal.formula))
    answer = ask(solver)
    solver.pop()
    return answer


def in_context(context: z3.Context, unit: Unit) -> Unit:
    """What is asked, as formulas of this context. A new one has no terms of other units, which would change the
    order in which a solver tries terms. Names are in one table for all contexts, so a cost may still differ now and
    then.
    """

    def copy(formula: Any) -> Any:
        plain = isinstance(formula, bool)  # what functions answer where nothing is unknown
        return z3.BoolVal(formula, context) if plain else formula.translate(context)

    goals = [g if g.formula is None else replace(g, formula=copy(g.formula)) for g in unit.goals]
    hypotheses, assumptions = map(copy, unit.hypotheses), map(copy, unit.assumptions)
    return Unit(unit.name, list(hypotheses), list(assumptions), goals)


def prove_unit(
    unit: Unit,
    seed: int = 0,
    budget: int = BUDGET,
    *,
    stop_at_failure: bool = False,
    hints: Sequence[Core | None] = (),
) -> list[Result]:
    """Check the goals of one unit in order.

    Args:
        unit: what is asked.
        seed: of the solver.
        budget: resources for each obligation.
        stop_at_failure: whether to stop at the first that is not proved.
        hints: for each goal that is asked, premises with which it is asked first (`cores.of`); none if empty.
    """
    context = z3.Context()
    unit = in_context(context, unit)
    premises = [*unit.hypotheses, *unit.assumptions]
    solver, small = make_solver(seed, budget, context), make_solver(seed, FEW, context)
    if unit.name == "arithmetic":
        solver = z3.SolverFor("QF_NIA", context)
        solver.set("random_seed", seed)
        solver.set("rlimit", budget)
    hinted = iter(hints)
    results: list[Result] = []
    added = 0  # of the premises
    before = used(solver)
    for goal in unit.by_depth():
        if goal.formula is None:
            results.append(Result(unit.name, goal.label, "frame", "proved", 0.0, 0, seed))
            continue
        started = time.perf_counter()
        hint = next(hinted, None)
        few = None if hint is None else [premises[k] for k in hint]
        answer = z3.unknown if few is None else denied(small, goal, few)
        if answer != z3.unsat:
            depth = len(unit.hypotheses) + goal.depth
            solver.add(*premises[added:depth])
            added = max(added, depth)
            answer = denied(solver, goal)
        now = used(solver)
        status = (
            "proved"
            if bool(answer == z3.unsat)
            else "refuted"
            if bool(answer == z3.sat)
            else "unknown"
        )
        seconds = round(time.perf_counter() - started, 4)
        results.append(
            Result(unit.name, goal.label, goal.kind, status, seconds, max(0, now - before), seed)
        )
        before = now
        if stop_at_failure and status != "proved":
            break
    return results


def _job(
    job: tuple[str, Sequence[int], int],
    answers: Path | None = None,
    second: Callable[[Unit], list[Result]] | None = None,
) -> list[Result]:
    name, seeds, budget = job
    unit = build(name)
    hints = cores.of(unit)
    results: list[Result] = []
    for seed in seeds:
        settings = (solver_version(), seed, budget, Path(__file__).read_text(encoding="utf-8"))
        ask_it = partial(prove_unit, unit, seed, budget, hints=hints)
        results += answered(answers, unit, settings, ask_it)
    return results if second is None else results + second(unit)


def prove(
    names: Sequence[str] | None = None,
    seeds: Sequence[int] = (0,),
    workers: int | None = None,
    budget: int = BUDGET,
    progress: Callable[[str], None] | None = None,
    answers: Path | None = None,
    second: Callable[[Unit], list[Result]] | None = None,
) -> list[Result]:
    """Check every obligation of the named units, once for each seed; the answers unit by unit.

    Args:
        names: of units, all if None or empty.
        seeds: of the solver.
        workers: processes at most.
        budget: resources for each obligation.
        progress: called with the name of each unit that was asked.
        answers: folder of earlier answers, None to ask everything.
        second: asks another solver about the unit, which is made once for all of them.
    """
    jobs = [(name, tuple(seeds), budget) for name in (names or units())]
    job = partial(_job, answers=answers, second=second)
    return rows_in_parallel(job, jobs, workers, progress)


def read_baseline() -> dict[str, int]:
    """The most resources that each obligation used when the baseline was written."""
    return json.loads(BASELINE.read_text()) if BASELINE.exists() else {}


def vanished(results: Iterable[Result], baseline: dict[str, int]) -> list[str]:
    """Keys of the baseline that are not among the answers to all units.

    A precondition, a postcondition or a lemma that is lost takes its obligation with it, and what is left is
    proved as before. So an obligation may go only together with its line in the baseline.
    """
    asked = {r.key for r in results}
    return sorted(set(baseline) - asked)


def keys_of(name: str) -> list[str]:
    """Keys of the obligations of one unit, as their answers have them."""
    return [
        f"{name}/{'frame' if goal.formula is None else goal.kind}/{goal.label}"
        for goal in build(name).goals
    ]


def every_key() -> list[str]:
    """Keys of every obligation that there is, whether it is asked or not: each unit is made."""
    return list(made_keys(tuple(units())))


@cache
def made_keys(names: tuple[str, ...]) -> tuple[str, ...]:
    """The keys of these units; made once in a process."""
    return tuple([key for found in in_parallel(keys_of, names) for key in found])
