"""`lineclear run`."""

from __future__ import annotations

import json
from typing import Any

import pytest
from refusals import printed

from lineclear.cli import main

pytest.importorskip("torch")
pytest.importorskip("transformers")


def output(capsys: pytest.CaptureFixture[str], *argv: str, code: int = 0) -> Any:
    assert main(["run", *argv, "--format", "json"]) == code
    return json.loads(capsys.readouterr().out)


def test_a_tiny_model_short_of_memory_gives_the_tokens_of_an_ample_pool(
    capsys: pytest.CaptureFixture[str],
) -> None:
    result = output(
        capsys, "--device", "cpu", "--num-requests", "16", "--compare", "--verify-each-step",
        "--preemption-mode", "by_length",
    )  # fmt: skip
    assert result["finished"] == 16
    assert result["prefix_cache"]["queried_tokens"] == 0  # a choice of swaps turns it off
    assert result["same_tokens"] is True
    assert result["preemptions"]["swap"] >= 1
    assert result["preemptions"]["recompute"] >= 1
    assert result["violations"] == result["errors"] == []
    assert result["invariant_checks"] > 100
    assert result["ordered_accesses"] > 0
    assert result["bytes_out"] >= result["bytes_in"] > 0


def test_prefix_caching_is_on_unless_it_is_turned_off(capsys: pytest.CaptureFixture[str]) -> None:
    run = ("--device", "cpu", "--num-requests", "12", "--compare", "--verify-each-step")
    result = output(capsys, *run)
    assert result["same_tokens"] is True
    assert result["preemptions"]["swap"] == 0
    assert result["preemptions"]["recompute"] >= 1
    assert result["prefix_cache"]["queried_tokens"] > 100
    assert result["prefix_cache"]["evicted_blocks"] > 0
    off = output(capsys, *run[:4], "--prefix-caching", "off")
    assert set(off["prefix_cache"].values()) == {0}
    assert "prefix cache  0 of " in printed(capsys, "run", *run[:4])


def test_only_what_both_runs_served_is_compared(capsys: pytest.CaptureFixture[str]) -> None:
    run = ("--device", "cpu", "--compare", "--num-gpu-blocks", "12")
    result = output(capsys, *run)
    assert len(result["rejected"]) == 2  # by the small pool; the ample one serves them
    assert result["same_tokens"] is True


def test_a_run_that_was_cut_is_compared_as_far_as_it_went(
    capsys: pytest.CaptureFixture[str],
) -> None:
    run = ("--device", "cpu", "--compare", "--num-requests", "6")
    result = output(capsys, *run, "--steps", "9", code=3)
    assert result["unfinished"] > 0
    assert result["same_tokens"] is True


def test_tokens_differ_where_one_does_or_a_whole_output_is_shorter() -> None:
    from lineclear_gpu.model_run import same_tokens

    assert same_tokens({"a": (True, [[1, 2]])}, {"a": (True, [[1, 2]]), "b": (True, [[5]])})
    assert same_tokens({"a": (False, [[1], []])}, {"a": (True, [[1, 2], [3]])})
    assert not same_tokens({"a": (False, [[1], [4]])}, {"a": (True, [[1, 2], [3]])})
    assert not same_tokens({"a": (True, [[1]])}, {"a": (True, [[1, 2]])})


def test_without_a_model_tags_are_checked(capsys: pytest.CaptureFixture[str]) -> None:
    result = output(capsys, "--model", "none", "--steps", "200", "--device", "cpu", "--seed", "4")
    assert result["steps"] >= 200
    assert result["wrong_slots"] == 0
    assert result["slots_checked"] > 10_000
    assert result["events"]["fork"] > 0
    assert result["events"]["hits"] > 0


def test_the_text_says_what_happened(capsys: pytest.CaptureFixture[str]) -> None:
    text = printed(capsys, "run", "--device", "cpu", "--num-requests", "3")
    assert "3: 3 finished, 0 rejected, 0 failed" in text
    assert "tiny-llama (float32) on cpu" in text


def test_a_line_now_and_then_when_it_is_piped(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lineclear_gpu.serving.LINES", 0.0)
    assert main(["run", "--device", "cpu", "--num-requests", "3"]) == 0
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) > 5
    for word in ("tokens/s", "step ", "(host ", "device waited for ", "KV ", "running", "swapped"):
        assert word in lines[0], word
    assert "recompute" in lines[-1]


def test_a_cpu_says_that_nothing_is_recorded(capsys: pytest.CaptureFixture[str]) -> None:
    result = output(capsys, "--device", "cpu", "--num-requests", "3")
    assert result["recorded"] == "the host launches every kernel: it was not requested"


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["--model", "./no/such/model"], "no model"),
        (["--dtype", "int8"], "--dtype is one of float32, float16, bfloat16"),
        (["--steps", "0"], "--steps: must be a whole number of at least 1"),
        (["--temperature", "-1"], "temperature"),
        (
            ["--model", "none", "trace.csv"],
            "generates its own requests and runs no model: omit WORKLOAD",
        ),
        (["--model", "none", "--compare"], "runs no model: omit --compare"),
        (
            ["--model", "none", "--temperature", "1", "--calibration", ".", "--dtype", "float16"],
            "omit --dtype, --calibration, --temperature",
        ),
        (
            [
                "--model",
                "none",
                "--num-requests",
                "3",
                "--gpu-memory-utilization",
                "0.5",
                "--eager",
            ],
            "omit --gpu-memory-utilization, --eager, --num-requests",
        ),
        (
            ["--device", "cpu", "--eager", "--gpu-memory-utilization", "0.5"],
            "a CPU records no steps, fuses no layers and has pools of the sizes of the settings: "
            "omit --gpu-memory-utilization, --eager",
        ),
        (["--request-rate", "5"], "all requests are added at once: omit --request-rate"),
        (["--num-gpu-blocks", "0"], "num_gpu_blocks must be"),
        (["nowhere.csv"], "nowhere.csv"),
    ],
)
def test_what_cannot_be_run_is_one_line(
    capsys: pytest.CaptureFixture[str], argv: list[str], said: str
) -> None:
    assert main(["run", "--device", "cpu", *argv]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1


def test_a_run_in_which_nobody_is_accepted_is_inconclusive(
    capsys: pytest.CaptureFixture[str],
) -> None:
    flags = ("--device", "cpu", "--num-requests", "3", "--max-waiting", "0", "--compare")
    text = printed(capsys, "run", *flags, code=3)
    assert "inconclusive: no request was accepted" in text


def test_a_wrong_tag_is_a_refutation_and_no_traceback(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from lineclear_gpu import tag_run

    def wrong(self: tag_run.TagRun) -> None:
        raise tag_run.WrongTag("step 1: request 1 read 1 slots whose content is not its own")

    monkeypatch.setattr(tag_run.TagRun, "_look", wrong)
    assert main(["run", "--device", "cpu", "--model", "none", "--steps", "2", "--seed", "6"]) == 1
    written = capsys.readouterr()
    assert written.out.startswith("violated: step 1: request 1 read")
    assert "; seed 6, Load(" in written.out
    assert written.err == ""


def test_a_small_model_on_the_cpu_has_one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch
    from served import model

    from lineclear_gpu import model_run

    asked: list[int] = []
    monkeypatch.setattr(torch, "set_num_threads", asked.append)
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    model_run.use_threads(model())
    assert asked == []
    monkeypatch.delenv("OMP_NUM_THREADS")
    model_run.use_threads(model())
    assert asked == [1]
    monkeypatch.setattr(model_run, "FEW_WEIGHTS", 0)
    model_run.use_threads(model())
    assert asked == [1]


def test_a_hub_that_does_not_answer_is_one_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import logging

    from transformers import AutoConfig

    logger = logging.getLogger("huggingface_hub.utils._http")
    shown: list[bool] = []

    def unreachable(name: str) -> None:
        shown.append(logger.isEnabledFor(logging.WARNING))  # as its retries are
        raise OSError("cannot reach the hub\nlook at your connection")

    monkeypatch.setattr(AutoConfig, "from_pretrained", unreachable)
    before = logger.isEnabledFor(logging.WARNING)
    assert main(["run", "--device", "cpu", "--model", "some/model"]) == 2
    error = capsys.readouterr().err
    assert "no model 'some/model'" in error
    assert error.count("\n") == 1
    assert shown == [False]
    assert logger.isEnabledFor(logging.WARNING) is before
