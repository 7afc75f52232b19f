# pyright: basic, reportOperatorIssue=false
# mypy: disable-error-code="misc"
"""Each view of records, as they are at a moment, is the same on plain data and on formulas."""

from __future__ import annotations

import pytest
from two_readings import LARGE, SMALL, Both, Tables, compare, listed, with_tables

from lineclear_spec.kernel.records import CPU, GPU


def views_of(states: list[Tables]) -> None:
    for state in states:
        for name in ("listed", "backwards"):
            both = Both(with_tables(state))
            q = both.record(both.ledger.sequences[0])
            compare(
                both,
                lambda v, name=name: getattr(v, name)(v.sequences[0].table),
                lambda s, q=q, name=name: getattr(s, name)(q.table),
            )
            both = Both(with_tables(state))
            r = both.record(both.ledger.requests[0])
            compare(
                both,
                lambda v, name=name: getattr(v, name)(v.requests[0].held),
                lambda s, r=r, name=name: getattr(s, name)(r.held),
            )
        for least in (1, 2):
            both = Both(with_tables(state))
            q = both.record(both.ledger.sequences[0])
            compare(
                both,
                lambda v, n=least: v.select(lambda b: b.ref == n, v.sequences[0].table),
                lambda s, q=q, n=least: s.select(lambda b: b.ref == n, s.listed(q.table)),
                lambda result, _: (
                    listed("selected", result) | {"selected_count": lambda: len(result)}
                ),
            )
        for least in (0, 1, 3):
            both = Both(with_tables(state))
            q, n = both.record(both.ledger.sequences[0]), both.record(least)
            compare(
                both,
                lambda v, n=least: v.unshared_from(v.sequences[0].table, n),
                lambda s, q=q, n=n: s.unshared_from(q.table, n),
            )
            both = Both(with_tables(state))
            r, n = both.record(both.ledger.requests[0]), both.record(least)
            compare(
                both,
                lambda v, n=least: v.all_of(lambda x: x.length <= n, v.requests[0].members),
                lambda s, r=r, n=n: s.all_of(lambda x: x.length <= n, r.members),
            )
        for tier in (GPU, CPU):
            both = Both(with_tables(state, tier))
            q = both.record(both.ledger.sequences[0])
            compare(
                both,
                lambda v, t=tier: v.block_ids(t, v.sequences[0].table),
                lambda s, q=q, t=tier: s.block_ids(t, s.listed(q.table)),
            )
            both = Both(with_tables(state, tier))
            r = both.record(both.ledger.requests[0])
            compare(
                both,
                lambda v, t=tier: v.held_at(t, v.requests[0]),
                lambda s, r=r, t=tier: s.held_at(t, r),
            )


@pytest.mark.parametrize(
    "states", [SMALL, pytest.param(LARGE, marks=pytest.mark.deep)], ids=["two blocks", "three"]
)
def test_views(states: list[Tables]) -> None:
    views_of(states)
