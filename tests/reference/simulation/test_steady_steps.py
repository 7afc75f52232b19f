"""Steady steps without plans give what steps with plans give: report, journal, counters, watch and clock."""

from __future__ import annotations

import io
import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from lineclear.config import Config
from lineclear.monitor.liveness import Watch
from lineclear.simulation.history import History
from lineclear.simulation.simulate import Simulation
from lineclear.simulation.steady_steps import SteadySteps
from lineclear.simulation.steptime import StepTime
from lineclear.theorems.service import Service
from lineclear.workload.workload import Workload, synthetic

AMPLE = Config(num_gpu_blocks=2000, max_model_len=1024, max_num_seqs=24)
#: Few blocks: requests are preempted, copied, and take blocks that a copy fences.
SCARCE = replace(AMPLE, num_gpu_blocks=110, num_cpu_blocks=50, max_num_batched_tokens=512)


def few_at_a_time(rate: float = 4.0, count: int = 24) -> Workload:
    """Requests, most with one sequence, that arrive while others decode."""
    return synthetic(count, rate, 5, parallel=(1,) * 19 + (2,))


def run(config: Config, workload: Workload, model: StepTime | None = None) -> tuple[Any, ...]:
    """All that a run gives, seconds of work, and the steps that had no plan."""
    without = 0
    went_on = Watch.went_on

    def counted(watch: Watch, steps: int) -> None:
        nonlocal without
        without += steps
        went_on(watch, steps)

    journal, history = io.StringIO(), History()
    simulation = Simulation(
        workload, config, model=model, journal=journal, check_every=0, collector=history
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Watch, "went_on", counted)
        result = simulation.run()
    watch, device = simulation.watch, simulation.device
    seen = (watch.calls, watch.longest, watch.slowest, watch.since, watch.waited, watch.seen)
    rest = (seen, simulation.scheduler.counters, simulation.now, device.free_at)
    times = (history.times, history.phases, history.samples, history.gaps)
    return (result.json(), journal.getvalue(), *rest, *times), device.busy["compute"], without


def runs_none(_: SteadySteps, now: float, __: float) -> float:
    return now


@pytest.fixture
def apart(monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[Any, ...]]:
    """A run in which every step has a plan."""

    def runs(*arguments: Any) -> tuple[Any, ...]:
        with monkeypatch.context() as patch:
            patch.setattr(SteadySteps, "run", runs_none)
            found = run(*arguments)
        assert found[-1] == 0
        return found

    return runs


CASES: dict[str, tuple[dict[str, Any], Config]] = {
    policy: ({"scheduling_policy": policy}, AMPLE)
    for policy in ("fcfs", "aging", "fair", "vtc", "drr", "mlfq", "sjf_aging")
} | {
    "swap": ({"preemption_mode": "swap"}, SCARCE),
    "recompute": ({"preemption_mode": "recompute"}, SCARCE),
    "small blocks": ({"block_size": 1, "num_gpu_blocks": 900}, SCARCE),
    "no CPU pool": ({"num_cpu_blocks": 0, "preemption_mode": "recompute"}, SCARCE),
}


@pytest.mark.parametrize("case", CASES)
def test_the_results_and_the_journal_are_the_same(
    case: str, apart: Callable[..., tuple[Any, ...]]
) -> None:
    changes, config = CASES[case]
    config, workload = replace(config, **changes), few_at_a_time()
    found, busy, without = run(config, workload)
    wanted, other, _ = apart(config, workload)
    for one, another in zip(found, wanted, strict=True):
        assert one == another
    assert math.isclose(busy, other)
    # mlfq reviews requests in every step.
    assert without == 0 if case == "mlfq" else without > 100
    if config.num_cpu_blocks == SCARCE.num_cpu_blocks and case != "small blocks":
        assert sum(found[0]["preemptions"].values()) >= 3


class Uneven(StepTime):
    """Steps that are longer and shorter by turns."""

    def step(self, tokens: int, sequences: int, context: int, pairs: int) -> float:
        return 0.001 * (1 + context // 16 % 5)


def test_a_stall_in_the_midst_of_such_steps_is_seen(
    apart: Callable[..., tuple[Any, ...]],
) -> None:
    workload = few_at_a_time(0.05, count=6)
    found, _, without = run(AMPLE, workload, Uneven())
    assert found == apart(AMPLE, workload, Uneven())[0]
    assert without > 100


def test_users_who_wait_for_an_answer_send_no_sooner(
    apart: Callable[..., tuple[Any, ...]],
) -> None:
    workload = replace(few_at_a_time(count=20), users=3)
    found, _, without = run(AMPLE, workload)
    assert found == apart(AMPLE, workload)[0]
    assert without > 100


@pytest.mark.parametrize(
    "changes", [{"max_steps_in_flight": 2}, {"prefix_caching": "all"}], ids=str
)
def test_where_steps_overlap_or_blocks_have_names_every_step_has_a_plan(
    changes: dict[str, Any],
) -> None:
    assert run(replace(AMPLE, **changes), few_at_a_time(count=8))[2] == 0


@pytest.mark.parametrize("looked_at", ["checks", "service", "copies"])
def test_who_looks_at_steps_or_copies_has_a_plan_for_each(
    looked_at: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A copy also of a request that runs again: its CPU blocks were dropped while they were written."""

    def refused(*_: Any) -> float:
        raise AssertionError("it was asked")

    monkeypatch.setattr(SteadySteps, "run", refused)
    listener = Service([""]) if looked_at == "service" else None
    simulation = Simulation(
        few_at_a_time(count=1), AMPLE, check_every=int(looked_at == "checks"), service=listener
    )
    if looked_at == "copies":
        simulation.operations.copies.append((1e9, 1 << 40))
        for _ in range(50):
            assert simulation.turn()
        return
    simulation.run()
