# pyright: basic
"""Postconditions of the actions of `actions/growth.py`."""

from __future__ import annotations

from typing import Any

from lineclear_spec.contracts import Part, part
from lineclear_spec.invariants import GPU, RUNNING, within
from lineclear_spec.logic import and_, implies, not_, or_
from lineclear_spec.postconditions.frames import (
    clocks,
    ensures,
    now,
    operations,
    others,
    request_same,
    sequence_same,
    waits,
)


@ensures
def admit(old: Any, new: Any, r: Any, _: Any) -> list[Part]:
    """The leader has exactly the blocks for what it knows."""
    q = old.member(r, 0)
    blocks = old.need(old.own_tokens(q))
    return [
        now("runs", lambda: new.phase(r) == RUNNING),
        now(
            "room",
            lambda: new.own_slots(q) == old.own_tokens(q),
            lambda: new.length(q) == blocks,
        ),
        now(
            "taken",
            lambda: new.free(GPU) == old.free(GPU) - blocks,
            lambda: new.blocks(r) == old.blocks(r) + blocks,
        ),
        request_same(old, new, r, "phase", "queue", "blocks", "born"),
        sequence_same(old, new, q, "length", "own_slots"),
        *others(old, new, r, lambda x: x == q),
        *waits(old, new, lambda: new.barrier, old.barrier),
        clocks(old, new, "barrier"),
        operations(old, new),
    ]


@ensures
def append_slots(old: Any, new: Any, q: Any, num_slots: Any, _: Any) -> list[Part]:
    """Room for `num_slots` more positions, and exactly the blocks for it."""
    r = old.request(q)
    return [
        now(
            "room",
            lambda: new.own_slots(q) == old.own_slots(q) + num_slots,
            lambda: new.length(q) == old.need(old.own_slots(q) + num_slots),
        ),
        now("grows", lambda: new.own_slots(q) > old.own_slots(q)),
        now(
            "taken",
            lambda: new.free(GPU) == old.free(GPU) - (new.length(q) - old.length(q)),
            lambda: new.blocks(r) == old.blocks(r) + (new.length(q) - old.length(q)),
        ),
        part(
            "kept",
            lambda i: implies(within(0, i, old.length(q)), new.table(q, i) == old.table(q, i)),
        ),
        request_same(old, new, r, "blocks"),
        sequence_same(old, new, q, "length", "own_slots"),
        *others(old, new, r, lambda x: x == q),
        *waits(old, new, lambda: new.barrier, old.barrier),
        clocks(old, new, "barrier"),
        operations(old, new),
    ]


@ensures
def copy_on_write(old: Any, new: Any, q: Any, _: Any) -> list[Part]:
    """One entry names a block of its own, and the copy waits for the operations up to the barrier."""
    r = old.request(q)
    i = old.block_of(old.own_dispatched(q))
    number = old.issued + 1
    return [
        now(
            "own",
            lambda: new.ref(new.table(q, i)) == 1,
            lambda: new.tier(new.table(q, i)) == GPU,
            lambda: new.ref(old.table(q, i)) == old.ref(old.table(q, i)) - 1,
        ),
        now(
            "taken",
            lambda: new.free(GPU) == old.free(GPU) - 1,
            lambda: new.blocks(r) == old.blocks(r) + 1,
        ),
        now(
            "copied",
            lambda: new.issued == number,
            lambda: new.open(number),
            lambda: new.compute(number),
            lambda: not_(or_(new.is_forward(number), new.outward(number))),
            lambda: new.request_of(number) == r,
            lambda: new.wait(number) == new.barrier,
            lambda: new.touch(GPU, number, old.block_id(old.table(q, i))),
            lambda: new.touch(GPU, number, new.block_id(new.table(q, i))),
        ),
        part(
            "kept",
            lambda j: implies(
                and_(within(0, j, old.length(q)), j != i), new.table(q, j) == old.table(q, j)
            ),
        ),
        request_same(old, new, r, "blocks"),
        sequence_same(old, new, q),
        *others(old, new, r, lambda x: x == q),
        *waits(old, new, lambda: new.barrier, old.barrier),
        clocks(old, new, "barrier", "issued"),
        operations(old, new),
    ]
