"""`lineclear check`: stages, the cache, exit codes and every format."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import pytest

from lineclear.checks import cache, formats, registry
from lineclear.checks.codes import CODES
from lineclear.checks.stage import Context, Finding, Outcome, ReportCase, Stage, run_stage
from lineclear.cli import main
from lineclear.cli.check import code_of, run_stages
from lineclear_spec.actions import ACTIONS

BAD = "rule <broken> & \x07 by a|b: 50%, see\nbelow"
PLACE = ("spec/table.py", 12)


def outcome(status: str, name: str = "one") -> Outcome:
    findings = [Finding("LC401", BAD, ("first", "second"), *PLACE)] if status == "refuted" else []
    cases = [ReportCase("one.group", "a case", status, BAD if findings else "")]
    return Outcome(name, status, "figures", findings=findings, cases=cases)


def stage(run: Callable[[Context], Outcome], name: str = "one") -> Stage:
    return Stage(name, run, ("reference",))


class Counted:
    """A stage that counts its runs."""

    def __init__(self, status: str) -> None:
        self.status = status
        self.runs = 0

    def __call__(self, context: Context) -> Outcome:
        self.runs += 1
        return outcome(self.status)


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Counted:
    """The only stage of the command, in an empty project."""
    counted = Counted("passed")
    monkeypatch.setattr(registry, "STAGES", (stage(counted),))
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)
    return counted


# ---- the cache ---------------------------------------------------------------------------------


def test_a_second_run_is_served_and_says_so(
    fake: Counted, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["check"]) == 0
    assert "(cached)" not in capsys.readouterr().out
    assert main(["check"]) == 0
    assert "(cached)" in capsys.readouterr().out
    assert fake.runs == 1
    assert main(["check", "--no-cache"]) == 0
    assert fake.runs == 2


@pytest.mark.parametrize(("status", "code"), [("refuted", 1), ("unknown", 3), ("skipped", 3)])
def test_what_failed_is_never_served(fake: Counted, status: str, code: int) -> None:
    fake.status = status
    assert [main(["check"]), main(["check"])] == [code, code]
    assert fake.runs == 2
    assert not list(Path(".lineclear").glob("check/*.json"))


def test_a_failure_written_into_the_cache_is_not_served(fake: Counted) -> None:
    main(["check"])
    (path,) = Path(".lineclear/check").glob("*.json")
    context = Context(root=Path.cwd())
    name = cache.key(registry.STAGES[0], context)
    cache.save(registry.STAGES[0], context, name, outcome("passed"))
    content = json.loads(path.read_text())
    content["outcome"]["status"] = "refuted"
    path.write_text(json.dumps(content))
    assert cache.load(registry.STAGES[0], context, name) is None


@pytest.mark.parametrize("damage", ["", "{", "[]", "null", '{"key": 1}', "\x00"])
def test_a_damaged_file_is_no_file(fake: Counted, damage: str) -> None:
    main(["check"])
    (path,) = Path(".lineclear/check").glob("*.json")
    path.write_text(damage)
    assert main(["check"]) == 0
    assert fake.runs == 2
    assert main(["check"]) == 0
    assert fake.runs == 2  # the file was written again


def test_a_changed_figure_in_the_file_is_noticed(fake: Counted) -> None:
    main(["check"])
    (path,) = Path(".lineclear/check").glob("*.json")
    path.write_text(path.read_text().replace("figures", "better"))
    assert main(["check"]) == 0
    assert fake.runs == 2


def test_the_key_depends_on_all_that_matters(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    made = stage(Counted("passed"))
    first = cache.key(made, Context(root=tmp_path))
    assert first == cache.key(made, Context(root=tmp_path))
    keys = {
        first,
        cache.key(made, Context("fast", root=tmp_path)),
        cache.key(made, Context(config_text="depth", root=tmp_path)),
        cache.key(Stage("one", made.run, ("spec",)), Context(root=tmp_path)),
        cache.key(Stage("one", made.run, ("reference",), ("z3-solver",)), Context(root=tmp_path)),
        cache.key(
            Stage("one", made.run, ("reference",), extra=lambda _: "page"), Context(root=tmp_path)
        ),
    }

    def another(_: str) -> str:
        return "another"

    def more(part: str) -> list[tuple[str, bytes]]:
        return [*read(part), ("new.py", b"")]

    monkeypatch.setattr(cache, "version", another)
    keys.add(cache.key(made, Context(root=tmp_path)))
    monkeypatch.undo()
    read = cache.sources
    monkeypatch.setattr(cache, "sources", more)
    keys.add(cache.key(made, Context(root=tmp_path)))
    assert len(keys) == 8


def test_every_source_file_is_in_the_key() -> None:
    names = {name for name, _ in cache.sources("spec")}
    assert {"ledger.py", "baseline.json"} <= names
    assert any(name.startswith("actions/") for name in names)
    assert "checks/cache.py" in {name for name, _ in cache.sources("reference")}


def test_a_policy_of_ones_own_is_never_served(fake: Counted, tmp_path: Path) -> None:
    config = tmp_path / "own.toml"
    config.write_text('scheduling_policy = "lineclear.policies.fcfs:FirstComeFirstServed"\n')
    assert main(["check", "--config", str(config)]) == 0
    assert main(["check", "--config", str(config)]) == 0
    assert fake.runs == 2


def test_a_folder_that_cannot_be_written_is_no_failure(fake: Counted) -> None:
    Path(".lineclear").write_text("a file")
    assert main(["check"]) == 0
    assert main(["check"]) == 0
    assert fake.runs == 2


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
        ("depth = 3\n", "depth must be 1 or 2"),
        ("block_sise = 4\n", "block_size"),
        ("depth = [\n", "not valid TOML"),
    ],
)
def test_a_configuration_that_cannot_be_meant_ends_with_2(
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


# ---- formats -----------------------------------------------------------------------------------


def test_junit_is_well_formed_and_counts(
    fake: Counted, capsys: pytest.CaptureFixture[str]
) -> None:
    fake.status = "refuted"
    assert main(["check", "--format", "junit"]) == 1
    top = ElementTree.fromstring(capsys.readouterr().out)
    (suite,) = top.findall("testsuite")
    assert (suite.get("name"), suite.get("tests"), suite.get("failures")) == ("one", "1", "1")
    (case,) = suite.findall("testcase")
    assert case.get("classname") == "one.group"
    failure = case.find("failure")
    assert failure is not None
    assert "rule <broken> & ?" in (failure.get("message") or "")


@pytest.mark.parametrize(
    ("status", "tag"), [("unknown", "error"), ("skipped", "skipped"), ("refuted", "failure")]
)
def test_junit_tells_a_stage_without_cases(status: str, tag: str) -> None:
    top = ElementTree.fromstring(formats.junit([Outcome("empty", status, "why")]))
    assert [child.tag for case in top.iter("testcase") for child in case] == [tag]


def test_a_junit_file_besides(fake: Counted, tmp_path: Path) -> None:
    assert main(["check", "--junit", str(tmp_path / "report.xml")]) == 0
    assert ElementTree.parse(tmp_path / "report.xml").getroot().tag == "testsuites"
    assert main(["check", "--junit", str(tmp_path / "none" / "report.xml")]) == 2


def test_github_annotations_point_to_the_source_and_fill_the_summary(
    fake: Counted,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    fake.status = "refuted"
    page = tmp_path / "summary.md"
    page.write_text("before\n")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(page))
    assert main(["check", "--format", "github"]) == 1
    line, last = capsys.readouterr().out.splitlines()
    assert line.startswith("::error file=spec/table.py,line=12,title=LC401 ")
    assert "50%25, see%0Abelow%0Afirst%0Asecond" in line
    assert last == "lineclear check: FAILED: 1 refuted"
    assert page.read_text().startswith("before\n### lineclear check: FAILED")
    assert "| one | refuted |" in page.read_text()


def test_markdown_and_json_hold_every_stage(
    fake: Counted, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["check", "--format", "markdown"]) == 0
    assert "| one | passed | figures |" in capsys.readouterr().out
    assert main(["check", "--format", "json"]) == 0
    content = json.loads(capsys.readouterr().out)
    assert content["stages"][0]["cached"] is True
    assert content["exit_code"] == 0
    assert main(["check"]) == 0
    screen = capsys.readouterr().out
    assert "passed   one" in screen
    assert len(screen.splitlines()) < 24


def test_outcomes_survive_json() -> None:
    before = outcome("refuted")
    again = Outcome.from_dict(json.loads(json.dumps(before.as_dict())))
    assert again == before


# ---- the stages themselves ---------------------------------------------------------------------


def test_the_scheduler_runs_under_the_users_configuration(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    config = tmp_path / "scheduler.toml"
    config.write_text('scheduling_policy = "priority"\npreemption_mode = "swap"\ndepth = 2\n')
    arguments = ["check", "--fast", "--stage", "scheduler", "--config", str(config)]
    assert main(arguments) == 0
    assert "2 runs of your configuration" in capsys.readouterr().out
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
    assert (
        main(["check", "--stage", "diagrams"]) == 0
    )  # a hook must not fail in a project without generated files
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
        assert main(["explain", code]) == 0
        output = " ".join(capsys.readouterr().out.split())
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
    from lineclear.checks.places import place_of

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
    from lineclear_spec import stability
    from lineclear_spec.prove import read_baseline

    trials = stability.stability(("retire",), (0, 3), workers=1)
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
