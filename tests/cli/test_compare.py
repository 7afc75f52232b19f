"""`lineclear compare`."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import pytest
from refusals import printed

from lineclear.cli import main

SMALL = ["compare", "--num-requests", "25", "--generate", "tenants"]


def test_a_table_has_one_line_for_each_policy(capsys: pytest.CaptureFixture[str]) -> None:
    lines = printed(capsys, *SMALL, "--policies", "fcfs,vtc").splitlines()
    assert lines[2].split()[:2] == ["policy", "finished"]
    assert [line.split()[:2] for line in lines[3:5]] == [["fcfs", "25"], ["vtc", "25"]]


def test_the_step_time_model_is_explained_as_in_simulate(
    capsys: pytest.CaptureFixture[str],
) -> None:
    text = printed(capsys, "compare", "--step-time", "help")
    assert text == printed(capsys, "simulate", "--step-time", "help") != ""


def test_json_is_a_contract(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*SMALL, "--policies", "drr", "--check", "every", "--format", "json"]) == 0
    output = json.loads(capsys.readouterr().out)
    (row,) = output["policies"]
    assert row["policy"] == "drr"
    assert 0 <= row["service_gap"] <= row["service_gap_bound"]
    assert row["run"]["violations"] == 0
    assert row["run"]["invariant_checks"] > 0
    assert set(row["served"]) == set("abcdef")


def test_a_policy_of_ones_own_is_found(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "own_policy.py").write_text(
        "class Last:\n"
        "    name = 'last'\n"
        "    def key(self, request):\n"
        "        return -request.number\n"
        "    def may_displace(self, waiting, running):\n"
        "        return False\n"
    )
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    assert "own_policy:Last" in printed(capsys, *SMALL, "--policies", "fcfs,own_policy:Last")


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["--policies", "lifo"], "there is no policy 'lifo'"),
        (["--policies", ","], "names no policy"),
        (["--policies", "nowhere:Policy"], "No module named"),
        (["--generate", "lumpy"], "there is no generator"),
    ],
)
def test_what_cannot_be_run_is_one_line(
    capsys: pytest.CaptureFixture[str], argv: list[str], said: str
) -> None:
    assert main(["compare", *argv]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1


def test_each_bound_stands_beside_what_was_seen(capsys: pytest.CaptureFixture[str]) -> None:
    text = printed(capsys, *SMALL, "--policies", "fcfs,drr", "--max-bypasses", "1")
    assert re.search(r"^fcfs\.P5 +1 +[01]  passes while it waits: max_bypasses$", text, re.M)
    assert (
        "fcfs: no guarantee: fcfs.P2 fcfs.P4 fcfs.P6b fcfs.P7 fcfs.P8: F2 (max_bypasses 1)" in text
    )
    assert "drr.P13" in text.partition("drr: no guarantee: ")[2]
    assert main([*SMALL, "--policies", "drr", "--format", "json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)["policies"]
    found = {theorem["theorem"]: theorem for theorem in row["theorems"]}
    assert found["drr.P13"]["bound"] == row["service_gap_bound"]
    assert found["drr.P13"]["seen"] == row["service_gap"]
    assert found["drr.P7"]["seen"] <= found["drr.P7"]["bound"]
    assert found["drr.P7"]["where"]["Q"] == 512
    assert row["broken_bounds"] == []
