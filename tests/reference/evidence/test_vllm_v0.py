"""Presets of real systems: the decisions observed in them, and where they make no progress."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from lineclear.config import PRESETS, Config, ConfigError
from lineclear.evidence.refutations import Drive, presets
from lineclear.monitor.audit import audit
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


def drive(preset: str, arriving: presets.Arriving, steps: int, **changes: Any) -> Drive:
    """So many steps of one preset, requests added when their step comes."""
    driven = Drive(replace(PRESETS[preset], **changes))
    presets.run(driven, arriving, steps)
    return driven


def test_d1_a_request_as_large_as_the_pool_is_swapped_out_for_ever() -> None:
    pool = {"num_gpu_blocks": 100, "num_cpu_blocks": 200, "preemption_mode": "swap"}
    driven = drive("vllm_v0", presets.D1, 204, **pool)
    assert driven.rows[3].preempted == (("a", "swap"),)
    assert [(row.step, row.tokens) for row in driven.rows[3:]] == [(None, {})] * 201
    assert driven.scheduler.ledger.gpu.free == 100
    assert len(driven.scheduler.entries) == 2
    fixed = drive("default", presets.D1, 25, **pool)
    assert fixed.rows[-1].step is None  # all done
    assert not fixed.scheduler.entries


def test_d4_a_request_is_swapped_out_and_in_by_turns_though_no_block_is_needed() -> None:
    pool = {"num_gpu_blocks": 30, "num_cpu_blocks": 60, "preemption_mode": "swap"}
    rows = drive("vllm_v0", presets.D4_SWAP, 16, **pool).rows
    assert [(r.preempted, r.swapped_in) for r in rows[2:]] == [((("3", "swap"),), 0), ((), 10)] * 7
    fixed = drive("default", presets.D4_SWAP, 17, **pool)
    assert all(row.preempted == () for row in fixed.rows)


def test_d4_two_requests_recompute_each_other_though_no_block_is_needed() -> None:
    pool = {"num_gpu_blocks": 6, "num_cpu_blocks": 0, "preemption_mode": "recompute"}
    driven = drive("vllm_v0", presets.D4_RECOMPUTE, 17, **pool)
    assert driven.scheduler.counters.preemptions["recompute"] == 8
    fixed = drive("default", presets.D4_RECOMPUTE, 16, **pool)
    assert not fixed.scheduler.counters.preemptions


def test_d6_a_swapped_prompt_longer_than_the_budget_never_comes_back() -> None:
    changes = {"num_gpu_blocks": 16, "max_num_batched_tokens": 16, "preemption_mode": "swap"}
    driven = drive("vllm_v0_chunked", presets.D6, 140, **presets.SMALL, **changes)
    assert (("a", "swap"),) in [row.preempted for row in driven.rows]
    assert list(driven.scheduler.entries) == ["a"]
    assert [(row.step, row.tokens) for row in driven.rows[-100:]] == [(None, {})] * 100
    assert driven.scheduler.ledger.gpu.free == 16
    fixed = drive("default", presets.D6, 140, **presets.SMALL, **changes)
    assert not fixed.scheduler.entries


def test_d7_a_later_arrival_takes_the_blocks_of_a_preempted_request() -> None:
    changes = {"num_gpu_blocks": 12, "max_num_batched_tokens": 64, "preemption_mode": "recompute"}
    rows = drive("vllm_v0_chunked", presets.D7, 8, **presets.SMALL, **changes).rows
    first = next(row for row in rows if row.preempted)
    assert first.preempted == (("2", "recompute"),)
    assert first.tokens == {"1": 1, "3": 8}
    fixed = drive("default", presets.D7, 8, **presets.SMALL, **changes)
    assert next(row for row in fixed.rows if row.preempted).tokens == {"1": 1}


def test_decodes_wait_while_prompts_arrive() -> None:
    rows = drive("vllm_v0", presets.ARRIVING, 21, num_gpu_blocks=100).rows
    assert all("first" not in row.tokens for row in rows[1:])


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
