"""The benchmark of the simulator and of the policies' steps runs, and its page shows its figures."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from lineclear.policies import BUILT_IN

ROOT = Path(__file__).resolve().parents[2]


def call(*flags: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(ROOT / "benchmarks" / "simulator.py"), *flags],
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_short_run_has_a_row_for_each_pool_and_policy(tmp_path: Path) -> None:
    rows = ["TIMESTAMP,ContextTokens,GeneratedTokens"]
    rows += [f"2023-11-16 18:15:{40 + k}.0000000,{30 + k},{5 + k}" for k in range(6)]
    (tmp_path / "azure2023_conv.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    page = tmp_path / "page.md"
    small = ["--requests", "14", "--steps", "4", "--running", "4", "--waiting", "8"]
    done = call(str(tmp_path), *small, "--json", "--markdown", str(page), "--machine", "one")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert [(row["blocks"], row["checked"]) for row in report["runs"]] == [
        (1280, False), (1280, True), (4096, False), (4096, True),
    ]  # fmt: skip
    for row in report["runs"]:
        assert row["requests"] == 14
        assert (row["checks"] >= 2 * row["steps"]) == row["checked"]
    assert {row["policy"] for row in report["policies"]} == set(BUILT_IN)
    assert all(row["us_per_step"] > 0 for row in report["policies"])
    assert [bar["limit"] for bar in report["bars"]] == [2]  # the others are for 20,000 requests
    text = page.read_text(encoding="utf-8")
    assert all(f"| {name} | " in text for name in BUILT_IN)


def test_a_folder_without_the_trace_is_one_clear_error(tmp_path: Path) -> None:
    done = call(str(tmp_path))
    assert done.returncode == 2
    assert "has no azure2023_conv.csv" in done.stderr
    assert call().returncode == 2
