# pyright: basic, reportOperatorIssue=false
# mypy: disable-error-code="misc"
"""Each operator of a pool means the same on plain data and on formulas, whatever block ids are free."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from evaluated import Values, reading
from two_readings import Both, compare, lists, pools, with_pool

from lineclear_spec.kernel.records import CPU, Broken


def put_made(tier: int) -> Callable[[Any, Values], dict[str, Callable[..., Any]]]:
    """What stands for the order that a put leaves open."""
    return lambda _, after: {
        "put_order": lambda j: after.order(tier, j),
        "put_position": lambda p: after.position(tier, p),
    }


def pool_cases(total: int) -> None:
    for free, fences in pools(total):
        plain_fences = not any(fences)
        for count in range(-1, len(free) + 2) if plain_fences else ():
            both = Both(with_pool(total, free, fences))
            n = both.record(count)
            compare(both, lambda v, c=count: v.cpu.take(c), lambda s, n=n: s.cpu.take(n))
        taken = [p for p in range(total) if p not in free]
        for block_ids in lists(taken) if plain_fences else ():
            both = Both(with_pool(total, free, fences))
            v = both.vector(block_ids, "block_id")
            compare(
                both,
                lambda w, x=block_ids: w.cpu.put(x, 3),
                lambda s, v=v: s.cpu.put(v, 3),
                put_made(CPU),
            )
        for block_ids in lists(list(range(total))):
            for least in (0, 1, 3):
                both = Both(with_pool(total, free, fences))
                v, low = both.vector(block_ids, "block_id"), both.record(least)
                at = [
                    k
                    for k, p in enumerate(block_ids)
                    if fences[p] == max(fences[p] for p in block_ids)
                ]
                compare(
                    both,
                    lambda w, x=block_ids, m=least: w.cpu.latest(x, m),
                    lambda s, v=v, m=low: s.cpu.latest(v, m),
                    lambda result, _, at=at: {
                        "latest": lambda: result,
                        "latest_at": lambda: (at or [0])[0],
                    },
                )


@pytest.mark.parametrize("total", [0, 1, 2, pytest.param(3, marks=pytest.mark.deep)])
def test_pool(total: int) -> None:
    pool_cases(total)


def test_what_a_pool_refuses_is_refused_on_formulas_too() -> None:
    """A block id that is free, and one that is named twice."""
    for block_ids in ([0], [1, 1]):
        both = Both(with_pool(3, (0,), (0, 0, 0)))
        v = both.vector(block_ids, "block_id")
        both.symbolic.cpu.put(v, 3)
        both.before.extra = both.given
        owed = [reading(goal)(both.before, ()) for *_, goal in both.symbolic.obligations]
        assert not all(owed)
        with pytest.raises(Broken, match="is free already"):
            both.ledger.cpu.put(block_ids, 3)
