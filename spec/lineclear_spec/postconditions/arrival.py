# pyright: basic
"""Postconditions of the actions of `actions/arrival.py`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lineclear_spec.contracts import Part, but, part, same
from lineclear_spec.invariants import FINISHED, WAITING, leads, private, within
from lineclear_spec.logic import and_, implies, not_
from lineclear_spec.postconditions.cache import may_be_published
from lineclear_spec.postconditions.frames import (
    REQUEST,
    all_others,
    clocks,
    ensures,
    every,
    now,
    operations,
    others,
    request_same,
    rest_same,
)

#: Fields of a request that change when it ends.
ENDED = ("phase", "queue", "width", "blocks", "releases")


@ensures
def submit(old: Any, new: Any, r: Any, q: Any) -> list[Part]:
    """One sequence that knows the prompt and holds nothing."""
    return [
        now(
            "waits",
            lambda: new.phase(r) == WAITING,
            lambda: new.width(r) == 1,
            lambda: new.member(r, 0) == q,
        ),
        now(
            "fresh",
            lambda: not_(old.alive(q)),
            lambda: new.alive(q),
            lambda: new.request(q) == r,
        ),
        now(
            "knows", lambda: new.own_tokens(q) == old.prompt(r), lambda: new.own_dispatched(q) == 0
        ),
        now(
            "holds",
            lambda: new.length(q) == 0,
            lambda: new.own_slots(q) == 0,
            lambda: new.own_samples(q) == 0,
        ),
        request_same(old, new, r, "phase", "queue", "width"),
        *others(old, new, r, lambda x: x == q),
        *rest_same(old, new),
    ]


@ensures
def reject(old: Any, new: Any, r: Any, _: Any) -> list[Part]:
    """The request is over; nothing else happened."""
    return [
        now(
            "over",
            lambda: new.phase(r) == FINISHED,
            lambda: new.releases(r) == old.releases(r) + 1,
        ),
        request_same(old, new, r, "phase", "queue", "releases"),
        *others(old, new, r),
        *rest_same(old, new),
    ]


def is_over(old: Any, new: Any, r: Any) -> Any:
    """Whether the request has ended, once more than before, and holds nothing."""
    return and_(
        new.phase(r) == FINISHED,
        new.releases(r) == old.releases(r) + 1,
        new.width(r) == 0,
        new.blocks(r) == 0,
    )


def given_up(old: Any, new: Any, over: Callable[[Any], Any]) -> list[Part]:
    """The requests that are over have no sequence and no private block."""
    return [
        part(
            "members_gone",
            lambda q: implies(
                and_(old.alive(q), over(old.request(q))),
                and_(not_(new.alive(q)), new.length(q) == 0),
            ),
        ),
        part(
            "nothing",
            lambda b: implies(and_(private(old, b), over(old.group(b))), new.ref(b) == 0),
        ),
    ]


def ended(old: Any, new: Any, r: Any) -> list[Part]:
    """The request is over and holds nothing."""
    return [
        part("over", lambda: is_over(old, new, r)),
        *given_up(old, new, lambda x: x == r),
        request_same(old, new, r, *ENDED),
        *others(old, new, r, shares=True),
        clocks(old, new),
        operations(old, new),
    ]


@ensures
def finish(old: Any, new: Any, r: Any, _: Any) -> list[Part]:
    """Over, holding nothing."""
    return ended(old, new, r)


def ends(v: Any, r: Any) -> Any:
    """Whether the request's only sequence is in the decode batch and has every position that it may need."""
    q = v.member(r, 0)
    return and_(v.width(r) == 1, v.in_decode_batch(q), v.request(q) == r, v.ending(q) == v.steps)


@ensures
def finish_each(old: Any, new: Any, _: Any) -> list[Part]:
    """Exactly the requests that end are over, complete and holding nothing. Full blocks of theirs can be found under
    their names.
    """

    def last(q: Any) -> Any:
        return and_(old.alive(q), ends(old, old.request(q)))

    def published(q: Any, i: Any) -> Any:
        """Whether the entry is one of the last, as many as there are private blocks, and `publish` would take it."""
        r = old.request(q)
        return and_(
            last(q),
            old.open_swap(r) == 0,
            within(old.length(q) - old.blocks(r), i, old.block_of(old.num_computed_tokens(q))),
            may_be_published(old, q, i),
        )

    return [
        part("over", lambda r: implies(ends(old, r), is_over(old, new, r))),
        part(
            "complete",
            lambda q: implies(
                last(q),
                and_(
                    old.num_tokens(q) == old.limit(old.request(q)),
                    new.num_tokens(q) == old.num_tokens(q),
                    new.last_step(q) == old.steps,
                ),
            ),
        ),
        now("fewer", lambda: new.decode_batch_size < old.decode_batch_size),
        part("found", lambda q, i: implies(published(q, i), leads(new, old.block_name(q, i)))),
        part(
            "sealed",
            lambda q, i: implies(
                and_(
                    last(q),
                    within(0, i, old.length(q)),
                    new.name(old.table(q, i)) != old.name(old.table(q, i)),
                ),
                and_(
                    published(q, i),
                    new.name(old.table(q, i)) == old.block_name(q, i),
                    new.listed(old.table(q, i)),
                ),
            ),
        ),
        *given_up(old, new, lambda r: ends(old, r)),
        same("frame_request", "request", old, new, but(REQUEST, *ENDED), every),
        *all_others(old, new, lambda r: not_(ends(old, r)), last, shares=True),
        clocks(old, new, "decode_batch_size"),
        operations(old, new),
    ]


@ensures
def abort(old: Any, new: Any, r: Any, _: Any) -> list[Part]:
    """Over, holding nothing."""
    return ended(old, new, r)
