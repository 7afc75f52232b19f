# pyright: basic
"""Postconditions of the actions of `actions/cache.py`."""

from __future__ import annotations

from typing import Any

from lineclear_spec.contracts import Part, alike, but, larger, part, same
from lineclear_spec.invariants import GPU, RUNNING, is_free, leads, present, within
from lineclear_spec.logic import and_, implies, not_
from lineclear_spec.postconditions.frames import (
    BLOCK,
    all_records_same,
    blocks_same,
    clocks,
    ensures,
    every,
    free,
    none,
    now,
    operations,
    other_requests,
    other_sequences,
    others,
    request_same,
    requests_same,
    rest_same,
    sequence_same,
    sequences_same,
    tables_same,
    waits,
)

#: What stays of a block that a reader begins or ends to hold.
PLACED = but(BLOCK, "readers")


@ensures
def publish(old: Any, new: Any, q: Any, index: Any, _: Any) -> list[Part]:
    """One private block is sealed and can be found under the name of the tokens there."""
    r, block = old.request(q), old.table(q, index)
    return [
        now(
            "sealed",
            lambda: new.name(block) == old.block_name(q, index),
            lambda: new.listed(block),
            lambda: new.cached(old.block_name(q, index)) == block,
            lambda: new.blocks(r) == old.blocks(r) - 1,
        ),
        now(
            "certain",
            lambda: old.name(block) == 0,
            lambda: index < old.block_of(old.num_computed_tokens(q)),
            lambda: index < old.block_of(old.num_tokens(q)),
            lambda: old.open_swap(r) == 0,
        ),
        blocks_same(old, new, besides=block),
        part("frame_block", lambda: alike(old, new, block, ("ref", "block_id"))),
        request_same(old, new, r, "blocks"),
        sequence_same(old, new, q),
        *other_requests(old, new, lambda x: x != r),
        *other_sequences(old, new, every, none),
        *rest_same(old, new),
    ]


def may_be_published(v: Any, q: Any, i: Any) -> Any:
    """Whether `publish` would give the block of the entry a name: those of its guards that are about one entry."""
    return and_(
        within(0, i, v.length(q)),
        v.ref(v.table(q, i)) == 1,
        v.name(v.table(q, i)) == 0,
        v.block_name(q, i) >= 1,
        not_(leads(v, v.block_name(q, i))),
    )


@ensures
def publish_run(old: Any, new: Any, q: Any, first: Any, end: Any, _: Any) -> list[Part]:
    """Of these entries exactly the blocks that `may_be_published` are sealed, each under the name of the tokens
    there.
    """

    def taken(x: Any, i: Any) -> Any:
        return and_(x == q, within(first, i, end), may_be_published(old, x, i))

    return [
        Part(
            "sealed",
            ("sequence", "index"),
            lambda x, i: implies(
                taken(x, i),
                and_(
                    new.name(old.table(x, i)) == old.block_name(x, i),
                    new.listed(old.table(x, i)),
                    new.cached(old.block_name(x, i)) == old.table(x, i),
                ),
            ),
        ),
        Part(
            "certain",
            ("sequence", "index"),
            lambda x, i: implies(
                taken(x, i),
                and_(
                    i < old.block_of(old.num_tokens(x)),
                    i < old.block_of(old.num_computed_tokens(x)),
                    old.phase(old.request(x)) == RUNNING,
                    old.open_swap(old.request(x)) == 0,
                ),
            ),
        ),
        Part(
            "no_other",
            ("sequence", "index"),
            lambda x, i: implies(
                and_(within(0, i, old.length(x)), not_(taken(x, i))),
                and_(
                    new.name(old.table(x, i)) == old.name(old.table(x, i)),
                    new.listed(old.table(x, i)) == old.listed(old.table(x, i)),
                ),
            ),
        ),
        same(
            "frame_blocks",
            "block",
            old,
            new,
            ("ref", "tier", "block_id", "group"),
            lambda b: present(old, b),
        ),
        same("frame_sealed", "block", old, new, ("name", "listed"), lambda b: old.name(b) != 0),
        requests_same(old, new, "blocks"),
        sequences_same(old, new),
        tables_same(old, new),
        *rest_same(old, new),
    ]


@ensures
def admit_cached(old: Any, new: Any, r: Any, shared: Any, _: Any) -> list[Part]:
    """The leader shares the blocks found under its own names, and has exactly the blocks for what it
    knows. It shares a token at least, and one at least is left to compute.
    """
    q = old.member(r, 0)
    blocks, found = old.need(old.own_tokens(q)), old.need(shared)
    return [
        now("runs", lambda: new.phase(r) == RUNNING),
        now(
            "room",
            lambda: new.own_slots(q) == old.own_tokens(q),
            lambda: new.own_dispatched(q) == shared,
            lambda: new.length(q) == blocks,
        ),
        now(
            "part",
            lambda: new.own_dispatched(q) >= 1,
            lambda: new.own_dispatched(q) < new.own_tokens(q),
        ),
        part(
            "found",
            lambda i: implies(
                within(0, i, found),
                and_(
                    new.table(q, i) == old.cached(old.block_name(q, i)),
                    old.listed(new.table(q, i)),
                    new.name(new.table(q, i)) == old.block_name(q, i),
                ),
            ),
        ),
        now(
            "taken",
            lambda: new.free(GPU) == old.free(GPU) - (blocks - found),
            lambda: new.blocks(r) == old.blocks(r) + (blocks - found),
        ),
        request_same(old, new, r, "phase", "queue", "blocks", "born"),
        sequence_same(old, new, q, "length", "own_slots", "own_dispatched"),
        *others(old, new, r, lambda x: x == q, shares=True),
        *waits(old, new, lambda: new.barrier, old.barrier),
        clocks(old, new, "barrier"),
        operations(old, new),
    ]


def unnamed(old: Any, new: Any, name: Any) -> list[Part]:
    """One block can be found no more; no table, counter or clock changes."""
    block = old.cached(name)
    return [
        now("gone", lambda: not_(new.listed(block))),
        *all_records_same(old, new, block),
        clocks(old, new),
        operations(old, new),
    ]


@ensures
def evict(old: Any, new: Any, name: Any, _: Any) -> list[Part]:
    """One more block id is free, and its fence is no later than it was."""
    block_id = old.block_id(old.cached(name))
    return [
        now(
            "freed",
            lambda: new.free(GPU) == old.free(GPU) + 1,
            lambda: is_free(new, GPU, block_id),
            lambda: new.last_use(GPU, block_id) <= larger(old, old.last_use(GPU, block_id), 0),
        ),
        *unnamed(old, new, name),
    ]


@ensures
def unlist(old: Any, new: Any, name: Any, _: Any) -> list[Part]:
    """Its holders go on with it."""
    block = old.cached(name)
    return [
        part("kept", lambda: alike(old, new, block, ("ref", "block_id"))),
        free(old, new),
        *unnamed(old, new, name),
    ]


def read_by(old: Any, new: Any, name: Any, more: int) -> list[Part]:
    """So many readers more hold one block; nothing else changes.

    Args:
        old, new: state before and after.
        name: under which the block is found.
        more: readers.
    """
    block = old.cached(name)
    return [
        now(
            "readers",
            lambda: new.readers(block) == old.readers(block) + more,
            lambda: alike(old, new, block, ("ref", *PLACED)),
        ),
        requests_same(old, new),
        sequences_same(old, new),
        tables_same(old, new),
        blocks_same(old, new, besides=block),
        *rest_same(old, new),
    ]


@ensures
def hold_block(old: Any, new: Any, name: Any, _: Any) -> list[Part]:
    """One reader more holds the block."""
    return read_by(old, new, name, 1)


@ensures
def release_block(old: Any, new: Any, name: Any, _: Any) -> list[Part]:
    """One reader less holds the block."""
    return read_by(old, new, name, -1)
