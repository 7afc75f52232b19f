# pyright: basic
"""The engine's records of live requests and of steps in flight.

Guarantees: a `DecodeRows` stays valid as long as plans carry the same tuple of rows.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Any

import numpy as np

from lineclear.plan import Plan
from lineclear_gpu.outputs import Decode, RequestOutput, Text
from lineclear_gpu.params import SamplingParams


class EngineRequest:
    """A request that is not finished."""

    __slots__ = (
        "first", "forked", "gone", "lanes", "max_tokens", "output", "params", "plain", "repeats",
        "seed", "since", "texts", "tries",
    )  # fmt: skip

    def __init__(
        self,
        output: RequestOutput,
        params: SamplingParams,
        max_tokens: int,
        seed: int,
        decode: Decode | None,
        first: int = 0,
    ) -> None:
        """Records an accepted request.

        Args:
            output: what is handed out of it.
            params: how it is sampled.
            max_tokens: tokens to generate at most; `params` may leave it open.
            seed: that its samples depend on.
            decode: converts tokens to text, None for no text.
            first: the number, among the sequences with this seed, of its first one.
        """
        self.first = first
        self.output = output
        self.params = params
        self.max_tokens = max_tokens
        self.seed = seed
        self.texts = [
            Text(decode, params.stops, keep_stop=params.include_stop_str_in_output)
            for _ in range(params.n)
        ]
        self.lanes: dict[int, int] = {}  # branch -> lane, once it has run
        self.forked = params.n == 1  # all its sequences exist
        self.plain = False  # one sequence without text that only its length ends
        self.gone = False  # the request is forgotten
        self.tries = 0  # forwards that failed because of it
        self.since = 0  # plans launched before its present life began
        # After a failure the branches of a group are sampled again, one token in each step, because
        # they differ in length: the known tokens that each branch has not had again.
        self.repeats: list[deque[int]] | None = None

    def start_again(self, launches: int) -> None:
        """Its KV is lost, and every sequence is computed again from its tokens.

        Args:
            launches: plans launched so far: what they did belongs to an earlier life.
        """
        self.since = launches
        self.lanes.clear()
        if self.params.n > 1:
            self.forked = False
            self.repeats = [deque(completion.token_ids) for completion in self.output.outputs]

    def known_token(self, index: int) -> int | None:
        """The next token of a branch that is sampled again; None if it has had them all."""
        known = None if self.repeats is None else self.repeats[index]
        return known.popleft() if known else None


class DecodeRows:
    """The rows of a step that is the decode batch alone, kept while they stay the same.

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
            lengths = [len(o.prompt_token_ids) + live.max_tokens
                       for o, (live, _) in zip(outputs, who, strict=True)]  # fmt: skip
            self.ends = np.array(lengths, dtype=np.int64)


@dataclass(slots=True)
class Flight:
    """A step in flight on the device."""

    plan: Plan
    number: int  # of the plan among those launched, from 1
    who: list[tuple[EngineRequest, int]]  # of each sample, by plan.sampling: request and branch
    widths: list[int]  # samples of each: n where a request forks
    decode_batch: DecodeRows | None = None  # for a step that is the decode batch alone
