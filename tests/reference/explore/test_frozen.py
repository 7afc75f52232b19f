"""Copies of a world's state: what never changes is shared, and nothing else."""

from __future__ import annotations

from collections import Counter
from dataclasses import fields, is_dataclass
from typing import Any

from lineclear.explore.frozen import UNCHANGING, Freezer
from lineclear.explore.keys import world_key
from lineclear.explore.policy_worlds import of_policy
from lineclear.explore.world import World
from lineclear.request import Request


def test_only_classes_that_refuse_every_write_are_shared() -> None:
    for kind in UNCHANGING:
        if issubclass(kind, tuple):
            continue
        parameters: Any = getattr(kind, "__dataclass_params__")  # noqa: B009 - of every dataclass
        assert is_dataclass(kind)
        assert parameters.frozen
        mutable = ("list", "dict", "set", "deque", "Counter")
        assert not [f.name for f in fields(kind) if str(f.type).startswith(mutable)]


def test_what_is_thawed_is_what_was_frozen() -> None:
    request = Request(request_id=1, prompt_tokens=2, max_tokens=3)
    rows, counts = [request, request], Counter("aab")
    freezer = Freezer()
    frozen = freezer.dumps((rows, counts))
    counts["a"] = 7
    first, second = freezer.loads(frozen), freezer.loads(frozen)
    for found, counted in (first, second):
        assert found == rows
        assert found[0] is found[1] is request
        assert type(counted) is Counter
        assert counted == {"a": 2, "b": 1}
        assert counted["c"] == 0
    assert first[0] is not second[0]
    first[1]["a"] = 9
    assert second[1]["a"] == 2


def test_two_freezers_do_not_mix_what_they_share() -> None:
    one, other = (Request(request_id=k, prompt_tokens=1, max_tokens=1) for k in (1, 2))
    first, second = Freezer(), Freezer()
    frozen, also = first.dumps([one]), second.dumps([other])
    assert first.loads(frozen) == [one]
    assert second.loads(also) == [other]
    assert first.loads(frozen) == [one]


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
