"""Bounds of theorems in runs: none is passed."""

from __future__ import annotations

import os
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from bounded import OPTIONS, drawn, held_rows, hold
from hypothesis import given, settings
from hypothesis import strategies as st

from lineclear.config import POLICIES, Config
from lineclear.simulation.compare import compare
from lineclear.simulation.steptime import StepTime
from lineclear.theorems.bound_checks import broken_bounds
from lineclear.workload.generators import GENERATORS, generate

#: By policy, the theorems whose bound a run is held against.
BOUNDED = {
    "fcfs": {"P5", "P6a", "P6b", "P7"},
    "priority": {"P5", "P6a", "P6b"},
    "aging": {"P5", "P6a", "P6b", "P7", "P9"},
    "sjf": {"P5", "P6a", "P6b"},
    "sjf_aging": {"P5", "P6a", "P6b", "P7", "P9"},
    "edf": {"P5", "P6a", "P6b", "P7"},
    "lpl": {"P5", "P6a", "P6b", "P7"},  # with aging, as in OPTIONS
    "hybrid": {"P5", "P6a"},
    "ceiling": {"P5", "P6a", "P6b", "P7", "bypass"},
    "fair": {"P5", "P6a", "P6b", "P7"},
    "vtc": {"P5", "P6a", "P7", "P12"},
    "drr": {"P5", "P6a", "P7", "P13"},
    "mlfq": {"P6a", "P7"},
}
CONFIG: dict[str, Any] = {
    "num_gpu_blocks": 96,
    "num_cpu_blocks": 24,
    "max_model_len": 1024,
    "max_num_seqs": 8,
    "max_num_batched_tokens": 128,
}


@settings(max_examples=150)
@given(st.integers(0, 10**9))
def test_no_bound_is_passed_in_any_small_run(number: int) -> None:
    config, workload = drawn(number)
    holding = hold(config, workload)
    assert broken_bounds(holding.rows()) == []
    if not config.max_bypasses:  # who passes has the head start that its place in the order says
        assert holding.waits.seen().excess <= 0


@pytest.mark.parametrize("policy", POLICIES)
def test_every_bound_of_a_policy_is_held_against_runs(policy: str) -> None:
    seen: dict[str, float | Fraction] = {}
    for number in range(12):
        config, workload = drawn(
            number, scheduling_policy=policy, max_bypasses=0, num_lookahead_slots=0
        )
        rows = held_rows(hold(config, workload))
        assert broken_bounds(rows.values()) == []
        for label, row in rows.items():
            if row.guarantee.bound is not None and row.seen is not None:
                assert row.guarantee.status == "holds"
                seen[label] = max(seen.get(label, 0), row.seen)
    assert set(seen) == BOUNDED[policy]
    assert all(value > 0 for label, value in seen.items() if label != "P5")


@pytest.mark.parametrize("policy", POLICIES)
def test_no_bound_is_passed_by_what_is_hostile_or_drawn(policy: str) -> None:
    config = Config(scheduling_policy=policy, policy_options=OPTIONS.get(policy, ()), **CONFIG)
    for kind in (f"hostile:{policy}", *(kind for kind in GENERATORS if kind != "closed")):
        workload = generate(kind, 24, 20, 1)
        assert broken_bounds(hold(config, workload).rows()) == []
    assert broken_bounds(hold(config, generate("closed", 12, 4, 1)).rows()) == []


# ---- a trace of many tenants --------------------------------------------------------------------


@pytest.mark.deep
@pytest.mark.parametrize("policy", POLICIES)
def test_no_bound_is_passed_on_a_trace_of_many_tenants(policy: str) -> None:
    folder = Path(os.environ.get("LINECLEAR_TRACES", "../shared/traces"))
    trace = folder / "vtc_lmsys_27clients.csv"
    if not trace.is_file():
        pytest.skip(f"{trace} is not there; set LINECLEAR_TRACES to the folder of traces")
    from lineclear.workload.readers import read_workload

    workload = read_workload(str(trace), max_tokens=2048)
    config = Config(num_gpu_blocks=192, num_cpu_blocks=64, max_num_seqs=8)
    slow = StepTime(base=0.03, per_token=0.0003)  # more is asked for than can be served
    (row,) = compare(workload, config, [policy], model=slow)
    assert broken_bounds(row.held) == []
    assert not row.result.stalled
    assert row.result.finished + len(row.result.rejected) == len(workload.requests)
    assert sum(row.result.preemptions.values()) > 0
    assert policy == "hybrid" or any(held.seen for held in row.held)
