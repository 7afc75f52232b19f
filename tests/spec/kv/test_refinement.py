# pyright: basic
"""The refinement: what is no move of the abstract machine is not proved, and an execution shows it."""

from __future__ import annotations

from typing import Any

import pytest
from kv_edits import Edit
from refinement_edits import UNREFINED

from lineclear_spec.actions import ACTIONS
from lineclear_spec.modelcheck.kv_walks import broken, directed
from lineclear_spec.proof.obligations import build
from lineclear_spec.proof.prove import prove_unit
from lineclear_spec.symbolic.kv import KvGhosts
from lineclear_spec.symbolic.state import State


def refines(name: str, body: Any = None) -> list[str]:
    """The answers to the obligations of the refinement alone."""
    unit = build(name, body)
    unit.goals = [goal for goal in unit.goals if goal.kind == "refines"]
    return [result.status for result in prove_unit(unit, 0, 400_000)]


@pytest.mark.parametrize("edit", UNREFINED, ids=lambda e: e.what)
def test_what_is_no_move_is_not_proved_and_seen(edit: Edit) -> None:
    body = broken(edit.action, edit.old, edit.new)
    assert set(refines(f"kv_{edit.action}", body)) != {"proved"}
    walk = directed(edit.bounds, edit.trace, {edit.action: body})
    assert any("is no move" in line for line in walk.wrong), (walk.trace, walk.wrong)
    assert directed(edit.bounds, edit.trace, {}).wrong == []


def test_every_action_is_asked_to_be_a_move() -> None:
    for name in ACTIONS:
        asked = [goal.label for goal in build(f"kv_{name}").goals if goal.kind == "refines"]
        assert len(asked) >= 5, name


def test_a_known_token_that_changes_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    def void_too_much(self: KvGhosts, request: Any) -> None:
        s: State = self.state.snapshot()
        r = request.z
        self._foresee(lambda q: s.request(q) == r, lambda q: s.num_tokens(q) - 1)

    monkeypatch.setattr(KvGhosts, "note_voided", void_too_much)
    assert set(refines("kv_recompute")) != {"proved"}
