"""Walks at random through worlds that are too large to be searched: long runs under pressure.

Guarantees: equal seeds give equal walks; every move is judged as in a search (invariants, history, the
oracle of the step); a walk that fails is a trace that `World.do` does again. Together the worlds hold every
policy, victim rule and mode, prompts in chunks and whole, one and two steps in flight, groups, drafts,
watermarks, few seats, few tokens, and CPU pools that overflow.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from typing import Any

from lineclear.config import MODES, POLICIES, VICTIMS, Config
from lineclear.explore.bounds import Bounds, Shape
from lineclear.explore.world import Move, Trace, World
from lineclear.oracle.state import ceil_div

__all__ = ["Walk", "drawn", "pressed", "special", "walk", "worlds"]

#: Options that are small, so that something comes of them in a few steps.
OPTIONS: dict[str, tuple[tuple[str, Any], ...]] = {
    "aging": (("seconds_per_level", 2.0),),
    "sjf_aging": (("seconds_per_token", 2.0),),
    "ceiling": (("ceiling", 2),),
    "drr": (("quantum", 4),),
    "mlfq": (("levels", 3), ("promote_after", 6), ("quantum", 2)),
}


@dataclass(frozen=True, slots=True)
class Walk:
    """What came of a walk.

    Attributes:
        trace: moves, the one that failed last.
        error: what it raised, or None.
        world: at its end.
    """

    trace: Trace
    error: Exception | None
    world: World


def pressed(seed: int, config: Config) -> Bounds:
    """Requests of several kinds that press a configuration from all sides."""
    draw = random.Random(seed)
    size, longest = config.block_size, config.max_model_len
    shapes: list[Shape] = []
    for number in range(200):
        prompt, most = draw.randint(1, 2 * size + 2), draw.randint(1, 2 * size + 3)
        n = draw.choice((1, 1, 1, 1, 2, 3)) if config.num_lookahead_slots == 0 else 1
        shared = prompt // size
        blocks = shared + n * (ceil_div(prompt + most - 1, size) - shared)
        if (
            prompt + most > longest
            or n > config.max_num_seqs
            or blocks > config.num_gpu_blocks
            or (
                not config.enable_chunked_prefill and prompt + most > config.max_num_batched_tokens
            )
        ):
            continue
        shapes.append(
            Shape(
                prompt,
                most,
                n,
                draw.randint(0, 3),
                "abc"[number % 3] if config.scheduling_policy in ("vtc", "drr") else None,
                float(draw.randint(1, 9)) if config.scheduling_policy == "edf" else None,
            )
        )
        if len(shapes) == 6:
            break
    return Bounds(f"walk {seed}", config, tuple(shapes), live=7)


def drawn(seed: int) -> Bounds:
    """The world of a seed; policies take turns."""
    draw = random.Random(seed)
    choice = draw.choice
    policy = POLICIES[seed % len(POLICIES)] if seed % 3 else "priority"
    size, seats = choice((1, 1, 2, 4)), draw.randint(2, 5)
    drafts = choice((0, 0, 0, 0, 2))
    cut = draw.random() < 0.7
    tokens = choice((seats * (1 + drafts), seats * (1 + drafts) + 2, 24))
    config = Config(
        num_gpu_blocks=max(4, choice((8, 12, 16, 20)) // size),
        num_cpu_blocks=choice((0, 4, 6, 8, 12)),
        block_size=size,
        max_num_seqs=seats,
        max_num_batched_tokens=tokens if cut else max(tokens, 14),
        max_model_len=24,
        enable_chunked_prefill=cut,
        num_lookahead_slots=drafts,
        watermark=choice((0.0, 0.0, 0.15, 0.3)),
        scheduling_policy=policy,
        policy_options=OPTIONS.get(policy, ()),
        preemption_mode=choice(("swap", "swap", "swap", *MODES)),
        swap_threshold=6,
        victim=choice(VICTIMS),
        max_waiting=choice((None, None, None, 3)),
        depth=choice((1, 1, 2)),
        bypass=choice((0, 0, 0, 1, 2)),
        swapped_first=draw.random() < 0.15,
        pause_after_preemption=draw.random() < 0.8,
    )
    return pressed(seed, config)


def special() -> list[Bounds]:
    """Worlds in which one rule decides nearly every step."""
    small = Config(
        num_gpu_blocks=4,
        num_cpu_blocks=3,
        block_size=1,
        max_num_seqs=3,
        max_num_batched_tokens=4,
        max_model_len=6,
        watermark=0.0,
        scheduling_policy="priority",
        preemption_mode="swap",
    )
    plain, urgent = Shape(1, 3), Shape(4, 1, priority=1)
    three = (Shape(1, 3), Shape(2, 3, priority=1), Shape(2, 2, priority=2))
    rows: list[tuple[str, dict[str, Any], tuple[Shape, ...]]] = [
        (
            "the watermark is waived for a head that displaces all",
            {"watermark": 0.25},
            (plain, urgent),
        ),
        (
            "copies are discarded for more important ones",
            {"num_gpu_blocks": 6, "num_cpu_blocks": 4, "max_num_batched_tokens": 6},
            (*three, Shape(1, 4, priority=1)),
        ),
        ("one seat", {"max_num_seqs": 1}, three),
        ("swaps by length", {"preemption_mode": "by_length", "swap_threshold": 3}, three),
        (
            "one token besides the decodes",
            {"num_gpu_blocks": 12, "max_num_batched_tokens": 3},
            three,
        ),
        (
            "shares",
            {"scheduling_policy": "fair", "num_gpu_blocks": 12},
            (Shape(4, 2), Shape(3, 2)),
        ),
        (
            "promotions",
            {
                "scheduling_policy": "mlfq",
                "policy_options": OPTIONS["mlfq"],
                "max_model_len": 9,
                "num_gpu_blocks": 8,
            },
            (Shape(2, 5), Shape(1, 6)),
        ),
        (
            "a group and urgent requests",
            {"num_gpu_blocks": 7, "num_cpu_blocks": 6, "block_size": 1},
            (Shape(2, 3, 2), Shape(1, 3, priority=1), Shape(1, 2, 2, priority=1)),
        ),
        (
            "some of three victims are spared",
            {
                "num_gpu_blocks": 8,
                "num_cpu_blocks": 0,
                "max_num_seqs": 4,
                "max_num_batched_tokens": 8,
            },
            (Shape(1, 2), Shape(1, 3), Shape(3, 2, priority=1), Shape(5, 1, priority=2)),
        ),
        (
            "a prompt goes on before the head",
            {"num_gpu_blocks": 24, "max_num_seqs": 4},
            (Shape(1, 5), Shape(5, 1, priority=2), Shape(2, 2, priority=1)),
        ),
        (
            "prompts in pieces, more important each time",
            {
                "block_size": 4,
                "num_cpu_blocks": 0,
                "max_num_seqs": 4,
                "max_num_batched_tokens": 5,
                "max_model_len": 16,
            },
            tuple(Shape(12, 4, priority=priority) for priority in range(4)),
        ),
        (
            "each more important than all before it",  # displacements before a token is kept
            {
                "num_gpu_blocks": 2,
                "num_cpu_blocks": 2,
                "max_num_seqs": 1,
                "max_num_batched_tokens": 1,
                "depth": 2,
            },
            tuple(Shape(2, 1, priority=priority) for priority in range(4)),
        ),
        (
            "swaps and drafts",  # that come back when few tokens are left
            {
                "num_gpu_blocks": 18,
                "num_cpu_blocks": 24,
                "max_num_seqs": 2,
                "max_num_batched_tokens": 7,
                "max_model_len": 9,
                "num_lookahead_slots": 2,
                "depth": 2,
            },
            (
                Shape(3, 6),
                Shape(8, 1, priority=2),
                Shape(6, 3, priority=3),
                Shape(6, 1, priority=2),
            ),
        ),
        *[
            (
                f"turns of tenants, {policy}",
                {
                    "scheduling_policy": policy,
                    "policy_options": OPTIONS.get(policy, ()),
                    "max_num_seqs": 2,
                },
                tuple(Shape(1, 2, tenant=tenant) for tenant in "abc"),
            )
            for policy in ("vtc", "drr")
        ],
    ]
    return [
        Bounds(name, replace(small, **changes), shapes, live=2 + len(shapes))
        for name, changes, shapes in rows
    ]


def worlds(count: int) -> list[Bounds]:
    """Those made for one rule, and so many that are drawn."""
    return [*special(), *map(drawn, range(count))]


def commit(world: World, draw: random.Random) -> Move:
    """What comes of the oldest step: mostly one token each; groups fork until they are full."""
    scheduler = world.scheduler
    flight = scheduler.flights[0]
    width = {record: record.width for record in (q.request for q in flight.sampling)}
    choices: list[str] = []
    for position, options in enumerate(world.choices()):
        record = flight.sequence(position).request
        pick = "go" if "go" in options else options[0]
        lucky = draw.random()
        if pick == "go":
            several = [option for option in options if option.startswith("=")]
            if several and lucky < 0.7:
                pick = draw.choice(several)
            elif "fork" in options and lucky < 0.6:
                if width.get(record, record.width) < record.parallel:
                    width[record] = width.get(record, record.width) + 1
                    pick = "fork stop" if "fork stop" in options and lucky < 0.05 else "fork"
            elif "stop" in options and lucky > 0.96:
                pick = "stop"
            elif "prune" in options and lucky > 0.9:
                pick = "prune"
        choices.append(pick)
    return ("commit", tuple(choices))


def choose(world: World, draw: random.Random) -> Move:
    """The next move: requests come as long as they may, copies are late, little goes wrong."""
    scheduler, bounds = world.scheduler, world.bounds
    waiting = len(scheduler.ledger.waiting)
    most = scheduler.config.max_waiting
    copies = world.copies
    kinds: dict[str, float] = {}
    if len(scheduler.flights) < scheduler.config.depth:
        kinds["schedule"] = 6.0
    if scheduler.flights:
        kinds["commit"] = 5.0
    if copies:
        kinds["complete"] = 3.0
        kinds["fail"] = 0.5 if bounds.fails else 0.0
    if len(scheduler.entries) < bounds.live and (most is None or waiting < most):
        kinds["submit"] = 4.0
    if scheduler.entries and bounds.aborts:
        kinds["abort"] = 0.15
    kind = draw.choices(list(kinds), list(kinds.values()))[0]
    if kind == "commit":
        return commit(world, draw)
    if kind == "submit":
        return ("submit", draw.randrange(len(bounds.shapes)))
    if kind == "abort":
        return ("abort", draw.randrange(len(scheduler.entries)))
    if kind in ("complete", "fail"):
        return (kind, draw.randrange(len(copies)))
    return ("schedule",)


def walk(bounds: Bounds, seed: int, moves: int) -> Walk:
    """So many moves, or fewer if one fails.

    Args:
        bounds: the world.
        seed: of the choices.
        moves: at most.
    """
    draw = random.Random(seed)
    world = World(bounds)
    trace: list[Move] = []
    for _ in range(moves):
        move = choose(world, draw)
        trace.append(move)
        try:
            world.do(move)
        except Exception as error:  # whatever is raised is the finding
            return Walk(tuple(trace), error, world)
    return Walk(tuple(trace), None, world)
