"""Planted bugs: for each property of real bugs, one that turns `lineclear check` red.

The table of docs/trust.md names the properties. Each bug is planted where a real one would be: in
an action, a block step, a primitive of the ledger or a decision of the scheduler. By default only
the stage concerned runs, on one small world; the deep run asks the whole stage.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from lineclear.checks import driven, table
from lineclear.checks.counterexample import Counterexample, CounterexampleError
from lineclear.checks.registry import STAGES
from lineclear.checks.stage import Context, Outcome, run_stage
from lineclear.cli import main
from lineclear_spec import blocks, ghosts, mutants
from lineclear_spec.actions import ACTIONS
from lineclear_spec.kernel import Kernel
from lineclear_spec.ledger import Ledger
from lineclear_spec.picture import world
from lineclear_spec.records import Block, Pool, Sequence
from lineclear_spec.worlds import Bounds

Patch = pytest.MonkeyPatch


def guards_without(mutant: mutants.Mutant) -> Callable[[str], Callable[..., None]]:
    """`ghosts.guards_of` reads the source file, which still has the guard: omit it here."""
    right = ghosts.guards_of

    def guards_of(name: str) -> Callable[..., None]:
        def guards(ledger: ghosts.GhostLedger, *arguments: Any) -> None:
            try:
                right(name)(ledger, *arguments)
            finally:
                if name == mutant.function and ledger.collecting is not None:
                    ledger.collecting = [g for g in ledger.collecting if g != mutant.text]

        return guards

    return guards_of


def without(name: str) -> Callable[[Patch], None]:
    """The table without this statement."""
    (mutant,) = [m for m in mutants.generate() if m.name == name]

    def plant(patch: Patch) -> None:
        body = mutants.body_of(mutant)
        if mutant.function in ACTIONS:
            patch.setitem(ACTIONS, mutant.function, replace(ACTIONS[mutant.function], body=body))
            patch.setattr(ghosts, "guards_of", guards_without(mutant))
        else:
            patch.setattr(blocks, mutant.function, body)
            if mutant.function in vars(Kernel):
                patch.setattr(Kernel, mutant.function, body)

    return plant


def sharing_is_not_counted(patch: Patch) -> None:
    """A table names a shared block without increasing its reference count."""

    def wrong(sequence: Sequence, blocks: list[Block]) -> None:
        del sequence, blocks

    patch.setattr(Ledger, "count_up", staticmethod(wrong))


def a_place_is_given_up_twice(patch: Patch) -> None:
    """Frees a block twice."""
    right = Pool.put

    def wrong(self: Pool, places: list[int], until: int) -> None:
        right(self, places, until)
        if places and self.free < self.total:
            self.order[self.free] = places[-1]
            self.free += 1

    patch.setattr(Pool, "put", wrong)


def nobody_is_admitted(patch: Patch) -> None:
    """Keeps the watermark free even when no request runs; the watermark is the whole pool."""

    def wrong(watermark: int, running: int) -> int:
        return 1000

    import lineclear.scheduling.step

    patch.setattr(lineclear.scheduling.step, "kept_free", wrong)


@dataclass(frozen=True, slots=True)
class Bug:
    """One planted bug.

    Attributes:
        plant: puts it in.
        stage: which must turn red.
        rule: what the finding must name.
        bounds: the world in which it is looked for by default; None for the scheduler.
        code: of the finding.
    """

    plant: Callable[[Patch], None]
    rule: str
    bounds: str | None = "preemption"
    stage: str = "exploration"
    code: str = "LC401"


BUGS: dict[str, Bug] = {
    "P1 a block is lost when its last holder ends": Bug(
        without("clear_tables.effect.1"), "conservation"
    ),
    "P2 sharing is not counted": Bug(sharing_is_not_counted, "references", "branches"),
    "P3 a place is free twice": Bug(a_place_is_given_up_twice, "free_list"),
    "P4 a shared block is written": Bug(
        without("schedule_tokens.guard.13"), "exclusive_write", "steady branches"
    ),
    "P5 a finished request keeps its blocks": Bug(without("finish.effect.1"), "residency"),
    "P6 slots without a block": Bug(without("append_slots.effect.1"), "capacity", "branches"),
    "P7 a request that does not run is scheduled": Bug(
        without("schedule_tokens.guard.1"), "clocks"
    ),
    "P8 a step beyond its budget": Bug(
        without("schedule_tokens.guard.14"), "budget", "step budget"
    ),
    "P9 a copy out without a wait": Bug(without("swap_out.effect.2"), "ordered"),
    "P10 no request is ever admitted": Bug(
        nobody_is_admitted, "LC405", None, "scheduler", "LC405"
    ),
    "P12 a place is used again while a copy reads it": Bug(without("grant_gpu.effect.1"), "fence"),
    "P13 computed without KV": Bug(without("forget_computed.effect.3"), "capacity"),
    "P14 a guard that is not enough": Bug(
        without("admit.guard.3"), "definedness", "full pool", "exploration", "LC402"
    ),
    "P15 an end that does not end": Bug(without("abort.effect.3"), "members"),
}


def only(bounds: Bounds) -> Callable[[str], list[Bounds]]:
    """The same small world for every mode."""
    return lambda _mode: [bounds]


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


def emitted(saved: Counterexample) -> Callable[[], None]:
    """The test emitted for a counterexample."""
    from lineclear.checks.itf import emit_test

    scope: dict[str, Any] = {}
    exec(emit_test(saved), scope)
    (test,) = [value for name, value in scope.items() if name.startswith("test_")]
    return test  # type: ignore[no-any-return]


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


@pytest.mark.deep
@pytest.mark.parametrize("name", [name for name, bug in BUGS.items() if bug.bounds is not None])
def test_a_planted_bug_turns_the_whole_stage_red(name: str, monkeypatch: Patch) -> None:
    bug = BUGS[name]
    bug.plant(monkeypatch)
    (stage,) = [made for made in STAGES if made.name == bug.stage]
    assert run_stage(stage, Context()).status == "refuted"


def test_the_command_is_red_saves_the_trace_and_turns_it_into_a_test(
    monkeypatch: Patch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bug = BUGS["P12 a place is used again while a copy reads it"]
    small = replace(world("preemption"), max_states=200)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(table, "bounds_of", only(small))
    bug.plant(monkeypatch)
    assert main(["check", "--no-cache", "--stage", "exploration"]) == 1
    screen = capsys.readouterr().out
    assert "LC401 fence.held_gpu broken by admit(r2)" in screen
    (path,) = (tmp_path / ".lineclear").glob("LC401-*.itf.json")
    lines = path.read_text().splitlines()
    states = [
        json.loads(line.rstrip(",")) for line in lines if line.startswith('{"#meta":{"index"')
    ]
    assert [state["#meta"]["index"] for state in states] == list(range(6))
    whole = json.loads(path.read_text())
    assert whole["#meta"]["format"] == "ITF"
    assert whole["vars"] == [name for name in states[0] if name != "#meta"]
    emitted = tmp_path / "test_kept.py"
    shown = path.relative_to(tmp_path).as_posix()
    assert main(["replay", shown, "--emit-test", str(emitted)]) == 1
    assert "now broken: fence.held_gpu" in capsys.readouterr().out
    assert main(["replay", shown, "--step", "3"]) == 0
    assert main(["replay", shown, "--step", "9"]) == 2
    assert main(["replay", shown, "--emit-test", str(emitted)]) == 2  # it exists
    scope: dict[str, Any] = {}
    exec(compile(emitted.read_text(), str(emitted), "exec"), scope)
    (test,) = [value for name, value in scope.items() if name.startswith("test_")]
    with pytest.raises(AssertionError):
        test()  # the bug is still there
    monkeypatch.undo()
    test()
    monkeypatch.chdir(tmp_path)
    assert main(["replay", shown]) == 0


def test_a_mutants_test_passes_while_the_mutant_is_seen(tmp_path: Path) -> None:
    from lineclear.checks.counterexample import from_mutant
    from lineclear.checks.itf import emit_test, read, write
    from lineclear_spec.trial import attempt

    (mutant,) = [m for m in mutants.generate() if m.name == "grant_gpu.effect.1"]
    start = (("submit", (3, 4, 1)), ("admit", ("r1",)), ("swap_out", ("r1",)))
    trace = (*start, ("submit", (3, 4, 1)))
    evidence = attempt(world("preemption"), trace, ("admit", ("r2",)), mutant)
    assert evidence is not None
    saved = from_mutant(mutant.name, evidence)
    write(saved, tmp_path / "it.itf.json")
    assert read((tmp_path / "it.itf.json").read_text()) == saved
    scope: dict[str, Any] = {}
    exec(emit_test(saved), scope)
    scope["test_grant_gpu_effect_1"]()
    scope = {}
    exec(emit_test(replace(saved, mutant="", kind="table")), scope)
    scope["test_fence_held_gpu"]()  # the unchanged table breaks no rule


def test_a_run_of_the_scheduler_is_saved_replayed_and_turned_into_a_test(
    monkeypatch: Patch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import lineclear.simulation.simulate
    from lineclear.checks.itf import write

    def unjudged(scheduler: Any) -> Any:
        return scheduler  # so that the run goes on until it stalls

    monkeypatch.setattr(lineclear.simulation.simulate, "Oracle", unjudged)
    with monkeypatch.context() as planted:
        nobody_is_admitted(planted)
        finding, _, _ = driven.drive("small", next(iter(driven.configurations(Context())))[1], 0)
    assert finding is not None
    assert (finding.code, finding.content["rule"]) == ("LC501", "progress")
    assert any("watermark" in line for line in finding.lines)
    saved = Counterexample.from_dict(finding.content)
    path = tmp_path / "run.itf.json"
    write(saved, path)
    assert main(["replay", str(path)]) == 0  # the unchanged scheduler does not stall
    shown = capsys.readouterr().out
    assert saved.moves[0] in shown
    assert "the table allows every action of it" in shown
    test = emitted(saved)
    test()
    nobody_is_admitted(monkeypatch)
    assert main(["replay", str(path)]) == 1
    assert "found again with the same environment" in capsys.readouterr().out
    with pytest.raises(AssertionError, match="nothing can happen"):
        test()
    wrong = replace(saved, journal=(*saved.journal[:-1], '["settle_step"]'))
    write(wrong, path)
    assert main(["replay", str(path)]) == 1
    write(replace(saved, again={}), path)
    assert main(["replay", str(path), "--emit-test", str(tmp_path / "test_it.py")]) == 2


@pytest.mark.parametrize(
    "text",
    [
        '{"#meta": {}}',
        '{"#meta": {"lineclear": "lineclear counterexample 1"}, "x',
        '{"#meta": {"lineclear": "lineclear counterexample 1", "counterexample": {"kind": "table"}}}',
        "[]",
    ],
)
def test_what_is_no_counterexample_is_refused(
    text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "file.itf.json"
    path.write_text(text)
    assert main(["replay", str(path)]) in (1, 2)
    written = capsys.readouterr()
    assert (written.out + written.err).count("\n") == 1


def test_p11_whoever_stands_ahead_gives_way_is_red_with_its_moves(
    monkeypatch: Patch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The search checks by ranks alone who preempts whom."""
    from lineclear.checks import behaviours
    from lineclear.explore.worlds import of_policy
    from lineclear.scheduling.entry import Entry
    from lineclear.scheduling.queues import RunningOrder

    bounds = of_policy("fcfs", "last", "recompute", chunked=True, live=3)

    def chosen(_: Context) -> list[Any]:
        return [bounds]

    def first_of_all(self: RunningOrder, entry: Entry) -> Entry | None:
        return self.entries[self.orders[0]] if self.orders else None

    monkeypatch.setattr(behaviours, "chosen", chosen)
    monkeypatch.chdir(tmp_path)
    argv = ["check", "--fast", "--no-cache", "--stage", "behaviours"]
    assert main(argv) == 0
    monkeypatch.setattr(RunningOrder, "last_after", first_of_all)
    assert main(argv) == 1
    screen = capsys.readouterr().out
    assert "LC405" in screen  # the oracle of the step sees it before the ranks are compared
    assert "work_conservation: growth" in screen
    assert "moves of the environment, from the start:" in screen


def test_p11_whoever_stands_ahead_gives_way_is_not_proved(monkeypatch: Patch) -> None:
    """No search shows an order; the lemmas about the decision that runs do, by `unknown`: the
    check ends with 3, not with 1."""
    from lineclear_spec import progress, prove

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

    def nothing(self: Dispatch) -> tuple[()]:
        (self.ledger.grown if lost == "_new_blocks" else self.changes.replaced).clear()
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
    assert main(["check", "--fast", "--no-cache", "--stage", "behaviours"]) == 1
    screen = capsys.readouterr().out
    assert "moves of the environment, from the start:" in screen
    paths = sorted((tmp_path / ".lineclear").glob("LC50*.itf.json"))
    assert paths
    assert main(["replay", str(paths[0])]) == 1  # the moves are repeated, with the same result
    assert "submit" in capsys.readouterr().out
