"""The report of a stalled run: what each request holds, and which guard blocks it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from refusals import printed

from lineclear.cli import main

#: Two requests that vLLM V0's rules leave waiting forever, in a pool of 100 blocks.
ROWS = "arrival_time,prompt_tokens,output_tokens,max_tokens\n0,1583,18,18\n0.001,16,4,4\n"
PRESET = "--preset vllm_v0 --preemption-mode swap --num-gpu-blocks 100 --num-cpu-blocks 200"


def stalled(folder: Path, *more: str) -> list[str]:
    path = folder / "rows.csv"
    path.write_text(ROWS)
    return ["simulate", str(path), *PRESET.split(), *more]


def test_a_simulation_that_stalls_ends_with_the_report(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = printed(capsys, *stalled(tmp_path), code=3)
    assert "stalled: " in text
    assert "100 of 100 GPU" in text
    assert "(swapped) holds 100 CPU blocks; 1585 of 1586 tokens are computed" in text
    assert "(swapped) rules: none of the guards above" in text
    assert "(waiting) head_of_line: a request before it in the order does not run yet" in text


def test_the_report_is_in_the_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    stall = json.loads(printed(capsys, *stalled(tmp_path, "--format", "json"), code=3))["stall"]
    assert stall["gpu"] == {"free": 100, "total": 100}
    assert [holder["cpu_blocks"] for holder in stall["holders"]] == [100]
    assert [held["phase"] for held in stall["held"]] == ["swapped", "waiting"]


def test_a_replay_tells_who_is_left_and_what_the_table_says(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    journal = tmp_path / "run.jsonl"
    assert main(stalled(tmp_path, "--journal", str(journal))) == 3
    capsys.readouterr()
    text = printed(capsys, "replay", str(journal))
    assert "live: 2" in text
    assert "(SWAPPED) holds 0 GPU and 100 CPU blocks; no guard of the table blocks it" in text
    held = json.loads(printed(capsys, "replay", str(journal), "--format", "json"))["held"]
    assert [(row["phase"], row["guard"]) for row in held] == [("SWAPPED", None), ("WAITING", None)]


def test_a_replay_names_the_guard_that_refuses(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One request runs in most of the pool, the other needs more than the rest."""
    rows, journal = tmp_path / "rows.csv", tmp_path / "run.jsonl"
    rows.write_text(ROWS.replace("0.001,16,4,4", "0.001,320,4,4"))
    command = ["simulate", str(rows), "--num-gpu-blocks", "110", "--journal", str(journal)]
    assert main(command) == 0
    capsys.readouterr()
    text = printed(capsys, "replay", str(journal), "--step", "8")
    guard = "blocked by: the GPU has a free block for every block needed (wants 20, free 10)"
    assert guard in text
    assert "blocked by: the step that computes for it is committed (in flight 1)" in text
