# pyright: basic
"""One request can't hurt another: forwards, copies and texts that fail because of one."""

from __future__ import annotations

from typing import Any

import pytest
from failing_forwards import failing_with, outputs_of, outputs_of_run
from served import BASE, GREEDY, MEMORY_PRESSURE, SAMPLED, expected, made, model, prompts, tokens

from lineclear_gpu.engine import EngineError
from lineclear_gpu.kernels.copying import copy_rows
from lineclear_gpu.llm import LLM
from lineclear_gpu.params import SamplingParams


@pytest.mark.parametrize("depth", [1, 2])
@pytest.mark.parametrize("pool", [{}, MEMORY_PRESSURE], ids=["ample", "starved"])
def test_a_request_whose_row_always_raises_ends_alone(depth: int, pool: dict[str, int]) -> None:
    llm = made(depth, **pool, max_steps_in_flight=depth)
    outputs = outputs_of(llm)
    raised = failing_with(llm.engine, 3)
    llm.engine.run()
    for number, output in outputs.items():
        if number == 3:
            assert output.error == "RuntimeError: a row of it raises"
            assert output.outputs[0].finish_reason == "error"
        else:
            assert output.error is None
            assert output.outputs[0].token_ids == expected()[number], number
    assert max(raised) > 1
    assert raised.count(1) >= 2
    assert llm.engine.scheduler.counters.restarted == 1  # no other request starts again
    assert llm.engine.scheduler.cache.available == llm.config.num_gpu_blocks
    assert len(llm.engine.book.free) == len(llm.engine.book.num_tokens)


@pytest.mark.parametrize("after", [False, True], ids=["before", "after it is computed"])
@pytest.mark.parametrize("params", [GREEDY, SAMPLED], ids=["greedy", "sampled"])
def test_a_step_that_raises_once_costs_no_token_and_no_restart(
    after: bool, params: SamplingParams
) -> None:
    wanted = tokens(list(outputs_of_run(made(), params)))
    for depth in (1, 2):
        llm = made(depth, max_steps_in_flight=depth)
        outputs = outputs_of(llm, params)
        for _ in range(3):
            llm.engine.step()
        raised = failing_with(llm.engine, 2, times=1, after=after)
        llm.engine.run()
        assert tokens(list(outputs.values())) == wanted
        assert len(raised) == len(llm.engine.failures) == 1
        assert "no request alone" in llm.engine.failures[0]
        assert llm.engine.scheduler.counters.restarted == 0


@pytest.mark.parametrize("params", [GREEDY, SAMPLED], ids=["one sequence", "three sequences"])
@pytest.mark.parametrize("depth", [1, 2])
def test_a_request_that_fails_once_keeps_every_token_and_hands_out_none_twice(
    depth: int, params: SamplingParams
) -> None:
    wanted = tokens(outputs_of_run(made(), params))
    llm = made(depth, max_steps_in_flight=depth)
    outputs = outputs_of(llm, params)
    given: dict[tuple[Any, int], list[int]] = {}

    def collect(deltas: list[Any]) -> None:
        for delta in deltas:
            given.setdefault((delta.request_id, delta.index), []).extend(delta.token_ids)

    while len(outputs[2].outputs[0].token_ids) < 6:
        collect(llm.engine.step())
    before = [list(completion.token_ids) for completion in outputs[2].outputs]
    raised = failing_with(llm.engine, 2, times=6)  # until its rows have failed alone
    while 1 not in raised:
        collect(llm.engine.step())
    raised.extend([0] * 6)  # and no longer
    llm.engine.run(collect)
    assert llm.engine.scheduler.counters.restarted == 1
    assert tokens(list(outputs.values())) == wanted
    for number, output in outputs.items():
        assert output.error is None
        for completion in output.outputs:
            assert given[number, completion.index] == completion.token_ids
    for completion, known in zip(outputs[2].outputs, before, strict=True):
        assert completion.token_ids[: len(known)] == known
    assert len(llm.engine.book.free) == len(llm.engine.book.num_tokens)


def test_branches_that_have_ended_end_again_where_they_did() -> None:
    params = SamplingParams(n=3, max_tokens=20, temperature=1.2, seed=11)
    (free,) = made().generate([prompts()[0]], params)
    third = free.outputs[1].token_ids[3]  # ends the second branch early
    stopping = SamplingParams(n=3, max_tokens=20, temperature=1.2, seed=11, stop_token_ids=[third])
    (wanted,) = made().generate([prompts()[0]], stopping)
    lengths = [len(completion.token_ids) for completion in wanted.outputs]
    assert min(lengths) < max(lengths)
    llm = made()
    llm.engine.add("a", prompts()[0], stopping)
    output = llm.engine.live["a"].output
    while sum(completion.finish_reason is not None for completion in output.outputs) < 1:
        llm.engine.step()
    for _ in range(2):
        llm.engine.step()
    raised = failing_with(llm.engine, "a", times=7)
    while 1 not in raised:
        llm.engine.step()
    raised.extend([0] * 7)
    llm.engine.run()
    assert llm.engine.scheduler.counters.restarted == 1
    assert output.outputs == wanted.outputs
    assert llm.engine.scheduler.cache.available == 200


def test_two_failures_of_one_life_count_once() -> None:
    """Two steps are in flight when it fails in both: the second failure is one of its earlier life."""
    llm = made(max_steps_in_flight=2)
    engine = llm.engine
    outputs = outputs_of(llm)
    for _ in range(3):
        engine.step()
    raised = failing_with(engine, 4)
    while not engine.scheduler.counters.restarted:
        engine.step()
    assert len(engine.flights) == 1
    assert raised.count(1) == 2  # alone, in both
    engine._commit(engine.flights.popleft())
    assert engine.live[4].tries == 1
    raised.extend([0] * 10**6)
    engine.run()
    assert outputs[4].error is None
    assert outputs[4].outputs[0].token_ids == expected()[4]


def test_a_failure_is_not_charged_to_a_later_request_of_the_same_id() -> None:
    engine = LLM(
        model(), seed=3, **{**BASE, "max_steps_in_flight": 2}
    ).engine  # a step runs when it is launched
    engine.add("a", prompts()[0], GREEDY)
    raised = failing_with(engine, "a", times=1)
    assert engine._launch(engine.scheduler.schedule())
    assert raised == [1]
    engine.abort("a")
    engine.add("a", prompts()[0], GREEDY)
    later = engine.live["a"]
    engine.run()
    assert engine.failures
    assert later.tries == 0
    assert later.output.outputs[0].token_ids == expected()[0]


@pytest.mark.parametrize("closed", ["drain", "max_waiting"])
def test_a_request_that_failed_passes_no_admission_again(closed: str) -> None:
    llm = made(**({"max_waiting": 4} if closed == "max_waiting" else {}))
    engine = llm.engine
    for number in range(4):
        engine.add(number, prompts()[number], GREEDY)
    outputs = {number: engine.live[number].output for number in range(4)}
    for _ in range(3):
        engine.step()
    for number in range(4, 8):  # four wait, as many as may
        engine.add(number, prompts()[number], GREEDY)
    if closed == "drain":
        engine.scheduler.drain()
    with pytest.raises(EngineError, match="rejected"):
        engine.add(9, prompts()[9], GREEDY)
    raised = failing_with(engine, 1, times=5)
    while 1 not in raised:
        engine.step()
    raised.extend([0] * 5)
    engine.run()
    assert engine.scheduler.counters.restarted == 1
    assert outputs[1].error is None
    assert outputs[1].outputs[0].token_ids == expected()[1]


def test_a_copy_on_write_that_fails_is_its_own_requests_failure(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    wanted = tokens(outputs_of_run(made(), SAMPLED))
    plain = copy_rows
    calls: list[Any] = []

    def copy(rows: Any, pairs: Any) -> None:
        calls.append(pairs)
        if len(calls) == 3:
            raise RuntimeError("this copy fails")
        plain(rows, pairs)

    monkeypatch.setattr("lineclear_gpu.executor.copy_rows", copy)
    llm = made()
    assert tokens(outputs_of_run(llm, SAMPLED)) == wanted
    assert llm.engine.scheduler.counters.restarted == 1
    assert len(llm.engine.failures) == 1


def test_a_request_whose_name_cannot_be_shown_fails_alone() -> None:
    class Silent:
        def __repr__(self) -> str:
            raise ValueError

    class Lines:
        def __repr__(self) -> str:
            return "a\nb"

    engine = made().engine
    engine.add(silent := Silent(), prompts()[0], GREEDY)
    engine.add("good", prompts()[1], GREEDY)
    good = engine.live["good"].output.outputs[0]
    failing_with(engine, silent)
    engine.run()
    assert good.token_ids == expected()[1]
    with pytest.raises(EngineError, match="request a b was rejected"):
        engine.add(Lines(), [1] * 96, GREEDY)


def test_a_text_that_cannot_be_made_ends_its_own_request() -> None:
    llm = made(max_steps_in_flight=2)
    engine = llm.engine
    forbidden = expected()[0][5]

    def decode(ids: list[int]) -> str:
        if forbidden in ids:
            raise TypeError("no text for this token")
        return "".join(chr(97 + i % 26) for i in ids)

    engine.decode = decode
    outputs = outputs_of(llm)
    engine.run()
    ended = {number for number, output in outputs.items() if output.error is not None}
    assert ended == {number for number, ids in enumerate(expected()) if forbidden in ids}
    assert 0 < len(ended) < len(outputs)
    for number, output in outputs.items():
        if number in ended:
            assert output.error == "TypeError: no text for this token"
            assert output.outputs[0].finish_reason == "error"
        else:
            assert output.outputs[0].token_ids == expected()[number]
    assert engine.scheduler.cache.available == 200
