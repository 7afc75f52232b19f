# pyright: basic
"""Ctrl-C and the garbage collector come between the steps of an engine, never into one."""

from __future__ import annotations

import gc
import signal
import threading
from collections.abc import Callable
from typing import Any

import pytest
from served import BASE, GREEDY, expected, made, model, prompts, tokens

from lineclear_gpu.engine import EngineError
from lineclear_gpu.llm import LLM
from lineclear_gpu.section import Section


def before_forward(llm: LLM, number: int, act: Callable[[], object]) -> None:
    """Acts within the step of this forward."""
    plain, calls = llm.runner.forward, iter(range(10**6))

    def forward(batch: Any) -> Any:
        if next(calls) == number:
            act()
        return plain(batch)

    llm.runner.forward = forward  # type: ignore[method-assign]


def interrupt(times: int = 1) -> None:
    for _ in range(times):
        signal.raise_signal(signal.SIGINT)


@pytest.mark.parametrize("depth", [1, 2])
@pytest.mark.parametrize("delayed", [False, True])
def test_an_engine_serves_on_after_ctrl_c_in_a_step(depth: int, delayed: bool) -> None:
    llm = made(max_steps_in_flight=depth)
    if not delayed:  # a forward runs while its plan is launched
        llm = LLM(model(), seed=3, verify=True, **{**BASE, "max_steps_in_flight": depth})
    before_forward(llm, 4, interrupt)
    with pytest.raises(KeyboardInterrupt):
        llm.generate(prompts(), GREEDY)
    assert not llm.engine.live
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert tokens(llm.generate(prompts()[:3], GREEDY)) == [[each] for each in expected()[:3]]
    assert llm.engine.scheduler.cache.available == 200


def test_ctrl_c_loses_no_output_of_who_steps_the_engine() -> None:
    engine = (llm := made(max_steps_in_flight=2)).engine
    engine.add("a", prompts()[0], GREEDY)
    before_forward(llm, 4, interrupt)
    found: list[int] = []
    interrupted = 0
    while engine.busy:
        try:
            found += [token for delta in engine.step() for token in delta.token_ids]
        except KeyboardInterrupt:
            interrupted += 1
    assert interrupted == 1
    found += [token for delta in engine.step() for token in delta.token_ids]
    assert found == expected()[0]


def test_a_second_ctrl_c_ends_the_step_and_the_engine_says_so() -> None:
    llm = made()
    before_forward(llm, 4, lambda: interrupt(2))
    with pytest.raises(KeyboardInterrupt):
        llm.generate(prompts(), GREEDY)
    for call in (lambda: llm.generate([[1]]), llm.engine.step):
        with pytest.raises(EngineError, match="KeyboardInterrupt broke off a step"):
            call()


def test_who_handles_ctrl_c_itself_does() -> None:
    seen: list[int] = []
    before = signal.signal(signal.SIGINT, lambda *_: seen.append(1))
    try:
        llm = made()
        before_forward(llm, 2, interrupt)
        assert tokens(llm.generate(prompts()[0], GREEDY)) == [[expected()[0]]]
    finally:
        signal.signal(signal.SIGINT, before)
    assert seen == [1]


def test_a_thread_leaves_signals_alone() -> None:
    found: list[Any] = []

    def body() -> None:
        with Section():
            found.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=body)
    thread.start()
    thread.join()
    assert found == [signal.default_int_handler]


@pytest.mark.parametrize("depth", [1, 2])
def test_a_stream_that_is_collected_within_a_step_is_aborted_at_its_end(depth: int) -> None:
    llm = LLM(model(), seed=3, verify=True, **{**BASE, "max_steps_in_flight": depth})
    others = [llm.stream(prompt, GREEDY) for prompt in prompts()[1:4]]
    ring: list[Any] = [llm.stream(prompts()[0], GREEDY)]
    ring.append(ring)
    output = ring[0].output
    next(ring[0])
    del ring  # a circle, which the collector finds whenever it runs
    plain = llm.engine.scheduler.commit

    def commit(*arguments: Any) -> Any:
        gc.collect()
        assert not output.finished
        return plain(*arguments)

    llm.engine.scheduler.commit = commit  # type: ignore[method-assign, assignment]
    llm.engine.step()
    del llm.engine.scheduler.commit
    assert output.outputs[0].finish_reason == "abort"
    found = [[token for delta in other for token in delta.token_ids] for other in others]
    assert found == expected()[1:4]
    assert llm.engine.scheduler.cache.available == 200


def test_what_is_put_off_is_done_in_order_at_the_end_of_the_outermost_section() -> None:
    section, done = Section(), list[int]()
    with section:
        section.after(lambda: done.append(1))
        with section:
            section.after(lambda: done.append(2))
        assert not done
    assert done == [1, 2]
    section.after(lambda: done.append(3))
    assert done == [1, 2, 3]
