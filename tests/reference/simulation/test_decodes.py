"""Decodes that are counted together give what counting each row by itself gives."""

from __future__ import annotations

import io
from dataclasses import replace
from typing import Any

import pytest

from lineclear.config import Config
from lineclear.simulation.decodes import Decodes
from lineclear.simulation.history import History
from lineclear.simulation.simulate import Simulation
from lineclear.workload.workload import Workload, synthetic

CONFIG = Config(
    num_gpu_blocks=110,
    num_cpu_blocks=50,
    max_model_len=1024,
    max_num_seqs=24,
    max_num_batched_tokens=512,
)


def everything(config: Config, workload: Workload) -> tuple[Any, ...]:
    """All that a run gives, and the most requests that were counted together."""
    journal, history = io.StringIO(), History()
    simulation = Simulation(workload, config, journal=journal, check_every=0, collector=history)
    split, most = simulation.decodes.split, 0

    def splitting(rows: Any) -> Any:
        nonlocal most
        found = split(rows)
        most = max(most, len(found.counted))
        return found

    simulation.decodes.split = splitting  # type: ignore[method-assign]
    result = simulation.run().json()
    rest = history.times, history.phases, history.samples
    return (result, journal.getvalue(), *rest), most


def with_groups(workload: Workload) -> Workload:
    """Every fifth request has two sequences of different lengths."""
    requests = [
        replace(a, output_tokens=(a.output_tokens[0], 1 + a.output_tokens[0] // 2))
        if k % 5 == 0
        else a
        for k, a in enumerate(workload.requests)
    ]
    return replace(workload, requests=tuple(requests))


@pytest.mark.parametrize(
    "changes",
    [
        {"max_steps_in_flight": 1, "preemption_mode": "swap"},
        {"max_steps_in_flight": 2, "preemption_mode": "recompute"},
        {"max_steps_in_flight": 2, "preemption_mode": "recompute", "prefix_caching": "all"},
        {"max_steps_in_flight": 2, "num_gpu_blocks": 2000},
        {"max_steps_in_flight": 1, "num_lookahead_slots": 2, "num_gpu_blocks": 300},
    ],
    ids=str,
)
def test_the_results_and_the_journal_are_the_same(
    changes: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    config = replace(CONFIG, **changes)
    workload = with_groups(synthetic(40, 40.0, 3))
    together, most = everything(config, workload)
    monkeypatch.setattr(Decodes, "enabled", False)
    apart, none = everything(config, workload)
    assert together == apart
    assert none == 0
    assert most == 0 if config.num_lookahead_slots else most >= 3
    if config.num_gpu_blocks == CONFIG.num_gpu_blocks:
        assert sum(together[0]["preemptions"].values()) >= 3


def test_what_is_not_put_back_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    workload = synthetic(40, 40.0, 3)
    wanted, _ = everything(CONFIG, workload)
    put_back = Decodes.put_back

    def forgetful(self: Decodes, request: Any) -> None:
        computed = request.computed
        put_back(self, request)
        request.computed = computed

    monkeypatch.setattr(Decodes, "put_back", forgetful)
    found, _ = everything(CONFIG, workload)
    assert found[0] != wanted[0]
