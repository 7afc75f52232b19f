"""Different salts never share a block: proved by both solvers, and each premise is needed."""

# pyright: basic

from __future__ import annotations

import pytest
import z3

from lineclear_spec.crosscheck.second_solver import crosscheck_unit
from lineclear_spec.kv import salts
from lineclear_spec.liveness.progress_units import of_progress
from lineclear_spec.proof.obligations import Unit
from lineclear_spec.proof.prove import prove_unit

SHARED, FOUND, NAMELESS = (
    "different salts never share a block",
    "a block that is found under a request's name has the request's salt",
    "a sequence without names shares no block with another request",
)


def lost(unit: Unit) -> set[str]:
    """Goals that are not proved; both solvers say the same."""
    found = {r.label for r in prove_unit(unit, budget=400_000) if r.status != "proved"}
    assert found == {r.label for r in crosscheck_unit(unit, budget=40_000) if r.status != "proved"}
    return found


def test_every_goal_is_proved() -> None:
    unit = of_progress("salts", *salts.salts())
    assert {goal.label for goal in unit.goals} == {SHARED, FOUND, NAMELESS}
    assert lost(unit) == set()


@pytest.mark.parametrize(
    ("left", "gone"),
    [
        (
            ("own_names", "catalogue"),
            {SHARED, NAMELESS},
        ),  # a private block in two requests' tables
        (("group_local", "catalogue"), {SHARED, NAMELESS}),  # a sealed block of other tokens
        (("group_local", "own_names"), {SHARED}),  # a name below the first
    ],
)
def test_each_invariant_is_needed(left: tuple[str, ...], gone: set[str]) -> None:
    assert lost(of_progress("salts", *salts.salts(left))) == gone


def test_names_that_lie_share_blocks_of_different_salts() -> None:
    (_, *clauses), goals = salts.salts()
    assert lost(of_progress("salts", clauses, goals)) == {SHARED, FOUND}


def test_the_hypotheses_do_not_contradict_each_other() -> None:
    hypotheses, _ = salts.salts()
    assert lost(of_progress("salts", hypotheses, [("false", z3.BoolVal(False))])) == {"false"}
