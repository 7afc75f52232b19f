"""The simulator against the log of a real engine: fit, comparison, tolerances."""

from __future__ import annotations

import importlib
import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lineclear.simulation.steptime import StepTime

ROOT = Path(__file__).resolve().parents[2]
LOG = ROOT.parent / "shared" / "traces" / "vllm019_rtx4090_llama31_8b"
BASE, PER_TOKEN, PER_CONTEXT = 0.012, 1e-4, 2e-7


@pytest.fixture(scope="module")
def script() -> Any:
    sys.path.insert(0, str(ROOT / "benchmarks"))
    try:
        return importlib.import_module("vllm_log")
    finally:
        sys.path.pop(0)


@pytest.fixture(scope="module")
def log(script: Any) -> Any:
    """How to read and fit the log."""
    return importlib.import_module("vllm_record")


@pytest.fixture(scope="module")
def made(script: Any, log: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A log of the same form from a run of the simulator, with known step times."""
    folder = tmp_path_factory.mktemp("log")
    asked = [
        log.Served(str(k), 300 + 37 * k % 900, 60 + 53 * k % 200, 0.25 * k, 0.0, 0.0, 0.0)
        for k in range(60)
    ]
    model = StepTime(
        base=BASE, per_token=PER_TOKEN, per_sequence=0, per_context=PER_CONTEXT, per_pair=0
    )
    simulation, curve, _ = script.simulate(
        asked, model, replace(script.CONFIG, max_steps_in_flight=1), 0
    )
    requests = script.served(asked, simulation)
    with (folder / "requests.jsonl").open("w", encoding="utf-8") as file:
        for r in requests:
            times = zip(log.TIMES, (r.queued, r.scheduled, r.first, r.last), strict=True)
            row = {"request_id": r.name, "input_toks": r.prompt, "output_toks": r.output}
            file.write(json.dumps({**row, **{f"{key}_ts": at for key, at in times}}) + "\n")
    lines = ["t,prompt_throughput,gen_throughput,running,waiting,kv_cache_pct"]
    for second in range(1, int(max(r.last for r in requests)) + 1):
        running, waiting = curve.at(second)
        prompt = sum(r.prompt for r in requests if second - 1 < r.first <= second)
        used = 5.0 + running / 2
        context = used / 100 * log.BLOCKS * log.BLOCK_SIZE
        step = BASE + PER_TOKEN * running + PER_CONTEXT * context
        lines.append(f"{second},{prompt},{running / step},{running},{waiting},{used}")
    (folder / "timeseries.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


def test_the_step_times_of_a_log_are_found_again(log: Any, made: Path) -> None:
    model = log.fit(*log.read(made))
    assert model.per_token == pytest.approx(PER_TOKEN, rel=0.1)
    assert model.base == pytest.approx(BASE, rel=0.05)
    assert model.per_context == pytest.approx(PER_CONTEXT, rel=0.2)


def test_another_order_or_a_smaller_pool_is_seen(script: Any, made: Path) -> None:
    report = script.validate(made, check_every=0)
    assert report["passed"], [each for each in report["checks"] if not each["within"]]
    shortest = replace(script.CONFIG, scheduling_policy="sjf", max_num_seqs=4)
    report = script.validate(made, shortest, check_every=0)
    outside = {each["what"] for each in report["checks"] if not each["within"]}
    assert "pairs first scheduled in opposite order" in outside
    assert "peak of running requests" in outside
    assert "TTFT p90, s" in outside
    assert "**outside**" in script.page(report)


def test_pairs_of_one_step_are_in_no_order(script: Any, log: Any) -> None:
    a, b, c = (log.Served(name, 1, 1, k, 5.0, 6.0, 7.0) for k, name in enumerate("abc"))
    early = replace(c, scheduled=4.0)
    assert script.overtaken([a, b, c]) == 0
    assert script.overtaken([a, b, early]) == 2
    assert script.inversions([a, b, c], [a, b, early]) == 0
    late = replace(a, scheduled=3.0)
    assert script.inversions([late, b, c], [a, replace(b, scheduled=2.0), c]) == 1


@pytest.mark.slow
@pytest.mark.skipif(not LOG.is_dir(), reason="the log is not beside the repository")
def test_the_real_log_is_met_within_the_stated_tolerances(script: Any) -> None:
    report = script.validate(LOG, check_every=0)
    assert report["passed"], [each for each in report["checks"] if not each["within"]]
    peak = {each["what"]: each for each in report["checks"]}["peak of waiting requests"]
    assert peak["log"] == 234
    assert report["overtaken_in_log"] == 0
