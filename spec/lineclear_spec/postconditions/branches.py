# pyright: basic
"""Postconditions of the actions of `actions/branches.py`."""

from __future__ import annotations

from typing import Any

from lineclear_spec.contracts import Part, part
from lineclear_spec.invariants import within
from lineclear_spec.logic import implies, not_
from lineclear_spec.postconditions.frames import (
    clocks,
    ensures,
    free,
    now,
    operations,
    others,
    request_same,
    sequence_same,
)


def shares(old: Any, new: Any, parent: Any, child: Any, tokens: Any) -> list[Part]:
    """The child names the parent's blocks for `tokens` positions; no block is taken.

    Args:
        old: the state before.
        new: the state after.
        parent: a sequence.
        child: another one of its request, without blocks before.
        tokens: positions.
    """
    r = old.request(parent)
    return [
        now(
            "room",
            lambda: new.length(child) == old.need(tokens),
            lambda: new.own_dispatched(child) == tokens,
            lambda: new.own_slots(child) == tokens,
        ),
        part(
            "shared",
            lambda i: implies(
                within(0, i, old.need(tokens)), new.table(child, i) == old.table(parent, i)
            ),
        ),
        free(old, new),
        now("taken", lambda: new.blocks(r) == old.blocks(r)),
        *others(old, new, r, lambda x: x == child, shares=True),
        clocks(old, new),
        operations(old, new),
    ]


@ensures
def fork(old: Any, new: Any, parent: Any, tokens: Any, child: Any) -> list[Part]:
    """A new branch that knows `tokens` more than the parent and shares what the parent computed."""
    r = old.request(parent)
    return [
        now(
            "child",
            lambda: not_(old.alive(child)),
            lambda: new.alive(child),
            lambda: new.request(child) == r,
            lambda: new.own_tokens(child) == old.own_tokens(parent) + tokens,
            lambda: new.own_samples(child) == 0,
            lambda: new.member(r, old.width(r)) == child,
            lambda: new.width(r) == old.width(r) + 1,
        ),
        now(
            "sampled",
            lambda: old.pending_samples(parent) >= 1,
            lambda: tokens <= 1 + old.late_drafts(parent),
        ),
        now(
            "own",
            lambda: new.own_tokens(child) > old.own_tokens(parent),
            lambda: new.own_dispatched(child) < new.own_tokens(child),
        ),
        request_same(old, new, r, "width"),
        *shares(old, new, parent, child, old.own_dispatched(parent)),
    ]


@ensures
def rejoin(old: Any, new: Any, q: Any, shared: Any, _: Any) -> list[Part]:
    """The branch has the leader's full prompt blocks."""
    r = old.request(q)
    return [
        now("some", lambda: new.length(q) > old.length(q)),
        request_same(old, new, r),
        sequence_same(old, new, q, "own_dispatched", "own_slots", "length"),
        *shares(old, new, old.member(r, 0), q, shared),
    ]


@ensures
def prune(old: Any, new: Any, q: Any, _: Any) -> list[Part]:
    """The branch is gone, with what only it held; its siblings keep their order."""
    r = old.request(q)
    return [
        now(
            "gone",
            lambda: not_(new.alive(q)),
            lambda: new.length(q) == 0,
            lambda: new.width(r) == old.width(r) - 1,
        ),
        part(
            "siblings",
            lambda k: implies(
                within(0, k, new.width(r)),
                new.member(r, k)
                == old.if_else(k < old.member_index(q), old.member(r, k), old.member(r, k + 1)),
            ),
        ),
        request_same(old, new, r, "width", "blocks"),
        *others(old, new, r, lambda x: x == q, shares=True),
        clocks(old, new),
        operations(old, new),
    ]
