"""Planted bugs: for each property of real bugs, one that turns `lineclear check` red.

The table of docs/trust.md names the properties. Each bug is planted where a real one would be: in
an action, a block step, a primitive of the ledger or a decision of the scheduler. By default only
the stage concerned runs, on one small world; the deep run asks the whole stage.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from planted import BUGS, Bug, Patch, only
from refusals import printed

from lineclear.checks import table
from lineclear.checks.counterexample import Counterexample, CounterexampleError
from lineclear.checks.registry import STAGES
from lineclear.checks.stage import Context, Outcome, run_stage
from lineclear.checks.table import explored
from lineclear.cli import main
from lineclear_spec.modelcheck.explore import search
from lineclear_spec.modelcheck.worlds import BOUNDS, Bounds
from lineclear_spec.report.picture import world


def breaks_now(saved: Counterexample) -> bool:
    """Whether the current table breaks a rule; it may also refuse an earlier action."""
    try:
        return saved.execute().breaks
    except CounterexampleError:
        return False


def look(bug: Bug, monkeypatch: Patch) -> Outcome:
    """Runs the affected stage on one small world or one configuration."""
    if bug.bounds is not None:
        small: Bounds = replace(world(bug.bounds), max_states=200)
        monkeypatch.setattr(table, "bounds_of", only(small))
    (stage,) = [made for made in STAGES if made.name == bug.stage]
    return run_stage(stage, Context("fast"))


@pytest.mark.parametrize("name", BUGS)
def test_a_planted_bug_turns_its_stage_red(name: str, monkeypatch: Patch, tmp_path: Path) -> None:
    bug = BUGS[name]
    bug.plant(monkeypatch)
    outcome = look(bug, monkeypatch)
    assert outcome.status == "refuted", outcome.summary
    output = {
        str(f.content["rule"]).split(".")[0]: f for f in outcome.findings if f.code == bug.code
    }
    assert bug.rule in output
    finding = output[bug.rule]
    saved = Counterexample.from_dict(finding.content)
    if bug.bounds is not None:
        # Printed: each action with the blocks after it, the last one marked.
        rows = [
            line for line in finding.lines if line.startswith("    ") or line.startswith("  x")
        ]
        assert len(rows) >= len(saved.trace) + 1
        assert "replayable from the start state" in " ".join(finding.lines)
        assert saved.execute().breaks
        monkeypatch.undo()
        assert not breaks_now(saved)


@pytest.mark.parametrize("name", [name for name, bug in BUGS.items() if bug.bounds is not None])
def test_a_planted_bug_ends_no_world_with_an_exception(name: str, monkeypatch: Patch) -> None:
    """The written trace to a world's start may break a rule on its way, and be refused after it."""
    BUGS[name].plant(monkeypatch)
    worlds = [search(replace(bounds, max_states=1)) for bounds in BOUNDS if bounds.start]
    for finding in explored(worlds).findings:
        if finding.content:
            assert Counterexample.from_dict(finding.content).execute().breaks, finding.title


@pytest.mark.deep
@pytest.mark.parametrize("name", [name for name, bug in BUGS.items() if bug.bounds is not None])
def test_a_planted_bug_turns_the_whole_stage_red(name: str, monkeypatch: Patch) -> None:
    bug = BUGS[name]
    bug.plant(monkeypatch)
    (stage,) = [made for made in STAGES if made.name == bug.stage]
    assert run_stage(stage, Context()).status == "refuted"


def test_p11_preempting_a_request_that_is_ahead_is_red_with_its_moves(
    monkeypatch: Patch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The search checks by ranks alone who preempts whom."""
    from lineclear.checks import behaviours
    from lineclear.explore.policy_worlds import of_policy
    from lineclear.scheduling.live_request import LiveRequest
    from lineclear.scheduling.queues import RunningOrder

    bounds = of_policy("fcfs", "last", "recompute", chunked=True, live=3)

    def chosen(_: Context) -> list[Any]:
        return [bounds]

    def first_of_all(self: RunningOrder, entry: LiveRequest) -> LiveRequest | None:
        return self.entries[self.orders[0]] if self.orders else None

    monkeypatch.setattr(behaviours, "chosen", chosen)
    monkeypatch.chdir(tmp_path)
    argv = ["check", "--fast", "--no-cache", "--stage", "behaviours"]
    assert main(argv) == 0
    monkeypatch.setattr(RunningOrder, "last_after", first_of_all)
    screen = printed(capsys, *argv, code=1)
    assert "LC405" in screen  # the oracle of the step sees it before the ranks are compared
    assert "work_conservation: growth" in screen
    assert "moves of the environment, from the start:" in screen


def test_p11_preempting_a_request_that_is_ahead_is_not_proved(monkeypatch: Patch) -> None:
    """No search shows an order; the lemmas about the decision that runs do, by `unknown`: the
    check ends with 3, not with 1."""
    from lineclear_spec.kernel import progress
    from lineclear_spec.proof import prove

    def wrong(beneficiary: Any, other: Any) -> Any:
        return other < beneficiary

    known = prove.read_baseline()
    decisions = {key: cost for key, cost in known.items() if key.startswith("decisions/")}
    monkeypatch.setattr(prove, "units", lambda: ("decisions",))
    monkeypatch.setattr(prove, "read_baseline", lambda: decisions)
    (stage,) = [made for made in STAGES if made.name == "proofs"]
    assert run_stage(stage, Context()).status == "passed"
    monkeypatch.setattr(progress, "behind", wrong)
    outcome = run_stage(stage, Context())
    assert outcome.status == "unknown"
    assert {f.code for f in outcome.findings} == {"LC201"}
    assert all("decisions/progress/" in f.title for f in outcome.findings)


@pytest.mark.parametrize("lost", ["_new_blocks", "_tables"])
def test_p16_a_plan_that_does_not_tell_a_table_is_red(lost: str, monkeypatch: Patch) -> None:
    from lineclear.scheduling.dispatch import Dispatch

    def nothing(_: Dispatch) -> tuple[()]:
        return ()

    monkeypatch.setattr(Dispatch, lost, nothing)
    (stage,) = [made for made in STAGES if made.name == "scheduler"]
    outcome = run_stage(stage, Context("fast"))
    assert outcome.status == "refuted"
    assert {f.code for f in outcome.findings} == {"LC403"}
    assert outcome.findings[0].lines[0] in (
        "what was asked:",
        "moves of the environment, from the start:",
    )


def test_a_preset_without_a_rule_of_progress_is_red_with_its_moves(
    monkeypatch: Patch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from faulty import BROKEN_WORLDS

    from lineclear.checks import behaviours

    bad = BROKEN_WORLDS["broken_tail_requeue"]

    def chosen(_: Context) -> list[Any]:
        return [bad]

    monkeypatch.setattr(behaviours, "chosen", chosen)
    monkeypatch.chdir(tmp_path)
    screen = printed(capsys, "check", "--fast", "--no-cache", "--stage", "behaviours", code=1)
    assert "moves of the environment, from the start:" in screen
    paths = sorted((tmp_path / ".lineclear").glob("LC50*.itf.json"))
    assert paths
    assert main(["replay", str(paths[0])]) == 1  # the moves are repeated, with the same result
    assert "submit" in capsys.readouterr().out
