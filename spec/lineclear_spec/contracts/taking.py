# pyright: basic
"""Contracts of the block steps that take free GPU blocks for new blocks."""

from __future__ import annotations

from typing import Any

from lineclear_spec.contracts.contract import (
    QUEUED,
    Part,
    attained,
    but,
    contract,
    entries_same,
    in_pool,
    part,
    queued,
    same,
    sources,
)
from lineclear_spec.invariants import GPU, copies, is_free, present, within
from lineclear_spec.logic import and_, implies, not_, or_

POOL = ("free", "order", "position")
TAKING = (
    "free_gpu", "order_gpu", "position_gpu", "owner_gpu", "barrier", "ref", "tier", "block_id", "group", "held_index",
    "holder", "table", "length", "index", "holder_index", "held", "blocks",
)  # fmt: skip


def clock_sane(v: Any) -> list[Part]:
    """Requirement: fences and barrier name operations that were decided."""
    return [
        part("barrier", lambda: v.barrier <= v.issued),
        part("last_use_gpu", lambda p: v.last_use(GPU, p) <= v.issued),
    ]


def all_past(v: Any) -> Any:
    """Whether fences and barrier name only operations before the one decided last."""
    return and_(v.barrier < v.issued, v.every("block_id", lambda p: v.last_use(GPU, p) < v.issued))


def allocated(old: Any, new: Any) -> list[Part]:
    """What allocating GPU blocks does to the pool: block ids in use keep their owners, and the barrier is the
    largest of what it was and of the fences of the block ids that were allocated.
    """
    return [
        part(
            "allocates",
            lambda p: implies(
                and_(in_pool(old, GPU, p), not_(is_free(new, GPU, p))),
                or_(not_(is_free(old, GPU, p)), old.last_use(GPU, p) <= new.barrier),
            ),
        ),
        part(
            "keeps",
            lambda p: implies(
                and_(in_pool(old, GPU, p), not_(is_free(old, GPU, p))),
                and_(not_(is_free(new, GPU, p)), new.owner(GPU, p) == old.owner(GPU, p)),
            ),
        ),
        *barrier_rises(old, new),
    ]


def barrier_rises(old: Any, new: Any) -> list[Part]:
    """The barrier is the largest of what it was and of the fences of the block ids that were allocated."""
    return [
        part("barrier", lambda: and_(old.barrier <= new.barrier, new.barrier <= old.issued)),
        part("attained", lambda: attained(old, new, new.barrier, old.barrier)),
        part("past", lambda: implies(all_past(old), new.barrier < old.issued)),
    ]


def grown(old: Any, new: Any, q: Any, count: Any) -> list[Part]:
    """The request of the sequence, and no other, has so many private blocks more, new ones on the GPU.

    Args:
        old, new: the states.
        q: the sequence.
        count: how many.
    """
    r = old.request(q)
    return [
        part(
            "new_blocks",
            lambda b: implies(
                and_(new.ref(b) >= 1, old.ref(b) < 1),
                and_(new.tier(b) == GPU, new.group(b) == r, was_unused(old, b)),
            ),
        ),
        part("counted", lambda: new.blocks(r) == old.blocks(r) + count),
        same("others", "request", old, new, ("blocks",), lambda x: x != r),
    ]


def blocks_kept(old: Any, new: Any) -> Part:
    """Blocks that were there before keep their `ref`, tier, block id and request."""
    return same(
        "blocks",
        "block",
        old,
        new,
        ("ref", "tier", "block_id", "group"),
        lambda b: present(old, b),
    )


def was_unused(old: Any, b: Any) -> Any:
    """Whether the block had no name and could not be found, as one that was not there."""
    return and_(old.name(b) == 0, not_(old.listed(b)))


contract(
    "take_blocks",
    count=lambda v, q, n: n,
    modifies=lambda q, n: (*TAKING, *QUEUED),
    requirements=lambda v, count, q, n: [
        part("count", lambda: and_(0 <= count, count <= v.free(GPU))),
        *clock_sane(v),
    ],
    ensures=lambda old, new, count, q, n: [
        part("free", lambda: new.free(GPU) == old.free(GPU) - count),
        part("length", lambda: new.length(q) == old.length(q) + count),
        same("lengths", "sequence", old, new, ("length",), lambda x: x != q),
        entries_same("entries", old, new),
        blocks_kept(old, new),
        part(
            "new_entries",
            lambda i: implies(
                within(old.length(q), i, old.length(q) + count),
                and_(new.ref(new.table(q, i)) == 1, was_unused(old, new.table(q, i))),
            ),
        ),
        *grown(old, new, q, count),
        *allocated(old, new),
        *queued(old, new),
    ],
)

contract(
    "give_each_one",
    count=lambda v, due: due.size,
    modifies=lambda due: (*TAKING, *QUEUED),
    requirements=lambda v, count, due: [
        part("count", lambda: and_(0 <= count, count <= v.free(GPU))),
        part("distinct", lambda k: implies(within(0, k, count), due.index_of(due.at(k)) == k)),
        *clock_sane(v),
    ],
    ensures=lambda old, new, count, due: [
        part("free", lambda: new.free(GPU) == old.free(GPU) - count),
        part("length", lambda q: new.length(q) == old.length(q) + old.if_else(due.has(q), 1, 0)),
        entries_same("entries", old, new),
        blocks_kept(old, new),
        part(
            "new_entries",
            lambda q, i: implies(
                within(old.length(q), i, new.length(q)),
                and_(new.ref(new.table(q, i)) == 1, was_unused(old, new.table(q, i))),
            ),
        ),
        part(
            "new_blocks",
            lambda b: implies(
                and_(new.ref(b) >= 1, old.ref(b) < 1),
                and_(
                    new.tier(b) == GPU,
                    due.has(new.holder(b, 0)),
                    new.group(b) == old.request(new.holder(b, 0)),
                    was_unused(old, b),
                ),
            ),
        ),
        *allocated(old, new),
        *queued(old, new),
    ],
)

contract(
    "replace_entry",
    count=lambda v, q, i: 1,
    modifies=lambda q, i: (*but(TAKING, "length"), "touch_gpu", "source_gpu"),
    requirements=lambda v, count, q, i: [
        part("open", lambda: v.open(v.issued)),
        part("kind", lambda: copies(v, GPU, GPU)),
        part("entry", lambda: within(0, i, v.length(q))),
        part("shared", lambda: v.ref(v.table(q, i)) >= 2),
        part("private", lambda: v.name(v.table(q, i)) == 0),
        part("gpu", lambda: v.tier(v.table(q, i)) == GPU),
        part("free", lambda: v.free(GPU) >= 1),
        *clock_sane(v),
    ],
    ensures=lambda old, new, count, q, i: [
        part("free", lambda: new.free(GPU) == old.free(GPU) - count),
        Part(
            "entries",
            ("sequence", "index"),
            lambda x, j: implies(
                and_(within(0, j, old.length(x)), or_(x != q, j != i)),
                new.table(x, j) == old.table(x, j),
            ),
        ),
        part("fresh", lambda: and_(new.ref(new.table(q, i)) == 1, old.ref(new.table(q, i)) < 1)),
        part(
            "blocks",
            lambda b: implies(
                present(old, b),
                and_(
                    new.tier(b) == old.tier(b),
                    new.block_id(b) == old.block_id(b),
                    new.group(b) == old.group(b),
                    new.ref(b) == old.ref(b) - old.if_else(b == old.table(q, i), 1, 0),
                ),
            ),
        ),
        same("sealed", "block", old, new, ("ref",), lambda b: old.name(b) != 0),
        *grown(old, new, q, count),
        *allocated(old, new),
        part(
            "touch",
            lambda o, p: implies(
                and_(new.touch(GPU, o, p), not_(old.touch(GPU, o, p))),
                and_(
                    o == old.issued,
                    in_pool(old, GPU, p),
                    not_(is_free(new, GPU, p)),
                    new.ref(new.owner(GPU, p)) >= 1,
                    or_(not_(is_free(old, GPU, p)), old.last_use(GPU, p) <= new.barrier),
                ),
            ),
        ),
        part(
            "touched",
            lambda o, p: (
                new.touch(GPU, o, p)
                == or_(
                    old.touch(GPU, o, p),
                    and_(
                        o == old.issued,
                        or_(
                            p == old.block_id(old.table(q, i)),
                            p == new.block_id(new.table(q, i)),
                        ),
                    ),
                )
            ),
        ),
        sources(old, new, GPU),
        part(
            "copied",
            lambda: and_(
                new.source(GPU, old.issued, new.block_id(new.table(q, i)))
                == old.block_id(old.table(q, i)),
                new.touch(GPU, old.issued, old.block_id(old.table(q, i))),
                new.touch(GPU, old.issued, new.block_id(new.table(q, i))),
            ),
        ),
    ],
)
