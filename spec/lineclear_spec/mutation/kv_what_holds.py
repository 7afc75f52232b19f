# pyright: basic, reportOperatorIssue=false, reportAttributeAccessIssue=false
# pyright: reportArgumentType=false, reportAssignmentType=false, reportOptionalMemberAccess=false
"""Broken tables of which it is proved that no token can be wrong.

Guarantees: `what_holds` answers only if T1 and T2 are proved of the broken table, for any number of requests, blocks
and tokens, from clauses that are proved of it too. It begins with every clause and drops those that are not
preserved, until the rest is preserved by every action: what is left is inductive. A clause may have a weaker one to
take its place (`mutation/kv_weaker.py`).

A goal is not asked again if all that its proof used is still there, which the solver says of each (`unsat_core`).

An operator of plain data that raises an error where its precondition is violated (`RAISES`) has no state after it, so
what it does on formulas counts only where the precondition holds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache
from typing import Any, NamedTuple

from lineclear_spec.actions import ACTIONS
from lineclear_spec.contracts import CONTRACTS
from lineclear_spec.invariants import INVARIANTS
from lineclear_spec.mutation.kv_declared import Tried, broken_table, weaker_forms
from lineclear_spec.mutation.mutants import Mutant
from lineclear_spec.proof.baseline import cores_of
from lineclear_spec.proof.obligations import STEPS, Goal, Unit, build, units_of_kv
from lineclear_spec.proof.prove import BUDGET, prove_unit
from lineclear_spec.symbolic.rounding import negative_positions
from lineclear_spec.symbolic.terms import Misuse

#: Preconditions that an operator of plain data checks itself: it raises an error.
RAISES = frozenset(
    {
        "0 is no name", "no block can be found under the name", "the block has no name", "one entry names the block",
        "the number of names is not negative", "a block can be found under the name", "take_blocks: count",
        "replace_entry: free", "the request has a sequence", "table has the entry that is read",
        "the operation is open",
    }
)  # fmt: skip
#: Goals that no proof of KV rests on.
ASIDE = frozenset({"ranking", "refusal", "refines"})
#: Units that no other takes a fact from: operators read what the calendars list, not what the definition says.
APART = frozenset({"calendars"})
ROUNDS = 10
#: Resources of a goal that may be lost; those that hold need less.
FEWER = {Tried.NOTHING: 1_500_000, Tried.CLAUSES: 1_500_000, Tried.SEALED_WRITES: 40_000_000}


class Kept(NamedTuple):
    """What is proved of a broken table.

    Attributes:
        weaker: clauses that hold in a weaker form.
        lost: clauses that do not hold.
        unasked: parts of contracts of block steps that are promised, `step: part`, or required, `step needs: part`, no
            more.
        raises: preconditions, `unit: text`, where the action ends with an error.
        tried: what was tried besides the clauses of the table as it is.
        doubted: goals, `unit/kind/label`, that the second solver does not prove (`mutation/kv_second_solver.py`).
    """

    weaker: tuple[str, ...]
    lost: tuple[str, ...]
    unasked: tuple[str, ...]
    raises: tuple[str, ...]
    tried: Tried
    doubted: tuple[str, ...] = ()


def premises_of(unit: Unit, goal: Goal) -> list[Any]:
    """The formulas that a goal may use."""
    return [*unit.hypotheses, *unit.assumptions[: goal.depth]]


@cache
def cores() -> dict[tuple[str, str, str], tuple[Any, list[Any]]]:
    """Of each goal of the table as it is, the goal and what its proof used."""
    found: dict[tuple[str, str, str], tuple[Any, list[Any]]] = {}
    for name in units_of_kv():
        unit = build(name)
        if name == "arithmetic":
            continue
        premises = [*unit.hypotheses, *unit.assumptions]
        asked = unit.asked
        for goal, core in zip(asked, cores_of(unit), strict=True):
            if core is not None:
                found[name, goal.kind, goal.label] = (goal.formula, [premises[k] for k in core])
    return found


def as_it_was(unit: Unit, goal: Goal) -> bool:
    """Whether the goal is one of the table as it is, and all that its proof used is there."""
    formula, core = cores().get((unit.name, goal.kind, goal.label), (None, []))
    if formula is None or not formula.eq(goal.formula):
        return False
    there = {premise.get_id() for premise in premises_of(unit, goal)}
    return all(premise.get_id() in there for premise in core)


class Sweep:
    """One round: every unit of the broken table, with what is left of the declarations.

    Attributes:
        lost: labels of clauses that were not preserved.
        unasked: parts of contracts that were not proved, or not met.
        raises: preconditions that were not met.
        failed: goals of which nothing can be dropped.
    """

    def __init__(self, mutant: Mutant, raises: set[str], budget: int = BUDGET) -> None:
        self.mutant, self.known, self.budget = mutant, raises, budget
        self.lost: set[str] = set()
        self.unasked: set[str] = set()
        self.raises: set[str] = set()
        self.failed: list[str] = []

    def counts(self, unit: Unit, goal: Goal) -> bool:
        """Whether T1 and T2 rest on the goal."""
        aside = goal.kind in ASIDE or unit.name in APART
        aside = aside or (goal.kind == "contract" and unit.name in ACTIONS)
        known = goal.kind == "defined" and f"{unit.name}: {goal.label}" in self.known
        return not (
            goal.formula is None or aside or known or goal.label.startswith("what counts as")
        )

    def units(self, body: Callable[..., Any] | None) -> Iterator[Unit]:
        """The units of the broken table.

        Raises:
            Misuse: a lemma is about a clause that is lost.
        """
        own = (self.mutant.function, f"kv_{self.mutant.function}")
        for name in units_of_kv():
            if name == "arithmetic":
                continue
            try:
                unit = build(name, body if name in own else None)
            except StopIteration:  # which it states of a clause
                raise Misuse(f"{name} has lost what it is about") from None
            yield replace(unit, hypotheses=[*unit.hypotheses, negative_positions()])

    def run(self, body: Callable[..., Any] | None) -> None:
        """Builds each unit and proves what has to be proved again."""
        for unit in self.units(body):
            goals = [g for g in unit.goals if self.counts(unit, g) and not as_it_was(unit, g)]
            results = prove_unit(replace(unit, goals=goals), budget=self.budget)
            for goal, result in zip(goals, results, strict=True):
                if result.status != "proved":
                    self.note(unit, goal)
            if self.failed:
                return

    def note(self, unit: Unit, goal: Goal) -> None:
        """What does not hold once the goal is not proved."""
        text = goal.label.split(" (")[0]
        step, _, part = text.partition(": ")
        if goal.kind in ("preserved", "initiation"):
            self.lost.add(goal.label)
        elif unit.name in STEPS and goal.kind == "contract":
            self.unasked.add(f"{STEPS[unit.name][0]}: {goal.label}")
        elif goal.kind == "defined" and text in RAISES:
            self.raises.add(f"{unit.name}: {goal.label}")
        elif goal.kind == "defined" and step in CONTRACTS:
            clauses = {c.name for i in INVARIANTS.values() for c in i.clauses}
            needed = f"{step} needs: {part}"
            (self.lost if part in clauses else self.unasked).add(
                part if part in clauses else needed
            )
        else:
            self.failed.append(f"{unit.name}/{goal.kind}/{goal.label}")


def what_holds(mutant: Mutant, tried: Tried = Tried.NOTHING) -> Kept | list[str]:
    """What is proved of the broken table, T1 and T2 among it; or the goals without which they are not.

    Args:
        mutant: the broken table.
        tried: what is tried besides the clauses of the table as it is.
    """
    cores()
    forms = weaker_forms(tried)
    weaker: set[str] = set()
    lost: set[str] = set()
    unasked: set[str] = set()
    raises: set[str] = set()
    for _ in range(ROUNDS):
        with broken_table(mutant, weaker, lost, unasked, tried) as body:
            found = Sweep(mutant, raises, FEWER[tried])
            try:
                found.run(body)
            except Misuse as misuse:
                return [str(misuse)]
        if found.failed:
            return found.failed
        if not (found.lost or found.unasked or found.raises):
            return Kept(
                tuple(sorted(weaker)),
                tuple(sorted(lost)),
                tuple(sorted(unasked)),
                tuple(sorted(raises)),
                tried,
            )
        gone = {c for c in found.lost if c in weaker or c not in forms}
        weaker = (weaker | found.lost) - gone
        lost |= gone
        unasked |= found.unasked
        raises |= found.raises
    return [f"clauses are lost still after {ROUNDS} rounds"]
