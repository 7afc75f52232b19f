"""Calls of the engine that a program draws: each is done or refused, and no other request notices."""
# pyright: basic

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

pytest.importorskip("hypothesis")
from fuzz import search
from hypothesis import Phase
from hypothesis import strategies as st
from served import GREEDY, expected, made, prompts

from lineclear.request import InvalidRequest
from lineclear_gpu.engine import Engine, EngineError
from lineclear_gpu.intake import Intake
from lineclear_gpu.params import ParamsError, SamplingParams

#: What a caller may get for a bad call; anything else is a fault.
REFUSALS = (EngineError, ParamsError, InvalidRequest)

ODD: st.SearchStrategy[Any] = st.sampled_from(
    [None, True, -1, 0, 1, 2, 7, 1.5, 1e400, float("nan"), 2**63, 10**400, "", "7", b"x", [], [1], [None], {}]
)  # fmt: skip
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "n": st.sampled_from([1, 2, 9]),
    "max_tokens": st.sampled_from([None, 1, 3, 500]),
    "temperature": st.sampled_from([0, 0.0, 1.0, 3e38, 1e-40]),
    "top_p": st.sampled_from([1.0, 0.5, 1e-30]),
    "top_k": st.sampled_from([0, 1, 10**12]),
    "seed": st.sampled_from([None, 0, 2**63 - 1]),
    "stop": st.sampled_from([(), "", ["x"], None]),
    "stop_token_ids": st.sampled_from([(), [1, 2], [10**30], None]),
    "ignore_eos": st.booleans(),
    "share_prefix": st.booleans(),
    "include_stop_str_in_output": st.booleans(),
    "priority": st.sampled_from([0, -5, 10**300]),
}
PROMPTS = st.one_of(
    ODD,
    st.lists(st.integers(0, 319), min_size=1, max_size=20),
    st.lists(st.one_of(st.integers(0, 319), st.integers(-2, 400), ODD), max_size=6),
    st.just([1] * 300),
)
IDS = st.one_of(st.integers(0, 3), st.sampled_from(["a", None, 1.0, (1, 2)]), ODD)


@st.composite
def parameters(draw: st.DrawFn) -> dict[str, Any]:
    """Some parameters, each good or odd."""
    names = draw(st.lists(st.sampled_from(sorted(VALUES)), max_size=4, unique=True))
    return {name: draw(st.one_of(VALUES[name], VALUES[name], ODD)) for name in names}


#: Whom it is charged to, and with whom it shares blocks.
OWNERS = st.fixed_dictionaries(
    {}, optional={"tenant": st.one_of(IDS, ODD), "cache_salt": st.one_of(st.just("x\ud800"), ODD)}
)
CALLS = st.lists(
    st.one_of(
        st.tuples(st.just("add"), IDS, PROMPTS, parameters(), OWNERS),
        st.tuples(st.just("add"), IDS, PROMPTS, parameters(), OWNERS),
        st.tuples(st.just("abort"), IDS),
        st.tuples(st.just("step")),
    ),
    min_size=1,
    max_size=12,
)


def test_the_parameters_are_all_drawn() -> None:
    assert set(VALUES) == set(SamplingParams.__dataclass_fields__)


def call(engine: Engine, name: str, *arguments: Any) -> None:
    """One call; a refusal is one line."""
    refused = ""
    try:
        if name == "step":
            engine.step()
        elif name == "abort":
            engine.abort(*arguments)
        else:
            request_id, prompt, params, owners = arguments
            engine.add(request_id, prompt, SamplingParams(**params), **owners)
    except REFUSALS as refusal:
        refused = str(refusal)
    assert "\n" not in refused


def no_other_is_hurt(settings: dict[str, Any], calls: list[tuple[Any, ...]]) -> None:
    """Two innocent requests get the library's tokens, whatever else is asked for beside them."""
    llm = made(num_gpu_blocks=24, num_cpu_blocks=8, **settings)
    engine = llm.engine
    outputs = []
    for number in (0, 1):
        engine.add(("innocent", number), prompts()[number], GREEDY)
        outputs.append(engine.live["innocent", number].output)
    for each in calls:
        call(engine, *each)
    for _ in range(3000):
        if not engine.busy:
            break
        engine.step()
    assert not engine.busy
    assert not engine.failures
    for number, output in enumerate(outputs):
        assert output.error is None
        assert output.outputs[0].token_ids == expected()[number]
    assert engine.scheduler.cache.available == llm.config.num_gpu_blocks


#: Blocks are shared unless victims are swapped.
SETTINGS = st.fixed_dictionaries(
    {
        "max_steps_in_flight": st.sampled_from([1, 2]),
        "scheduling_policy": st.sampled_from(["fcfs", "vtc", "priority"]),
    },
    optional={"preemption_mode": st.just("swap")},
)
BESIDE = st.tuples(SETTINGS, CALLS)


def each(drawn: tuple[dict[str, Any], list[tuple[Any, ...]]]) -> None:
    """The settings, and the calls."""
    no_other_is_hurt(*drawn)


def test_a_call_hurts_no_other_request() -> None:
    search(BESIDE, 15, each)


@pytest.mark.deep
def test_a_call_hurts_no_other_request_deep(
    long_search: Callable[[st.SearchStrategy[Any], Callable[[Any], object]], int],
) -> None:
    long_search(BESIDE, each)


def test_an_engine_that_checks_no_token_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Intake, "checked", lambda _, tokens: list(tokens))
    with pytest.raises((AssertionError, TypeError, ExceptionGroup)):
        search(BESIDE, 40, each, (Phase.generate,))
