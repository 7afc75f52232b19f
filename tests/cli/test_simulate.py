"""`lineclear simulate` and `lineclear replay`: what they print, write, refuse and end with."""

from __future__ import annotations

import json
import re
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from refusals import printed

from lineclear.cli import main
from lineclear.cli.settings import SETTINGS
from lineclear.config import Config

TRACE = """\
TIMESTAMP,ContextTokens,GeneratedTokens
2023-11-16 18:15:46.6805900,40,30
2023-11-16 18:15:46.6905900,50,40
2023-11-16 18:15:46.7005900,60,20
"""
PRESSURE = ["--num-gpu-blocks", "9", "--num-cpu-blocks", "8", "--max-tokens", "60"]


@pytest.fixture
def trace(tmp_path: Path) -> str:
    path = tmp_path / "trace.csv"
    path.write_text(TRACE)
    return str(path)


def simulate(capsys: pytest.CaptureFixture[str], *argv: str) -> dict[str, Any]:
    """The JSON object of a run that passes."""
    assert main(["simulate", *argv, "--format", "json"]) == 0
    written = capsys.readouterr()
    assert written.err == "", "no progress where standard error is not a terminal"
    result: dict[str, Any] = json.loads(written.out)
    return result


def refused(capsys: pytest.CaptureFixture[str], *argv: str) -> str:
    """The one line printed by a rejected run."""
    assert main([*argv]) == 2
    written = capsys.readouterr()
    assert written.out == ""
    assert written.err.count("\n") == 1
    return written.err


def test_the_json_object_is_the_contract(trace: str, capsys: pytest.CaptureFixture[str]) -> None:
    result = simulate(capsys, trace, *PRESSURE, "--preemption-mode", "swap")
    assert result["workload"] == "trace.csv"
    assert "Patel et al." in result["source"]
    assert result["policy"] == "fcfs"
    assert (result["requests"], result["finished"], result["rejected"]) == (3, 3, 0)
    assert result["preemptions"]["swap"] >= 1
    assert set(result["preemptions"]) == {"swap", "recompute"}
    assert result["violations"] == 0
    assert result["invariant_checks"] >= 2 * result["steps"]
    for name in ("requests", "finished", "rejected", "steps", "invariant_checks", "violations"):
        assert type(result[name]) is int
    for name in ("ttft", "tpot", "e2e", "queue_delay"):
        assert set(result["metrics"][name]) == {"mean", "p50", "p90", "p99", "max"}
    assert result["metrics"]["generated_tokens"] == 90
    recompute = simulate(capsys, trace, *PRESSURE, "--preemption-mode", "recompute")
    assert recompute["preemptions"]["swap"] == 0 < recompute["preemptions"]["recompute"]


def test_the_embedded_workload_preempts_both_ways(capsys: pytest.CaptureFixture[str]) -> None:
    text = printed(capsys, "simulate", "--check", "25")
    assert "200: 200 finished, 0 rejected, 0 clipped" in text
    assert "0 violations" in text
    assert text.count("\n") > 20
    result = simulate(capsys, "--check", "off")
    assert result["preemptions"]["swap"] > 10
    assert result["preemptions"]["recompute"] >= 1
    assert result["invariant_checks"] == 0


def test_flags_win_over_the_file(
    trace: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "scheduler.toml"
    config.write_text('num_gpu_blocks = 9\nmax-model-len = 128\nscheduling_policy = "priority"\n')
    result = simulate(capsys, trace, "--config", str(config), "--max-tokens", "60")
    assert result["policy"] == "priority"
    assert result["preemptions"]["recompute"] + result["preemptions"]["swap"] >= 1
    flags = ("--num-gpu-blocks", "64", "--scheduling-policy", "fcfs", "--max-tokens", "60")
    result = simulate(capsys, trace, "--config", str(config), *flags)
    assert result["policy"] == "fcfs"
    assert result["preemptions"] == {"swap": 0, "recompute": 0}


def test_every_setting_has_a_flag_and_the_right_type() -> None:
    assert list(SETTINGS) == [field.name for field in fields(Config)]
    for name, (kind, default, _) in SETTINGS.items():
        assert getattr(Config(), name) == default
        assert default is None or type(default) is kind or kind is dict


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["--num-gpu-blocks", "0"], "num_gpu_blocks must be a whole number of at least 1, not 0"),
        (["--preemption-mode", "pause"], "preemption_mode must be one of swap, recompute"),
        (["--max-num-batched-tokens", "8"], "must be at least max_num_seqs"),
        (["--preset", "mine"], "preset must be one of default, lesson"),
        (["--step-time", "speed=1"], "NAME is one of constant, linear, fit, base"),
        (["--step-time", "base=fast"], "must be a number, not 'fast'"),
        (["--step-time", "base=0"], "every step takes time"),
        (["--step-time", "base=1e308"], "base is 1e+308; give a number from 0 to 1e+12"),
        (["--step-time", "constant=1e-300"], "at least 1e-12: every step takes time"),
        (["--step-time", "copy_bandwidth=1e-300"], "at least 1e-12: every step takes time"),
        (["--step-time", "constant=1,base=2"], "'constant=1,base=2': write constant=SECONDS"),
        (["--step-time", "fit"], "--step-time 'fit': fit needs a file: write fit=FILE"),
        (["--request-rate", "1e-300"], "must be a number above 1e-09"),
        (["--request-rate", "1e300"], "and at most 1e+09, not '1e300'"),
        (
            ["--request-rate", "0"],
            "--request-rate: must be a number above 1e-09 and at most 1e+09, not",
        ),
        (["--config", "missing.toml"], "cannot read missing.toml: No such file"),
        (["missing.csv"], "missing.csv: No such file"),
        (["--lesson", "q9"], "unknown lesson 'q9'; known: all, queues"),
        (["--lesson", "q5", "trace.csv"], "omit WORKLOAD"),
        (["--lesson", "q5", "--max-steps-in-flight", "2"], "omit --max-steps-in-flight"),
        (["--journal", "no/such/folder/run.jsonl"], "cannot write no/such/folder/run.jsonl"),
    ],
)
def test_an_invalid_argument_is_one_line(
    argv: list[str],
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert said in refused(capsys, "simulate", *argv)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("num_gpu_block = 9\n", "unknown setting num_gpu_block; did you mean num_gpu_blocks?"),
        ("num_gpu_blocks = '9'\n", "num_gpu_blocks is '9': it must be a whole number"),
        ("enable_chunked_prefill = 1\n", "enable_chunked_prefill is 1: it must be true or false"),
        ("max_steps_in_flight = true\n", "max_steps_in_flight is True: it must be a whole number"),
        ("num_gpu_blocks =\n", "not valid TOML: "),
    ],
)
def test_a_bad_configuration_file_is_one_line(
    text: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "scheduler.toml"
    path.write_text(text)
    assert said in refused(capsys, "simulate", "--config", str(path))


def test_a_malformed_row_leaves_nothing_behind(
    trace: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path(trace).write_text(TRACE + "2023-11-16 18:15:47,12,none\n")
    journal = tmp_path / "run.jsonl"
    line = refused(capsys, "simulate", trace, "--journal", str(journal))
    assert line == (
        "lineclear simulate: trace.csv, row 5: GeneratedTokens is 'none', not a whole number\n"
    )
    assert not journal.exists()


def test_a_journal_replays_and_shows_the_state_at_a_step(
    trace: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = str(tmp_path / "run.jsonl")
    steps = simulate(capsys, trace, *PRESSURE, "--journal", path)["steps"]
    result = json.loads(printed(capsys, "replay", path, "--format", "json"))
    assert result["complete"] is True
    assert (result["steps"], result["violations"]) == (steps, [])
    assert result["invariant_checks"] == steps + 1
    assert "the last state equals the recorded one" in printed(capsys, "replay", path)
    text = printed(capsys, "replay", path, "--step", "1")
    assert "gpu: 6 of 9 blocks free" in text
    assert "request 1: RUNNING, prompt 40, limit 100" in text
    assert "sequence 1: 40 tokens known, 0 computed, room for 40; blocks 0 1 2" in text
    assert main(["replay", path, "--step", "0", "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["state"]["requests"] == []


def test_a_journal_that_was_changed_or_cut_is_told(
    trace: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "run.jsonl"
    simulate(capsys, trace, *PRESSURE, "--journal", str(path))
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(lines[:-1]))
    assert "the journal is truncated here" in printed(capsys, "replay", str(path), code=3)
    admitted = next(k for k, line in enumerate(lines) if '"admit"' in line)
    path.write_text("".join(lines[:admitted] + lines[admitted + 1 :]))
    assert "is refused, a guard is false: " in printed(capsys, "replay", str(path), code=1)
    path.write_text("no journal\n")
    assert main(["replay", str(path)]) == 2  # not a refutation: the file is not a journal
    assert "line 1: it is not JSON" in capsys.readouterr().err
    missing = str(tmp_path / "missing.jsonl")
    assert f"cannot read {missing}: No such file" in refused(capsys, "replay", missing)
    path.write_text("".join(lines))
    assert "--step 9999: " in refused(capsys, "replay", str(path), "--step", "9999")
    assert "--step: must be a whole number of at least 0" in refused(
        capsys, "replay", str(path), "--step", "-1"
    )


def test_lessons_are_listed_and_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert printed(capsys, "simulate", "--lesson", "list").splitlines()[0].startswith("queues ")
    assert main(["simulate", "--lesson", "list", "--format", "json"]) == 0
    assert "decision-tree" in json.loads(capsys.readouterr().out)["lessons"]
    text = printed(capsys, "simulate", "--lesson", "decision-tree")
    assert "A is preempted by swap; D is admitted" in text
    assert "breaks conservation: GPU: 2 + 63 + 13 + 32 is not 100" in text
    assert main(["simulate", "--lesson", "q5", "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["invariants_broken"] == []


def test_the_step_time_model_is_stated(capsys: pytest.CaptureFixture[str]) -> None:
    text = printed(capsys, "simulate", "--step-time", "help")
    assert "copy_bandwidth: bytes in a second" in text
    assert "  copy_bandwidth=2.4e+10" in text


@pytest.mark.parametrize("command", ["simulate", "compare"])
@pytest.mark.parametrize("flags", [["--num-gpu-blocks", "1"], ["--max-waiting", "0"]])
def test_a_run_in_which_nobody_is_accepted_is_inconclusive(
    command: str, flags: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    text = printed(capsys, command, "--num-requests", "5", *flags, code=3)
    assert "inconclusive: no request was accepted" in text


def test_a_violation_ends_with_one(
    trace: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from lineclear.monitor.audit import InvariantViolation

    def broken(_: object) -> None:
        raise InvariantViolation("conservation", "a GPU place is free and held")

    monkeypatch.setattr("lineclear.monitor.repeated_audit.RepeatedAudit.check", broken)
    assert main(["simulate", trace]) == 1
    assert "violated: step 1: conservation: a GPU place" in capsys.readouterr().out


@pytest.mark.parametrize("argument", ["--check=0", "--check=often", "--num-requests=0"])
def test_a_number_that_is_none_is_refused(
    argument: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["simulate", argument]) == 2
    assert argument.split("=")[1] in capsys.readouterr().err


def test_theorems_are_held_against_the_run(capsys: pytest.CaptureFixture[str]) -> None:
    asked = ["simulate", "--num-requests", "25", "--guarantees", "--scheduling-policy", "aging"]
    text = printed(capsys, *asked)
    assert "theorems of the policy, for these settings and requests" in text
    assert re.search(
        r"aging\.P9 +20 +0\S* +seconds that who passes comes later: \(P_max - P\)", text
    )
    assert "no guarantee" not in text
    assert main([*asked, "--max-bypasses", "3", "--format", "json"]) == 0
    rows = {row["theorem"]: row for row in json.loads(capsys.readouterr().out)["theorems"]}
    assert rows["aging.P7"]["lost"] == ["F2 (max_bypasses 3)"]
    assert rows["aging.P5"]["seen"] <= rows["aging.P5"]["bound"] == 3


def test_one_line_says_that_a_combination_loses_guarantees(
    capsys: pytest.CaptureFixture[str],
) -> None:
    lines = printed(capsys, "simulate", "--num-requests", "5", "--max-bypasses", "2").splitlines()
    (line,) = [line for line in lines if "no guarantee" in line]
    assert line == "no guarantee: fcfs.P2 fcfs.P4 fcfs.P6b fcfs.P7 fcfs.P8: F2 (max_bypasses 2)"
    asked = ["simulate", "--num-requests", "5", "--max-bypasses", "2", "--format", "json"]
    lost = json.loads(printed(capsys, *asked))["lost_theorems"]
    assert list(lost) == ["fcfs.P2", "fcfs.P4", "fcfs.P6b", "fcfs.P7", "fcfs.P8"]
    assert set(lost.values()) == {"no guarantee: F2 (max_bypasses 2)"}


def test_a_bound_that_is_passed_is_told_and_fails(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import lineclear.theorems.bounds

    def one(*_: object) -> int:
        return 1

    monkeypatch.setattr(lineclear.theorems.bounds, "steps_of_the_first", one)
    output = printed(capsys, "simulate", "--num-requests", "5", "--guarantees", code=1)
    assert re.search(r"bound exceeded: fcfs\.P6b does not hold: \d+ steps of the first", output)


def test_lessons_have_no_theorems_to_ask_for(capsys: pytest.CaptureFixture[str]) -> None:
    name = printed(capsys, "simulate", "--lesson", "list").split()[0]
    assert main(["simulate", "--lesson", name, "--guarantees"]) == 2
    assert "omit --guarantees" in capsys.readouterr().err
