"""Recorded steps: the table allows them all, and a stronger guard is noticed by them."""

from __future__ import annotations

import dataclasses
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import lineclear
import lineclear_spec
from lineclear.checks.stage import Outcome
from lineclear.checks.table import replayed
from lineclear_spec.actions import ACTIONS
from lineclear_spec.modelcheck.enabled import FILE, read, refused, text
from lineclear_spec.mutation.mutants import generate, installed
from lineclear_spec.mutation.trial import try_mutant
from lineclear_spec.mutation.variants import BESIDES


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
        "copy_on_write.guard.1.only_when_the_step_being_built_is_empty",
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


def test_every_stricter_guard_is_refuted_by_a_recorded_step() -> None:
    made = generate(("guard strengthened",))
    besides = sum("only_when" in mutant.name for mutant in made)
    assert besides == len(ACTIONS) * len(BESIDES) - 1  # `finish_each` asks one of them itself
    assert [m.name for m in made if try_mutant(m, ()) is None] == []


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


#: What the stage says of recorded steps, without the searches that come before.
ALLOWED = """\
from lineclear.checks.stage import Outcome
from lineclear.checks.table import replayed
from lineclear_spec.modelcheck import enabled
print(enabled.__file__, replayed(Outcome("witnesses", "passed", "")).status)
"""


@pytest.mark.slow
def test_the_check_is_red_on_a_source_with_one_stronger_guard(tmp_path: Path) -> None:
    for package in (lineclear_spec, lineclear):
        source = Path(str(package.__file__)).parent
        shutil.copytree(
            source, tmp_path / source.name, ignore=shutil.ignore_patterns("__pycache__")
        )
    check = ["-m", "lineclear", "check", "--fast", "--stage", "witnesses", "--no-cache"]
    path = os.pathsep.join([str(tmp_path), *filter(None, sys.path)])

    def python(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, *arguments],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": path},
            capture_output=True,
            text=True,
            check=False,
        )

    unedited = python("-c", ALLOWED)
    assert unedited.stdout.split() == [
        str(tmp_path / "lineclear_spec/modelcheck/enabled.py"),
        "passed",
    ]
    file = tmp_path / "lineclear_spec/actions/preemption.py"
    weaker, stronger = "request.blocks <= ledger.gpu.free", "request.blocks <= ledger.gpu.free - 1"
    file.write_text(file.read_text(encoding="utf-8").replace(weaker, stronger), encoding="utf-8")
    red = python(*check)
    assert red.returncode == 1
    assert "LC603" in red.stdout
    assert "preemption.py" in red.stdout


@pytest.mark.deep
def test_the_file_is_what_would_be_written_now() -> None:
    script = Path(__file__).resolve().parents[3] / "docs" / "make_enabled.py"
    done = subprocess.run([sys.executable, str(script), "--check"], check=False)
    assert done.returncode == 0
