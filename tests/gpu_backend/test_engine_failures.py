# pyright: basic
"""The engine: failures on the device, and what it refuses."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from served import GREEDY, MEMORY_PRESSURE, expected, made, prompts, tokens

from lineclear_gpu import engine
from lineclear_gpu.engine import Engine, EngineError
from lineclear_gpu.params import ParamsError, SamplingParams
from lineclear_gpu.tag_run import FailingTransfer


def test_copies_that_fail_cost_time_and_no_token() -> None:
    llm = made(**MEMORY_PRESSURE, preemption_mode="swap", max_steps_in_flight=2)
    turns = iter(range(10**6))
    llm.engine.executor.transfer = FailingTransfer(llm.pool, lambda: next(turns) % 2 == 0)
    found = llm.generate(prompts(), GREEDY)
    assert [each[0] for each in tokens(found)] == expected()
    assert llm.engine.scheduler.counters.failed_copies >= 2


@pytest.mark.parametrize("depth", [1, 2])
@pytest.mark.parametrize("n", [1, 2])
def test_a_forward_that_raises_once_costs_time_and_no_token(depth: int, n: int) -> None:
    params = SamplingParams(n=n, max_tokens=12, temperature=1.0, seed=4)
    wanted = tokens(made().generate(prompts(), params))
    llm = made(max_steps_in_flight=depth, num_gpu_blocks=40)
    plain = llm.runner.forward
    calls = iter(range(10**6))

    def forward(batch: Any) -> Any:
        if next(calls) in (3, 17):
            raise RuntimeError("out of memory, or so")
        return plain(batch)

    llm.runner.forward = forward  # type: ignore[method-assign]
    found = llm.generate(prompts(), params)
    if all(output.error is None for output in found):
        assert tokens(found) == wanted
    else:  # in both failed steps: the second failure ends it
        pairs = zip(found, tokens(found), wanted, strict=True)
        assert all(o.error is not None or mine == want for o, mine, want in pairs)
        assert any(o.error is None for o in found)
    assert len(llm.engine.failures) == 2
    assert llm.engine.scheduler.cache.available == 40


def test_a_forward_that_always_raises_ends_requests_with_the_error_and_the_engine_goes_on() -> (
    None
):
    llm = made()
    plain = llm.runner.forward

    def broken(batch: Any) -> Any:
        raise RuntimeError("this kernel is broken")

    llm.runner.forward = broken  # type: ignore[method-assign]
    found = llm.generate(prompts()[:3], GREEDY)
    assert [o.outputs[0].finish_reason for o in found] == ["error"] * 3
    assert {o.error for o in found} == {"RuntimeError: this kernel is broken"}
    llm.runner.forward = plain  # type: ignore[method-assign]
    assert tokens(llm.generate(prompts()[:2], GREEDY)) == [[e] for e in expected()[:2]]


@pytest.mark.parametrize(
    ("prompt", "said"),
    [
        ([], "empty prompt"),
        ("a text", "no tokenizer"),
        ([1, 400], "token ids must lie in 0 to 319"),
        ([1] * 96, "leaves no room"),
    ],
)
def test_a_prompt_that_cannot_be_served_is_refused_and_leaves_nothing(
    prompt: Any, said: str
) -> None:
    llm = made()
    with pytest.raises(EngineError, match=said):
        llm.generate([[1, 2], prompt], GREEDY)
    assert not llm.engine.busy


@pytest.mark.parametrize(
    "wrong",
    [
        {"n": 0},
        {"max_tokens": 0},
        {"temperature": -1.0},
        {"temperature": float("nan")},
        {"top_p": 0},
        {"top_k": 1.5},
        {"stop": [""]},
    ],
)
def test_invalid_parameters_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ParamsError):
        SamplingParams(**wrong)


def test_a_pool_of_other_sizes_is_refused_with_the_size_that_differs() -> None:
    engine = made(num_gpu_blocks=12).engine
    other = replace(engine.config, num_gpu_blocks=11)
    differs = (
        r"^num_gpu_blocks is 12 in the pool and 11 in the config; they must be equal: make the"
    )
    with pytest.raises(EngineError, match=differs):
        Engine(other, engine.runner, engine.pool, vocab_size=320)
    drafts = replace(engine.config, num_lookahead_slots=2)
    with pytest.raises(EngineError, match=r"^num_lookahead_slots is 2; it must be 0"):
        Engine(drafts, engine.runner, engine.pool, vocab_size=320)


def test_an_engine_keeps_the_errors_of_the_last_failed_steps_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(engine, "MOST_FAILURES", 2)
    llm = made()

    def broken(batch: Any) -> Any:
        raise RuntimeError(f"failure {llm.engine.failed_steps}")

    llm.runner.forward = broken  # type: ignore[method-assign]
    while llm.engine.failed_steps < 3:
        llm.generate(prompts(), GREEDY)
    last = llm.engine.failed_steps - 1
    assert [
        f"failure {number} " in text
        for number, text in zip((last - 1, last), llm.engine.failures, strict=True)
    ] == [True, True]


@pytest.mark.parametrize("mode", ["keep", "recompute"])
def test_an_engine_that_is_paused_says_so_and_goes_on_when_it_is_resumed(mode: str) -> None:
    llm = made()
    ours = llm.engine
    ours.add("a", prompts()[0], GREEDY)
    ours.step()
    ours.scheduler.pause(mode)
    assert not ours.flights
    if mode == "recompute":
        assert ours.step() == []  # its plan says who was preempted
    with pytest.raises(EngineError, match="the scheduler is paused; call `resume`"):
        ours.step()
    ours.scheduler.resume()
    output = ours.live["a"].output
    while ours.busy:
        ours.step()
    assert output.outputs[0].token_ids == expected()[0]


@pytest.mark.parametrize("depth", [1, 2])
@pytest.mark.parametrize(
    ("part", "method"),
    [
        ("book", "batch"),
        ("executor", "launch"),
        ("executor", "wait_for"),
        ("executor", "poll"),
        ("scheduler", "commit"),
    ],
)
def test_an_error_in_the_middle_of_a_step_is_the_last_and_later_calls_name_it(
    part: str, method: str, depth: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = made(max_steps_in_flight=depth).engine
    engine.add("a", prompts()[0], GREEDY)
    engine.step()

    def full(*_: Any) -> Any:
        raise MemoryError("the device\nis lost")

    monkeypatch.setattr(getattr(engine, part), method, full)
    with pytest.raises(MemoryError):
        engine.step()
    monkeypatch.undo()
    said = "^MemoryError: the device is lost broke off a step, .* make a new one$"
    with pytest.raises(EngineError, match=said):
        engine.step()
    with pytest.raises(EngineError, match=said):
        engine.add("b", prompts()[1], GREEDY)
