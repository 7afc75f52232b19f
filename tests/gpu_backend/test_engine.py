# pyright: basic
"""The engine: a real model's tokens under any pool and any order of copies."""

from __future__ import annotations

import functools
from typing import Any

import pytest
from served import BASE, MEMORY_PRESSURE, SAMPLED, ask, expected, made, prompts, tokens
from stand_ins import DelayedStreams
from token_parity import reference_tokens

from lineclear_gpu.llm import LLM
from lineclear_gpu.model import Model, load_model
from lineclear_gpu.params import SamplingParams


@pytest.mark.parametrize("depth", [1, 2])
@pytest.mark.parametrize(
    ("mode", "policy", "chunked"),
    [
        ("swap", "fcfs", True),
        ("recompute", "priority", True),
        ("auto", "fcfs", False),
        ("by_length", "priority", False),
        ("swap", "vtc", True),
    ],
)
def test_memory_pressure_gives_the_tokens_of_generate(
    mode: str, policy: str, chunked: bool, depth: int
) -> None:
    llm = made(
        depth,
        **MEMORY_PRESSURE,
        max_steps_in_flight=depth,
        preemption_mode=mode,
        scheduling_policy=policy,
        enable_chunked_prefill=chunked,
        swap_threshold=24,
    )
    params = [
        SamplingParams(max_tokens=20, temperature=0, priority=k % 3, ignore_eos=True)
        for k in range(10)
    ]
    found = llm.generate(prompts(), params)
    assert [each[0] for each in tokens(found)] == expected()
    preempted = llm.engine.scheduler.counters.preemptions
    assert preempted.total() >= 2
    if mode in ("swap", "recompute"):
        assert preempted[mode] >= 2
    if preempted["swap"]:
        assert llm.engine.executor.hazards is not None
        assert llm.engine.executor.hazards.checked > 0


#: Each model with several kinds of memory pressure; all combinations in the deep run.
WAYS = [
    ("tiny-qwen3", "swap", "fcfs", True, 1),
    ("tiny-qwen3", "recompute", "priority", False, 2),
    ("tiny-mistral", "recompute", "fcfs", True, 2),
    ("tiny-mistral", "swap", "priority", True, 1),
    ("tiny-gemma3", "swap", "priority", False, 2),
    ("tiny-gemma3", "auto", "fcfs", True, 2),
]
EVERY_WAY = [
    (name, mode, policy, chunked, depth)
    for name in ("tiny-llama", "tiny-qwen3", "tiny-mistral", "tiny-gemma3")
    for mode in ("swap", "recompute", "auto")
    for policy in ("fcfs", "priority")
    for chunked in (True, False)
    for depth in (1, 2)
]


@functools.cache
def reference_of(name: str) -> tuple[Model, list[list[int]]]:
    chosen = load_model(name)
    return chosen, reference_tokens(chosen, prompts()[:6], 16)


def same_tokens(name: str, mode: str, policy: str, chunked: bool, depth: int) -> None:
    """Greedy output, one and two sequences per prompt, equals `generate`'s."""
    chosen, wanted = reference_of(name)
    changes = {
        **BASE,
        "num_gpu_blocks": 13,
        "num_cpu_blocks": 16,
        "preemption_mode": mode,
        "scheduling_policy": policy,
        "enable_chunked_prefill": chunked,
        "max_steps_in_flight": depth,
    }
    llm = LLM(chosen, streams=DelayedStreams(seed=depth), verify=True, **changes)
    params = [
        SamplingParams(n=1 + k % 2, max_tokens=16, temperature=0, priority=k % 3, ignore_eos=True)
        for k in range(6)
    ]
    found = tokens(llm.generate(prompts()[:6], params))
    assert found == [[each] * (1 + k % 2) for k, each in enumerate(wanted)]
    preempted = llm.engine.scheduler.counters.preemptions
    assert preempted.total() >= 1
    if mode != "auto":
        assert preempted[mode] >= 1


@pytest.mark.parametrize(("name", "mode", "policy", "chunked", "depth"), WAYS)
def test_every_model_gives_the_tokens_of_generate_when_short_of_memory(
    name: str, mode: str, policy: str, chunked: bool, depth: int
) -> None:
    same_tokens(name, mode, policy, chunked, depth)


@pytest.mark.deep
@pytest.mark.parametrize(("name", "mode", "policy", "chunked", "depth"), EVERY_WAY)
def test_every_model_in_every_way(
    name: str, mode: str, policy: str, chunked: bool, depth: int
) -> None:
    same_tokens(name, mode, policy, chunked, depth)


def test_preemption_order_and_depth_never_change_what_is_sampled() -> None:
    ample = tokens(made().generate(prompts(), SAMPLED))
    for seed, mode in enumerate(("swap", "recompute")):
        changes = {
            **MEMORY_PRESSURE,
            "num_gpu_blocks": 14,
            "preemption_mode": mode,
            "max_steps_in_flight": 1 + seed,
        }
        llm = made(seed, **changes)
        assert tokens(llm.generate(prompts(), SAMPLED)) == ample
        assert llm.engine.scheduler.counters.preemptions[mode] >= 2
    backwards = tokens(made().generate(prompts()[::-1], SAMPLED))
    assert backwards[::-1] == ample


def test_branches_share_their_prompt_and_differ_afterwards() -> None:
    llm = made()
    engine = llm.engine
    (found,) = llm.generate([prompts()[0]], SAMPLED)
    assert len({tuple(c.token_ids) for c in found.outputs}) == 3
    assert [c.index for c in found.outputs] == [0, 1, 2]
    assert engine.scheduler.cache.available == 200
    for branch in range(3):  # each equals its output alone, under its own number
        assert run_alone(branch) == found.outputs[branch].token_ids


def run_alone(branch: int) -> list[int]:
    """One sequence alone that samples as that branch of its request."""
    engine = made().engine
    settle = engine.lanes._settle

    def under(live: Any, _: int, lane: int) -> None:
        settle(live, 0, lane)
        engine.lanes._sequence[lane] = branch

    engine.lanes._settle = under  # type: ignore[method-assign, assignment]
    output = ask(engine, "a", SamplingParams(**{**as_dict(SAMPLED), "n": 1}))
    engine.run()
    ids: list[int] = output.outputs[0].token_ids
    return ids


def as_dict(params: SamplingParams) -> dict[str, Any]:
    return {name: getattr(params, name) for name in SamplingParams.__slots__}


def test_requests_without_a_seed_differ_and_a_seed_repeats() -> None:
    params = SamplingParams(max_tokens=12, temperature=1.0)
    llm = made()
    one, two = llm.generate([prompts()[0]] * 2, params)
    assert one.outputs[0].token_ids != two.outputs[0].token_ids
    again = made().generate([prompts()[0]] * 2, params)
    assert tokens(again) == tokens([one, two])
