# pyright: basic
"""The proofs of KV: what makes an execution wrong is not proved, and the parts are asked in their order."""

from __future__ import annotations

from typing import Any

import pytest
from kv_edits import EDITS, WALKED, Edit

from lineclear_spec.invariants import INVARIANTS, KV, kv_clauses
from lineclear_spec.kv import obligations as kv_obligations
from lineclear_spec.kv.obligations import KV_UNITS, PARTS, RUN, kv_unit
from lineclear_spec.kv.premises import NAMES
from lineclear_spec.modelcheck.kv_walks import broken
from lineclear_spec.proof.contradiction import contradicts
from lineclear_spec.proof.obligations import build, units_of_kv
from lineclear_spec.proof.prove import prove_unit


@pytest.mark.parametrize("edit", [*EDITS, *WALKED], ids=lambda e: e.what)
def test_what_reads_wrong_kv_is_not_proved(edit: Edit) -> None:
    body = broken(edit.action, edit.old, edit.new)
    names = (f"kv_{edit.action}", edit.action)
    assert set(names) <= set(units_of_kv())
    found = [
        r
        for name in names
        for r in prove_unit(build(name, body), 0, 400_000, stop_at_failure=True)
    ]
    assert any(r.status != "proved" for r in found)


NOTES = (
    ("swap_out", "ledger.note_swap(number, CPU)"),
    ("swap_in", "ledger.note_swap(number, GPU)"),
    ("copy_on_write", "ledger.note_twin(number, sequence, index)"),
    ("fork", "ledger.note_fork(parent, child, tokens)"),
)


@pytest.mark.parametrize(("action", "note"), NOTES)
def test_what_is_not_remembered_is_not_proved(action: str, note: str) -> None:
    body = broken(action, f"    {note}\n", "")
    found = prove_unit(build(f"kv_{action}", body), 0, 400_000, stop_at_failure=True)
    assert any(r.status != "proved" for r in found)


@pytest.mark.parametrize("name", ["kv_run", "kv_sample", "kv_publish", "kv_swap_in"])
def test_false_does_not_follow(name: str) -> None:
    assert not contradicts(build(name))


def run_without_waits(device: Any, number: Any) -> None:
    """A device that starts what a plan carries, whatever it waits for."""
    device.require(number >= 1, "operations are numbered from 1")
    device.require(number <= device.dispatched, "a plan has dispatched it")
    device.require(~device.has_run(number), "it has not run")
    device.execute(number)


def test_without_the_premise_on_waits_the_theorem_is_not_proved() -> None:
    found = prove_unit(kv_unit(RUN, run_without_waits), 0, 400_000)
    unproved = {r.label for r in found if r.kind == "theorem" and r.status != "proved"}
    assert {"T1"} < unproved


@pytest.mark.parametrize("premise", ["done", "good", "names", "reported", "twins"])
def test_each_premise_is_needed(premise: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert premise in NAMES
    whole = kv_obligations.premises
    monkeypatch.setattr(
        kv_obligations, "premises", lambda *a: [p for p in whole(*a) if p.name != premise]
    )
    units = {"done": "kv_commit_step", "good": "kv_complete_copy", "names": "kv_sample"}
    units |= {"reported": "kv_sample", "twins": RUN}
    found = prove_unit(build(units[premise]), 0, 400_000, stop_at_failure=True)
    assert any(r.status != "proved" for r in found)


def test_every_clause_is_asked_of_every_action() -> None:
    every = {clause.name for clause in kv_clauses()}
    for name in KV_UNITS[2:]:
        goals = build(name).goals
        assert {g.label for g in goals if g.kind == "preserved"} == every
        depths = [g.depth for g in goals]
        assert depths == sorted(depths)
    assert {i for part in PARTS for i in kv_obligations.OF[part]} == set(KV)
    assert not set(KV) & set(INVARIANTS)
