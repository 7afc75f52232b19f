"""Recorded steps: the table allows them all, and a stronger guard is noticed by them."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from pathlib import Path

import pytest

from lineclear.checks.stage import Outcome
from lineclear.checks.table import replayed
from lineclear_spec.actions import ACTIONS
from lineclear_spec.enabled import FILE, read, refused, text
from lineclear_spec.mutants import generate, installed


def test_every_recorded_step_is_allowed_and_every_action_is_among_them() -> None:
    records = read()
    assert refused(records) == []
    assert {step[0] for _, _, step in records} == set(ACTIONS)
    assert text(records) == FILE.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "name",
    [
        "swap_in.guard.3.strengthened.1",
        "append_slots.guard.3.strengthened.1",
        "submit.guard.2.strengthened.1",
    ],
)
def test_a_guard_that_is_stronger_in_the_source_turns_the_stage_red(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (mutant,) = [m for m in generate(("guard strengthened",)) if m.name == name]
    assert replayed(Outcome("witnesses", "passed", "")).status == "passed"
    with installed(mutant) as body:
        assert body is not None
        action = ACTIONS[mutant.function]
        monkeypatch.setitem(ACTIONS, mutant.function, dataclasses.replace(action, body=body))
        outcome = replayed(Outcome("witnesses", "passed", ""))
    assert outcome.status == "refuted"
    assert {finding.code for finding in outcome.findings} == {"LC603"}
    assert mutant.function in outcome.findings[0].title
    assert "docs/make_enabled.py" in outcome.findings[0].lines[-1]


def test_a_step_whose_effect_fails_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object) -> None:
        raise KeyError("gone")

    action = dataclasses.replace(ACTIONS["admit"], body=fails)
    monkeypatch.setitem(ACTIONS, "admit", action)
    assert ("KeyError: 'gone'") in {why for _, why in refused(read())}


def test_a_world_that_is_gone_is_one_clear_error(tmp_path: Path) -> None:
    path = tmp_path / "enabled.json"
    path.write_text('{"steps": [{"world": "none", "trace": [["submit", [1, 2, 1]]]}]}')
    with pytest.raises(ValueError, match=r"enabled\.json: there is no world 'none'"):
        read(path)


@pytest.mark.deep
def test_the_file_is_what_would_be_written_now() -> None:
    script = Path(__file__).resolve().parents[2] / "docs" / "make_enabled.py"
    done = subprocess.run([sys.executable, str(script), "--check"], check=False)
    assert done.returncode == 0
