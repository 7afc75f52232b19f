"""Percentiles and moments, and the streams of the simulated device, worked out by hand."""

from __future__ import annotations

import math
import random
import re
from array import array
from pathlib import Path

import pytest

from lineclear.config import Config
from lineclear.simulation.compare import compare
from lineclear.simulation.metrics import Collector, spread
from lineclear.simulation.simulate import Simulation
from lineclear.simulation.steptime import SimulatedDevice, StepTime
from lineclear.workload.generators import generate
from lineclear.workload.workload import Arrival, Workload


def test_a_percentile_is_a_value_that_was_seen() -> None:
    values = [float(value) for value in range(1, 11)]
    assert spread(values) == {"mean": 5.5, "p50": 5, "p90": 9, "p99": 10, "max": 10}
    assert spread([7.0]) == {"mean": 7, "p50": 7, "p90": 7, "p99": 7, "max": 7}


def test_a_spread_of_nothing_is_nothing() -> None:
    assert spread([]) is None
    assert spread([3, 1, 2]) == {"mean": 2, "p50": 2, "p90": 3, "p99": 3, "max": 3}


def test_the_moments_of_a_preempted_request() -> None:
    collector = Collector()
    collector.arrive("a", 1.0)
    collector.schedule("a", 3.0)
    collector.tokens("a", 1, 4.0)
    collector.tokens("a", 1, 5.0)
    collector.preempt("a", 5.0, swap=True)
    collector.preempt("a", 6.0, swap=False)  # its CPU copy was discarded: still the same pause
    collector.schedule("a", 9.0)
    collector.tokens("a", 1, 10.0)
    collector.finish("a", 7, 3, 10.0)
    collector.arrive("b", 2.0)
    collector.elapse(4.0, gpu=0.5, cpu=0.25, running=1, waiting=1)
    collector.elapse(4.0, gpu=1.0, cpu=0.0, running=2, waiting=0)
    report = collector.report()
    assert report["ttft"]["p50"] == 3.0
    assert report["tpot"]["p50"] == 3.0
    assert report["e2e"]["max"] == 9.0
    assert report["queue_delay"]["mean"] == 2.0
    assert report["max_stall"]["max"] == 5.0
    assert report["preempted_time"]["max"] == 4.0
    assert (collector.swap_outs, collector.recomputes) == (1, 1)
    assert report["preempted_requests"] == 1
    assert report["gpu_cache_usage"] == {"mean": 0.75, "max": 1.0}
    assert report["cpu_cache_usage"] == {"mean": 0.125, "max": 0.25}
    assert (report["mean_running"], report["mean_waiting"]) == (1.5, 0.5)
    assert report["generated_tokens_per_second"] == 3 / 8
    assert report["prompt_tokens"] == 7


def test_a_report_of_nothing_says_none() -> None:
    report = Collector().report()
    assert report["ttft"] is None
    assert report["recompute_tax"] is None
    assert report["requests_per_second"] is None


def test_a_step_costs_what_the_model_states() -> None:
    model = StepTime(
        base=1.0, per_token=0.1, per_sequence=0.01, per_context=0.001, per_pair=0.0001,
        copy_base=2.0, copy_bandwidth=100.0, kv_bytes=10.0,
    )  # fmt: skip
    assert model.step(3, 2, 50, 7) == pytest.approx(1.0 + 0.3 + 0.02 + 0.05 + 0.0007)
    assert model.copy(4, 16) == pytest.approx(2.0 + 4 * 16 * 10 / 100)


@pytest.mark.parametrize("changes", [{"base": 0.0}, {"per_token": -1.0}, {"base": math.nan}])
def test_a_model_in_which_time_stands_still_is_refused(changes: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"number from 0 to 1e\+12|are at least 1e-12"):
        StepTime(**changes)


def test_streams_work_at_once_and_wait_for_what_they_name() -> None:
    device = SimulatedDevice()
    assert device.start(1, "compute", 4.0, 0, 0.0) == 4.0
    assert device.start(2, "out", 3.0, 1, 0.0) == 7.0  # behind the forward
    assert device.start(3, "in", 1.0, 0, 0.0) == 1.0  # waits for nothing
    assert device.start(4, "compute", 1.0, 0, 0.0) == 5.0  # behind its own stream only
    assert device.start(5, "compute", 1.0, 3, 0.0) == 8.0  # behind 1 to 3, so behind the copy out
    assert device.busy == {"compute": 6.0, "out": 3.0, "in": 1.0}
    with pytest.raises(ValueError, match="operation 5 comes after"):
        device.start(5, "compute", 1.0, 0, 0.0)


def test_what_ended_can_be_forgotten() -> None:
    device, other = SimulatedDevice(), SimulatedDevice()
    for number in range(1, 200):
        stream = ("compute", "out", "in")[number % 3]
        now = float(number)
        ends = [
            d.start(number, stream, 1.0 + number % 7, max(0, number - number % 11), now)
            for d in (device, other)
        ]
        assert ends[0] == ends[1]
        device.forget(now)
    assert device.all_done(199) == other.all_done(199)


def test_gaps_between_tokens_of_all_requests_are_spread() -> None:
    collector = Collector()
    for name, moments in (("a", (1.0, 2.0, 4.0)), ("b", (1.0, 9.0))):
        collector.arrive(name, 0.0)
        for moment in moments:
            collector.tokens(name, 1, moment)
    assert collector.report()["itl"] == {
        "mean": pytest.approx((1 + 2 + 8) / 3), "p50": 2.0, "p90": 8.0, "p99": 8.0, "max": 8.0,
    }  # fmt: skip
    assert Collector().report()["itl"] is None


def test_so_many_of_a_hundred_do_not_exceed_a_percentile_and_it_is_the_smallest_such() -> None:
    draw = random.Random(3)
    values = [draw.expovariate(1.0) for _ in range(997)]
    few = spread(values)
    assert few is not None
    assert few == spread(array("d", values))
    assert few["mean"] == pytest.approx(sum(values) / 997)
    for percent in (50, 90, 99):
        enough = [v for v in values if 100 * sum(w <= v for w in values) >= percent * 997]
        assert few[f"p{percent}"] == min(enough)


def test_positions_that_are_held_and_empty_are_waste() -> None:
    """One request of 20 + 4 tokens in blocks of 16: 20 of 32 positions, then 21, 22 and 23."""
    workload = Workload("w", "synthetic", (Arrival("a", 0.0, 20, (4,), 4),))
    run = Simulation(workload, Config(num_gpu_blocks=8, max_model_len=64)).run()
    assert run.metrics["kv_waste"] == pytest.approx(1 - (20 + 21 + 22 + 23) / (4 * 32))
    assert run.metrics["swapped_out_bytes"] == 0


def test_bytes_that_were_moved_are_blocks_by_the_models_size() -> None:
    config = Config(
        num_gpu_blocks=40, num_cpu_blocks=40, max_model_len=512, preemption_mode="swap",
        max_num_seqs=16,
    )  # fmt: skip
    model = StepTime(kv_bytes=1000.0)
    run = Simulation(generate("poisson", 40, 60, 0), config, model=model).run()
    metrics = run.metrics
    assert metrics["swapped_out_bytes"] == metrics["swapped_out_blocks"] * 16 * 1000 > 0
    assert metrics["swapped_in_bytes"] == metrics["swapped_in_blocks"] * 16 * 1000 > 0


def test_the_page_says_what_each_metric_is() -> None:
    page = (Path(__file__).resolve().parents[3] / "docs" / "metrics.md").read_text()
    run = Simulation(generate("poisson", 3, 10, 0), Config(max_model_len=2048)).run()
    assert set(
        re.findall(r"^\| `(\w+)` \| .* \|.*\|$", page.split("Beside these")[0], re.M)
    ) == set(run.metrics)
    (row,) = compare(generate("tenants", 12, 10, 0), Config(max_model_len=2048), ["vtc"])
    output = set(re.findall(r"^\| `(\w+)` \|", page.split("adds, for each policy")[1], re.M))
    assert output == set(row.json()) - {"policy", "run"}
