"""Worlds of the walks again, with prefix caching: most prompts begin as others do.

Guarantees: the same world and seed give the same world. Nothing else of it changes, so growth, displacement
and victims meet blocks that are shared, that rest, or that are evicted.
"""

from __future__ import annotations

import random
from dataclasses import replace

from lineclear.config import EVICTION
from lineclear.explore.bounds import SearchBounds
from lineclear.explore.scripts import WalkScript

__all__ = ["begin_alike", "script_alike"]

#: Families that prompts may be of; 0 is none.
FAMILIES = (0, 1, 1, 1, 2)


def begin_alike(bounds: SearchBounds, seed: int) -> SearchBounds:
    """The world, with a family for each of its shapes."""
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
