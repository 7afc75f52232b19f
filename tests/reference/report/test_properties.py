"""The table has no empty cell, and a cell says no more than was asked and shown."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from lineclear.cli.policies import seen
from lineclear.evidence.refutations import REFUTATIONS, Demonstration, NotShown
from lineclear.policies import BUILT_IN, load_claims
from lineclear.report.properties import PROPERTIES, Cell, cells
from lineclear_spec.liveness.standings import Standing
from lineclear_spec.liveness.theorems import CLAIMS, Theorem

load_claims()
Seen = dict[str, Demonstration | NotShown]


@pytest.fixture(scope="module")
def shown(all_refutations: tuple[Seen, Path]) -> Seen:
    """What each refutation showed."""
    return all_refutations[0]


def stood(theorem: Theorem, status: str = "proved") -> Standing:
    return Standing(
        theorem.name, theorem.sentence, theorem.holds, dict.fromkeys(theorem.premises, "guard"),
        1, status, (),
    )  # fmt: skip


def all_proved() -> list[Standing]:
    return [stood(theorem) for claims in CLAIMS.values() for theorem in claims.theorems]


def at(found: list[Cell], policy: str, name: str) -> Cell:
    return next(cell for cell in found if (cell.policy, cell.property) == (policy, name))


def test_every_policy_has_a_verdict_for_every_property(shown: Seen) -> None:
    found = cells(all_proved(), shown)
    assert {cell.policy for cell in found} == {*BUILT_IN, "lpl_aging"}
    assert len(found) == len({cell.policy for cell in found}) * len(PROPERTIES)
    assert {cell.verdict for cell in found} == {"proved", "refuted", "both", "not applicable"}
    assert all(bool(cell.why) == (cell.verdict == "not applicable") for cell in found)
    assert at(found, "edf", "P7").verdict == at(found, "vtc", "P7").verdict == "both"
    starving = {c.policy for c in found if c.property == "P7" and c.verdict == "refuted"}
    assert starving == {"priority", "sjf", "lpl", "hybrid"}


@pytest.mark.parametrize("status", ["unknown", "refuted"])
def test_a_theorem_that_is_not_proved_leaves_its_cell_open(status: str, shown: Seen) -> None:
    standings = [replace(s, status=status) if s.theorem == "fcfs.P8" else s for s in all_proved()]
    cell = at(cells(standings, shown), "fcfs", "P8")
    assert (cell.verdict, cell.why) == ("unknown", f"fcfs.P8 is {status}")


def test_a_run_that_shows_nothing_leaves_its_cell_open(shown: Seen) -> None:
    missed = {**shown, "priority.P7": NotShown("no request starves")}
    cell = at(cells(all_proved(), missed), "priority", "P7")
    assert (cell.verdict, cell.why) == ("unknown", "priority.P7: no request starves")


def test_a_theorem_that_is_missing_leaves_its_cell_open(shown: Seen) -> None:
    standings = [s for s in all_proved() if s.theorem != "drr.P13"]
    cell = at(cells(standings, shown), "drr", "P13")
    assert cell.verdict == "unknown"


def test_a_property_that_fails_without_a_run_leaves_its_cell_open(
    shown: Seen, monkeypatch: pytest.MonkeyPatch
) -> None:
    fewer = tuple(r for r in REFUTATIONS if r.name != "mlfq.P10")
    monkeypatch.setattr("lineclear.report.properties.REFUTATIONS", fewer)
    cell = at(cells(all_proved(), shown), "mlfq", "P10")
    assert (cell.verdict, cell.why) == ("unknown", "mlfq.P10 has no run")


def test_a_run_without_a_journal_shows_the_same(shown: Seen) -> None:
    mine = [refutation for refutation in REFUTATIONS if refutation.policy == "edf"]
    assert mine
    assert all(seen(refutation, None) == shown[refutation.name] for refutation in mine)
