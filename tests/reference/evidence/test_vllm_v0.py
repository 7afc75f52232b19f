"""Presets of real systems: the decisions observed in them, and where they make no progress."""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable
from dataclasses import replace
from typing import Any

import pytest

from lineclear.config import PRESETS, Config, ConfigError
from lineclear.monitor.audit import audit
from lineclear.plan import Plan
from lineclear.request import Request
from lineclear.scheduler import Scheduler


def overload(preset: str, count: int, mode: str) -> tuple[int, int, float]:
    """Steps, preemptions and prefill tokens over the ideal: 60 % of the blocks that all need."""
    scheduler = Scheduler(
        replace(
            PRESETS[preset],
            num_gpu_blocks=int(count * 48 * 0.6),
            num_cpu_blocks=0 if mode == "recompute" else count * 48,
            max_num_seqs=count,
            max_num_batched_tokens=8192,
            max_model_len=4096,
            preemption_mode=mode,
        )
    )
    for number in range(count):
        assert scheduler.add(Request(request_id=number, prompt_tokens=512, max_tokens=256))
    steps = computed = 0
    while scheduler.entries:
        plan = scheduler.schedule()
        scheduler.complete([o.number for o in plan.operations if o.kind.startswith("swap")])
        if plan.step is None:
            continue
        steps += 1
        computed += sum(row.tokens for row in plan.scheduled_seq_groups if row.prefill)
        scheduler.commit(plan, [0] * len(plan.sampling))
        if steps % 16 == 0:
            audit(scheduler)
    preemptions = scheduler.counters.preemptions
    assert preemptions[mode] == preemptions.total()
    return steps, preemptions.total(), round(computed / (count * 512), 2)


@pytest.mark.parametrize(
    ("preset", "count", "mode", "observed"),
    [
        ("vllm_v0", 64, "recompute", (516, 19, 1.36)),
        ("vllm_v0", 64, "swap", (516, 19, 1.0)),
        ("nano_vllm", 64, "recompute", (516, 19, 1.36)),
        ("vllm_v0", 256, "recompute", (533, 75, 1.35)),
        ("vllm_v0", 256, "swap", (528, 75, 1.0)),
        ("nano_vllm", 256, "recompute", (533, 77, 1.36)),
    ],
)
def test_the_counts_of_the_real_systems_under_overload(
    preset: str, count: int, mode: str, observed: tuple[int, int, float]
) -> None:
    assert overload(preset, count, mode) == observed


def test_the_default_does_the_same_work_in_no_more_steps() -> None:
    steps, preemptions, _ = overload("default", 64, "swap")
    assert steps <= 516
    assert preemptions <= 19


# ---- where the systems make no progress ---------------------------------------------------------

Row = tuple[int | None, dict[Hashable, int], tuple[Any, ...], int]


class Run:
    """Steps of one preset, requests added when their step comes."""

    def __init__(self, preset: str, *requests: tuple[int, Hashable, int, int], **changes: Any):
        self.scheduler = Scheduler(replace(PRESETS[preset], **changes))
        self.requests = deque(requests)
        self.plans: list[Plan] = []

    def steps(self, count: int) -> list[Row]:
        """Each as (step, tokens by request, preempted, blocks swapped in)."""
        rows: list[Row] = []
        for _ in range(count):
            while self.requests and self.requests[0][0] <= len(self.plans):
                _, name, prompt, most = self.requests.popleft()
                assert self.scheduler.add(
                    Request(request_id=name, prompt_tokens=prompt, max_tokens=most)
                )
            plan = self.scheduler.schedule()
            self.plans.append(plan)
            audit(self.scheduler)
            moved = [o.number for o in plan.operations if o.kind.startswith("swap")]
            self.scheduler.complete(moved)
            tokens: dict[Hashable, int] = {
                row.request_id: row.tokens for row in plan.scheduled_seq_groups
            }
            rows.append((plan.step, tokens, plan.preempted, len(plan.blocks_to_swap_in)))
            self.scheduler.commit(plan, [0] * len(plan.sampling))
            audit(self.scheduler)
        return rows


D1 = ((0, "a", 1583, 18), (1, "b", 16, 4))


def test_d1_a_request_as_large_as_the_pool_is_swapped_out_for_ever() -> None:
    pool = {"num_gpu_blocks": 100, "num_cpu_blocks": 200, "preemption_mode": "swap"}
    run = Run("vllm_v0", *D1, **pool)
    rows = run.steps(204)
    assert rows[3][2] == (("a", "swap"),)
    assert [row[:2] for row in rows[3:]] == [(None, {})] * 201
    assert run.scheduler.ledger.gpu.free == 100
    assert len(run.scheduler.entries) == 2
    assert Run("default", *D1, **pool).steps(25)[-1][0] is None  # all done
    fixed = Run("default", *D1, **pool)
    fixed.steps(25)
    assert not fixed.scheduler.entries


D4 = tuple((0, number, 144, 60) for number in (1, 2, 3))


def test_d4_a_request_is_swapped_out_and_in_by_turns_though_no_block_is_needed() -> None:
    pool = {"num_gpu_blocks": 30, "num_cpu_blocks": 60, "preemption_mode": "swap"}
    rows = Run("vllm_v0", *D4, **pool).steps(16)
    assert [(row[2], row[3]) for row in rows[2:16]] == [(((3, "swap"),), 0), ((), 10)] * 7
    fixed = Run("default", *D4, **pool).steps(17)
    assert all(row[2] == () for row in fixed)


def test_d4_two_requests_recompute_each_other_though_no_block_is_needed() -> None:
    requests = ((0, 1, 33, 20), (0, 2, 33, 20))
    pool = {"num_gpu_blocks": 6, "num_cpu_blocks": 0, "preemption_mode": "recompute"}
    run = Run("vllm_v0", *requests, **pool)
    run.steps(17)
    assert run.scheduler.counters.preemptions["recompute"] == 8
    fixed = Run("default", *requests, **pool)
    fixed.steps(16)
    assert not fixed.scheduler.counters.preemptions


CHUNKED = {"block_size": 4, "num_cpu_blocks": 40, "max_num_seqs": 8}


def test_d6_a_swapped_prompt_longer_than_the_budget_never_comes_back() -> None:
    requests = ((0, "b", 20, 28), (1, "a", 44, 5))
    changes = {**CHUNKED, "num_gpu_blocks": 16, "max_num_batched_tokens": 16}
    run = Run("vllm_v0_chunked", *requests, **changes, preemption_mode="swap")
    rows = run.steps(140)
    assert (("a", "swap"),) in [row[2] for row in rows]
    assert list(run.scheduler.entries) == ["a"]
    assert [row[:2] for row in rows[-100:]] == [(None, {})] * 100
    assert run.scheduler.ledger.gpu.free == 16
    fixed = Run("default", *requests, **changes, preemption_mode="swap")
    fixed.steps(140)
    assert not fixed.scheduler.entries


def test_d7_a_later_arrival_takes_the_blocks_of_a_preempted_request() -> None:
    requests = ((0, 1, 19, 20), (0, 2, 19, 20), (3, 3, 8, 20))
    changes = {**CHUNKED, "num_gpu_blocks": 12, "max_num_batched_tokens": 64}
    rows = Run("vllm_v0_chunked", *requests, **changes, preemption_mode="recompute").steps(8)
    at = next(k for k, row in enumerate(rows) if row[2])
    assert rows[at][2] == ((2, "recompute"),)
    assert rows[at][1] == {1: 1, 3: 8}
    fixed = Run("default", *requests, **changes, preemption_mode="recompute").steps(8)
    assert next(row for row in fixed if row[2])[1] == {1: 1}


def test_decodes_wait_while_prompts_arrive() -> None:
    requests = ((0, "first", 16, 60), *((k, k, 16, 1) for k in range(1, 25)))
    run = Run("vllm_v0", *requests, num_gpu_blocks=100)
    rows = run.steps(21)
    assert all("first" not in row[1] for row in rows[1:])


def test_every_tool_can_say_what_is_off() -> None:
    assert PRESETS["default"].lacking == PRESETS["lesson"].lacking == ()
    assert "a swapped prompt goes on in chunks" in PRESETS["vllm_v0_chunked"].lacking
    assert PRESETS["nano_vllm"].lacking == ("decodes go on while prompts arrive",)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"max_steps_in_flight": 2}, "rules vllm_v0 need max_steps_in_flight = 1"),
        ({"prefix_caching": "all"}, "need prefix_caching = 'off'"),
        ({"scheduling_policy": "priority"}, "need scheduling_policy = 'fcfs'"),
        ({"enable_chunked_prefill": True}, "need enable_chunked_prefill = False"),
        ({"rules": "sglang"}, "rules must be one of"),
    ],
)
def test_what_a_preset_cannot_do_is_refused(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        Config.from_mapping({"preset": "vllm_v0", **changes})
