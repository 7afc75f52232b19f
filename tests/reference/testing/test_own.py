"""lineclear's own scheduler with every preset: nothing is found but what a preset is known to lack."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import pytest
from faulty import BROKEN
from own_under_test import LineclearUnderTest, small

from lineclear.config import PRESETS, Config, ConfigError
from lineclear.plan import Plan
from lineclear.prefix_names import PrefixNames
from lineclear.scheduling.prefix_cache import PrefixCache
from lineclear.testing import Copy, exhaust, random_run, random_runs
from lineclear_spec.kernel.ledger import Ledger
from lineclear_spec.kernel.records import Sequence

#: The preset that this harness finds stuck, and the rule that it lacks.
STUCK = {"vllm_v0_chunked": "a swapped prompt goes on in chunks"}
RUNS = 12


def of(preset: str, **changes: Any) -> Config:
    """A preset, or one that lacks a rule, in the small world."""
    if preset not in BROKEN:
        return small(preset, **changes)
    broken = BROKEN[preset]
    changes = {"victim": broken.victim, **changes}
    pause = broken.pause_after_preemption
    return replace(small("default", **changes), rules=broken.rules, pause_after_preemption=pause)


def run(preset: str, depth: int, runs: int) -> None:
    make = partial(LineclearUnderTest, of(preset, max_steps_in_flight=depth))
    found, tally = random_runs(make, range(runs))
    if preset in STUCK:
        assert STUCK[preset] in PRESETS[preset].lacking
        assert found is not None
        assert found.failure.rule == "progress.kept"
        return
    assert found is None, str(found)
    assert tally.preempted > runs // 3
    assert tally.accepted > 8 * runs
    assert tally.submitted > tally.accepted  # requests that can never fit are refused


@pytest.mark.parametrize("preset", [*PRESETS, *BROKEN])
def test_no_rule_is_broken(preset: str) -> None:
    run(preset, 1, RUNS)


@pytest.mark.parametrize("preset", ["default", "lesson"])
def test_no_rule_is_broken_with_two_steps_in_flight(preset: str) -> None:
    run(preset, 2, RUNS)


def test_a_swap_that_is_discarded_in_the_same_plan_is_no_finding() -> None:
    make = partial(LineclearUnderTest, of("broken_tail_requeue"))
    assert random_run(make, 0, 612) is None


@pytest.mark.deep
@pytest.mark.parametrize("depth", [1, 2])
@pytest.mark.parametrize("preset", [*PRESETS, *BROKEN])
def test_no_rule_is_broken_in_many_runs(preset: str, depth: int) -> None:
    try:
        of(preset, max_steps_in_flight=depth)
    except ConfigError:
        pytest.skip(f"{preset} has one step in flight")
    run(preset, depth, 1_000)


def test_small_scope_of_the_default_is_searched() -> None:
    make = partial(LineclearUnderTest, small("default", num_gpu_blocks=3))
    result = exhaust(make, requests=2, max_states=400)
    assert result.failure is None
    assert result.states > 100


@pytest.mark.deep
def test_small_scope_of_the_default_is_exhausted() -> None:
    make = partial(LineclearUnderTest, small("default", num_gpu_blocks=3))
    result = exhaust(make, requests=3, max_states=1_000_000)
    assert result.failure is None
    assert result.complete


@pytest.mark.parametrize("caching", ["prompt", "all"])
@pytest.mark.parametrize("mode", ["swap", "recompute"])
def test_no_rule_is_broken_with_prefix_caching(caching: str, mode: str) -> None:
    made: list[LineclearUnderTest] = []

    class Kept(LineclearUnderTest):
        def __init__(self, config: Config) -> None:
            super().__init__(config)
            made.append(self)

    for depth, blocks in ((1, 9), (2, 5)):
        changes = {"prefix_caching": caching, "preemption_mode": mode, "num_gpu_blocks": blocks}
        found, _ = random_runs(
            partial(Kept, small("default", max_steps_in_flight=depth, **changes)), range(RUNS)
        )
        assert found is None, str(found)
    counters = [one.scheduler.counters for one in made]
    assert sum([c.prefix_hits for c in counters]) > 50
    assert sum([c.evicted for c in counters]) > 50


def test_names_that_leave_out_what_comes_before_are_seen() -> None:
    class Dishonest(PrefixNames):
        def of(self, tokens: Any, before: Any = (), extra: Any = None) -> tuple[int, ...]:
            size = self.block_size
            parts = [
                tuple(tokens[k : k + size]) for k in range(0, len(tokens) // size * size, size)
            ]
            depth = len(before)
            return tuple(
                1 + 1000 * (depth + k) + sum(t * 3**n for n, t in enumerate(part))
                for k, part in enumerate(parts)
            )

    class Fooled(LineclearUnderTest):
        def __init__(self, config: Config) -> None:
            super().__init__(config)
            self.names = Dishonest(config.block_size)

    make = partial(Fooled, small("default", num_gpu_blocks=9, prefix_caching="all"))
    found, _ = random_runs(make, range(RUNS))
    assert found is not None
    assert found.failure.rule == "read.own"


def test_a_block_that_is_published_too_early_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without its guards, a block of drafted steps or of a step in flight would be found and wrong."""

    def seal(self: Ledger, sequence: Sequence, index: int, name: int) -> None:
        sequence.table[index].name = name
        self.cached[name] = sequence.table[index]
        self.sealed += 1

    def early(ledger: Ledger, sequence: Sequence, index: int) -> None:
        ledger.seal_entry(sequence, index, ledger.name_of(sequence, index))

    def everything(self: PrefixCache) -> None:
        for record in self.ledger.running:
            for sequence in record.members:
                for index, block in enumerate(sequence.table[: len(sequence.block_names)]):
                    word = sequence.block_names[index]
                    if not block.name and word not in self.ledger.cached:
                        early(self.ledger, sequence, index)

    monkeypatch.setattr(Ledger, "seal", seal)
    monkeypatch.setattr(PrefixCache, "publish", everything)
    make = partial(LineclearUnderTest, small("default", num_gpu_blocks=9, prefix_caching="all"))
    found, _ = random_runs(make, range(3 * RUNS))
    assert found is not None


def test_a_copy_that_is_left_out_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    def none(self: LineclearUnderTest, plan: Plan) -> list[Copy]:
        return []

    monkeypatch.setattr(LineclearUnderTest, "_copies", none)
    found, _ = random_runs(partial(LineclearUnderTest, small("default")), range(20))
    assert found is not None


def test_a_table_that_is_reported_wrongly_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    class Lost(LineclearUnderTest):
        def _execute(self, plan: Plan, execute: object) -> list[int]:
            before = {name: list(table) for name, table in self.tables.items()}
            try:
                return super()._execute(plan, execute)  # type: ignore[arg-type]
            finally:
                for name, table in before.items():
                    self.tables[name] = table[:1] + self.tables[name][1:][::-1]

    found, _ = random_runs(partial(Lost, small("default")), range(10))
    assert found is not None
    assert found.failure.rule == "row.table"
