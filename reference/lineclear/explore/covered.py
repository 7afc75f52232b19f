"""Worlds with pairwise coverage of the settings, each under memory pressure.

Guarantees: the values of `FACTORS` are covered pair by pair (`cover.py`); every world may do everything
that users, steps and copies may do: forks, prunes, stops, aborts, failures, late completions.
"""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

from lineclear.config import CAPACITY, MODES, POLICIES, VICTIMS, Config
from lineclear.explore.bounds import RequestShape, SearchBounds
from lineclear.explore.cover import CoverRow, pairwise
from lineclear.oracle.state import ceil_div

#: Options that are small, so that something comes of them in a few steps.
OPTIONS: dict[str, tuple[tuple[str, Any], ...]] = {
    "aging": (("seconds_per_level", 2.0),),
    "sjf_aging": (("seconds_per_token", 2.0),),
    "ceiling": (("ceiling", 2),),
    "drr": (("quantum", 4),),
    "mlfq": (("levels", 3), ("promote_after", 6), ("quantum", 2)),
}
FAILING = "lineclear.explore.failing:Failing"
#: Names of settings of the walks -> policy and its options.
VARIANTS: dict[str, tuple[str, tuple[tuple[str, Any], ...]]] = {
    "vtc with weights": ("vtc", (("weights", {"a": 1, "b": 2, "c": 3}),)),
    "drr with weights": ("drr", (*OPTIONS["drr"], ("weights", {"a": 1, "b": 2, "c": 3}))),
    **{
        f"failing {what}": (f"{FAILING}{what.capitalize()}", ())
        for what in ("priorities", "displacements", "ranks", "reviews", "shares", "turns")
    },
}
#: Every setting of a scheduler and of its environment that a step may be decided by.
FACTORS: dict[str, tuple[Any, ...]] = {
    "policy": (*POLICIES, *VARIANTS),
    "mode": MODES,
    "victim": VICTIMS,
    "cpu": (0.5, 1.5, 0),
    "max_bypasses": (0, 1, 2),
    "block": (1, 2, 4),
    "groups": (1, 2, 3),
    "tokens": ("few", "some", "many"),
    "pool": (1.0, 1.3, 2.0),
    "costs": ((0.5, 1.0), (1.0, 1.0)),
    "max_steps_in_flight": (1, 2),
    "chunks": (True, False),
    "recompute": (False, True),
    "most": (None, 0, 1, 3),
    "longs": (None, 1, 2),
    "drafts": (0, 2),
    "swapped_first": (False, True),
    "pause": (False, True),
    "watermark": (0.0, 0.25),
    "reserve": (0.0, 0.5),
    "capacity": CAPACITY,
    "seats": (4, 6),
    "waiting": (None, "requests", "tokens"),
    "lengths": ("short", "whole step", "long"),
}
#: Policies whose order is not that of arrival, so that a later request preempts an earlier one.
URGENT = (
    "priority",
    "aging",
    "edf",
    "ceiling",
    "hybrid",
    "mlfq",
    "sjf",
    *[f"failing {what}" for what in ("priorities", "displacements", "ranks")],
)
#: The settings that say who is preempted, how, and who enters then, in worlds of three small requests.
PREEMPTING: dict[str, tuple[Any, ...]] = {
    "policy": URGENT,
    "cpu": (0.7, 0.4),
    "victim": VICTIMS,
    "max_bypasses": (0, 1, 2),
    "groups": (1, 2),
    "mode": ("swap", "auto", "by_length", "groups"),
    "swapped_first": (True, False),
    "pause": (False, True),
    "max_steps_in_flight": (1, 2),
    "drafts": (0, 2),
    "chunks": (True, False),
    "watermark": (0.0, 0.2),
}
#: What all of these have.
SMALL: CoverRow = {
    "block": 1,
    "tokens": "some",
    "pool": 1.3,
    "costs": (1.0, 1.0),
    "seats": 4,
    "waiting": None,
    "lengths": "tiny",
    "most": None,
    "longs": None,
    "recompute": False,
    "reserve": 0.0,
    "capacity": "max_utilization",
}


def covered() -> list[SearchBounds]:
    """One world for each row of the cover, the one with the most new pairs first."""
    rows = [*pairwise(FACTORS), *({**SMALL, **row} for row in pairwise(PREEMPTING))]
    return [world(number, row) for number, row in enumerate(rows)]


def world(number: int, row: CoverRow) -> SearchBounds:
    """The world of a row."""
    policy, options = VARIANTS.get(row["policy"], (row["policy"], OPTIONS.get(row["policy"], ())))
    size, seats, drafts = row["block"], row["seats"], row["drafts"]
    longest = {"tiny": 7, "long": 20}.get(row["lengths"], 12)
    least = seats * (1 + drafts)
    tokens = {"few": least, "some": least + 3, "many": 24}[row["tokens"]]
    whole = 0 if row["chunks"] else longest // 2 if row["recompute"] else longest - 1
    config = Config(
        num_gpu_blocks=64,
        block_size=size,
        max_num_seqs=seats,
        max_num_batched_tokens=max(tokens, whole),
        max_model_len=longest,
        enable_chunked_prefill=row["chunks"],
        enable_chunked_recompute=row["recompute"],
        long_prefill_token_threshold=row["most"],
        max_long_partial_prefills=row["longs"],
        schedule_conservativeness=row["reserve"],
        capacity_policy=row["capacity"],
        num_lookahead_slots=drafts,
        watermark=row["watermark"],
        scheduling_policy=policy,
        policy_options=options,
        preemption_mode=row["mode"],
        swap_threshold=longest * 2 // 3,
        swap_token_cost=row["costs"][0],
        recompute_token_cost=row["costs"][1],
        victim=row["victim"],
        max_waiting=3 if row["waiting"] == "requests" else None,
        max_waiting_tokens=2 * longest if row["waiting"] == "tokens" else None,
        max_steps_in_flight=row["max_steps_in_flight"],
        max_bypasses=row["max_bypasses"],
        swapped_first=row["swapped_first"],
        pause_after_preemption=row["pause"],
    )
    name = f"settings {number}: {row['policy']}"
    wide = row["lengths"] == "whole step"
    ample = pressed(number, config, row["groups"], name, whole=wide)
    most = max(held(config, shape) for shape in ample.shapes)
    blocks = int(row["pool"] * most)
    config = replace(config, num_gpu_blocks=blocks, num_cpu_blocks=int(row["cpu"] * blocks))
    return replace(ample, config=config)


def held(config: Config, shape: RequestShape) -> int:
    """Blocks that a request holds at most."""
    size = config.block_size
    shared = shape.prompt // size
    return shared + shape.n * (ceil_div(shape.prompt + shape.most - 1, size) - shared)


def pressed(
    seed: int, config: Config, groups: int = 3, name: str = "", *, whole: bool = False
) -> SearchBounds:
    """Requests of several kinds that press a configuration from all sides.

    Args:
        seed: of the kinds.
        config: settings.
        groups: sequences of a request, at most.
        name: of the world; made from the seed if empty.
        whole: whether one of them is urgent and needs all tokens of a step.
    """
    draw = random.Random(seed)
    size, longest = config.block_size, config.max_model_len
    path = config.scheduling_policy
    shared_out = path in ("vtc", "drr") or path.endswith("Turns")
    shapes: list[RequestShape] = []
    for number in range(400):
        prompt = draw.randint(1, min(size + 4, longest - 1))
        most = draw.randint(1, size + 5)
        if longest < 8:
            prompt, most = draw.choice((1, 1, 2, 3)), draw.choice((2, 3, 4))
        if longest > 12 and draw.random() < 0.2:  # a long prompt, or a long answer
            prompt, most = draw.choice(((longest - 4, most), (prompt, longest - prompt)))
        n, priority = draw.choice((1, 1, *range(1, groups + 1))), draw.randint(0, 3)
        if len(shapes) < 2 <= groups and number < 200:
            n = groups  # some are sure to be groups
        if whole and len(shapes) == 2 and number < 200:
            prompt, most, n, priority = longest - 1, 1, 1, 3
        if (
            prompt + most > longest
            or n > config.max_num_seqs
            or held(config, RequestShape(prompt, most, n)) > config.num_gpu_blocks
            or (
                not config.enable_chunked_prefill
                and (prompt if config.enable_chunked_recompute else prompt + most - 1)
                > config.max_num_batched_tokens
            )
        ):
            continue
        shapes.append(
            RequestShape(
                prompt,
                most,
                n,
                priority,
                "abc"[number % 3] if shared_out else None,
                float(draw.randint(1, 9)) if path == "edf" and draw.random() < 0.8 else None,
                later=n > 1 and len(shapes) % 2 == 1,
                guess=(None, 0, 2, most + 2)[number % 4] if path in ("sjf", "sjf_aging") else None,
            )
        )
        if len(shapes) == 6:
            break
    return SearchBounds(name or f"walk {seed}", config, tuple(shapes), live=7)
