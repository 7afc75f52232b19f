"""`lineclear simulate` and `compare` with prefix caching: names from a trace, what was found, refusals."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from lineclear.cli import main

SIZES = ["--num-gpu-blocks", "40", "--max-model-len", "4096"]
PLAIN = ["--watermark", "0", "--preemption-mode", "recompute"]
OFF = [*SIZES, *PLAIN, "--block-size", "128"]
ON = [*OFF, "--prefix-caching", "all"]


@pytest.fixture
def trace(tmp_path: Path) -> str:
    """Twelve requests of three families, whose first two ids are common."""
    rows: list[dict[str, Any]] = []
    for k in range(12):
        prompt = (1100, 1600, 700, 2000)[k % 4]
        ids = [10 * (k % 3) + j for j in range(min(2, prompt // 512))]
        ids += [1000 + 10 * k + j for j in range(-(-prompt // 512) - len(ids))]
        rows.append(
            {"timestamp": 100 * k, "input_length": prompt, "output_length": 9 + k, "hash_ids": ids}
        )
    path = tmp_path / "mooncake.jsonl"
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return str(path)


def simulated(capsys: pytest.CaptureFixture[str], *argv: str) -> dict[str, Any]:
    assert main(["simulate", *argv, "--format", "json"]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)["metrics"]
    return found


def test_what_was_found_is_reported(trace: str, capsys: pytest.CaptureFixture[str]) -> None:
    on = simulated(capsys, trace, *ON)
    assert simulated(capsys, trace, *OFF, "--enable-prefix-caching") == on
    assert on["prefix_queried_tokens"] == on["prompt_tokens"] == 3 * (1100 + 1600 + 700 + 2000)
    rate = on["prefix_hit_tokens"] / on["prefix_queried_tokens"]
    assert 0.2 < on["prefix_hit_rate"] == rate <= on["prefix_hit_rate_unbounded"] < 0.6
    assert on["prefix_evicted_blocks"] > 0
    assert (
        on["batched_tokens"]
        == on["prompt_tokens"] + on["generated_tokens"] - 12 - (on["prefix_hit_tokens"])
    )
    off = simulated(capsys, trace, *OFF, "--prefix-caching", "off")
    assert off["prefix_hit_rate"] is off["prefix_hit_rate_unbounded"] is None
    assert off["prefix_queried_tokens"] == off["prefix_evicted_blocks"] == 0
    assert off["ttft"]["mean"] > on["ttft"]["mean"]


def test_preempted_requests_find_their_own_blocks(
    trace: str, capsys: pytest.CaptureFixture[str]
) -> None:
    tight = [*PLAIN, "--block-size", "8", "--num-gpu-blocks", "428", "--max-model-len", "4096"]
    tight += ["--step-time", "constant=0.5", "--max-tokens", "64"]
    on = simulated(capsys, trace, *tight, "--prefix-caching", "all")
    off = simulated(capsys, trace, *tight, "--prefix-caching", "off")
    for run in (on, off):  # what was computed once, and again after it was lost
        assert run["recomputed_tokens"] >= 0
        assert run["batched_tokens"] == (
            run["prompt_tokens"] + run["generated_tokens"] - 12 + run["recomputed_tokens"]
            - run["prefix_hit_tokens"]
        )  # fmt: skip
    assert on["preempted_requests"] > 0
    assert 0 < on["recomputed_tokens"] < off["recomputed_tokens"] / 10


def test_the_text_says_it_in_one_line(trace: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["simulate", trace, *ON]) == 0
    (line,) = [x for x in capsys.readouterr().out.splitlines() if x.startswith("prefix cache")]
    assert "of prompt tokens found, " in line
    wide = [*ON[2:], "--num-gpu-blocks", "400"]
    assert main(["simulate", *wide, "--num-requests", "3"]) == 0
    assert "on, but no request has prefix ids (hash_ids)" in capsys.readouterr().out
    assert main(["compare", trace, *ON, "--policies", "fcfs,vtc"]) == 0
    assert capsys.readouterr().out.count("  prefix cache: ") == 2


def test_a_block_size_that_names_no_blocks_is_refused(
    trace: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for command in ("simulate", "compare"):
        argv = [*SIZES, *PLAIN, "--block-size", "96", "--prefix-caching", "all"]
        assert main([command, trace, *argv]) == 2
        said = capsys.readouterr().err
        assert "blocks of 96 do not divide" in said
        assert said.count("\n") == 1
    assert main(["simulate", trace, *SIZES, "--block-size", "96"]) == 0
    capsys.readouterr()


def test_a_journal_with_prefix_caching_is_replayed_and_read(
    trace: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = str(tmp_path / "run.jsonl")
    assert main(["simulate", trace, *ON, "--journal", path]) == 0
    kinds = {json.loads(line)[0] for line in Path(path).read_text().splitlines()[1:-1]}
    assert {"publish", "admit_cached", "evict"} <= kinds
    capsys.readouterr()
    assert main(["replay", path]) == 0
    assert "0 violations" in capsys.readouterr().out
    for command in (["why"], ["conform"], ["conform", "--level", "table"]):
        assert main([*command, path]) == 0, capsys.readouterr()
    assert capsys.readouterr().out.count("no event breaks a rule that was checked") == 2
