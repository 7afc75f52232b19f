"""Every format of `lineclear check`."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree

import pytest
from refusals import printed
from staged import Counted, outcome

from lineclear.checks import formats
from lineclear.checks.stage import Outcome
from lineclear.cli import main


def test_junit_is_well_formed_and_counts(
    fake: Counted, capsys: pytest.CaptureFixture[str]
) -> None:
    fake.status = "refuted"
    top = ElementTree.fromstring(printed(capsys, "check", "--format", "junit", code=1))
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
    line, last = printed(capsys, "check", "--format", "github", code=1).splitlines()
    assert line.startswith("::error file=spec/table.py,line=12,title=LC401 ")
    assert "50%25, see%0Abelow%0Afirst%0Asecond" in line
    assert last == "lineclear check: FAILED: 1 refuted"
    assert page.read_text().startswith("before\n### lineclear check: FAILED")
    assert "| one | refuted |" in page.read_text()


def test_markdown_and_json_hold_every_stage(
    fake: Counted, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "| one | passed | figures |" in printed(capsys, "check", "--format", "markdown")
    content = json.loads(printed(capsys, "check", "--format", "json"))
    assert content["stages"][0]["cached"] is True
    assert content["exit_code"] == 0
    screen = printed(capsys, "check")
    assert "passed   one" in screen
    assert len(screen.splitlines()) < 24


def test_outcomes_survive_json() -> None:
    before = outcome("refuted")
    again = Outcome.from_dict(json.loads(json.dumps(before.as_dict())))
    assert again == before
