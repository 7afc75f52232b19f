"""The matrix is recorded from the table that is proved."""

from __future__ import annotations

import pytest

from lineclear_spec.actions import ACTIONS
from lineclear_spec.invariants import INVARIANTS

pytest.importorskip("z3", reason="the symbolic ledger needs z3-solver")

from lineclear_spec.footprint import OBLIGATION, UNTOUCHED, footprint, reads, writes


def test_every_action_meets_every_invariant() -> None:
    matrix = footprint()
    assert list(matrix) == list(ACTIONS)
    for row in matrix.values():
        assert list(row) == list(INVARIANTS)
        assert set(row.values()) <= {OBLIGATION, UNTOUCHED}


def test_writes_are_those_of_the_effect() -> None:
    assert writes(ACTIONS["reject"]) == {"phase", "queue", "releases"}
    assert writes(ACTIONS["carry"]) == {"carried"}
    assert {"phase", "free_gpu", "table", "slot_tokens"} <= writes(ACTIONS["admit"])


def test_reads_are_those_of_the_clauses() -> None:
    queue = reads(INVARIANTS["queue"])
    assert {"phase", "queue"} <= queue
    assert "free_gpu" not in queue
    assert "free_gpu" in reads(INVARIANTS["conservation"])


def test_what_an_action_leaves_alone_is_untouched() -> None:
    matrix = footprint()
    assert matrix["carry"]["conservation"] == UNTOUCHED
    assert matrix["admit"]["conservation"] == OBLIGATION
    assert matrix["reject"]["references"] == UNTOUCHED


def test_no_invariant_is_out_of_every_actions_reach() -> None:
    matrix = footprint()
    for invariant in INVARIANTS:
        assert any(row[invariant] == OBLIGATION for row in matrix.values())
