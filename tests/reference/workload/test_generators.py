"""Workloads that are drawn: the same for the same seed, and as their names say."""

from __future__ import annotations

import itertools
import statistics

import pytest

from lineclear.config import Config
from lineclear.policies import BUILT_IN
from lineclear.simulation.simulate import Simulation
from lineclear.workload.generators import GENERATORS, HOSTILE, generate
from lineclear.workload.workload import WorkloadError


@pytest.mark.parametrize("kind", [*GENERATORS, *(f"hostile:{policy}" for policy in HOSTILE)])
def test_a_seed_draws_one_workload(kind: str) -> None:
    first, again, other = (generate(kind, 40, 4, seed) for seed in (1, 1, 2))
    assert first == again
    assert first.requests != other.requests
    times = [request.arrival_time for request in first.requests]
    assert times == sorted(times)
    assert len({request.request_id for request in first.requests}) == 40


def gaps(kind: str) -> list[float]:
    times = [request.arrival_time for request in generate(kind, 4000, 10, 3).requests]
    return [later - earlier for earlier, later in itertools.pairwise(times)]


def test_bursts_have_the_rate_and_four_times_the_deviation() -> None:
    steady, bursts = gaps("poisson"), gaps("bursty")
    assert statistics.mean(steady) == pytest.approx(0.1, rel=0.1)
    assert statistics.mean(bursts) == pytest.approx(0.1, rel=0.2)
    assert statistics.stdev(steady) / statistics.mean(steady) == pytest.approx(1, rel=0.1)
    assert statistics.stdev(bursts) / statistics.mean(bursts) == pytest.approx(4, rel=0.2)


def test_a_heavy_tail_holds_much_of_all_tokens() -> None:
    def share(kind: str) -> float:
        outputs = sorted(sum(r.output_tokens) for r in generate(kind, 2000, 10, 3).requests)
        return sum(outputs[-20:]) / sum(outputs)

    assert share("heavy_tail") > 1.5 * share("poisson")


def test_a_closed_workload_never_has_more_requests_than_users() -> None:
    workload = generate("closed", 60, 5, 0)
    assert workload.users == 5
    simulation = Simulation(workload, Config(num_gpu_blocks=256, num_cpu_blocks=32))
    most: list[int] = []
    simulation.run(lambda: most.append(len(simulation.live)))
    assert simulation.finished == 60
    assert max(most) == 4  # one has just ended


def test_every_built_in_policy_has_a_hostile_workload() -> None:
    assert set(BUILT_IN) <= set(HOSTILE)


@pytest.mark.parametrize(
    ("kind", "count", "rate", "said"),
    [
        ("lumpy", 5, 1, "there is no generator 'lumpy'; known are poisson"),
        ("hostile:none", 5, 1, "there is no generator 'hostile:none'"),
        ("closed", 5, 1.5, "a whole number of users"),
        ("hostile:fcfs", 1, 1, "2 requests or more"),
        ("bursty", 0, 1, "give 1 or more"),
    ],
)
def test_what_cannot_be_drawn_is_refused(kind: str, count: int, rate: float, said: str) -> None:
    with pytest.raises(WorkloadError, match=said):
        generate(kind, count, rate, 0)
