"""Reads the log of a real engine and fits step times.

Guarantees: the fit uses the log alone.
"""

from __future__ import annotations

import csv
import json
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from statistics import linear_regression, median

from lineclear.simulation.steptime import StepTime

#: The engine's settings.
BLOCKS, BLOCK_SIZE, BUDGET = 2588, 16, 2048
#: Moments of the log closer than this many seconds are the same.
GRAIN = 1e-3


@dataclass(frozen=True, slots=True)
class Second:
    """One line of the log's time series.

    Attributes:
        moment: seconds on the log's clock.
        prompt: prompt tokens computed in the second.
        generated: tokens generated in it.
        running: requests that run.
        waiting: requests that wait.
        context: capacity of the blocks in use, in tokens of KV.
    """

    moment: float
    prompt: float
    generated: float
    running: int
    waiting: int
    context: float


@dataclass(frozen=True, slots=True)
class Served:
    """The outcome of one request, in seconds after the first was queued.

    Attributes:
        name: its id.
        prompt: tokens of its prompt.
        output: tokens that it generated.
        queued: when it was queued.
        scheduled: when a step first computed a part of it.
        first: time of its first token.
        last: time of its last token.
    """

    name: str
    prompt: int
    output: int
    queued: float
    scheduled: float
    first: float
    last: float


def read(folder: Path) -> tuple[list[Served], list[Second]]:
    """The two files of the log."""
    text = (folder / "requests.jsonl").read_text(encoding="utf-8")
    rows = [json.loads(line) for line in text.splitlines() if line]
    start = min(float(row["queued_ts"]) for row in rows)
    requests = [
        Served(
            str(row["request_id"]),
            int(row["input_toks"]),
            int(row["output_toks"]),
            *(float(row[f"{key}_ts"]) - start for key in TIMES),
        )
        for row in rows
    ]
    with (folder / "timeseries.csv").open(encoding="utf-8", newline="") as file:
        seconds = [
            Second(
                float(row["t"]),
                float(row["prompt_throughput"]),
                float(row["gen_throughput"]),
                int(row["running"]),
                int(row["waiting"]),
                float(row["kv_cache_pct"]) / 100 * BLOCKS * BLOCK_SIZE,
            )
            for row in csv.DictReader(file)
        ]
    return sorted(requests, key=lambda request: request.queued), seconds


TIMES = ("queued", "scheduled", "first_token", "last_token")


def fit(requests: Sequence[Served], seconds: Sequence[Second]) -> StepTime:
    """Seconds of a step from the log: decodes by regression, prompt tokens by single steps.

    In a second without prompt tokens, in which no request joined, each step gives each running request
    one token, so a step took running / generated seconds; that is a line over the KV that it
    reads. Requests that were scheduled together and had their first tokens together, while nothing
    else began or ended, took one step: what the line does not explain is the price of their
    prompts. Decodes pay that price too, so the line is drawn again without it.
    """
    decoding = [
        now
        for before, now in pairwise(seconds)
        if not now.prompt and now.generated and now.running and now.running <= before.running
    ]
    # A recomputed request takes steps in which the others generate: such seconds lie above the
    # line and are excluded once.
    per_context, base = line(decoding, 0.0)
    kept = [
        now
        for now in decoding
        if now.running / now.generated <= 1.1 * (base + per_context * now.context)
    ]
    per_context, base = line(kept, 0.0)
    prices: list[float] = []
    for prompt, begin, end in single_steps(requests):
        place = min(bisect_left(seconds, end, key=lambda now: now.moment), len(seconds) - 1)
        decode = base + per_context * seconds[place].context
        prices.append((end - begin - decode) / prompt)
    per_token = median(prices)
    per_context, base = line(kept, per_token)
    return StepTime(
        base=base,
        per_token=per_token,
        per_sequence=0.0,
        per_context=max(0.0, per_context),
        per_pair=0.0,
    )


def line(seconds: Sequence[Second], per_token: float) -> tuple[float, float]:
    """Slope over the KV in use and base of a decode step, without the price of its tokens."""
    slope, base = linear_regression(
        [now.context for now in seconds],
        [now.running / now.generated - per_token * now.running for now in seconds],
    )
    return slope, base


def single_steps(requests: Sequence[Served]) -> list[tuple[int, float, float]]:
    """Prompt tokens, begin and end of steps that computed whole prompts alone in time."""
    groups: dict[tuple[float, float], list[Served]] = {}
    for request in requests:
        groups.setdefault((request.scheduled, request.first), []).append(request)
    moments = sorted({m for r in requests for m in (r.scheduled, r.first, r.last)})
    found: list[tuple[int, float, float]] = []
    for (begin, end), group in groups.items():
        prompt = sum(request.prompt for request in group)
        between = bisect_left(moments, end - GRAIN) - bisect_right(moments, begin + GRAIN)
        if prompt <= BUDGET and between <= 0:
            found.append((prompt, begin, end))
    return found


def clock(requests: Sequence[Served], seconds: Sequence[Second]) -> float:
    """Where 0 of the time series lies on the clock of the requests, to 0.02 seconds."""
    queued = sorted(request.queued for request in requests)
    ended = sorted(request.last for request in requests)

    def off(offset: float) -> float:
        return sum(
            abs(
                bisect_right(queued, now.moment + offset)
                - bisect_right(ended, now.moment + offset)
                - now.running
                - now.waiting
            )
            for now in seconds
        )

    return min((k / 50 for k in range(-100, 101)), key=off)
