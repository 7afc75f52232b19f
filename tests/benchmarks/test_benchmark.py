"""The benchmark runs to its end and prints what scripts rely on."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from lineclear.journal.file import digest, replay
from lineclear.journal.memory import Ring
from lineclear_spec.kernel.ledger import Ledger

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "benchmarks" / "scheduler.py"


def call(*flags: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(SCRIPT), *flags], capture_output=True, text=True, check=False
    )


@pytest.fixture(scope="module")
def smoke(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], str]:
    """A short run: its report and its page."""
    page = tmp_path_factory.mktemp("page") / "speed.md"
    done = call("--smoke", "--json", "--markdown", str(page), "--machine", "a machine")
    assert done.returncode == 0, done.stderr
    assert "us a step" in done.stderr
    report: dict[str, Any] = json.loads(done.stdout)
    return report, page.read_text(encoding="utf-8")


def test_there_is_a_row_for_each_scheduler_case_and_size(
    smoke: tuple[dict[str, Any], str],
) -> None:
    rows = smoke[0]["results"]
    named = [(row["case"], row["running"], row["scheduler"]) for row in rows]
    assert named == list(
        product(("quiet", "staggered", "overload"), (8, 32), ("lineclear", "loop", "lesson"))
    )
    for row in rows:
        assert 0 < row["p50"] <= row["p99"]
        assert 0 < row["us_per_step"]
        assert row["steps"] == int(row["steps"]) > 0


def test_only_a_pool_that_is_too_small_preempts_and_only_the_lesson_goes_on_without_a_block(
    smoke: tuple[dict[str, Any], str],
) -> None:
    for row in smoke[0]["results"]:
        short = row["case"] == "overload"
        assert (row["preemptions"] > 0) == (short and row["scheduler"] != "lesson")
        assert (row["unbacked"] > 0) == (short and row["scheduler"] == "lesson")


def test_the_steps_that_count_are_those_of_the_case(smoke: tuple[dict[str, Any], str]) -> None:
    steps = {
        (row["case"], row["running"]): row["steps"]
        for row in smoke[0]["results"]
        if row["scheduler"] == "lineclear"
    }
    # The prefill samples the first of 256 tokens, and 512 = 32 * 16: a block for every 16th.
    assert steps["staggered", 32] == 255
    assert steps["quiet", 32] == 255 - 16 - 1
    assert steps["overload", 32] > 256


def test_memory_is_bounded(smoke: tuple[dict[str, Any], str]) -> None:
    report = smoke[0]
    assert 100 < report["waiting"]["bytes_per_request"] <= 2048
    assert report["finished"]["bytes_per_request"] <= 16
    held = {bar["what"]: bar["held"] for bar in report["bars"]}
    assert held == {
        "bytes of a waiting request": True,
        "bytes more for each request that finished": True,
    }


def test_the_page_shows_the_figures_of_the_run(smoke: tuple[dict[str, Any], str]) -> None:
    report, page = smoke
    assert "a machine" in page
    for case in ("Quiet", "Staggered", "Overload"):
        assert f"\n## {case}\n" in page
    lines = [line for line in page.splitlines() if line.startswith(("| 8 |", "| 32 |"))]
    assert len(lines) == 6
    own = next(row for row in report["results"] if row["running"] == 32)
    assert f"| {own['us_per_step']:.3g} |" in lines[1]


@pytest.mark.parametrize("case", ["staggered", "overload"])
def test_the_plain_table_rebuilds_every_step_of_a_run(
    case: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", [str(ROOT / "benchmarks"), *sys.path])
    benchmark: Any = importlib.import_module("scheduler")
    prompts, blocks, budget = benchmark.workload(case, 8)
    subject = benchmark.Lineclear(blocks, benchmark.BLOCK_SIZE, 8, budget)
    ledger = subject.scheduler.ledger
    ring = ledger.journal = Ring(1 << 20)
    for prompt in prompts:
        subject.add(prompt, benchmark.OUTPUT)
    recorded: dict[int, str] = {}
    while subject.live:
        subject.schedule()
        subject.prepare()
        recorded[len(ring)] = digest(ledger)
        subject.commit()
        recorded[len(ring)] = digest(ledger)
    seen: dict[int, str] = {}
    done = 0

    def after(name: str, arguments: tuple[object, ...], plain: Ledger) -> bool:
        nonlocal done
        done += bool(name)
        if done in recorded:
            seen[done] = digest(plain)
        return False

    replay(ring.lines(ledger.limits), after)
    assert seen == recorded
    assert len(recorded) >= 2 * benchmark.OUTPUT
    assert (subject.preemptions > 0) == (case == "overload")


@pytest.mark.parametrize(
    ("flags", "output"),
    [
        (("--cases", "noisy"), "invalid choice: 'noisy'"),
        (("--sizes", "0"), "at least 1"),
        (("--adds", "-1"), "at least 0"),
        (("--schedulers", "loop", "--markdown", "page.md"), "needs lineclear"),
    ],
)
def test_what_can_not_be_measured_is_refused(flags: tuple[str, ...], output: str) -> None:
    done = call(*flags)
    assert done.returncode == 2
    assert output in done.stderr
    assert done.stdout == ""
