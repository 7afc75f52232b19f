"""`lineclear check`: stages and exit codes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from refusals import printed
from staged import Counted, outcome, stage

from lineclear.checks import formats, registry
from lineclear.checks.codes import CODES
from lineclear.checks.stage import Context, Outcome, Stage, run_stage
from lineclear.cli import main
from lineclear.cli.check import code_of, run_stages
from lineclear_spec.actions import ACTIONS

# ---- statuses ----------------------------------------------------------------------------------


def test_an_error_in_a_stage_is_inconclusive(
    fake: Counted, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(_: Context) -> Outcome:
        raise RuntimeError("no\nmore")

    found = run_stage(stage(fails), Context())
    assert (found.status, found.findings[0].code) == ("unknown", "LC901")
    monkeypatch.setattr(registry, "STAGES", (stage(fails), stage(Counted("passed"), "two")))
    assert main(["check"]) == 3


def test_a_missing_solver_is_a_usage_error(
    fake: Counted, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fails(_: Context) -> Outcome:
        raise ModuleNotFoundError("No module named 'z3'", name="z3")

    monkeypatch.setattr(registry, "STAGES", (stage(fails),))
    assert main(["check"]) == 2
    assert 'pip install "lineclear[verify]"' in capsys.readouterr().err


def test_refuted_wins_over_unknown() -> None:
    assert code_of([outcome("unknown"), outcome("refuted"), outcome("passed")]) == 1
    assert code_of([outcome("unknown"), outcome("passed")]) == 3
    assert code_of([outcome("passed"), outcome("skipped")]) == 0
    assert code_of([outcome("skipped")]) == code_of([]) == 3


def test_a_stage_of_another_mode_is_skipped_and_said(capsys: pytest.CaptureFixture[str]) -> None:
    deep = Stage("long", Counted("passed"), modes=("deep",))
    (found,) = run_stages([deep], Context("fast"), cached=False)
    assert (found.status, found.left_out) == ("skipped", "only with --deep")
    assert "long: only with --deep" in formats.text([found], "fast", 3, {})
    (found,) = run_stages([deep], Context("deep"), cached=False)
    assert found.status == "passed"


def test_the_registry_names_every_part_once() -> None:
    names = [made.name for made in registry.STAGES]
    assert len(names) == len(set(names))
    assert {"proofs", "second solver", "mutants", "exploration", "witnesses"} <= set(names)
    assert {"stability", "scheduler", "diagrams"} <= set(names)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("max_steps_in_flight = 3\n", "max_steps_in_flight must be 1 or 2"),
        ("block_sise = 4\n", "block_size"),
        ("max_steps_in_flight = [\n", "not valid TOML"),
    ],
)
def test_an_invalid_configuration_ends_with_2(
    fake: Counted, tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, complaint: str
) -> None:
    config = tmp_path / "scheduler.toml"
    config.write_text(text)
    assert main(["check", "--config", str(config)]) == 2
    written = capsys.readouterr()
    assert complaint in written.err
    assert written.err.count("\n") == 1
    assert fake.runs == 0


def test_an_unknown_stage_ends_with_2(fake: Counted) -> None:
    assert main(["check", "--stage", "flight"]) == 2
    assert main(["check", "--fast", "--deep"]) == 2


# ---- the stages themselves ---------------------------------------------------------------------


def test_the_scheduler_runs_under_the_users_configuration(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    config = tmp_path / "scheduler.toml"
    config.write_text('scheduling_policy = "priority"\npreemption_mode = "swap"\ndepth = 2\n')
    arguments = ["check", "--fast", "--stage", "scheduler", "--config", str(config)]
    assert "4 random walks of your configuration" in printed(capsys, *arguments)
    config.write_text('rules = "vllm_v0"\nenable_chunked_prefill = false\nswapped_first = true\n')
    main([*arguments, "--format", "json"])
    codes = {
        f["code"] for s in json.loads(capsys.readouterr().out)["stages"] for f in s["findings"]
    }
    assert "LC802" in codes


def test_a_stale_page_is_found(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    # a hook must not fail in a project without generated files
    assert main(["check", "--stage", "diagrams"]) == 0
    assert main(["diagram", "actions", "-o", "actions.md"]) == 0
    capsys.readouterr()
    assert main(["check", "--stage", "diagrams"]) == 0
    path = tmp_path / "actions.md"
    path.write_text(path.read_text().replace("submit", "commit"))
    assert main(["check", "--stage", "diagrams"]) == 1
    assert "LC701 actions.md is stale: lineclear diagram actions" in capsys.readouterr().out


def test_every_finding_has_a_code_that_is_explained(capsys: pytest.CaptureFixture[str]) -> None:
    assert {code[2] for code in CODES} == set("123456789")
    for code, row in CODES.items():
        output = " ".join(printed(capsys, "explain", code).split())
        assert row.meaning in output
        assert row.todo in output
    assert main(["explain", "LC499"]) == 2
    assert "LC4" in capsys.readouterr().err


def test_the_page_of_findings_is_what_its_source_says(tmp_path: Path) -> None:
    page = Path(__file__).parents[2] / "docs/findings.md"
    assert main(["explain", "--page", "-o", str(page), "--check"]) == 0
    copy = tmp_path / "findings.md"
    assert main(["explain", "--page", "-o", str(copy)]) == 0
    copy.write_text(copy.read_text() + "more\n")
    assert main(["explain", "--page", "-o", str(copy), "--check"]) == 1
    (tmp_path / "own.md").write_text("mine")
    assert main(["explain", "--page", "-o", str(tmp_path / "own.md")]) == 2
    assert main(["explain", "--check"]) == 2


def test_annotations_know_where_actions_stand() -> None:
    from lineclear.checks.stage import place_of

    for name in ACTIONS:
        path, line = place_of(name)
        assert line > 0
        assert f"def {name}(" in "".join(
            Path(path).read_text().splitlines(True)[line - 1 : line + 2]
        )
    assert place_of("arithmetic") == ("", 0)


def test_a_flip_or_a_grown_proof_is_refuted_by_the_stability_stage() -> None:
    from dataclasses import replace

    from lineclear.checks.proofs import judged
    from lineclear_spec.crosscheck import stability
    from lineclear_spec.proof.prove import read_baseline

    trials = stability.stability(("lift_fences",), (0, 3), workers=1)
    baseline = read_baseline()
    good = judged(trials, stability.failures(trials, baseline))
    assert (good.status, good.findings) == ("passed", [])
    assert good.figures["answers"] > 0
    assert {case.name.split(" by ")[0] for case in good.cases} == set(stability.VARIANTS)
    first = next(t for t in trials if t.result.kind != "frame" and t.result.solver == "z3")
    for result in (
        replace(first.result, status="unknown"),
        replace(first.result, rlimit=60_000 + 11 * baseline[first.result.key]),
    ):
        flipped = [replace(t, result=result) if t is first else t for t in trials]
        found = judged(flipped, stability.failures(flipped, baseline))
        assert found.status == "refuted"
        assert [f.code for f in found.findings] == ["LC103"]
        assert found.findings[0].file.endswith(".py")


def test_what_the_command_repeats_so_as_not_to_import_it_is_the_same() -> None:
    from lineclear.checks import cache, formats
    from lineclear.cli import check

    assert check.FORMATS == formats.FORMATS
    assert check.FOLDER == cache.FOLDER
