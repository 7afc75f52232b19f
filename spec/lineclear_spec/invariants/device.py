# pyright: basic
"""Invariants of a device: what it has carried out, and which version each block id has.

A version of a block id is the number of the last operation that wrote it. The ledger *decides* versions in the
order of numbers; the device carries operations out in any order that their waits allow.
"""

from __future__ import annotations

from lineclear_spec.invariants.clause import declare_kv, each_tier
from lineclear_spec.logic import and_, implies, not_, or_

declare_kv(
    "device",
    "what is complete has run, nothing runs before a plan dispatches it, and of two operations on one block id "
    "the earlier one runs first",
    (
        "closed",
        lambda v, o: implies(and_(1 <= o, o <= v.issued, not_(v.open(o))), v.ran(o)),
        lambda v, o: [(v.ran(o),), (v.open(o),)],
    ),
    (
        "dispatched",
        lambda v, o: implies(v.ran(o), and_(1 <= o, o <= v.dispatched)),
        lambda v, o: [(v.ran(o),)],
    ),
    *each_tier(
        "order",
        lambda t: (
            lambda v, o, n, p: implies(
                and_(1 <= o, o < n, v.touch(t, o, p), v.touch(t, n, p), v.ran(n)), v.ran(o)
            ),
            lambda v, o, n, p: [(v.touch(t, o, p), v.touch(t, n, p))],
        ),
    ),
)


declare_kv(
    "version",
    "the version that an operation meets is that of the last one decided before it that writes the block id",
    *each_tier(
        "now",
        lambda t: (
            lambda v, p: and_(
                0 <= v.version(t, p),
                v.version(t, p) <= v.issued,
                or_(v.version(t, p) == 0, v.writes(t, v.version(t, p), p)),
            ),
            lambda v, p: [(v.version(t, p),)],
        ),
    ),
    *each_tier(
        "last",
        lambda t: (
            lambda v, o, p: implies(v.writes(t, o, p), and_(1 <= o, o <= v.version(t, p))),
            lambda v, o, p: [(v.writes(t, o, p),)],
        ),
    ),
    *each_tier(
        "touch",
        lambda t: (
            lambda v, o, p: implies(v.writes(t, o, p), v.touch(t, o, p)),
            lambda v, o, p: [(v.writes(t, o, p),)],
        ),
    ),
    *each_tier(
        "expected",
        lambda t: (
            lambda v, n, p: implies(
                v.touch(t, n, p),
                and_(
                    0 <= v.expected(t, n, p),
                    v.expected(t, n, p) < n,
                    or_(v.expected(t, n, p) == 0, v.writes(t, v.expected(t, n, p), p)),
                ),
            ),
            lambda v, n, p: [(v.expected(t, n, p),)],
        ),
    ),
    *each_tier(
        "before",
        lambda t: (
            lambda v, o, n, p: implies(
                and_(v.writes(t, o, p), v.touch(t, n, p), o < n), o <= v.expected(t, n, p)
            ),
            lambda v, o, n, p: [(v.expected(t, n, p), v.writes(t, o, p))],
        ),
    ),
)


declare_kv(
    "memory",
    "the version that a block id has is the last one written by an operation that has run",
    *each_tier(
        "actual",
        lambda t: (
            lambda v, p: or_(
                v.actual(t, p) == 0, and_(v.ran(v.actual(t, p)), v.writes(t, v.actual(t, p), p))
            ),
            lambda v, p: [(v.actual(t, p),)],
        ),
    ),
    *each_tier(
        "latest",
        lambda t: (
            lambda v, o, p: implies(and_(v.writes(t, o, p), v.ran(o)), o <= v.actual(t, p)),
            lambda v, o, p: [(v.writes(t, o, p), v.actual(t, p))],
        ),
    ),
)
