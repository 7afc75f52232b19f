# pyright: basic
"""The engine's records of live requests and of steps in flight.

Guarantees: a `Steady` stays valid as long as plans carry the same tuple of rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from lineclear.plan import Plan
from lineclear_gpu.executor import Launched
from lineclear_gpu.outputs import Completion, Decode, RequestOutput, Text
from lineclear_gpu.params import SamplingParams

__all__ = ["EngineRequest", "Flight", "Steady"]


class EngineRequest:
    """A request that is not finished."""

    __slots__ = ("forked", "gone", "lanes", "output", "params", "plain", "seed", "texts", "tries")

    def __init__(
        self, output: RequestOutput, params: SamplingParams, seed: int, decode: Decode | None
    ) -> None:
        """Records an accepted request."""
        self.output = output
        self.params = params
        self.seed = seed
        self.texts = [
            Text(decode, params.stops, keep_stop=params.include_stop_str_in_output)
            for _ in range(params.n)
        ]
        self.lanes: dict[int, int] = {}  # branch -> lane, once it has run
        self.forked = params.n == 1  # all its sequences exist
        self.plain = False  # one sequence without text that only its length ends
        self.gone = False  # the request is forgotten
        self.tries = 0

    def start_over(self, decode: Decode | None) -> None:
        """Drops all its output, to sample every sequence again."""
        output, params = self.output, self.params
        for index in range(params.n):
            output.outputs[index] = Completion(index)
            self.texts[index] = Text(
                decode, params.stops, keep_stop=params.include_stop_str_in_output
            )
        self.forked = False


class Steady:
    """The decode batch, kept while its rows stay the same.

    Attributes:
        rows: the plan's own tuple of rows; identity tells whether it changed.
        who: as in a flight.
        widths: as in a flight.
        plain: whether each row is a single sequence that only its length ends.
        lanes: lane of each row, if they are plain.  [rows] int64
        ends: number of known tokens at which each row ends, if they are plain.  [rows] int64
    """

    __slots__ = ("appends", "ends", "lanes", "names", "plain", "rows", "who", "widths")

    def __init__(self, rows: Any, who: list[tuple[EngineRequest, int]], widths: list[int]) -> None:
        """Records a new decode batch."""
        self.rows = rows
        self.who = who
        self.widths = widths
        self.plain = bool(who) and all(live.plain for live, _ in who)
        if self.plain:
            outputs = [live.output for live, _ in who]
            self.names = [output.request_id for output in outputs]
            self.appends = [output.outputs[0].token_ids.append for output in outputs]
            self.lanes = np.array([live.lanes[0] for live, _ in who], dtype=np.int64)
            lengths = [len(o.prompt_token_ids) + live.params.max_tokens
                       for o, (live, _) in zip(outputs, who, strict=True)]  # fmt: skip
            self.ends = np.array(lengths, dtype=np.int64)


@dataclass(slots=True)
class Flight:
    """A step in flight on the device."""

    launched: Launched
    plan: Plan
    who: list[tuple[EngineRequest, int]]  # of each sample, by plan.sampling: request and branch
    widths: list[int]  # samples of each: n where a request forks
    steady: Steady | None = None  # for a step that is the decode batch alone
