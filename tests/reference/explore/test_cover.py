"""The cover of settings: every pair stands in a row, and every row is a world that runs."""

from __future__ import annotations

from itertools import combinations, product

import pytest

from lineclear.explore.cover import pairwise
from lineclear.explore.covered import FACTORS, PREEMPTING, covered
from lineclear.explore.walks import walk


@pytest.mark.parametrize("factors", [FACTORS, PREEMPTING])
def test_every_two_values_of_two_settings_meet(factors: dict[str, tuple[object, ...]]) -> None:
    rows = pairwise(factors)
    for one, other in combinations(factors, 2):
        met = {(row[one], row[other]) for row in rows}
        assert met == set(product(factors[one], factors[other])), (one, other)
    assert rows == pairwise(factors)


def test_pairs_that_are_not_allowed_are_left_out() -> None:
    factors = {"a": (1, 2), "b": (1, 2), "c": (1, 2)}
    rows = pairwise(factors, lambda row: not (row.get("a") == 1 and row.get("b") == 1))
    assert all((row["a"], row["b"]) != (1, 1) for row in rows)
    assert {(row["b"], row["c"]) for row in rows} == set(product((1, 2), (1, 2)))
    with pytest.raises(ValueError, match="cannot be completed"):
        pairwise(factors, lambda row: len(row) < 3)


def test_worlds_hold_groups_policies_that_fail_and_all_that_may_happen() -> None:
    worlds = covered()
    assert all(world.aborts and world.stops and world.fails and world.late for world in worlds)
    assert any(shape.n > 1 for world in worlds for shape in world.shapes)
    failing = [world for world in worlds if "Failing" in world.config.scheduling_policy]
    failed = [walk(world, 1, 90).world.scheduler.policy_failures for world in failing[:20]]
    assert sum(map(bool, failed)) >= 10
