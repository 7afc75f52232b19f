"""`lineclear replay`: what a check saves is replayed, turned into a test, and refused where it is damaged."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from planted import BUGS, Patch, no_request_is_admitted, only
from refusals import printed

from lineclear.checks import table
from lineclear.checks.counterexample import Counterexample, from_table
from lineclear.checks.stage import Context
from lineclear.checks.walks import jobs, walked
from lineclear.cli import main
from lineclear.oracle import Oracle
from lineclear_spec.modelcheck.worlds import BOUNDS, Bounds
from lineclear_spec.mutation import mutants
from lineclear_spec.report.picture import world


def emitted(saved: Counterexample) -> Callable[[], None]:
    """The test emitted for a counterexample."""
    from lineclear.checks.itf import emit_test

    scope: dict[str, Any] = {}
    exec(emit_test(saved), scope)
    (test,) = [value for name, value in scope.items() if name.startswith("test_")]
    return test  # type: ignore[no-any-return]


def test_the_command_is_red_saves_the_trace_and_turns_it_into_a_test(
    monkeypatch: Patch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bug = BUGS["P12 a block is used again while a copy reads it"]
    small = replace(world("preemption"), max_states=200)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(table, "bounds_of", only(small))
    bug.plant(monkeypatch)
    screen = printed(capsys, "check", "--no-cache", "--stage", "exploration", code=1)
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
    from lineclear_spec.mutation.trial import attempt

    (mutant,) = [m for m in mutants.generate() if m.name == "allocate_gpu.effect.1"]
    start = (("submit", (3, 4, 1)), ("admit", ("r1",)), ("swap_out", ("r1",)))
    trace = (*start, ("submit", (3, 4, 1)))
    evidence = attempt(world("preemption"), trace, ("admit", ("r2",)), mutant)
    assert evidence is not None
    saved = from_mutant(mutant.name, evidence)
    write(saved, tmp_path / "it.itf.json")
    assert read((tmp_path / "it.itf.json").read_text()) == saved
    scope: dict[str, Any] = {}
    exec(emit_test(saved), scope)
    scope["test_allocate_gpu_effect_1"]()
    scope = {}
    exec(emit_test(replace(saved, mutant="", kind="table")), scope)
    scope["test_fence_held_gpu"]()  # the unchanged table breaks no rule


@pytest.mark.parametrize("bounds", [b for b in BOUNDS if b.start], ids=lambda b: b.name)
def test_what_a_search_does_in_a_world_can_be_done_again(bounds: Bounds) -> None:
    saved = from_table(bounds.limits(), bounds.start, "a rule", "its values")
    seen = saved.execute()
    assert len(seen.states) == 1 + len(bounds.start)
    assert not seen.breaks


def test_a_run_of_the_scheduler_is_saved_replayed_and_turned_into_a_test(
    monkeypatch: Patch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from lineclear.checks.itf import write

    def unjudged(oracle: Oracle) -> Any:
        return oracle.scheduler.schedule()  # so that the walk goes on until it stalls

    monkeypatch.setattr(Oracle, "schedule", unjudged)
    with monkeypatch.context() as planted:
        no_request_is_admitted(planted)
        finding = walked(jobs(Context("fast"))[0])[1]
    assert finding is not None
    assert (finding.code, finding.content["rule"]) == ("LC501", "LC501")
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
    no_request_is_admitted(monkeypatch)
    assert "found again with the same environment" in printed(capsys, "replay", str(path), code=1)
    with pytest.raises(AssertionError, match="nothing moves"):
        test()
    wrong = replace(saved, journal=(*saved.journal[:-1], '["commit_step"]'))
    write(wrong, path)
    assert main(["replay", str(path)]) == 1
    write(replace(saved, journal=(*saved.journal[:-1], '["comm'), again={}), path)
    assert "it is not JSON, or was cut off" in printed(capsys, "replay", str(path), code=1)
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
