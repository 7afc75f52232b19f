"""The order of eviction: by use, by a key of one's own, and back to the usual one if that fails."""

# pyright: basic

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest
from named_requests import ask, config, step

from lineclear import config as settings
from lineclear.scheduler import Scheduler
from lineclear.scheduling.eviction import EVICTION, BlockUse, KeyedOrder, lfu, lfu_aging
from lineclear_spec.kernel.containers import Resting


def evicted_first(eviction: Any, **changes: Any) -> tuple[set[int], Scheduler]:
    """What is left of two families, the older one found again, when two blocks are needed."""
    scheduler = Scheduler(config(num_gpu_blocks=6, **changes), eviction=eviction)
    for name, names in (
        ("old", (1, 2)),
        ("again", (1, 2)),
        ("new", (5, 6)),
        ("next", (11, 12, 13)),
    ):
        ask(scheduler, name, names, most=1)
        step(scheduler)
    return {1, 2, 5, 6} & {*scheduler.ledger.cached}, scheduler


def test_the_names_of_the_settings_are_those_of_the_keys() -> None:
    assert tuple(EVICTION) == settings.EVICTION


def test_blocks_are_evicted_in_the_order_that_is_chosen() -> None:
    assert evicted_first(None)[0] == {5, 6}
    assert evicted_first(None, prefix_eviction="lfu")[0] == {1, 2}
    assert evicted_first(None, prefix_eviction="lfu_aging")[0] == {1, 2}
    assert evicted_first(lambda use: -use.name)[0] == {1, 2}
    assert evicted_first(lambda use: use.name % 5)[0] == {2, 6}  # 5, then 1
    assert evicted_first(lambda use: 7)[0] == {5, 6}  # equal: those that rest longest


@pytest.mark.parametrize(
    ("what", "says"),
    [
        ({}, "KeyError"),
        (float("nan"), "the key of block 2 is nan, and has to be a number"),
        ("first", "must be real number"),
    ],
)
def test_a_key_that_fails_is_left_and_reported(what: Any, says: str) -> None:
    def wrong(use: BlockUse) -> Any:
        return what[use.name] if what == {} else what

    left, scheduler = evicted_first(wrong)
    assert left == {5, 6}
    (failure,) = scheduler.cache.failures
    assert says in failure


class Idle:
    """A block as far as the order looks at it."""

    def __init__(self, name: int) -> None:
        self.name = name
        self.ref = 0


class AtRest:
    """Blocks at rest by their names."""

    def __init__(self) -> None:
        self.blocks: dict[int, Any] = {}
        self.resting = Resting()

    def rest(self, name: int) -> None:
        block = self.blocks[name] = Idle(name)
        self.resting.extend([block])  # type: ignore[list-item]

    def remove(self, name: int) -> None:
        self.resting.remove(self.blocks.pop(name))

    def take(self, order: KeyedOrder, count: int, spared: Callable[[int], bool]) -> list[int]:
        return order.take(count, self.resting, lambda b: self.blocks.get(b.name) is b, spared)


def test_nothing_is_remembered_of_what_can_be_found_no_more() -> None:
    """After a reset a block that is computed anew was never found, and no key is left."""
    _, scheduler = evicted_first(None, prefix_eviction="lfu")
    order = scheduler.cache.order
    assert order is not None
    assert {*order.found, *order.filed} <= {*scheduler.ledger.cached}
    assert order.found[1] == 1
    ask(scheduler, "runs", (1, 2), most=3)
    step(scheduler)
    scheduler.reset_prefix_cache()
    assert not order.found
    assert not order.filed


def test_what_was_found_long_ago_goes_when_others_were_evicted_since() -> None:
    for key, first in ((lfu, 20), (lfu_aging, 1)):
        order = KeyedOrder(key)
        order.wake([1] * 5)
        rest = AtRest()
        rest.rest(1)
        for name in range(2, 20):  # each found once, and evicted
            order.wake([name])
            rest.rest(name)
            (gone,) = rest.take(order, 1, lambda name: name == 1)
            assert gone == name
            rest.remove(gone)
            order.forget([gone])
        order.wake([20])
        rest.rest(20)
        assert rest.take(order, 1, lambda name: False) == [first]


def test_the_order_is_that_of_all_keys_sorted() -> None:
    draw = random.Random(0)
    order = KeyedOrder(lfu)
    found: dict[int, int] = {}
    at_rest: dict[int, int] = {}  # name -> turn
    rest = AtRest()
    for turn in range(4000):
        name = draw.randint(1, 40)
        if name in at_rest and draw.random() < 0.5:
            order.wake([name])
            found[name] += 1
            del at_rest[name]
            rest.remove(name)
        elif name not in at_rest:
            found.setdefault(name, 0)
            at_rest[name] = turn
            rest.rest(name)
        if turn % 7 == 0 and at_rest:
            spared = set(draw.sample(range(1, 41), 5))
            wanted = sorted(set(at_rest) - spared, key=lambda n: (found[n], at_rest[n]))[:3]
            assert rest.take(order, 3, spared.__contains__) == wanted
            order.forget(wanted)
            for gone in wanted:
                del at_rest[gone], found[gone]
                rest.remove(gone)
    assert len(order.heap) < 2 * len(order.filed) + 1100
    assert len(order.found) <= 40
