"""`lineclear explore`: what it prints, what it writes, and how it ends."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from faulty import ANY_FIT, LONGEST_VICTIM
from refusals import printed

from lineclear.cli import main
from lineclear.cli.exits import INCONCLUSIVE, PASSED, REFUTED, USAGE
from lineclear.cli.explore import EPILOG

KEYS = [
    "target",
    "bounds",
    "states",
    "transitions",
    "depth",
    "complete",
    "violations",
    "stuck",
    "livelocks",
    "starvation",
    "witnesses",
]
TINY = ["--shapes", "1+2", "--num-gpu-blocks", "2"]
#: A small world without a CPU pool, for steps that lack a rule of progress.
FAULTY = ["--num-cpu-blocks", "0", "--preemption-mode", "recompute"]


def test_a_sound_world_passes_with_its_bounds(capsys: pytest.CaptureFixture[str]) -> None:
    output = printed(capsys, "explore", *TINY, code=PASSED)
    assert "exhausted" in output
    assert "bounds: 2 live of 1+2; 2 GPU and 2 CPU blocks of 1" in output
    assert "nothing found" in output


def test_json_has_exactly_the_keys(capsys: pytest.CaptureFixture[str]) -> None:
    row = json.loads(printed(capsys, "explore", *TINY, "--format", "json", code=PASSED))
    assert list(row) == KEYS
    assert row["complete"] is True
    assert row["bounds"]["config"]["num_gpu_blocks"] == 2
    assert row["witnesses"]["admit"] == [["submit", 0], ["schedule"]]


def test_a_bound_that_is_reached_is_inconclusive(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explore", *TINY, "--max-states", "20"]) == INCONCLUSIVE
    assert "NOT EXHAUSTED" in capsys.readouterr().out


def test_a_broken_preset_is_refuted_with_a_journal_and_a_page(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    journal, page = tmp_path / "found.jsonl", tmp_path / "explored.md"
    asked = ["explore", *FAULTY, "--rules", ANY_FIT, "--shapes", "1+2", "2+2"]
    asked += ["--max-num-batched-tokens", "2", "--requests", "3"]
    output = printed(capsys, *asked, "--journal", str(journal), "-o", str(page), code=REFUTED)
    assert "no guarantee, as this is off: no request passes one that does not fit" in output
    assert "starvation (1, FOUND)" in output
    assert main(["replay", str(journal)]) == PASSED
    assert "the last state equals the recorded one" in capsys.readouterr().out
    assert "| as asked | 3 | 1+2 2+2 | 3, 0 of 1 |" in page.read_text()


def test_the_longest_victim_is_refuted_with_a_journal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    journal = tmp_path / "found.jsonl"
    asked = ["explore", *FAULTY, "--rules", LONGEST_VICTIM, "--victim", "longest"]
    asked += ["--no-pause-after-preemption", "--num-gpu-blocks", "4"]
    asked += ["--shapes", "1+3", "2+2", "--journal", str(journal)]
    output = printed(capsys, *asked, code=REFUTED)
    assert "VIOLATION order (F3): a preempted request comes later" in output
    assert main(["replay", str(journal)]) == PASSED


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--shapes", "1-2"], "write a request as PROMPT+MOST"),
        (["--scheduling-policy", "lifo"], "scheduling_policy must be one of"),
        (["--max-steps-in-flight", "3"], "max_steps_in_flight must be 1 or 2"),
    ],
)
def test_an_invalid_argument_is_one_line(
    flags: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["explore", *flags]) == USAGE
    assert said in capsys.readouterr().err


def test_the_example_of_the_help_finds_what_it_says(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (line,) = [line for line in EPILOG.splitlines() if "--journal" in line]
    assert main(line.split()[1:]) == REFUTED
    assert main(["replay", "stall.jsonl"]) == PASSED
    assert "lineclear replay stall.jsonl" in capsys.readouterr().out
