"""The matrix shows the obligations that are proved, and no others."""

from __future__ import annotations

import pytest

from lineclear_spec.actions import ACTIONS
from lineclear_spec.invariants import INVARIANTS
from lineclear_spec.proof.footprint import ASKED, STEPWISE, UNTOUCHED, footprint, reads


def test_every_action_meets_every_invariant() -> None:
    matrix = footprint()
    assert list(matrix) == list(ACTIONS)
    for row in matrix.values():
        assert list(row) == list(INVARIANTS)
        assert set(row.values()) <= {ASKED, STEPWISE, UNTOUCHED}


def test_reads_are_those_of_the_clauses() -> None:
    assert {"phase", "queue"} <= reads(INVARIANTS["queue"])
    assert "free_gpu" not in reads(INVARIANTS["queue"])
    assert "free_gpu" in reads(INVARIANTS["conservation"])


def test_marks_follow_what_the_action_writes() -> None:
    matrix = footprint()
    assert matrix["dispatch_copies"]["conservation"] == UNTOUCHED
    assert matrix["reject"]["references"] == UNTOUCHED
    assert matrix["reject"]["queue"] == ASKED
    assert matrix["swap_out"]["queue"] == ASKED
    assert matrix["schedule_tokens"]["budget"] == ASKED
    assert matrix["admit"]["conservation"] != UNTOUCHED
    assert matrix["finish"]["free_list"] != UNTOUCHED


@pytest.mark.parametrize("invariant", sorted(INVARIANTS))
def test_no_invariant_is_out_of_every_actions_reach(invariant: str) -> None:
    assert any(row[invariant] != UNTOUCHED for row in footprint().values())
