"""The lemmas of ranking and progress of a unit, and those of them that are not proved."""

# pyright: basic

from __future__ import annotations

from lineclear_spec.proof.obligations import Unit
from lineclear_spec.proof.prove import prove_unit

LEMMAS = ("ranking", "progress")


def lemmas(unit: Unit) -> Unit:
    unit.goals = [goal for goal in unit.goals if goal.kind in LEMMAS]
    return unit


def failing(unit: Unit) -> set[str]:
    """Lemmas that are not proved."""
    found = prove_unit(lemmas(unit), budget=400_000)
    assert found
    return {r.label for r in found if r.status != "proved"}
