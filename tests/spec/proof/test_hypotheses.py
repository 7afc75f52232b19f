# pyright: basic, reportOperatorIssue=false
"""What proofs take for granted is true of states that were executed.

Two solvers that read the same text cannot see a false axiom in it. So the very formulas that every
obligation rests on, the facts of ceil and floor and all invariants, are evaluated here on plain
ledgers; and what an action may assume of a loop, on every loop that ran.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any

import pytest
import z3
from evaluated import Reading, Values, reading

from lineclear_spec.contracts import CONTRACTS
from lineclear_spec.modelcheck.concrete import violated_postconditions
from lineclear_spec.modelcheck.explore import apply, nearest, replay
from lineclear_spec.modelcheck.ghosts import GhostLedger
from lineclear_spec.modelcheck.worlds import BOUNDS, Bounds, Trace
from lineclear_spec.proof.obligations import Unit, build, units
from lineclear_spec.symbolic.state import BLOCK_OF, NEED


@cache
def built(name: str) -> Unit:
    """A unit, made once."""
    return build(name)


@cache
def assumed() -> list[tuple[Any, Reading]]:
    """The hypotheses of all units that speak of a ledger, each once."""
    found: dict[int, Any] = {}
    for name in units():
        unit = built(name)
        if unit.before is not None or name in ("start", "calendars"):
            found |= {h.get_id(): h for h in unit.hypotheses}
    return [(h, reading(h)) for h in found.values()]


@cache
def states(most: int, few: int) -> tuple[tuple[Bounds, Trace], ...]:
    """Some traces of a short search of every world, spread over it from near to far."""
    chosen: list[tuple[Bounds, Trace]] = []
    for bounds in BOUNDS:
        found = nearest(replace(bounds, max_states=most))
        chosen += [(bounds, trace) for trace in found[:: max(1, len(found) // few)]]
    return tuple(chosen)


def wrong(formulas: list[tuple[Any, Reading]], ledger: GhostLedger) -> list[str]:
    """The formulas that are false."""
    seen = Values(ledger)
    return [str(formula) for formula, read in formulas if not read(seen, ())]


def test_every_hypothesis_is_true_of_states_that_were_reached() -> None:
    formulas = assumed()
    assert len(formulas) > 70
    count = 0
    for bounds, trace in states(60, 5):
        assert wrong(formulas, replay(bounds, trace)) == [], (bounds.name, trace)
        count += 1
    assert count >= 5 * len(BOUNDS) / 2


n, a, b = z3.Ints("n a b")
FALSE = {
    "floor is ceil": z3.ForAll([n], BLOCK_OF(n) == NEED(n)),
    "ceil grows with its number": z3.ForAll(
        [a, b], z3.Implies(z3.And(0 <= a, a < b), NEED(a) < NEED(b))
    ),
    "a block is one position": z3.ForAll([n], z3.Implies(n >= 0, NEED(n) == n)),
    "a sequence is always in the decode batch": z3.Int("decode_batch_size") >= 1,
    "nothing is ever in flight": z3.Int("steps") == z3.Int("committed"),
}


@pytest.mark.parametrize("name", list(FALSE))
def test_a_false_axiom_is_seen(name: str) -> None:
    planted = [(FALSE[name], reading(FALSE[name]))]
    assert any(wrong(planted, replay(*where)) for where in states(60, 5))


def test_a_ledger_that_is_broken_makes_a_hypothesis_false() -> None:
    bounds = replace(BOUNDS[0], max_states=60)
    trace = next(t for t in nearest(bounds) if t and t[-1][0] == "admit")
    ledger = replay(bounds, trace)
    assert wrong(assumed(), ledger) == []
    ledger.gpu.free += 1
    assert wrong(assumed(), ledger) != []


# ---- block steps -------------------------------------------------------------------------------


class DuePlain:
    """What a contract asks of the sequences in the decode batch that are due, on plain data."""

    def __init__(self, due: Any) -> None:
        self.records = list(due.records)
        self.size = len(self.records)

    def at(self, index: int) -> Any:
        return self.records[index] if 0 <= index < self.size else None

    def has(self, sequence: Any) -> bool:
        return sequence in self.records

    def is_due(self, sequence: Any) -> bool:
        return sequence in self.records

    def index_of(self, sequence: Any) -> int:
        return self.records.index(sequence) if sequence in self.records else -1


class Watched(GhostLedger):
    """A ledger that holds every block step it runs against the contract that proofs assume of it."""

    steps_run: Callable[[str, list[str]], None]


def watched(name: str) -> Callable[..., None]:
    """The step, and its contract."""

    def step(ledger: Watched, *arguments: Any) -> None:
        before = Values(ledger)
        getattr(GhostLedger, name)(ledger, *arguments)
        after = Values(ledger)
        contract = CONTRACTS[name]
        values = [DuePlain(x) if hasattr(x, "records") else x for x in arguments]
        count = contract.count(before, *values)
        parts = [
            *contract.requirements(before, count, *values),
            *contract.promised(before, after, count, *values),
        ]
        ledger.steps_run(
            name, [breach.rule for breach in violated_postconditions(parts, before, after)]
        )

    return step


for _name in CONTRACTS:
    setattr(Watched, _name, watched(_name))


def run_loops(most: int, few: int) -> dict[str, list[list[str]]]:
    """Of each block step, what every run of it broke."""
    ran: dict[str, list[list[str]]] = {}
    for bounds, trace in states(most, few):
        ledger = Watched(bounds.limits())
        ledger.steps_run = lambda name, broken: ran.setdefault(name, []).append(broken)
        for step in trace:
            apply(ledger, step)
    return ran


def test_every_loop_that_ran_did_what_proofs_assume_of_it() -> None:
    ran = run_loops(150, 8)
    assert set(ran) == set(CONTRACTS)
    assert {name: sum(map(len, broken)) for name, broken in ran.items()} == dict.fromkeys(ran, 0)


def test_a_loop_that_breaks_its_contract_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first condition of every contract is denied: each loop must be seen to break it."""
    for name, contract in list(CONTRACTS.items()):

        def denied(*arguments: Any, made: Any = contract.ensures) -> list[Any]:
            label, domains, predicate = made(*arguments)[0]
            return [(f"not {label}", domains, lambda *x: not predicate(*x))]

        monkeypatch.setitem(CONTRACTS, name, replace(contract, ensures=denied))
    ran = run_loops(150, 8)
    quiet = [
        name
        for name, runs in ran.items()
        if not any(rule.startswith("not ") for broken in runs for rule in broken)
    ]
    assert set(ran) == set(CONTRACTS)
    assert quiet == []


# ---- names -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", units())
def test_every_obligation_has_a_name_of_its_own(name: str) -> None:
    names = [(goal.kind, goal.label) for goal in built(name).goals]
    assert len(names) == len(set(names))
