"""Short walks in which more important requests arrive at a full pool: who is preempted, and how.

Guarantees: equal seeds give equal walks. Requests, pool and settings are drawn anew for each, since a
long walk in one world meets the same few situations again and again.
"""

from __future__ import annotations

import random

from lineclear.config import VICTIMS, Config
from lineclear.explore.bounds import RequestShape, SearchBounds
from lineclear.explore.covered import OPTIONS
from lineclear.explore.scripts import WalkScript
from lineclear.explore.walks import ANSWER
from lineclear.explore.world import Move
from lineclear.oracle.state import ceil_div

#: Policies of every other encounter; the rest are by priority.
POLICIES = (
    "aging",
    "aging",
    "ceiling",
    "edf",
    "fcfs",
    "hybrid",
    "lpl",
    "mlfq",
    "sjf",
    "sjf_aging",
)
MODES = ("swap", "swap", "swap", "recompute", "auto", "by_length", "groups")


def encounter(seed: int) -> WalkScript:
    """Some requests run and fill the pool; then more important ones arrive, each past those before it.

    Most blocks have room for the next tokens, or growth would preempt before an arrival can.
    """
    draw = random.Random(seed)
    choice = draw.choice
    policy = choice(POLICIES) if seed % 2 else "priority"
    levels = choice((1, 3))
    size, steps = choice((1, 2, 4, 4, 4)), choice((1, 1, 2))
    blocks = [choice((1, 1, 2, 2, 3, 4)) for _ in range(draw.randint(2, 5))]
    wide = draw.random() < 0.3
    running = [
        RequestShape(
            count * size - draw.randint(0, max(0, size - 2)),
            draw.randint(2, 5),
            choice((1, 2)) if wide else 1,
            draw.randint(0, levels),
            slack=float(draw.randint(1, 9)) if policy == "edf" else None,
            later=wide and seed % 4 == 0,
        )
        for count in blocks
    ]
    filled = sum(blocks)
    urgent = [
        RequestShape(
            draw.randint(2, filled) * size - draw.randint(0, size - 1),
            draw.randint(1, 3),
            1,
            4 + k,
            slack=float(k) if policy == "edf" else None,
        )
        for k in range(draw.randint(1, 3))
    ]
    shapes = (*running, *urgent)
    pool = max(filled + choice((0, 0, 0, 1)), *(held(shape, size) for shape in shapes))
    longest = max(shape.prompt + shape.most for shape in shapes)
    drafts, chunks = choice((0, 0, 0, 2)), draw.random() < 0.7
    seats = choice((6, 8, 8))
    plenty = sum(shape.prompt * shape.n for shape in shapes) + seats
    tokens = max(seats * (1 + drafts), 0 if chunks else longest, choice((0, 12, plenty, plenty)))
    config = Config(
        num_gpu_blocks=pool,
        num_cpu_blocks=choice((0, pool // 2, pool - 1, pool, pool + 1, 2 * pool)),
        block_size=size,
        max_num_seqs=seats,
        max_num_batched_tokens=tokens,
        max_model_len=longest,
        enable_chunked_prefill=chunks,
        num_lookahead_slots=drafts,
        watermark=choice((0.0, 0.0, 0.2)),
        scheduling_policy=policy,
        policy_options=OPTIONS.get(policy, ()),
        preemption_mode=choice(MODES),
        swap_threshold=longest * 2 // 3,
        victim=choice(VICTIMS),
        max_steps_in_flight=choice((1, 1, 2)),
        max_bypasses=choice((0, 0, 1, 2)),
        swapped_first=draw.random() < 0.25,
        pause_after_preemption=draw.random() < 0.75,
        long_prefill_token_threshold=choice((0, None)),
    )
    step: tuple[Move, ...] = (("schedule",), ANSWER)
    first: list[Move] = [("submit", k) for k in range(len(running))]
    first += step * steps
    for k in range(len(urgent)):
        first += [("submit", len(running) + k), *step]
    for _ in range(2):  # small ones, which may pass those that were preempted
        first += [("submit", draw.randrange(len(running))), *step]
    bounds = SearchBounds(f"encounter {seed}", config, shapes, live=len(shapes) + 2)
    return WalkScript(bounds, tuple(first))


def held(shape: RequestShape, size: int) -> int:
    """Blocks that a request holds at most, with nothing shared."""
    return shape.n * ceil_div(shape.prompt + shape.most - 1, size)
