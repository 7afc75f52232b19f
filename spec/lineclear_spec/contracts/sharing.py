# pyright: basic
"""Contracts of the block steps by which a sequence names blocks that are there already."""

from __future__ import annotations

from lineclear_spec.contracts.contract import QUEUED, Part, contract, part, queued, same
from lineclear_spec.invariants import holds, leads, within
from lineclear_spec.logic import and_, implies, not_

contract(
    "share_table",
    count=lambda v, parent, child, n: n,
    modifies=lambda parent, child, n: (
        "ref",
        "holder",
        "table",
        "length",
        "index",
        "holder_index",
        *QUEUED,
    ),
    requirements=lambda v, count, parent, child, n: [
        part("count", lambda: and_(0 <= count, count <= v.length(parent))),
        part("empty", lambda: v.length(child) == 0),
        part("two", lambda: parent != child),
        part("group", lambda: v.request(parent) == v.request(child)),
    ],
    ensures=lambda old, new, count, parent, child, n: [
        *queued(old, new),
        part("length", lambda: new.length(child) == count),
        same("lengths", "sequence", old, new, ("length",), lambda x: x != child),
        part("others", lambda q, i: implies(q != child, new.table(q, i) == old.table(q, i))),
        part(
            "shared",
            lambda i: implies(within(0, i, count), new.table(child, i) == old.table(parent, i)),
        ),
        part(
            "exclusive",
            lambda q, i: implies(
                and_(q != parent, within(0, i, old.length(q)), old.ref(old.table(q, i)) == 1),
                new.ref(old.table(q, i)) == 1,
            ),
        ),
        part(
            "ref",
            lambda b: (
                new.ref(b)
                == old.ref(b)
                + old.if_else(and_(holds(old, parent, b), old.index(parent, b) < count), 1, 0)
            ),
        ),
    ],
)

contract(
    "share_cached",
    count=lambda v, q, tokens: v.need(tokens),
    modifies=lambda q, tokens: ("ref", "holder", "table", "length", "index", "holder_index"),
    requirements=lambda v, count, q, tokens: [
        part("tokens", lambda: 0 <= tokens),
        part("empty", lambda: v.length(q) == 0),
        part("listed", lambda i: implies(within(0, i, count), leads(v, v.block_name(q, i)))),
        part(
            "depth",
            lambda i: implies(
                and_(i >= 0, v.block_name(q, i) >= 1), v.preceding(v.block_name(q, i)) == i
            ),
        ),
    ],
    ensures=lambda old, new, count, q, tokens: [
        part("length", lambda: new.length(q) == count),
        same("lengths", "sequence", old, new, ("length",), lambda x: x != q),
        Part(
            "others",
            ("sequence", "index"),
            lambda x, i: implies(x != q, new.table(x, i) == old.table(x, i)),
        ),
        part(
            "found",
            lambda i: implies(
                within(0, i, count), new.table(q, i) == old.cached(old.block_name(q, i))
            ),
        ),
        part(
            "names",
            lambda i: implies(
                within(0, i, count),
                and_(
                    old.listed(new.table(q, i)),
                    old.name(new.table(q, i)) == old.block_name(q, i),
                ),
            ),
        ),
        same("private", "block", old, new, ("ref",), lambda b: not_(old.listed(b))),
        part("ref", lambda b: and_(old.ref(b) <= new.ref(b), new.ref(b) <= old.ref(b) + 1)),
    ],
)
