"""A simulated run: what it tells the scheduler, what it counts, and that it is the same again."""

from __future__ import annotations

import io
from typing import Any

import pytest

from lineclear.config import Config
from lineclear.journal.file import replay, state
from lineclear.monitor.liveness import Watch
from lineclear.request import Request
from lineclear.scheduler import Scheduler
from lineclear.simulation.simulate import Simulation
from lineclear.simulation.steptime import StepTime
from lineclear.workload.workload import Arrival, Lengths, Workload, synthetic

SMALL: dict[str, Any] = {
    "num_gpu_blocks": 48,
    "num_cpu_blocks": 30,
    "max_model_len": 512,
    "max_num_seqs": 32,
    "max_num_batched_tokens": 512,
}


def crowd(requests: int, seed: int) -> Workload:
    """Requests that all fit into the small pool, but not together."""
    prompts = Lengths(median=60, sigma=0.8, least=4, most=256)
    outputs = Lengths(median=40, sigma=0.8, least=1, most=128)
    return synthetic(requests, 60.0, seed, prompts=prompts, outputs=outputs)


def workload(*arrivals: Arrival) -> Workload:
    return Workload("test", "test", arrivals)


def arrival(
    name: str, prompt: int, *output: int, time: float = 0.0, cap: int = 64, priority: int = 0
) -> Arrival:
    return Arrival(name, time, prompt, output, cap, priority)


MODEL = StepTime(
    base=1.0, per_token=0.01, per_sequence=0.0, per_context=0.0, per_pair=0.0,
    copy_base=0.5, copy_bandwidth=1e9, kv_bytes=0.0,
)  # fmt: skip


def test_the_times_of_two_requests_worked_out_by_hand() -> None:
    # a: prompt 10, so its first step takes 1.1 s; b arrives meanwhile and is computed with a's
    # second token: 1 + 0.01 * (1 + 20) s; then two tokens a step.
    result = Simulation(
        workload(arrival("a", 10, 3), arrival("b", 20, 2, time=0.6)),
        Config(num_gpu_blocks=8, watermark=0.0),
        model=MODEL,
    ).run()
    metrics = result.metrics
    assert result.steps == 3
    assert (result.finished, result.rejected, result.violations) == (2, (), ())
    assert metrics["duration"] == pytest.approx(1.1 + 1.21 + 1.02)
    assert metrics["ttft"]["p50"] == pytest.approx(1.1)
    assert metrics["ttft"]["max"] == pytest.approx(1.1 + 1.21 - 0.6)
    assert metrics["e2e"]["max"] == pytest.approx(3.33)
    assert metrics["queue_delay"]["max"] == pytest.approx(0.5)
    assert metrics["tpot"]["p50"] == pytest.approx(1.02)
    assert metrics["tpot"]["max"] == pytest.approx((1.21 + 1.02) / 2)
    assert metrics["batched_tokens"] == 10 + 1 + 20 + 2
    assert metrics["generated_tokens"] == 5
    assert metrics["recomputed_tokens"] == 0
    assert result.checks == 2 * 3 + 1, "twice a step, and once for the plan that is empty"


def test_time_goes_on_to_the_next_arrival() -> None:
    late = arrival("b", 10, 1, time=50.0)
    result = Simulation(
        workload(arrival("a", 10, 1), late), Config(num_gpu_blocks=8), model=MODEL
    ).run()
    assert result.metrics["duration"] == pytest.approx(51.1)
    assert result.metrics["ttft"]["max"] == pytest.approx(1.1)


def test_the_scheduler_sees_the_cap_and_never_the_output(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Request] = []
    add = Scheduler.add

    def spy(self: Scheduler, request: Request) -> Any:
        seen.append(request)
        return add(self, request)

    monkeypatch.setattr(Scheduler, "add", spy)
    result = Simulation(
        workload(arrival("a", 10, 3), arrival("b", 70, 50, cap=50)),
        Config(num_gpu_blocks=16, max_model_len=100),
        check_every=0,  # the oracle of the step would add a live id as well, to see it refused
    ).run()
    assert [request.max_tokens for request in seen] == [64, 30]
    assert (result.clipped, result.finished) == (1, 2)
    assert result.metrics["generated_tokens"] == 33


def test_a_request_that_can_never_fit_is_rejected_with_the_reason() -> None:
    result = Simulation(
        workload(arrival("a", 10, 3), arrival("b", 900, 3), arrival("c", 2000, 3)),
        Config(num_gpu_blocks=8, max_model_len=1000),
    ).run()
    assert [name for name, _ in result.rejected] == ["b", "c"]
    assert "61 blocks, the pool has 8" in result.rejected[0][1]
    assert "max_model_len is 1000" in result.rejected[1][1]
    json = result.json()
    assert (json["requests"], json["finished"], json["rejected"]) == (3, 1, 2)


#: Half of all combinations, in which every two of the three settings meet.
COMBINED = [
    (depth, mode, policy)
    for d, depth in enumerate((1, 2))
    for m, mode in enumerate(("swap", "recompute", "auto", "by_length"))
    for p, policy in enumerate(("fcfs", "priority"))
    if (d + m + p) % 2 == 0
]


@pytest.mark.parametrize(("depth", "mode", "policy"), COMBINED)
def test_every_request_generates_exactly_its_tokens_under_pressure(
    depth: int, mode: str, policy: str
) -> None:
    drawn = crowd(40, depth)
    config = Config(
        **SMALL, max_steps_in_flight=depth, preemption_mode=mode, scheduling_policy=policy
    )
    result = Simulation(drawn, config).run()
    assert result.violations == ()
    assert result.stalled == ""
    assert result.finished == 40
    assert result.metrics["generated_tokens"] == drawn.output_tokens
    assert result.metrics["prompt_tokens"] == drawn.prompt_tokens
    assert result.checks >= 2 * result.steps
    preempted = result.preemptions
    if mode == "recompute":
        assert preempted["swap"] == 0
        assert preempted["recompute"] >= 5
        assert result.metrics["recompute_tax"] > 0
    if mode == "swap":
        assert preempted["swap"] >= 5
        assert result.metrics["swapped_out_blocks"] >= result.metrics["swapped_in_blocks"] > 0
    assert result.metrics["gpu_cache_usage"]["max"] <= 1


def test_recomputed_tokens_are_what_was_computed_twice() -> None:
    # One sequence each and one step in flight: whatever is computed beyond prompt + output - 1
    # was computed before.
    requests = tuple(arrival(str(k), 30 + 7 * k, 40 + k, cap=90) for k in range(8))
    smaller = {"num_gpu_blocks": 24, "preemption_mode": "recompute"}
    config = Config.from_mapping({**SMALL, **smaller})
    result = Simulation(workload(*requests), config).run()
    needed = sum(r.prompt_tokens + r.output_tokens[0] - 1 for r in requests)
    assert result.preemptions["recompute"] >= 3
    assert result.metrics["recomputed_tokens"] == result.metrics["batched_tokens"] - needed


def test_drafts_shorten_a_run_by_what_is_accepted() -> None:
    one = workload(arrival("a", 20, 40))
    config = Config(num_gpu_blocks=16, num_lookahead_slots=3, max_num_seqs=8)
    steps = {
        share: Simulation(one, config, acceptance=share).run().steps for share in (0.0, 0.5, 1.0)
    }
    assert steps[0.0] == 40
    assert steps[1.0] == 1 + 10
    assert 11 < steps[0.5] < 40


def test_branches_share_their_prompt_and_copy_what_they_write() -> None:
    result = Simulation(
        workload(arrival("a", 20, 9, 1, 5)), Config(num_gpu_blocks=16), model=MODEL
    ).run()
    assert result.finished == 1
    assert result.metrics["generated_tokens"] == 15
    assert result.metrics["copied_blocks"] == 1, "two branches of one half-full prompt block"
    assert result.steps == 9


def test_the_same_run_is_the_same_again_and_its_journal_replays() -> None:
    drawn, files = crowd(30, 5), (io.StringIO(), io.StringIO())
    runs = [Simulation(drawn, Config(**SMALL), journal=file) for file in files]
    results = [run.run().json() for run in runs]
    assert results[0] == results[1]
    assert files[0].getvalue() == files[1].getvalue()
    again = replay(files[0].getvalue().splitlines())
    assert again.complete
    assert state(again.ledger) == state(runs[0].scheduler.ledger)


def test_checks_can_be_made_less_often_or_not_at_all() -> None:
    drawn = crowd(10, 1)
    every, some, none = (
        Simulation(drawn, Config(**SMALL), check_every=each).run() for each in (1, 10, 0)
    )
    assert none.checks == 0 < some.checks < every.checks / 5
    assert none.metrics == every.metrics


def test_a_broken_block_table_ends_the_run_with_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    # Of these checks the oracle of the step, which runs in every step or not at all, is none.
    simulation = Simulation(crowd(10, 1), Config(**SMALL), check_every=7)
    commit, ledger = simulation.scheduler.commit, simulation.scheduler.ledger

    def steal(*arguments: Any) -> Any:
        ended = commit(*arguments)
        if ledger.steps == 7:
            ledger.gpu.free += 1  # a held place is on the free list too
        return ended

    monkeypatch.setattr(simulation.scheduler, "commit", steal)
    result = simulation.run()
    assert len(result.violations) == 1
    assert result.violations[0].startswith("step 7: conservation: ")
    assert result.json()["violations"] == 1
    assert result.steps == 7


def test_a_scheduler_that_never_admits_is_told_as_a_stall() -> None:
    class Deaf(Scheduler):
        def schedule(self) -> Any:
            self.queue.rebuild([])
            return super().schedule()

    simulation = Simulation(workload(arrival("a", 10, 3)), Config(**SMALL), check_every=0)
    simulation.scheduler = simulation.called = Deaf(Config(**SMALL))
    simulation.watch = Watch(simulation.scheduler)
    result = simulation.run()
    assert "1 requests are left: 0 running, 1 waiting" in result.stalled
    assert result.json()["finished"] == 0
