# pyright: basic
"""Arguments that would hurt another request are refused, and those that are taken hurt none."""

from __future__ import annotations

from typing import Any

import pytest
from served import GREEDY, expected, made, prompts

from lineclear.request import InvalidRequest
from lineclear_gpu.engine import EngineError
from lineclear_gpu.params import ParamsError, SamplingParams


@pytest.mark.parametrize(
    "wrong",
    [
        {"seed": 1.5},
        {"seed": "7"},
        {"seed": -1},
        {"seed": 2**63},
        {"seed": True},
        {"stop": [1]},
        {"stop": 5},
        {"stop": b"x"},
        {"stop": ["a", ""]},
        {"stop_token_ids": 5},
        {"stop_token_ids": "5"},
        {"stop_token_ids": [1.5]},
        {"stop_token_ids": [None]},
        {"temperature": "hot"},
        {"temperature": 1e39},
        {"temperature": float("inf")},
        {"top_p": "all"},
        {"top_p": True},
        {"top_k": 1.0},
        {"n": 1.0},
        {"n": 2**63},
        {"max_tokens": 2.5},
        {"priority": 1.5},
        {"priority": 10**301},
        {"ignore_eos": "no"},
    ],
    ids=str,
)
def test_parameters_that_would_raise_in_a_step_are_refused_on_one_line(
    wrong: dict[str, Any],
) -> None:
    (name,) = wrong
    with pytest.raises(ParamsError) as refused:
        SamplingParams(**wrong)
    assert "\n" not in str(refused.value)
    assert name in str(refused.value) or "stop text" in str(refused.value)


def test_numbers_of_numpy_and_lists_are_taken_as_plain_values() -> None:
    import numpy as np

    ends: list[Any] = [np.int64(3), 4]
    given: dict[str, Any] = {"temperature": np.float32(0.5), "seed": np.int64(7), "stop": ["a"]}
    params = SamplingParams(top_k=10**30, stop_token_ids=ends, **given)
    ends.append(5)
    assert (params.seed, params.ends, params.stops) == (7, (3, 4), ("a",))
    assert type(params.seed) is int
    assert SamplingParams(stop=None, stop_token_ids=None).ends == ()


def test_the_largest_top_k_and_temperature_hurt_no_request() -> None:
    engine = made().engine
    engine.add("wide", prompts()[0], SamplingParams(top_k=10**30, temperature=3e38, max_tokens=4))
    engine.add("plain", prompts()[1], GREEDY)
    output = engine.live["plain"].output
    engine.run()
    assert output.outputs[0].token_ids == expected()[1]
    assert not engine.failures


@pytest.mark.parametrize(
    ("prompt", "said"),
    [
        ([1, 10**6], "token ids must lie in 0 to 319; 1000000 does not"),
        ([-1], "0 to 319; -1 does not"),
        ([1.5], "1.5 is none"),
        (["7"], "'7' is none"),
        ([True], "True is none"),
        ("text", "list of whole numbers"),
        (None, "list of whole numbers"),
        ([], "empty prompt"),
        ([2**70], "does not"),
    ],
)
def test_a_bad_prompt_is_refused_and_no_other_request_sees_it(prompt: Any, said: str) -> None:
    engine = made().engine
    engine.add("good", prompts()[0], GREEDY)
    good = engine.live["good"].output
    engine.step()
    with pytest.raises(EngineError, match=said):
        engine.add("bad", prompt, GREEDY)
    with pytest.raises(EngineError, match="SamplingParams"):
        engine.add("bad", [1], {"n": 1})  # type: ignore[arg-type]
    with pytest.raises(InvalidRequest, match="hashable"):
        engine.add([], [1], GREEDY)  # type: ignore[arg-type]
    with pytest.raises(InvalidRequest, match="tenant"):
        engine.add("bad", [1], GREEDY, tenant=[])  # type: ignore[arg-type]
    assert set(engine.live) == set(engine.scheduler.entries) == {"good"}
    engine.run()
    assert good.outputs[0].token_ids == expected()[0]
    assert good.error is None


def test_stop_texts_without_a_tokenizer_are_refused() -> None:
    engine = made().engine
    with pytest.raises(EngineError, match="stop texts need a tokenizer"):
        engine.add("a", [1, 2], SamplingParams(stop="x"))
    assert not engine.live


def test_no_seed_that_can_be_given_is_one_that_is_drawn() -> None:
    params = SamplingParams(max_tokens=12, temperature=1.0)
    one, two = made().generate([prompts()[0]] * 2, params)
    for seed in range(1, 9):
        given = SamplingParams(max_tokens=12, temperature=1.0, seed=seed)
        (again,) = made().generate([prompts()[0]], given)
        assert again.outputs[0].token_ids not in (
            one.outputs[0].token_ids,
            two.outputs[0].token_ids,
        )
