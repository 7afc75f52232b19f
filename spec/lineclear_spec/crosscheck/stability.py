# pyright: basic
"""Whether the proofs survive what must not matter: seeds, the order of assertions, names.

Guarantees: a variant of a unit says exactly what the unit says, and is the same in every process; an obligation that
is not proved in one variant, or on which z3 spends more than `failures` allows, is a failure. Unless `workers` is 1
each unit has a process of its own that did nothing but import before, so that z3 takes the same in every run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from itertools import pairwise
from random import Random
from typing import Any, TypeVar

from lineclear_spec.crosscheck.second_solver import crosscheck_script
from lineclear_spec.crosscheck.smtlib import Script, read, renamed, write
from lineclear_spec.parallel import rows_in_parallel
from lineclear_spec.proof.obligations import build, units
from lineclear_spec.proof.prove import Result, prove_unit

SEEDS = (0, 1, 2, 3, 4)
VARIANTS = ("seed", "order", "names")
SOLVERS = ("z3", "cvc5")
#: How many times its baseline an obligation may take, and resources that any may.
FACTOR, LEAST = 10, 50_000
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Trial:
    """The answer to one obligation in one variant of its unit."""

    variant: str
    result: Result


@dataclass(frozen=True, slots=True)
class Failure:
    """What makes a proof unstable.

    Attributes:
        obligation: its name.
        variant: seed, order or names: what was changed.
        seed: the solver's seed, and that of the shuffle.
        solver: z3 or cvc5.
        reason: the answer, or how the resources compare with the baseline.
    """

    obligation: str
    variant: str
    seed: int
    solver: str
    reason: str

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def shuffled(random: Random, items: Iterable[T]) -> list[T]:
    """The items in another order."""
    found = list(items)
    random.shuffle(found)
    return found


def reordered(script: Script, random: Random) -> Script:
    """Other orders of the hypotheses, of the obligations and of the assumptions of each depth."""
    depths = sorted({0, *[q.depth for q in script.queries], len(script.assumptions)})
    slices = [script.assumptions[a:b] for a, b in pairwise(depths)]
    return replace(
        script,
        sorts=tuple(shuffled(random, script.sorts)),
        functions=dict(shuffled(random, script.functions.items())),
        hypotheses=tuple(shuffled(random, script.hypotheses)),
        assumptions=tuple(f for part in slices for f in shuffled(random, part)),
        queries=tuple(sorted(shuffled(random, script.queries), key=lambda q: q.depth)),
    )


def anonymous(script: Script, random: Random) -> Script:
    """Names that say nothing, dealt at random."""
    symbols = [*script.sorts, *script.functions]
    numbers = shuffled(random, range(len(symbols)))
    return renamed(script, {s: f"symbol_{k}" for s, k in zip(symbols, numbers, strict=True)})


def variant(script: Script, kind: str, seed: int) -> Script:
    """The script with its order or its names changed as the number `seed` says; the kind "seed" changes nothing.

    Raises:
        ValueError: there is no such kind of variant.
    """
    random = Random(f"{script.name}/{kind}/{seed}")
    if kind == "seed":
        return script
    if kind == "order":
        return reordered(script, random)
    if kind == "names":
        return anonymous(script, random)
    raise ValueError(f"no variant is called {kind}; known: {', '.join(VARIANTS)}")


def check(script: Script, seed: int, solver: str) -> list[Result]:
    """The solver's answers to the obligations of the text."""
    if solver == "cvc5":
        return crosscheck_script(script, seed)
    return prove_unit(read(script), seed)


def _job(
    job: tuple[str, Sequence[int], Sequence[str], Sequence[str]],
    prepare: Callable[[], None] | None,
) -> list[Trial]:
    if prepare is not None:
        prepare()
    name, seeds, kinds, solvers = job
    script = write(build(name))
    return [
        Trial(kind, result)
        for kind in kinds
        for seed in seeds
        for solver in solvers
        for result in check(variant(script, kind, seed), seed, solver)
    ]


def stability(
    names: Sequence[str] | None = None,
    seeds: Sequence[int] = SEEDS,
    kinds: Sequence[str] = VARIANTS,
    solvers: Sequence[str] = SOLVERS,
    workers: int | None = None,
    progress: Callable[[str], None] | None = None,
    prepare: Callable[[], None] | None = None,
) -> list[Trial]:
    """Every obligation of the named units (all if None) in every variant, by every solver.

    Args:
        names: units; None for all.
        seeds: of the solvers and of the shuffles.
        kinds: variants.
        solvers: z3, cvc5 or both.
        workers: processes at most; None for one for each core.
        progress: called with the name of each unit that is done.
        prepare: a function of a module that registers units, called in every process.
    """
    if prepare is not None:
        prepare()
    jobs = [(name, tuple(seeds), tuple(kinds), tuple(solvers)) for name in (names or units())]
    return rows_in_parallel(partial(_job, prepare=prepare), jobs, workers, progress, fresh=True)


def failures(trials: Iterable[Trial], baseline: dict[str, int]) -> list[Failure]:
    """What is not proved, and what z3 spent more on than ten times the baseline and than 50,000 units.

    cvc5 has no baseline: its budget is twenty times what the hardest obligation takes. The obligation that a solver is
    asked first pays for reading the assumptions. In another order that is another one, so it may take as much more as
    the dearest obligation of its unit.
    """
    found: list[Failure] = []
    dearest: dict[str, int] = {}
    for key, resources in baseline.items():
        unit = key.partition("/")[0]
        dearest[unit] = max(resources, dearest.get(unit, 0))
    for trial in trials:
        result = trial.result
        reasons: list[str] = []
        if result.status != "proved":
            reasons.append(result.status)
        reading = dearest.get(result.unit, 0) if trial.variant == "order" else 0
        known = baseline.get(result.key)
        most = max(LEAST, FACTOR * (known or 0))
        if result.solver == "z3" and result.rlimit - reading > most:
            against = "which has no baseline" if known is None else f"baseline {known}"
            reasons.append(f"took {result.rlimit} resource units, {against}")
        found += [
            Failure(result.key, trial.variant, result.seed, result.solver, reason)
            for reason in reasons
        ]
    return found
