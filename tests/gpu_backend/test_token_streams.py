# pyright: basic
"""Streams are independent of each other and of other calls; and the forms that a prompt may have."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from served import GREEDY, MEMORY_PRESSURE, expected, made, prompts, tokens

from lineclear.request import InvalidRequest
from lineclear_gpu.engine import EngineError
from lineclear_gpu.outputs import Delta
from lineclear_gpu.params import ParamsError, SamplingParams


def ids(deltas: list[Delta]) -> list[int]:
    return [token for delta in deltas for token in delta.token_ids]


@pytest.mark.parametrize("depth", [1, 2])
def test_streams_that_take_turns_lose_no_token_of_each_other(depth: int) -> None:
    llm = made(depth, **MEMORY_PRESSURE, max_steps_in_flight=depth)
    streams = [llm.stream(prompt, GREEDY) for prompt in prompts()]
    found: list[list[Delta]] = [[] for _ in streams]
    left = list(range(len(streams)))
    while left:
        for number in list(left):
            for _ in range(1 + number % 3):  # some are read faster than others
                delta = next(streams[number], None)
                if delta is None:
                    left.remove(number)
                    break
                found[number].append(delta)
    assert [ids(deltas) for deltas in found] == expected()
    assert not llm.engine.live
    assert not llm.streams.unread


def test_generate_within_a_stream_takes_nothing_from_it() -> None:
    llm = made()
    found: list[Delta] = []
    for delta in llm.stream(prompts()[0], GREEDY):
        found.append(delta)
        if len(found) == 3:
            others = llm.generate(prompts()[1:4], GREEDY)
            assert [each[0] for each in tokens(others)] == expected()[1:4]
    assert ids(found) == expected()[0]


def test_generate_runs_only_its_own_requests_to_the_end() -> None:
    llm = made()
    long = SamplingParams(max_tokens=60, temperature=0, ignore_eos=True)
    stream = llm.stream(prompts()[0], long)
    llm.generate([prompts()[1]], SamplingParams(max_tokens=2, temperature=0))
    assert not stream.output.finished
    assert len(ids(list(stream))) == 60


@pytest.mark.parametrize("leave", ["break", "error", "close", "with", "drop"])
def test_a_stream_that_is_left_aborts_its_request_and_no_other(leave: str) -> None:
    llm = made(max_steps_in_flight=2)
    other = llm.stream(prompts()[1], GREEDY)
    next(other)
    stream: Any = llm.stream(prompts()[0], GREEDY)
    output = stream.output
    if leave == "break":
        for _ in stream:
            break
    elif leave == "error":
        with pytest.raises(ZeroDivisionError):
            [1 // 0 for _ in stream]
    elif leave == "close":
        next(stream)
        stream.close()
        assert list(stream) == []
    elif leave == "with":
        with stream as inner:
            next(inner)
    del stream
    assert output.outputs[0].finish_reason == "abort"
    assert list(llm.engine.live) == [other.output.request_id]
    assert [*expected()[1][:1], *ids(list(other))] == expected()[1]
    assert not llm.streams.unread
    while llm.engine.busy:
        llm.engine.step()
    assert llm.engine.scheduler.cache.available == 200


def test_a_stream_hands_out_the_abort_that_ends_it() -> None:
    llm = made()
    stream = llm.stream(prompts()[0], GREEDY)
    next(stream)
    llm.engine.abort(stream.output.request_id)
    assert [delta.finish_reason for delta in stream] == ["abort"]


def test_a_stream_and_who_steps_the_engine_take_nothing_from_each_other() -> None:
    llm = made(max_steps_in_flight=2)
    engine = llm.engine
    engine.add("own", prompts()[2], GREEDY)
    stream = llm.stream(prompts()[0], GREEDY)
    found: list[Delta] = [next(stream)]
    mine: list[Delta] = []
    for _ in range(6):
        mine += engine.step()
        found.append(next(stream))
    llm.generate(prompts()[3], GREEDY)
    while engine.busy:
        mine += engine.step()
    mine += engine.step()  # what the others' steps kept for us
    assert ids([*found, *stream]) == expected()[0]
    assert {delta.request_id for delta in mine} == {"own"}
    assert ids(mine) == expected()[2]
    assert not llm.streams.unread


def test_a_closed_stream_hands_out_nothing_more() -> None:
    llm = made()
    one, two = (llm.stream(prompt, GREEDY) for prompt in prompts()[:2])
    next(two)
    next(two)
    one.close()
    assert list(one) == []
    assert llm.engine.results.take() == []


def test_an_id_that_somebody_else_chose_is_not_used() -> None:
    llm = made()
    llm.engine.add(1, prompts()[0], GREEDY)
    theirs = llm.engine.live[1].output
    assert tokens(llm.generate(prompts()[1:3], GREEDY)) == [[each] for each in expected()[1:3]]
    while llm.engine.busy:
        llm.engine.step()
    assert theirs.outputs[0].token_ids == expected()[0]


def test_an_id_of_an_open_stream_is_not_used_again() -> None:
    """What the caller's request gets would go to the stream."""
    llm = made()
    stream = llm.stream(prompts()[0], GREEDY)
    llm.generate(prompts()[1:2], SamplingParams(max_tokens=40))
    name = stream.output.request_id
    assert stream.output.finished
    with pytest.raises(InvalidRequest, match="is that of an open stream; read it to its end"):
        llm.engine.add(name, prompts()[1], GREEDY)
    assert ids(list(stream)) == expected()[0]
    llm.engine.add(name, prompts()[1], GREEDY)
    given: list[Delta] = []
    llm.engine.run(given.extend)
    assert ids(given) == expected()[1]


def test_an_interrupted_generate_leaves_nothing_behind() -> None:
    llm = made()
    plain, calls = llm.engine.step, iter(range(100))

    def step() -> Any:
        if next(calls) == 4:
            raise KeyboardInterrupt
        return plain()

    llm.engine.step = step  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        llm.generate(prompts(), GREEDY)
    assert not llm.engine.live
    llm.engine.step = plain  # type: ignore[method-assign]
    assert [each[0] for each in tokens(llm.generate(prompts(), GREEDY))] == expected()


# ---- prompts --------------------------------------------------------------------------------------


def test_a_prompt_may_be_a_dict_of_token_ids_alone_and_in_lists() -> None:
    one, two = prompts()[:2]
    wanted = [[each] for each in expected()[:2]]
    llm: Any = made()
    assert tokens(llm.generate({"prompt_token_ids": one}, GREEDY)) == wanted[:1]
    assert tokens(llm.generate([{"prompt_token_ids": one}, two], GREEDY)) == wanted
    assert tokens(llm.generate([one, {"prompt_token_ids": np.array(two)}], GREEDY)) == wanted
    named = {"prompt_token_ids": one, "prompt": "its text"}
    (output,) = llm.generate(named, GREEDY)
    assert output.prompt == "its text"
    assert ids(list(llm.stream({"prompt_token_ids": two}, GREEDY))) == expected()[1]


def test_arrays_are_token_ids() -> None:
    one, two = prompts()[:2]
    llm: Any = made()
    assert tokens(llm.generate(np.array(one), GREEDY)) == [[expected()[0]]]
    assert tokens(llm.generate(torch.tensor(two), GREEDY)) == [[expected()[1]]]
    assert llm.generate([], GREEDY) == []


@pytest.mark.parametrize(
    ("prompt", "said"),
    [
        ({"prompt_token_ids": [1], "pixels": 3}, "'pixels' is not understood"),
        ({"prompt": [1]}, "'prompt' is not understood"),
        ({}, "{} is not understood"),
        ({"prompt": "a text"}, "no tokenizer"),
        ({"prompt_token_ids": "a text"}, "list of whole numbers"),
        (5, "not 5"),
        (None, "not None"),
        (b"bytes", "not b'bytes'"),
        (np.array(5), "not array"),
        (np.array([1.0]), "is none"),
        (torch.empty(2, dtype=torch.int64, device="meta"), "is none"),
        ([1, "a"], "'a' is none"),
        ([[1], 5], "list of whole numbers"),
        ([[1], None], "list of whole numbers"),
    ],
)
def test_what_is_no_prompt_is_refused(prompt: Any, said: str) -> None:
    llm = made()
    with pytest.raises(EngineError, match=said):
        llm.generate(prompt, GREEDY)
    with pytest.raises(EngineError, match="SamplingParams"):
        llm.generate([[1]], [{"n": 1}])  # type: ignore[list-item]
    with pytest.raises(EngineError, match="SamplingParams, not int"):
        llm.generate([[1]], 5)  # type: ignore[arg-type]
    with pytest.raises(ParamsError, match="stop_token_ids"):
        SamplingParams(stop_token_ids=np.array(5))  # type: ignore[arg-type]
    assert not llm.engine.live


def test_max_tokens_none_means_up_to_the_models_length() -> None:
    open_ended = SamplingParams(max_tokens=None, temperature=0, ignore_eos=True)
    llm = made()
    found = llm.generate(prompts()[:2], open_ended)
    for output, prompt in zip(found, prompts()[:2], strict=True):
        (one,) = output.outputs
        assert len(prompt) + len(one.token_ids) == 96
        assert one.finish_reason == "length"
    llm.engine.add("direct", prompts()[0], open_ended)
    output = llm.engine.live["direct"].output
    llm.engine.run()
    assert output.outputs[0].token_ids == found[0].outputs[0].token_ids
