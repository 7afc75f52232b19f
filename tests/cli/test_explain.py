"""`lineclear explain` knows every name and guesses at a mistyped one."""

from __future__ import annotations

import json
from itertools import islice
from pathlib import Path

import pytest
from refusals import printed

from lineclear.cli import main
from lineclear_spec.actions import ACTIONS
from lineclear_spec.invariants import INVARIANTS
from lineclear_spec.kernel.lifecycle import Phase

NAMES = [*ACTIONS, *INVARIANTS, *Phase.__members__]


@pytest.mark.parametrize("name", NAMES)
def test_every_name_is_explained(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    text = printed(capsys, "explain", name)
    content = json.loads(printed(capsys, "explain", name, "--format", "json"))
    assert content["name"] == name
    assert content["sentence"] in text


def test_an_action_shows_its_guards_and_effect(capsys: pytest.CaptureFixture[str]) -> None:
    text = printed(capsys, "explain", "swap_in")
    assert "phase: SWAPPED to RUNNING" in text
    assert "the GPU has a free block for every private block" in text
    assert 'ledger.move(request, "swap_in")' in text
    assert "\nlineclear_spec/actions" in text


def test_a_phase_shows_the_ways_in_and_out(capsys: pytest.CaptureFixture[str]) -> None:
    content = json.loads(printed(capsys, "explain", "swapped", "--format", "json"))
    assert content["entering"] == {"swap_out": ["RUNNING"]}
    assert content["leaving"]["discard_swapped"] == "WAITING"


def test_without_a_name_every_name_is_listed(capsys: pytest.CaptureFixture[str]) -> None:
    listed = {line.split()[0] for line in printed(capsys, "explain").splitlines() if line.strip()}
    assert set(NAMES) <= listed
    content = json.loads(printed(capsys, "explain", "--format", "json"))
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
    assert (
        written.err
        == f"lineclear explain: unknown name '{name}': no action, invariant or phase: {hint}\n"
    )


def test_a_mutant_is_searched_no_further_than_its_first_refutation(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Stops at the first world with evidence, which equals that of a search of every world."""
    from lineclear_spec.modelcheck.explore import Exploration, search
    from lineclear_spec.modelcheck.worlds import BOUNDS, Bounds
    from lineclear_spec.mutation import trial

    searched: list[str] = []

    def counted(bounds: Bounds, *, check: bool, collect: bool) -> Exploration:
        searched.append(bounds.name)
        return search(bounds, check=check, collect=collect)

    monkeypatch.setattr(trial, "search", counted)
    content = json.loads(printed(capsys, "explain", "submit.guard.2", "--format", "json"))
    assert content["rule"] == "limit.known"
    assert searched == [bounds.name for bounds in BOUNDS[: len(searched)]]
    assert content["world"] == searched[-1]
    assert len(searched) < len(BOUNDS)


def test_worlds_are_searched_once_each_however_often_they_are_asked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from lineclear_spec.modelcheck.explore import Exploration
    from lineclear_spec.modelcheck.worlds import BOUNDS, Bounds
    from lineclear_spec.mutation import trial

    searched: list[str] = []

    def counted(bounds: Bounds, **_: bool) -> Exploration:
        searched.append(bounds.name)
        return Exploration(bounds)

    monkeypatch.setattr(trial, "search", counted)
    worlds = trial.Worlds()
    first = next(iter(worlds))
    assert next(iter(worlds)) is first
    assert searched == [BOUNDS[0].name]
    assert next(islice(worlds, 1, None)) is not first
    assert searched == [bounds.name for bounds in BOUNDS[:2]]


def test_a_page_that_is_missing_is_not_called_stale(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    page = ["explain", "--page", "-o", str(tmp_path / "findings.md")]
    assert "is missing: lineclear explain --page -o" in printed(capsys, *page, "--check", code=1)
    assert printed(capsys, *page) == printed(capsys, *page, "--check") == ""
