"""The whole lesson at once, and the page that is made of it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from refusals import printed
from scripts import module_of

from lineclear.cli import main
from lineclear.lessons import LESSONS
from lineclear.lessons.errata import Everything, tell_all

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def everything() -> Everything:
    return tell_all()


def script() -> Any:
    return module_of(ROOT / "docs/make_lesson.py")


def test_the_page_is_not_stale(everything: Everything) -> None:
    assert (ROOT / "docs/lesson.md").read_text() == script().page(everything)


def test_a_stale_page_is_told(
    everything: Everything,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    make = script()
    monkeypatch.setattr(make, "tell_all", lambda: everything)
    monkeypatch.setattr(make, "PAGE", tmp_path / "lesson.md")
    monkeypatch.setattr("sys.argv", ["make_lesson.py", "--check"])
    assert make.main() == 1
    assert "docs/lesson.md is stale" in capsys.readouterr().err
    monkeypatch.setattr("sys.argv", ["make_lesson.py"])
    assert make.main() == 0
    monkeypatch.setattr("sys.argv", ["make_lesson.py", "--check"])
    assert make.main() == 0
    text = make.PAGE.read_text().replace("| 34 | the demonstration", "| 34 | a demonstration")
    make.PAGE.write_text(text)
    assert make.main() == 1
    monkeypatch.setattr("sys.argv", ["make_lesson.py", "--chekc"])  # wrote the page
    with pytest.raises(SystemExit):
        make.main()
    assert make.PAGE.read_text() == text


def test_every_example_and_every_erratum_is_on_the_page(everything: Everything) -> None:
    lines = script().page(everything).splitlines()
    assert all(f"## {name}" in lines for name in LESSONS)
    for number in range(1, 43):
        (row,) = [line for line in lines if line.startswith(f"| {number} | ")]
        assert row.count(" | ") >= 6


def test_the_whole_lesson_in_text_and_json(
    everything: Everything,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("lineclear.lessons.errata.tell_all", lambda: everything)
    text = printed(capsys, "simulate", "--lesson", "all")
    assert all(f"\n{name}: " in f"\n{text}" for name in LESSONS)
    assert "  42  the table of policies" in text
    assert "0 violations" in text.splitlines()[-1]
    content = json.loads(printed(capsys, "simulate", "--lesson", "all", "--format", "json"))
    assert [lesson["lesson"] for lesson in content["lessons"]] == list(LESSONS)
    assert [e["number"] for e in content["errata"]] == list(range(1, 43))
    assert content["right"] == sum(c["right"] for k in content["lessons"] for c in k["claims"])
    assert main(["simulate", "--lesson", "all", "--max-steps-in-flight", "2"]) == 2
    assert main(["simulate", "--lesson", "everything"]) == 2
    assert "unknown lesson 'everything'; known: all, queues" in capsys.readouterr().err


def test_a_violation_in_any_run_is_a_failure(
    everything: Everything,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    first = everything.results["q5"]
    broken = replace(first.runs[0], violations=("step 1: conservation: planted",))
    planted = replace(
        everything, results={**everything.results, "q5": replace(first, runs=(broken,))}
    )
    monkeypatch.setattr("lineclear.lessons.errata.tell_all", lambda: planted)
    assert "conservation: planted" in printed(capsys, "simulate", "--lesson", "all", code=1)
