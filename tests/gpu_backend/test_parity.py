# pyright: basic
"""Token parity with `generate`, with ample memory and under pressure, in float32."""

from __future__ import annotations

import functools
from typing import Any

import pytest
import torch
from model_drive import Drive, prompts_of
from stand_ins import DelayedStreams, NoCap
from token_parity import compare, reference_tokens

from lineclear.config import Config
from lineclear_gpu.attention import Gather
from lineclear_gpu.model import Model, load_model
from lineclear_gpu.runner import exact_float32

TOKENS = 20
AMPLE = {"num_gpu_blocks": 200}
MEMORY_PRESSURE = {"num_gpu_blocks": 18, "watermark": 0.0}


@functools.cache
def given(name: str) -> tuple[Model, list[list[int]], list[list[int]]]:
    """A model, prompts, and the reference's output for them."""
    model = load_model(name)
    prompts = prompts_of(model, 10, 36, seed=1)
    return model, prompts, reference_tokens(model, prompts, TOKENS)


def settings(**changes: Any) -> Config:
    usual = {
        "block_size": 4,
        "max_num_seqs": 8,
        "max_num_batched_tokens": 64,
        "max_model_len": 64,
        "num_cpu_blocks": 40,
    }
    return Config(**{**usual, **changes})


MODELS = ("tiny-llama", "tiny-qwen3", "tiny-mistral", "tiny-gemma2", "tiny-gemma3")


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("depth", [1, 2])
def test_an_ample_pool(name: str, depth: int) -> None:
    model, prompts, expected = given(name)
    drive = Drive(model, settings(**AMPLE, max_steps_in_flight=depth, max_num_batched_tokens=24))
    report = compare(model, prompts, expected, drive(prompts, TOKENS))
    assert report, str(report)
    assert report.tokens == len(prompts) * TOKENS
    assert not drive.events["swap"] + drive.events["recompute"]


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize(("mode", "depth"), [("swap", 1), ("recompute", 2), ("swap", 2)])
def test_tokens_under_memory_pressure(name: str, mode: str, depth: int) -> None:
    model, prompts, expected = given(name)
    drive = Drive(
        model, settings(**MEMORY_PRESSURE, preemption_mode=mode, max_steps_in_flight=depth)
    )
    report = compare(model, prompts, expected, drive(prompts, TOKENS))
    assert report, str(report)
    assert report.tokens == len(prompts) * TOKENS
    assert drive.events[mode] >= 3


@pytest.mark.parametrize("seed", range(2))
def test_operations_that_are_late(seed: int) -> None:
    model, prompts, expected = given("tiny-gemma3")
    config = settings(**MEMORY_PRESSURE, preemption_mode="swap", max_steps_in_flight=2)
    drive = Drive(model, config, DelayedStreams(seed=seed))
    report = compare(model, prompts, expected, drive(prompts, TOKENS))
    assert report, str(report)
    assert drive.events["swap"] >= 3


@pytest.mark.parametrize(("mode", "depth"), [("swap", 2), ("recompute", 1)])
def test_preemption_does_not_change_sampled_tokens(mode: str, depth: int) -> None:
    model, prompts, expected = given("tiny-llama")
    ample = Drive(model, settings(**AMPLE), temperature=1.5)(prompts, TOKENS)
    assert sum(one != other for one, other in zip(ample, expected, strict=True)) >= 9
    config = settings(
        **MEMORY_PRESSURE,
        preemption_mode=mode,
        max_steps_in_flight=depth,
        max_num_batched_tokens=16,
    )
    starved = Drive(model, config, temperature=1.5)
    assert starved(prompts, TOKENS) == ample
    assert starved.events[mode] >= 3


@pytest.mark.gpu
@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("mode", ["swap", "recompute"])
def test_on_a_gpu(name: str, mode: str) -> None:
    """In float32 without TF32; a tie within 1e-3 of a logit may be decided either way."""
    exact_float32()
    model = load_model(name, device="cuda", dtype=torch.float32)
    prompts = prompts_of(model, 16, 36, seed=1)
    drive = Drive(model, settings(**MEMORY_PRESSURE, preemption_mode=mode, max_steps_in_flight=2))
    expected = reference_tokens(model, prompts, TOKENS)
    report = compare(model, prompts, expected, drive(prompts, TOKENS), bound=1e-3)
    print(f"{name}, {mode}: {report}")
    assert report, str(report)
    assert drive.events[mode] >= 3


class NarrowWindow(Gather):
    """Broken on purpose: sees one position less."""

    def attend(
        self, query: Any, layer: Any, rows: Any, scale: float, window: Any, cap: Any = None
    ) -> Any:
        return super().attend(query, layer, rows, scale, window and window - 1, cap)


def test_an_attention_that_is_wrong_by_one_position_is_seen(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model, prompts, expected = given("tiny-mistral")
    monkeypatch.setattr("lineclear_gpu.runner.Gather", NarrowWindow)
    report = compare(model, prompts, expected, Drive(model, settings(**AMPLE))(prompts, TOKENS))
    assert len(report.wrong) >= 5


def test_an_attention_that_leaves_the_soft_cap_out_is_seen(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model, prompts, expected = given("tiny-gemma2")
    monkeypatch.setattr("lineclear_gpu.runner.Gather", NoCap)
    report = compare(model, prompts, expected, Drive(model, settings(**AMPLE))(prompts, TOKENS))
    assert len(report.wrong) >= 5


@pytest.mark.parametrize("name", MODELS)
def test_the_tokens_to_compare_depend_on_attention(name: str) -> None:
    """Tied random weights repeat the last token of the prompt whatever attention computes."""
    _, prompts, expected = given(name)
    pairs = [
        (before, token)
        for prompt, found in zip(prompts, expected, strict=True)
        for before, token in zip([prompt[-1], *found], found, strict=False)
    ]
    assert sum(before == token for before, token in pairs) < len(pairs) // 4


def test_a_swap_that_moves_nothing_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    model, prompts, expected = given("tiny-llama")
    monkeypatch.setattr("lineclear_gpu.transfer.Transfer.into", lambda self, pairs: None)
    drive = Drive(model, settings(**MEMORY_PRESSURE, preemption_mode="swap"))
    report = compare(model, prompts, expected, drive(prompts, TOKENS))
    assert report.wrong


# ---- the comparison itself -----------------------------------------------------------------------


def test_what_a_divergence_says() -> None:
    model, prompts, expected = given("tiny-llama")
    found = [list(tokens) for tokens in expected[:5]]
    found[1][7] += 1
    found[2].pop()
    found[3].append(0)
    report = compare(model, prompts[:5], expected[:5], found)
    assert [(each.prompt, each.position) for each in report.wrong] == [
        (1, 7),
        (2, TOKENS - 1),
        (3, TOKENS),
    ]
    first = report.wrong[0]
    assert first.best[0][0] == first.expected == expected[1][7]
    assert first.margin > 0
    assert report.wrong[1].found is None
    assert report.tokens == 2 * TOKENS + 7 + (TOKENS - 1) + TOKENS
    assert not report
    assert "prompt 1, generated token 7: " in str(report)
    assert "3 wrong" in str(report)


def test_only_ties_within_the_bound_are_excused_and_they_are_counted() -> None:
    model, prompts, expected = given("tiny-llama")
    with torch.no_grad():
        first = compare(model, prompts[:1], expected[:1], [[-1]]).wrong[0]
    second = first.best[1][0]
    close, far = first.margin * 1.01, first.margin * 0.99
    found = [[second, 0]]
    assert compare(model, prompts[:1], expected[:1], found, far).wrong
    report = compare(model, prompts[:1], expected[:1], found, close)
    assert report
    assert len(report.excused) == 1
    assert "1 divergences excused" in str(report)
    third = next(token for token in range(9) if token not in (second, expected[0][0]))
    assert compare(model, prompts[:1], expected[:1], [[third]], close).wrong
