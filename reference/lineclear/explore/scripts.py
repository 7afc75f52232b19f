"""Scripted walks, which reach situations that random moves reach too rarely; and walks with prefix caching.

Guarantees: a script leads a new world into the situation that its name says, as long as the rules of a
step are what they are (its test looks); the walk goes on from there as chance has it. Of a world in which most
prompts begin as others do nothing else changes: growth, displacement and victims meet blocks that are shared,
that rest, or that are evicted.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, replace

from lineclear.config import EVICTION
from lineclear.explore.bounds import RequestShape, SearchBounds
from lineclear.explore.walk_worlds import SMALL
from lineclear.explore.world import Move, World

#: A step that is scheduled and committed.
STEP: tuple[Move, ...] = (("schedule",), ("commit", "go"))
#: Families that prompts may be of; 0 is none.
FAMILIES = (0, 1, 1, 1, 2)


@dataclass(frozen=True, slots=True)
class WalkScript:
    """A world and the first moves in it.

    Attributes:
        bounds: the world; its name is the situation.
        moves: as `World.do` takes them, but for a commit, which has one choice for all positions.
    """

    bounds: SearchBounds
    moves: tuple[Move, ...]


def move_of(world: World, written: Move) -> Move:
    """The move that is meant: the choice of a commit at each position where it may be made."""
    if written[0] != "commit":
        return written
    picks = [
        next(pick for pick in (written[1], "go", options[0]) if pick in options)
        for options in world.choices()
    ]
    return ("commit", tuple(picks))


def scripts() -> list[WalkScript]:
    """All of them."""
    return [stale(), discards()]


def stale() -> WalkScript:
    """A copy fails whose request gave it up, and has another copy open.

    No step may wait for the first copy and be committed, or it is done: so both requests that are
    swapped out cannot grow and have none behind them, and the first comes back past the second.
    """
    config = replace(
        SMALL,
        num_gpu_blocks=5,
        block_size=4,
        max_num_seqs=5,
        max_num_batched_tokens=24,
        max_model_len=16,
        max_steps_in_flight=2,
        max_bypasses=1,
    )
    shapes = (
        RequestShape(4, 7, 2, priority=1),  # both branches need a block when one is free
        RequestShape(3, 6),  # swaps itself out, is discarded for the group, and enters again
        RequestShape(1, 8, priority=2),  # holds a block
        RequestShape(8, 1, priority=3),  # displaces the second one once more
    )
    bounds = SearchBounds(
        "a copy that was freed fails while another is open", config, shapes, live=4
    )
    moves: tuple[Move, ...] = (
        ("submit", 0),
        ("schedule",),
        ("commit", "fork"),
        *STEP,
        ("submit", 1),
        ("submit", 2),
        *STEP * 4,  # the second is swapped out in the third of these, the group in the fourth
        ("schedule",),  # the second is back
        ("abort", 0),
        ("submit", 3),
        ("schedule",),  # it is swapped out again
        ("fail", 0),
    )
    return WalkScript(bounds, moves)


def discards() -> WalkScript:
    """One of two copies is discarded, and the request swapped out last is the less important one.

    A third request displaces two and a fourth displaces the third, for whose copy there is room when one
    of the two is gone. Copies are kept in the order of their swaps, the more important one first.
    """
    config = replace(
        SMALL,
        num_cpu_blocks=5,
        block_size=2,
        max_num_seqs=4,
        max_num_batched_tokens=8,
        max_model_len=8,
    )
    shapes = tuple(RequestShape(prompt, 3, priority=k) for k, prompt in enumerate((3, 3, 5, 5)))
    bounds = SearchBounds("one of two copies is discarded for another", config, shapes, live=6)
    moves: tuple[Move, ...] = (
        ("submit", 0),
        ("submit", 1),
        *STEP,
        ("submit", 2),
        *STEP,  # the third displaces both
        ("submit", 3),
        ("schedule",),  # the fourth displaces the third
    )
    return WalkScript(bounds, moves)


def begin_alike(bounds: SearchBounds, seed: int) -> SearchBounds:
    """The world with prefix caching, and a family for each of its shapes; the same for the same seed."""
    draw = random.Random(seed)
    config = replace(bounds.config, prefix_caching=draw.choice(("prompt", "all")))
    if draw.random() < 0.7:
        config = replace(config, preemption_mode="recompute")
    shapes = tuple([replace(shape, family=draw.choice(FAMILIES)) for shape in bounds.shapes])
    config = replace(
        config, wait_for_prefix=draw.random() < 0.5, prefix_eviction=draw.choice(EVICTION)
    )
    return replace(bounds, name=f"{bounds.name}, shared", config=config, shapes=shapes)


def script_alike(script: WalkScript, seed: int) -> WalkScript:
    """The walk that is written down, in the world with prefix caching."""
    return WalkScript(begin_alike(script.bounds, seed), script.moves)
