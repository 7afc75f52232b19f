"""The worlds with prefix caching are exhausted without a finding, and faults in it are found."""

# pyright: basic

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from cache_faults import evict_what_is_held, evict_what_is_shared

from lineclear.explore.keys import world_key
from lineclear.explore.policy_worlds import OF_POLICIES, alike
from lineclear.explore.report import explore
from lineclear.explore.search import search
from lineclear.explore.world import World
from lineclear.explore.worlds import caching
from lineclear.scheduling.prefix_cache import PrefixCache
from lineclear_spec.modelcheck.situations import OF_CACHING


def test_nothing_is_broken_stuck_or_goes_round_and_every_situation_is_met() -> None:
    reports = [explore(bounds) for bounds in caching()]
    for each in reports:
        assert each.graph.complete
        assert not each.refuted, each
    seen = {sentence for each in reports for sentence in each.graph.witnesses}
    left_out = {
        "a request that is swapped out names sealed blocks",
    }
    assert OF_CACHING - seen == left_out


@pytest.mark.parametrize("policy", OF_POLICIES)
def test_no_policy_is_stuck_where_prompts_begin_alike_and_wait(policy: str) -> None:
    each = explore(alike(policy))
    assert each.graph.complete
    assert not each.refuted, each
    met = {"evict", "admit_cached", "one that fits waits for a block that one before it computes"}
    assert met <= {*each.graph.witnesses}


def first_violation(number: int | str) -> str:
    worlds = caching()
    bounds = (
        worlds[number] if isinstance(number, int) else next(b for b in worlds if b.name == number)
    )
    found = search(bounds, most_violations=1)
    return found.violations[0][1]


def test_an_eviction_of_what_is_about_to_be_shared_is_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    evict_what_is_shared(monkeypatch)
    assert "every block to share can be found" in first_violation(1)


READER = "two beginnings, and a reader"


def test_an_eviction_of_what_a_reader_holds_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    evict_what_is_held(monkeypatch)
    assert "no reader holds the block" in first_violation(READER)


def test_a_held_block_that_counts_as_available_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def available(self: PrefixCache) -> int:
        return self.ledger.gpu.free + len(self.ledger.resting)

    monkeypatch.setattr(PrefixCache, "available", property(available))
    assert first_violation(READER)


def test_a_reset_that_frees_what_a_reader_holds_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def reset(self: PrefixCache) -> int:
        for name in list(self.ledger.cached):
            self._forget(name)  # pyright: ignore[reportPrivateUsage]
        return 0

    monkeypatch.setattr(PrefixCache, "reset", reset)
    assert "no reader holds the block" in first_violation(READER)


def test_a_hold_that_is_never_counted_down_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """The block is evicted no more, so that a request which needs its place waits for ever."""
    monkeypatch.setattr("lineclear_spec.actions.release_block", lambda ledger, name: None)
    bounds = next(b for b in caching() if b.name == READER)
    assert search(bounds, most_violations=1).violations


def test_a_block_that_is_listed_before_it_is_computed_is_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    watch = PrefixCache.watch

    def early(self: PrefixCache, sequence: Any, first: int) -> None:
        watch(self, sequence, first)
        for index in range(first, min(len(sequence.block_names), len(sequence.table))):
            name = sequence.block_names[index]
            if name not in self.ledger.cached and not sequence.table[index].name:
                self.ledger.seal_entry(sequence, index, name)

    monkeypatch.setattr(PrefixCache, "watch", early)
    assert "names that can be found" in first_violation(0)


def test_the_order_of_eviction_and_wrong_content_are_part_of_a_state() -> None:
    (bounds, *_) = caching()
    worlds = [World(replace(bounds, live=3)) for _ in range(3)]
    for world in worlds:
        world.do(("submit", 0))
        world.do(("schedule",))
        world.do(("commit", ("stop",)))
    first, second, third = worlds
    assert world_key(first) == world_key(second) == world_key(third)
    resting = second.scheduler.ledger.resting
    oldest = next(iter(resting))
    resting.remove(oldest)
    resting.extend([oldest])
    block = next(iter(third.scheduler.ledger.resting))
    third.bench.device.content["gpu", block.block_id, 0] = (99, frozenset())
    assert len({world_key(world) for world in worlds}) == 3
