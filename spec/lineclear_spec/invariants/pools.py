# pyright: basic
"""Step invariants: what holds of pools, blocks and tables after every single block step.

Guarantees: nothing by itself; every clause is proved of every action.
"""

from __future__ import annotations

from lineclear_spec.invariants.clause import CPU, GPU, declare, holds, is_free, per_tier, within
from lineclear_spec.logic import any_of, both, implies, negate

declare(
    "free_list",
    "step",
    "each pool's list names every place exactly once, the free ones first",
    *per_tier(lambda t: ((), lambda v: both(v.free(t) >= 0, v.free(t) <= v.total(t))), "count"),
    *per_tier(
        lambda t: (
            ("index",),
            lambda v, j: implies(
                within(0, j, v.total(t)),
                both(within(0, v.order(t, j), v.total(t)), v.position(t, v.order(t, j)) == j),
            ),
        ),
        "list",
    ),
    *per_tier(
        lambda t: (
            ("place",),
            lambda v, p: implies(
                within(0, p, v.total(t)),
                both(within(0, v.position(t, p), v.total(t)), v.order(t, v.position(t, p)) == p),
            ),
        ),
        "place",
    ),
)

declare(
    "conservation",
    "step",
    "in each pool every place is free or backs exactly one block: free + fenced + held = total",
    *per_tier(
        lambda t: (
            ("place",),
            lambda v, p: implies(
                both(within(0, p, v.total(t)), negate(is_free(v, t, p))),
                both(
                    v.ref(v.owner(t, p)) >= 1,
                    v.tier(v.owner(t, p)) == t,
                    v.place(v.owner(t, p)) == p,
                ),
            ),
        ),
        "no_leak",
    ),
    *per_tier(
        lambda t: (
            ("block",),
            lambda v, b: implies(
                both(v.ref(b) >= 1, v.tier(b) == t),
                both(
                    within(0, v.place(b), v.total(t)),
                    negate(is_free(v, t, v.place(b))),
                    v.owner(t, v.place(b)) == b,
                ),
            ),
        ),
        "no_free_use",
    ),
    (
        "tier",
        ("block",),
        lambda v, b: implies(v.ref(b) >= 1, any_of(v.tier(b) == GPU, v.tier(b) == CPU)),
    ),
)

declare(
    "references",
    "step",
    "a block's ref is the number of table entries that name it, at most one in each table",
    (
        "entry",
        ("sequence", "index"),
        lambda v, q, i: implies(
            within(0, i, v.length(q)),
            both(
                v.ref(v.table(q, i)) >= 1,
                v.index(q, v.table(q, i)) == i,
                within(0, v.rank(q, v.table(q, i)), v.ref(v.table(q, i))),
                v.holder(v.table(q, i), v.rank(q, v.table(q, i))) == q,
            ),
        ),
    ),
    (
        "holder",
        ("block", "index"),
        lambda v, b, k: implies(
            within(0, k, v.ref(b)),
            both(holds(v, v.holder(b, k), b), v.rank(v.holder(b, k), b) == k),
        ),
    ),
    ("first", ("block",), lambda v, b: implies(v.ref(b) >= 1, holds(v, v.holder(b, 0), b))),
    ("count", ("block",), lambda v, b: v.ref(b) >= 0),
    ("length", ("sequence",), lambda v, q: v.length(q) >= 0),
)

declare(
    "group_local",
    "step",
    "a table names blocks of its own request only (prefix caching will widen this clause "
    "and no other)",
    (
        "",
        ("sequence", "index"),
        lambda v, q, i: implies(within(0, i, v.length(q)), v.group(v.table(q, i)) == v.request(q)),
    ),
)

declare(
    "holdings",
    "step",
    "a request counts each distinct block that its tables name once",
    (
        "listed",
        ("request", "index"),
        lambda v, r, k: implies(
            within(0, k, v.blocks(r)),
            both(v.ref(v.held(r, k)) >= 1, v.group(v.held(r, k)) == r, v.slot(v.held(r, k)) == k),
        ),
    ),
    (
        "named",
        ("block",),
        lambda v, b: implies(
            v.ref(b) >= 1,
            both(within(0, v.slot(b), v.blocks(v.group(b))), v.held(v.group(b), v.slot(b)) == b),
        ),
    ),
    (
        "first",
        ("request",),
        lambda v, r: implies(
            v.blocks(r) >= 1, both(v.ref(v.held(r, 0)) >= 1, v.group(v.held(r, 0)) == r)
        ),
    ),
    ("count", ("request",), lambda v, r: v.blocks(r) >= 0),
)
