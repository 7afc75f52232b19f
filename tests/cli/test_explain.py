"""`lineclear explain` knows every name and guesses at a mistyped one."""

from __future__ import annotations

import json

import pytest

from lineclear.cli import main
from lineclear_spec.actions import ACTIONS
from lineclear_spec.invariants import INVARIANTS
from lineclear_spec.lifecycle import Phase

NAMES = [*ACTIONS, *INVARIANTS, *Phase.__members__]


@pytest.mark.parametrize("name", NAMES)
def test_every_name_is_explained(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", name]) == 0
    text = capsys.readouterr().out
    assert main(["explain", name, "--format", "json"]) == 0
    content = json.loads(capsys.readouterr().out)
    assert content["name"] == name
    assert content["sentence"] in text


def test_an_action_shows_its_guards_and_effect(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", "swap_in"]) == 0
    text = capsys.readouterr().out
    assert "phase: SWAPPED to RUNNING" in text
    assert "the GPU has a free block for every distinct block" in text
    assert 'ledger.move(request, "swap_in")' in text
    assert "\nlineclear_spec/actions" in text


def test_a_phase_shows_the_ways_in_and_out(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", "swapped", "--format", "json"]) == 0
    content = json.loads(capsys.readouterr().out)
    assert content["entering"] == {"swap_out": ["RUNNING"]}
    assert content["leaving"]["discard_swapped"] == "WAITING"


def test_without_a_name_every_name_is_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain"]) == 0
    listed = {line.split()[0] for line in capsys.readouterr().out.splitlines() if line.strip()}
    assert set(NAMES) <= listed
    assert main(["explain", "--format", "json"]) == 0
    content = json.loads(capsys.readouterr().out)
    assert {name for group in content.values() for name in group} == set(NAMES)


@pytest.mark.parametrize(
    ("name", "hint"),
    [("swap_inn", "did you mean swap_in?"), ("xyzzy", "lineclear explain lists every name")],
)
def test_an_unknown_name_is_one_line(
    name: str, hint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["explain", name]) == 2
    written = capsys.readouterr()
    assert written.out == ""
    assert written.err == f"lineclear explain: '{name}' is no action, invariant or phase: {hint}\n"
