# pyright: basic
"""The verdict on each mutant: refuted, equivalent or survived.

Guarantees: *refuted* means that a concrete execution, replayable from the start state, breaks a
named rule, and that some obligation of the proof fails too; *equivalent* means that the solver
proved every obligation and that the dropped guard is implied by the rest, that the state after is
the same, or that the guards are the same in another order. Anything else *survived*.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from lineclear_spec.mutation.mutants import Mutant, generate, installed
from lineclear_spec.mutation.trial import Evidence, try_all
from lineclear_spec.parallel import in_parallel
from lineclear_spec.proof.obligations import Goal, Unit, build
from lineclear_spec.proof.prove import prove_unit
from lineclear_spec.symbolic.fields import FIELDS, GHOSTS
from lineclear_spec.symbolic.state import instance
from lineclear_spec.symbolic.terms import Misuse

#: Enough for every obligation that holds; a broken one would use all of it.
BUDGET = 1_500_000


@dataclass(frozen=True, slots=True)
class Verdict:
    """The judgement on one mutant.

    Attributes:
        mutant: its name.
        kind: its family.
        text: the statement that is gone or changed.
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


def noticed(
    mutant: Mutant, budget: int = BUDGET, units: Sequence[str] | None = None
) -> str | None:
    """The first obligation, of these units or those that change, that is not proved of the broken table, or None."""
    with installed(mutant) as body:
        for name in mutant.units if units is None else units:
            try:
                unit = build(name, body)
            except Misuse as misuse:
                return f"{name}/refused: {misuse}"
            if mutant.reordered:
                # The same guards hold in the end, so all else is proved from the same facts.
                unit.goals = [goal for goal in unit.goals if goal.kind == "defined"]
            results = prove_unit(unit, budget=budget, stop_at_failure=True)
            if results and results[-1].status != "proved":
                return results[-1].key
    return None


def all_follow(hypotheses: list[Any], facts: list[Any]) -> bool:
    """Whether each fact follows from the hypotheses; asked, as every proof, in a context of its own."""
    goals = [Goal("control", str(k), 0, fact) for k, fact in enumerate(facts)]
    results = prove_unit(Unit("mutant", hypotheses, [], goals), 0, BUDGET, stop_at_failure=True)
    return all(result.status == "proved" for result in results)


def implied(mutant: Mutant) -> bool:
    """Whether the invariants and the other guards imply what the mutant changed of a guard: of a
    dropped or weakened one the guard, of a strengthened one the stronger guard.
    """
    whole = build(mutant.function)
    position = mutant.position
    stronger = mutant.kind == "guard strengthened"
    guards = [guard for _, guard in whole.guards]
    known = [guard for k, guard in enumerate(guards) if stronger or k != position]
    goal = guards[position]
    if mutant.kind != "guard dropped":
        with installed(mutant) as body:
            broken = build(mutant.function, body).guards[position][1]
        # The two are built on the same names, so that their formulas are about the same state.
        if stronger:
            goal = broken
        else:
            known.append(broken)
    return all_follow([*whole.hypotheses, *known], [goal])


def same_guards(mutant: Mutant) -> bool:
    """Whether the guards are the same formulas in another order."""
    whole = build(mutant.function)
    with installed(mutant) as body:
        broken = build(mutant.function, body)
    ours, theirs = (sorted(g.sexpr() for _, g in unit.guards) for unit in (whole, broken))
    return ours == theirs


def same_after(mutant: Mutant) -> bool:
    """Whether the state after is the same in every field that is no ghost, wherever it runs."""
    return all(same_unit(mutant, name) for name in mutant.units)


def same_unit(mutant: Mutant, name: str) -> bool:
    """Whether it is after one action or loop.

    What a loop or an allocation leaves open has one name in both readings, and each reading's facts about
    it are proved from the other's: whatever one of them may do, the other may do too.
    """
    with installed(mutant) as body:
        broken: Unit = build(name, body)
    whole = build(name)
    if (
        whole.after is None
        or broken.after is None
        or whole.before is None
        or broken.before is None
    ):
        return False
    for ours, theirs in ((whole, broken), (broken, whole)):
        if not all_follow([*whole.hypotheses, *ours.assumptions], theirs.assumptions):
            return False
    domains = {"Int": "index", "Request": "request", "Sequence": "sequence", "Block": "block"}
    equal: list[Any] = []
    for name, (arguments, _) in FIELDS.items():
        ours, theirs = whole.after.fields[name], broken.after.fields[name]
        if name in GHOSTS or ours is theirs:
            continue
        alike: Callable[..., Any] = (
            (lambda *a, x=ours, y=theirs: x(*a) == y(*a))
            if arguments
            else (lambda x=ours, y=theirs: x == y)
        )
        equal.append(instance(tuple(domains[str(sort)] for sort in arguments), alike))
    return all_follow([*whole.hypotheses, *whole.assumptions], equal)


def judge(mutant: Mutant, evidence: Evidence | None) -> Verdict:
    """Proof and execution together."""
    stronger = mutant.kind == "guard strengthened"
    # A table that refuses more keeps every invariant: what it breaks is enabledness.
    obligation = None if stronger else noticed(mutant)
    if (obligation is not None or stronger) and evidence is not None:
        status = "refuted"
    elif obligation is None and evidence is None:
        if mutant.reordered:
            equivalent = same_guards(mutant)
        else:
            equivalent = implied(mutant) if mutant.guard else same_after(mutant)
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
    states: int | None = None,
) -> list[Verdict]:
    """Every mutant, on every core.

    Args:
        mutants: which; those that drop a statement if None.
        workers: processes at most.
        progress: called with the name of each that is judged.
        states: of each world that mutants are tried in first; those that survive are tried in whole worlds.
    """
    chosen = list(generate() if mutants is None else mutants)
    verdicts = judged(chosen, workers, progress, states)
    left = [m for m, v in zip(chosen, verdicts, strict=True) if v.status == "survived"]
    if states is None or not left:
        return verdicts
    again = {v.mutant: v for v in judged(left, workers, None, None)}
    return [again.get(v.mutant, v) for v in verdicts]


def judged(
    chosen: Sequence[Mutant],
    workers: int | None,
    progress: Callable[[str], None] | None,
    states: int | None,
) -> list[Verdict]:
    """Verdicts from executions in worlds of a size: the arguments of `judge_all`.

    Args:
        chosen: mutants.
        workers: processes at most; None for one for each core.
        progress: called with the name of each that is judged.
        states: states of each world, None for as many as it has.
    """
    found = try_all(chosen, workers, states)
    verdicts: list[Verdict] = []
    jobs: Iterable[Any] = [(mutant, found.get(mutant.name)) for mutant in chosen]
    for verdict in in_parallel(_job, list(jobs), workers):
        verdicts.append(verdict)
        if progress is not None:
            progress(verdict.mutant)
    return verdicts
