# pyright: basic
"""What becomes of each mutant: refuted, equivalent or survived.

Guarantees: *refuted* means that a concrete execution, replayable from the start state, breaks a
named rule, and that some obligation of the proof fails too; *equivalent* means that the solver
proved every obligation and that the dropped guard is implied by the rest, or that the state after
is the same. Anything else *survived*. It knows nothing about how mutants are made.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import z3

from lineclear_spec.mutants import Mutant, generate, installed
from lineclear_spec.obligations import Unit, build
from lineclear_spec.parallel import in_parallel
from lineclear_spec.prove import make_solver, prove_unit
from lineclear_spec.state import FIELDS, instance
from lineclear_spec.trial import Evidence, try_all

__all__ = ["Verdict", "judge", "judge_all", "noticed"]

#: Enough for every obligation that holds; a broken one would use all of it.
BUDGET = 1_500_000
GHOSTS = frozenset(
    "index rank holder owner_gpu owner_cpu slot seat batch_seat kv touch_gpu touch_cpu "
    "releases born tokens_of "
    "sequences_of step_of".split()
)


@dataclass(frozen=True, slots=True)
class Verdict:
    """The judgement on one mutant.

    Attributes:
        mutant: its name.
        kind: guard dropped or effect dropped.
        text: the statement that is gone.
        status: refuted, equivalent or survived.
        obligation: the first obligation that is no longer proved, or None.
        evidence: a concrete execution that breaks a named rule, or None.
    """

    mutant: str
    kind: str
    text: str
    status: str
    obligation: str | None
    evidence: Evidence | None = None

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def noticed(mutant: Mutant, budget: int = BUDGET) -> str | None:
    """The first obligation that is not proved of the broken table, or None."""
    with installed(mutant) as body:
        for name in mutant.units:
            results = prove_unit(build(name, body), budget=budget, stop_at_failure=True)
            if results[-1].status != "proved":
                return results[-1].key
    return None


def implied(mutant: Mutant) -> bool:
    """Whether the invariants and the other guards imply the guard that was dropped."""
    whole = build(mutant.function)
    position = int(mutant.name.rsplit(".", 1)[1]) - 1
    solver = make_solver(0, BUDGET)
    solver.add(*whole.hypotheses)
    solver.add(*[formula for k, (_, formula) in enumerate(whole.guards) if k != position])
    solver.add(z3.Not(whole.guards[position][1]))
    return bool(solver.check() == z3.unsat)


def same_after(mutant: Mutant) -> bool:
    """Whether the state after is the same in every field that is no ghost."""
    with installed(mutant) as body:
        broken: Unit = build(mutant.function, body)
    whole = build(mutant.function)
    if (
        whole.after is None
        or broken.after is None
        or whole.before is None
        or broken.before is None
    ):
        return False
    solver = make_solver(0, BUDGET)
    solver.add(*whole.hypotheses, *whole.assumptions, *broken.assumptions)
    domains = {"Int": "index", "Request": "request", "Sequence": "sequence", "Block": "block"}
    for name, (arguments, _) in FIELDS.items():
        ours, theirs = whole.after.fields[name], broken.after.fields[name]
        if name in GHOSTS or ours is theirs:
            continue
        equal: Callable[..., Any] = (
            (lambda *a, x=ours, y=theirs: x(*a) == y(*a))
            if arguments
            else (lambda x=ours, y=theirs: x == y)
        )
        solver.push()
        solver.add(z3.Not(instance(tuple(domains[str(sort)] for sort in arguments), equal)))
        differs = not bool(solver.check() == z3.unsat)
        solver.pop()
        if differs:
            return False
    return True


def judge(mutant: Mutant, evidence: Evidence | None) -> Verdict:
    """Proof and execution together."""
    obligation = noticed(mutant)
    if obligation is not None and evidence is not None:
        status = "refuted"
    elif obligation is None and evidence is None:
        equivalent = implied(mutant) if mutant.kind.startswith("guard") else same_after(mutant)
        status = "equivalent" if equivalent else "survived"
    else:
        status = "survived"
    return Verdict(mutant.name, mutant.kind, mutant.text, status, obligation, evidence)


def _job(job: tuple[Mutant, Any]) -> Verdict:
    return judge(*job)


def judge_all(
    mutants: Sequence[Mutant] | None = None,
    workers: int | None = None,
    progress: Callable[[str], None] | None = None,
) -> list[Verdict]:
    """Every mutant, on every core."""
    chosen = list(generate() if mutants is None else mutants)
    found = try_all(chosen, workers)
    verdicts: list[Verdict] = []
    jobs: Iterable[Any] = [(mutant, found.get(mutant.name)) for mutant in chosen]
    for verdict in in_parallel(_job, list(jobs), workers):
        verdicts.append(verdict)
        if progress is not None:
            progress(verdict.mutant)
    return verdicts
