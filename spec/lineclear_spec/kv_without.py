# pyright: basic, reportOperatorIssue=false, reportAttributeAccessIssue=false
# pyright: reportArgumentType=false, reportAssignmentType=false, reportOptionalMemberAccess=false
"""Broken tables of which it is proved that no token can be wrong.

Guarantees: `what_holds` answers only if T1 and T2 are proved of the broken table, for any number of requests, blocks
and tokens, from clauses that are proved of it too. It begins with every clause and drops those that are not
preserved, until the rest is preserved by every action: what is left is inductive. A clause may have a weaker one to
take its place (`kv_weaker.py`).

A goal is not asked again if all that its proof used is still there, which the solver says of each (`unsat_core`).

Two things are taken from plain data. An operator that raises an error where its precondition is violated (`RAISES`)
has no state after it, so what it does on formulas counts only where the precondition holds. And a new block is a new
object: it has backed no place before, which on formulas follows from `conservation` and is assumed where places leak.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Set
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from typing import Any, NamedTuple

import z3

from lineclear_spec import kv_obligations
from lineclear_spec.actions import ACTIONS
from lineclear_spec.contracts import CONTRACTS
from lineclear_spec.cores import core_of
from lineclear_spec.invariants import CPU, GPU, INVARIANTS, KV
from lineclear_spec.invariants.clause import Invariant
from lineclear_spec.kv_walks import broken
from lineclear_spec.kv_weaker import GONE, OF_DEVICE, OF_STEPS, OF_TABLE, WEAKER, of_grant, of_move
from lineclear_spec.mutants import Mutant, installed
from lineclear_spec.obligations import STEPS, Goal, Unit, build, units_of_kv
from lineclear_spec.prove import BUDGET, ask, make_solver
from lineclear_spec.rounding import negative_positions
from lineclear_spec.state import BLOCK_OF
from lineclear_spec.symbolic_blocks import Blocks
from lineclear_spec.symbolic_cache import Cache
from lineclear_spec.terms import Misuse, raw

__all__ = ["Kept", "Sweep", "as_it_was", "broken_table", "cores", "premises_of", "what_holds"]

#: Preconditions that an operator of plain data checks itself: it raises an error.
RAISES = frozenset(
    {
        "0 is no name", "no block can be found under the name", "the block has no name", "one entry names the block",
        "the number of names is not negative", "a block can be found under the name", "take_blocks: count",
        "replace_entry: free", "the request has a sequence", "table has the entry that is read",
        "the operation is open",
    }
)  # fmt: skip
#: Ghost statements that go with a statement, or stay where it took them along: what stands in its place.
GHOSTS = {
    "settle_copy.effect.1": ("ledger.forget_copy(number)", "ledger.note_good(number)"),
    "copy_on_write.effect.1": (
        "ledger.replace_entry(sequence, index)\n    ledger.send_whole(sequence)\n    "
        "ledger.note_twin(number, sequence, index)",
        "ledger.send_whole(sequence)",
    ),
}
#: Goals that no proof of KV rests on.
ASIDE = frozenset({"ranking", "refusal", "refines"})
#: Units that no other takes a fact from: operators read what the calendars list, not what the definition says.
APART = frozenset({"calendars"})
ROUNDS = 10
#: Resources of a goal that may be lost; those that hold need less.
FEWER = 1_500_000


class Kept(NamedTuple):
    """What is proved of a broken table.

    Attributes:
        weaker: clauses that hold in a weaker form.
        lost: clauses that do not hold.
        unasked: parts of contracts of block steps that are promised, `step: part`, or required, `step needs: part`, no
            more.
        raises: preconditions, `unit: text`, where the action ends with an error.
        candidates: whether the clauses of `OF_TABLE` and `OF_DEVICE` were among those tried.
        doubted: goals, `unit/kind/label`, that the second solver does not prove (`kv_second.py`).
    """

    weaker: tuple[str, ...]
    lost: tuple[str, ...]
    unasked: tuple[str, ...]
    raises: tuple[str, ...]
    candidates: bool
    doubted: tuple[str, ...] = ()


class declared:
    """Within the block the declarations are those of a broken table.

    Args:
        weaker: clauses that are replaced.
        lost: clauses that are dropped.
        unasked: parts of contracts that are dropped.
        candidates: whether the clauses of `OF_TABLE` and `OF_DEVICE` are declared too.
    """

    def __init__(
        self, weaker: Set[str], lost: Set[str], unasked: Set[str], candidates: bool
    ) -> None:
        self.weaker, self.lost, self.unasked = weaker, lost, unasked
        self.candidates = candidates
        self.tables: tuple[dict[str, Any], ...] = (
            INVARIANTS,
            KV,
            CONTRACTS,
            kv_obligations.USED,
            kv_obligations.OF,
        )

    def __enter__(self) -> None:
        self.before = [dict(table) for table in self.tables]
        if self.candidates:
            INVARIANTS["without_places"] = Invariant("without", "", "step", OF_STEPS)
            INVARIANTS["without"] = Invariant("without", "", "boundary", OF_TABLE)
            KV["without_order"] = Invariant("without_order", "", "kv", OF_DEVICE)
            used, of = kv_obligations.USED, kv_obligations.OF
            used["kv"] = (*used["kv"], "without")
            used["version"] = (
                *used["version"], "residency", "conservation", "pending", "free_list", "group_local", "references",
                "catalogue",
            )  # fmt: skip
            of["version"] |= {"without", "without_order"}
        for table in (INVARIANTS, KV):
            for name, invariant in table.items():
                kept = [
                    replace(c, predicate=WEAKER[c.name]) if c.name in self.weaker else c
                    for c in invariant.clauses
                    if c.name not in self.lost
                ]
                table[name] = replace(invariant, clauses=tuple(kept))
        for name, contract in CONTRACTS.items():
            CONTRACTS[name] = replace(
                contract,
                promises=self.fewer(f"{name}: ", contract.promises),
                requirements=self.fewer(f"{name} needs: ", contract.requirements),
                exact=(lambda *_: {}) if f"{name}: exact" in self.unasked else contract.exact,
            )
        if self.candidates:
            for name in ("take_blocks", "give_each_one", "replace_entry"):
                taking = CONTRACTS[name]
                CONTRACTS[name] = replace(
                    taking,
                    promises=lambda *a, taking=taking: [*taking.promises(*a), *of_grant(*a[:2])],
                )
            moving = CONTRACTS["move_blocks"]
            CONTRACTS["move_blocks"] = replace(
                moving,
                promises=lambda *a: [*moving.promises(*a), *of_move(*a)],
                modifies=lambda *a: tuple({*moving.modifies(*a), "owner_gpu", "owner_cpu"}),
            )
        kv_obligations.hypotheses.cache_clear()

    def fewer(self, begin: str, parts: Callable[..., Any]) -> Callable[..., Any]:
        """The parts of a contract without those that are dropped."""
        return lambda *a: [p for p in parts(*a) if begin + p.label not in self.unasked]

    def __exit__(self, *_: object) -> None:
        for table, before in zip(self.tables, self.before, strict=True):
            table.clear()
            table.update(before)
        kv_obligations.hypotheses.cache_clear()


class plain_data:
    """Within the block a new block has backed no place before, and names are given of tokens that are known.

    Args:
        leaves: whether a place is not that of its block any more once the block has left it.
    """

    def __init__(self, leaves: bool) -> None:
        self.leaves = leaves

    def __enter__(self) -> None:
        self.moved = moved = Blocks.relocate
        self.whole = whole = Blocks.new_blocks
        self.listed = listed = Cache.all_listed

        def made(ledger: Any, sequences: Any, places: Any) -> Any:
            old, p = ledger.state.snapshot(), z3.Int("p")
            blocks = whole(ledger, sequences, places)
            for tier in (GPU, CPU):
                owner = old.owner(tier, p)
                ledger.assume(z3.ForAll([p], z3.Not(blocks.has(owner)), patterns=[owner]))
            ledger.assume(z3.Not(blocks.has(GONE)))
            known = getattr(ledger.state.fields, "known", {})
            known |= {f: len(ledger.assumptions) for f in known if f in ("tier", "place", "ref")}
            return blocks

        def known(ledger: Any, sequence: Any, count: Any) -> Any:
            found = listed(ledger, sequence, count)
            full = BLOCK_OF(ledger.state.known(sequence.z))
            ledger.assume(z3.Implies(raw(found), raw(count) <= full))
            return found

        def left(ledger: Any, blocks: Any, tier: int, places: Any) -> None:
            old = ledger.state.snapshot()
            moved(ledger, blocks, tier, places)
            source = CPU if tier == GPU else GPU

            def owner(p: Any) -> Any:
                b = old.owner(source, p)
                its = z3.And(blocks.has(b), old.tier(b) == source, old.place(b) == p)
                return z3.If(its, GONE, b)

            ledger.state.fields["owner_cpu" if tier == GPU else "owner_gpu"] = owner

        setattr(Blocks, "new_blocks", made)  # noqa: B010
        if self.leaves:
            setattr(Blocks, "relocate", left)  # noqa: B010
        setattr(Cache, "all_listed", known)  # noqa: B010

    def __exit__(self, *_: object) -> None:
        setattr(Blocks, "new_blocks", self.whole)  # noqa: B010
        setattr(Blocks, "relocate", self.moved)  # noqa: B010
        setattr(Cache, "all_listed", self.listed)  # noqa: B010


@contextmanager
def broken_table(
    mutant: Mutant, weaker: Set[str], lost: Set[str], unasked: Set[str], candidates: bool
) -> Iterator[Callable[..., Any] | None]:
    """Within the block the broken table stands in for the real one, with its declarations; the broken action.

    Args:
        mutant: the broken table.
        weaker: clauses that are replaced.
        lost: clauses that are dropped.
        unasked: parts of contracts that are dropped.
        candidates: whether the clauses of `OF_TABLE` and `OF_DEVICE` are declared too.
    """
    with installed(mutant) as body, declared(weaker, lost, unasked, candidates), plain_data(candidates):
        if mutant.name in GHOSTS:
            body = broken(mutant.function, *GHOSTS[mutant.name])
        yield body


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
        asked = [goal for goal in unit.goals if goal.formula is not None]
        used = core_of(unit, make_solver(0, BUDGET), ask)
        for goal, core in zip(asked, used, strict=True):
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

    def __init__(self, mutant: Mutant, raises: set[str]) -> None:
        self.mutant, self.known = mutant, raises
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
            solver, added = make_solver(0, FEWER), 0
            if goals:
                solver.add(*unit.hypotheses)
            for goal in goals:
                solver.add(*unit.assumptions[added : goal.depth])
                added = max(added, goal.depth)
                solver.push()
                solver.add(z3.Not(goal.formula))
                if ask(solver) != z3.unsat:
                    self.note(unit, goal)
                solver.pop()
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
            (self.lost if part in clauses else self.unasked).add(part if part in clauses else needed)
        else:
            self.failed.append(f"{unit.name}/{goal.kind}/{goal.label}")


def what_holds(mutant: Mutant, candidates: bool = False) -> Kept | list[str]:
    """What is proved of the broken table, T1 and T2 among it; or the goals without which they are not.

    Args:
        mutant: the broken table.
        candidates: whether the clauses of `OF_TABLE` and `OF_DEVICE` are tried too.
    """
    cores()
    weaker: set[str] = set()
    lost: set[str] = set()
    unasked: set[str] = set()
    raises: set[str] = set()
    for _ in range(ROUNDS):
        with broken_table(mutant, weaker, lost, unasked, candidates) as body:
            found = Sweep(mutant, raises)
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
                candidates,
            )
        gone = {c for c in found.lost if c in weaker or c not in WEAKER}
        weaker = (weaker | found.lost) - gone
        lost |= gone
        unasked |= found.unasked
        raises |= found.raises
    return [f"clauses are lost still after {ROUNDS} rounds"]
