# pyright: basic
"""Contracts of the loops that share them.

Guarantees: nothing by itself; every promise is proved of the step in `blocks.py`.
"""

from __future__ import annotations

from typing import Any

from lineclear_spec.contracts.contract import QUEUED, contract, queued, same
from lineclear_spec.invariants import holds, within
from lineclear_spec.logic import both, implies, negate


def listed(v: Any, name: Any) -> Any:
    """Whether a block can be found under the name."""
    return both(v.listed(v.cached(name)), v.name(v.cached(name)) == name)


contract(
    "share_table",
    lambda v, parent, child, n: n,
    lambda parent, child, n: ("ref", "holder", "table", "length", "index", "rank", *QUEUED),
    lambda v, count, parent, child, n: [
        ("count", (), lambda: both(0 <= count, count <= v.length(parent))),
        ("empty", (), lambda: v.length(child) == 0),
        ("two", (), lambda: parent != child),
        ("group", (), lambda: v.request(parent) == v.request(child)),
    ],
    lambda old, new, k, parent, child, n: [
        *queued(old, new),
        ("length", (), lambda: new.length(child) == k),
        same("lengths", "sequence", old, new, ("length",), lambda x: x != child),
        (
            "others",
            ("sequence", "index"),
            lambda q, i: implies(q != child, new.table(q, i) == old.table(q, i)),
        ),
        (
            "shared",
            ("index",),
            lambda i: implies(within(0, i, k), new.table(child, i) == old.table(parent, i)),
        ),
        (
            "exclusive",
            ("sequence", "index"),
            lambda q, i: implies(
                both(q != parent, within(0, i, old.length(q)), old.ref(old.table(q, i)) == 1),
                new.ref(old.table(q, i)) == 1,
            ),
        ),
        (
            "ref",
            ("block",),
            lambda b: (
                new.ref(b)
                == old.ref(b)
                + old.either(both(holds(old, parent, b), old.index(parent, b) < k), 1, 0)
            ),
        ),
    ],
)

contract(
    "share_cached",
    lambda v, q, tokens: v.need(tokens),
    lambda q, tokens: ("ref", "holder", "table", "length", "index", "rank"),
    lambda v, count, q, tokens: [
        ("tokens", (), lambda: 0 <= tokens),
        ("empty", (), lambda: v.length(q) == 0),
        (
            "listed",
            ("index",),
            lambda i: implies(within(0, i, count), listed(v, v.word(q, i))),
        ),
        (
            "depth",
            ("index",),
            lambda i: implies(both(i >= 0, v.word(q, i) >= 1), v.preceding(v.word(q, i)) == i),
        ),
    ],
    lambda old, new, k, q, tokens: [
        ("length", (), lambda: new.length(q) == k),
        same("lengths", "sequence", old, new, ("length",), lambda x: x != q),
        (
            "others",
            ("sequence", "index"),
            lambda x, i: implies(x != q, new.table(x, i) == old.table(x, i)),
        ),
        (
            "found",
            ("index",),
            lambda i: implies(within(0, i, k), new.table(q, i) == old.cached(old.word(q, i))),
        ),
        (
            "names",
            ("index",),
            lambda i: implies(
                within(0, i, k),
                both(
                    old.listed(new.table(q, i)),
                    old.name(new.table(q, i)) == old.word(q, i),
                ),
            ),
        ),
        same("private", "block", old, new, ("ref",), lambda b: negate(old.listed(b))),
        (
            "ref",
            ("block",),
            lambda b: both(old.ref(b) <= new.ref(b), new.ref(b) <= old.ref(b) + 1),
        ),
    ],
)
