# pyright: basic
"""Answers of an earlier run: used for the same formulas only, and never if one was not proved."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import z3

from lineclear.policies import load_claims
from lineclear.policies.priority import Priority
from lineclear_spec.crosscheck import second_solver
from lineclear_spec.mutation.mutants import generate, installed
from lineclear_spec.proof import prove
from lineclear_spec.proof.answers import answered, text_of
from lineclear_spec.proof.obligations import Goal, Unit, build

load_claims()
UNITS = ["order_aging", "order_priority", "finish"]


def asked(folder: Path, seed: int = 0, units: list[str] = UNITS) -> set[str]:
    """Units that a run asked, and did not take from an earlier one."""
    results = prove.prove(units, (seed,), workers=1, answers=folder)
    assert {result.unit for result in results} == set(units)
    assert all(result.status == "proved" for result in results)
    return {result.unit for result in results if not result.recalled}


def test_an_edit_of_a_policys_order_asks_its_units_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert asked(tmp_path) == set(UNITS)
    assert asked(tmp_path) == set()
    assert asked(tmp_path, seed=1) == set(UNITS)

    def key(_: Priority, request: Any) -> Any:
        return 1 - request.priority

    monkeypatch.setattr(Priority, "key", key)
    assert asked(tmp_path) == {"order_priority"}
    assert asked(tmp_path) == set()


def test_an_edit_of_an_action_or_of_its_prover_asks_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (mutant,) = [m for m in generate() if m.name == "finish.guard.1"]
    whole = text_of(build("finish"))
    with installed(mutant) as body:
        assert text_of(build("finish", body)) != whole
    assert asked(tmp_path) == set(UNITS)
    monkeypatch.setattr(prove, "solver_version", lambda: "z3 of tomorrow")
    assert asked(tmp_path) == set(UNITS)


def test_the_second_solver_has_answers_of_its_own(tmp_path: Path) -> None:
    prove.prove(["order_aging"], workers=1, answers=tmp_path)
    first = second_solver.crosscheck(["order_aging"], workers=1, answers=tmp_path)
    again = second_solver.crosscheck(["order_aging"], workers=1, answers=tmp_path)
    assert not any(result.recalled for result in first)
    assert all(result.recalled for result in again)
    assert [(r.key, r.status) for r in first] == [(r.key, r.status) for r in again]


def test_what_is_not_proved_is_asked_again(tmp_path: Path) -> None:
    number = z3.Int("number")
    unit = Unit("wrong", [number > 0], goals=[Goal("fact", "it", 0, number > 1)])
    runs: list[int] = []

    def ask() -> list[prove.Result]:
        runs.append(1)
        return prove.prove_unit(unit)

    for _ in range(2):
        (result,) = answered(tmp_path, unit, (), ask)
        assert (result.status, result.recalled) == ("refuted", False)
    assert len(runs) == 2
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "damage", ["", "[]", "{}", '{"key": 1, "results": []}', "status", "fewer"]
)
def test_a_damaged_answer_is_no_answer(tmp_path: Path, damage: str) -> None:
    unit = ["order_priority"]
    assert asked(tmp_path, units=unit) == {*unit}
    assert asked(tmp_path, units=unit) == set()
    for path in tmp_path.iterdir():
        if damage == "status":
            content = json.loads(path.read_text())
            content["results"][0]["status"] = "refuted"
            path.write_text(json.dumps(content))
        elif damage == "fewer":
            content = json.loads(path.read_text())
            path.write_text(json.dumps(content | {"results": content["results"][1:]}))
        else:
            path.write_text(damage)
    assert asked(tmp_path, units=unit) == {*unit}
