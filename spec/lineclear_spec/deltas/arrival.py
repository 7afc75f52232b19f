# pyright: basic
"""What the actions of `actions/arrival.py` promise."""

from __future__ import annotations

from typing import Any

from lineclear_spec.contracts import Part
from lineclear_spec.deltas.frames import (
    clocks,
    free,
    now,
    operations,
    others,
    promise,
    request_same,
)
from lineclear_spec.invariants import FINISHED, WAITING, private
from lineclear_spec.logic import both, implies, negate


@promise
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
            lambda: negate(old.alive(q)),
            lambda: new.alive(q),
            lambda: new.request(q) == r,
        ),
        now(
            "knows", lambda: new.known_tokens(q) == old.prompt(r), lambda: new.reach_tokens(q) == 0
        ),
        now(
            "holds",
            lambda: new.length(q) == 0,
            lambda: new.slot_tokens(q) == 0,
            lambda: new.promised_samples(q) == 0,
        ),
        request_same(old, new, r, "phase", "queue", "width"),
        *others(old, new, r, lambda x: x == q),
        clocks(old, new),
        free(old, new),
        operations(old, new),
    ]


@promise
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
        clocks(old, new),
        free(old, new),
        operations(old, new),
    ]


def ended(old: Any, new: Any, r: Any) -> list[Part]:
    """The request is over and holds nothing."""
    return [
        now(
            "over",
            lambda: new.phase(r) == FINISHED,
            lambda: new.releases(r) == old.releases(r) + 1,
            lambda: new.width(r) == 0,
            lambda: new.blocks(r) == 0,
        ),
        Part(
            "members_gone",
            ("sequence",),
            lambda q: implies(
                both(old.alive(q), old.request(q) == r),
                both(negate(new.alive(q)), new.length(q) == 0),
            ),
        ),
        Part(
            "nothing",
            ("block",),
            lambda b: implies(both(private(old, b), old.group(b) == r), new.ref(b) == 0),
        ),
        request_same(old, new, r, "phase", "queue", "width", "blocks", "releases"),
        *others(old, new, r, shares=True),
        clocks(old, new),
        operations(old, new),
    ]


@promise
def finish(old: Any, new: Any, r: Any, _: Any) -> list[Part]:
    """Over, holding nothing."""
    return ended(old, new, r)


@promise
def abort(old: Any, new: Any, r: Any, _: Any) -> list[Part]:
    """Over, holding nothing."""
    return ended(old, new, r)
