"""Scripted walks: they reach situations that random moves reach too rarely.

Guarantees: a script leads a new world into the situation that its name says, as long as the rules of a
step are what they are (its test looks); the walk goes on from there as chance has it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from lineclear.explore.bounds import RequestShape, SearchBounds
from lineclear.explore.walk_worlds import SMALL
from lineclear.explore.world import Move, World

__all__ = ["WalkScript", "move_of", "scripts"]


#: A step that is scheduled and committed.
STEP: tuple[Move, ...] = (("schedule",), ("commit", "go"))


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
