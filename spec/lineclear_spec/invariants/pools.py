# pyright: basic
"""Step invariants: what holds of pools, blocks and tables after every block step."""

from __future__ import annotations

from lineclear_spec.invariants.clause import (
    CPU,
    GPU,
    declare,
    each_tier,
    holds,
    is_free,
    present,
    private,
    within,
)
from lineclear_spec.logic import and_, implies, not_, or_

declare(
    "free_list",
    "step",
    "each pool's list names every block id exactly once, the free ones first",
    *each_tier("count", lambda t: lambda v: and_(v.free(t) >= 0, v.free(t) <= v.total(t))),
    *each_tier(
        "list",
        lambda t: (
            lambda v, j: implies(
                within(0, j, v.total(t)),
                and_(within(0, v.order(t, j), v.total(t)), v.position(t, v.order(t, j)) == j),
            )
        ),
    ),
    *each_tier(
        "block_id",
        lambda t: (
            lambda v, p: implies(
                within(0, p, v.total(t)),
                and_(within(0, v.position(t, p), v.total(t)), v.order(t, v.position(t, p)) == p),
            )
        ),
    ),
)

declare(
    "conservation",
    "step",
    "in each pool every block id is free (fenced or not) or backs exactly one block, to which an entry "
    "refers or which can be found",
    *each_tier(
        "no_leak",
        lambda t: (
            lambda v, p: implies(
                and_(within(0, p, v.total(t)), not_(is_free(v, t, p))),
                and_(
                    present(v, v.owner(t, p)),
                    v.tier(v.owner(t, p)) == t,
                    v.block_id(v.owner(t, p)) == p,
                ),
            )
        ),
    ),
    *each_tier(
        "no_free_use",
        lambda t: (
            lambda v, b: implies(
                and_(present(v, b), v.tier(b) == t),
                and_(
                    within(0, v.block_id(b), v.total(t)),
                    not_(is_free(v, t, v.block_id(b))),
                    v.owner(t, v.block_id(b)) == b,
                ),
            )
        ),
    ),
    ("tier", lambda v, b: implies(present(v, b), or_(v.tier(b) == GPU, v.tier(b) == CPU))),
)

declare(
    "references",
    "step",
    "a block's ref is the number of table entries that refer to it, at most one in each table",
    (
        "entry",
        lambda v, q, i: implies(
            within(0, i, v.length(q)),
            and_(
                v.ref(v.table(q, i)) >= 1,
                v.index(q, v.table(q, i)) == i,
                within(0, v.holder_index(q, v.table(q, i)), v.ref(v.table(q, i))),
                v.holder(v.table(q, i), v.holder_index(q, v.table(q, i))) == q,
            ),
        ),
    ),
    (
        "holder",
        lambda v, b, k: implies(
            within(0, k, v.ref(b)),
            and_(holds(v, v.holder(b, k), b), v.holder_index(v.holder(b, k), b) == k),
        ),
    ),
    # `holder` for k = 0: stated apart, so that a solver finds it.
    ("first", lambda v, b: implies(v.ref(b) >= 1, holds(v, v.holder(b, 0), b))),
    ("count", lambda v, b: v.ref(b) >= 0),
    ("length", lambda v, q: v.length(q) >= 0),
)

declare(
    "group_local",
    "step",
    "a table refers only to private blocks of its own request and to sealed blocks",
    (
        "",
        lambda v, q, i: implies(
            within(0, i, v.length(q)),
            or_(v.name(v.table(q, i)) != 0, v.group(v.table(q, i)) == v.request(q)),
        ),
    ),
)

declare(
    "holdings",
    "step",
    "a request lists each private block of its tables exactly once",
    (
        "listed",
        lambda v, r, k: implies(
            within(0, k, v.blocks(r)),
            and_(
                private(v, v.held(r, k)),
                v.group(v.held(r, k)) == r,
                v.held_index(v.held(r, k)) == k,
            ),
        ),
    ),
    (
        "complete",
        lambda v, b: implies(
            private(v, b),
            and_(
                within(0, v.held_index(b), v.blocks(v.group(b))),
                v.held(v.group(b), v.held_index(b)) == b,
            ),
        ),
    ),
    # `listed` for k = 0: stated apart, so that a solver finds it.
    (
        "first",
        lambda v, r: implies(
            v.blocks(r) >= 1, and_(private(v, v.held(r, 0)), v.group(v.held(r, 0)) == r)
        ),
    ),
    ("count", lambda v, r: v.blocks(r) >= 0),
)

declare(
    "catalogue",
    "step",
    "a name leads to at most one block, and every block with a name lies on the GPU",
    ("one", lambda v, b: implies(v.listed(b), and_(v.name(b) >= 1, v.cached(v.name(b)) == b))),
    ("gpu", lambda v, b: implies(and_(present(v, b), v.name(b) != 0), v.tier(b) == GPU)),
    ("name", lambda v, b: v.name(b) >= 0),
)

declare(
    "readers",
    "step",
    "a block that readers outside hold can be found, so its block id is not free",
    ("count", lambda v, b: v.readers(b) >= 0),
    ("found", lambda v, b: implies(v.readers(b) >= 1, v.listed(b))),
)
