"""Forwards that raise for one request, and the outputs of all requests beside it."""
# pyright: basic

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from served import GREEDY, prompts

from lineclear_gpu.engine import Engine
from lineclear_gpu.llm import LLM
from lineclear_gpu.params import SamplingParams

Forward = Callable[[Any], Any]


def failing_with(engine: Engine, name: Any, times: int = 10**6, after: bool = False) -> list[int]:
    """Forwards with a row of this request raise; the number of rows of each that did.

    With `after`, they raise when they have computed and stored everything.
    """
    plain: Forward = engine.runner.forward
    raised: list[int] = []

    def forward(batch: Any) -> Any:
        mine = {lane for (owner, _), lane in engine.book.lane.items() if owner == name}
        if mine & set(batch.lanes.tolist()) and len(raised) < times:
            if after:
                plain(batch)
            raised.append(batch.rows)
            raise RuntimeError("a row of it raises")
        return plain(batch)

    engine.runner.forward = forward  # type: ignore[method-assign]
    return raised


def outputs_of(llm: LLM, params: SamplingParams = GREEDY) -> dict[int, Any]:
    """Every prompt, added under its number."""
    outputs = {}
    for number, prompt in enumerate(prompts()):
        llm.engine.add(number, prompt, params, tenant=f"tenant {number % 2}")
        outputs[number] = llm.engine.live[number].output
    return outputs


def outputs_of_run(llm: LLM, params: SamplingParams) -> list[Any]:
    outputs = outputs_of(llm, params)
    llm.engine.run()
    return list(outputs.values())
