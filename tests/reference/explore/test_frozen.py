"""Copies of a world's state share nothing with it."""

from __future__ import annotations

import pickle
from itertools import repeat

from lineclear.explore.keys import world_key
from lineclear.explore.policy_worlds import of_policy
from lineclear.explore.world import World


def test_nothing_that_is_done_to_a_thawed_world_reaches_the_frozen_one() -> None:
    world = World(of_policy("vtc", "last", "swap", chunked=True))
    for move in (("submit", 0), ("schedule",)):
        world.do(move)
    frozen, key = world.freeze(), world_key(world)
    for _ in range(3):
        world.thaw(frozen)
        assert world_key(world) == key
        moves = list(world.moves())
        world.do(next(move for move in moves if move[0] == "commit"))
        world.do(("submit", 1))
        world.do(("schedule",))
        assert world_key(world) != key
    world.thaw(frozen)
    assert world_key(world) == key


def test_what_other_code_pickles_is_left_as_it_is() -> None:
    twice = pickle.loads(pickle.dumps(repeat(1, 2)))
    assert (next(twice), next(twice), next(twice, None)) == (1, 1, None)
