# pyright: basic
"""Invariants of samples that are still to come: which step brings one, and of which tokens it is."""

from __future__ import annotations

from typing import Any

from lineclear_spec.invariants.clause import declare_kv, within
from lineclear_spec.logic import and_, implies, not_, or_


def owes(v: Any, q: Any, s: Any) -> Any:
    """Whether the step, which was issued, still owes the sequence a sample."""
    last = and_(s == v.last_step(q), v.last_samples(q) == 1, v.own_samples(q) >= 1)
    previous = and_(s == v.last_step(q) - 1, v.own_samples(q) > v.last_samples(q))
    return and_(
        v.alive(q),
        within(1, s, v.steps + 1),
        v.if_else(v.in_decode_batch(q), v.committed < s, or_(last, previous)),
    )


def sampled_position(v: Any, q: Any, s: Any) -> Any:
    """The position of the first token that the step samples for the sequence; asked only where `owes(v, q, s)`."""
    newest = v.own_tokens(q) + v.own_samples(q) - 1
    return v.if_else(
        v.in_decode_batch(q),
        v.offset(q) + s,
        v.if_else(s == v.last_step(q), newest, v.own_tokens(q)),
    )


def drafts(v: Any, q: Any) -> Any:
    """Drafts that the step which samples next has computed; one of the two is 0 (`foreseen.late`)."""
    return v.drafts(q) + v.late_drafts(q)


declare_kv(
    "samples",
    "a step that still owes a sequence a sample has computed the position before the sampled one and every "
    "draft behind it, of tokens that are the sequence's own",
    (
        "takes",
        lambda v, q, s: implies(owes(v, q, s), and_(v.takes(v.forward_of(s), q), v.void(q) < s)),
        lambda v, q, s: [
            (v.takes(v.forward_of(s), q),),
            (v.row_relies(v.forward_of(s), q),),
            (v.right(v.forward_of(s), q),),
        ],
    ),
    (
        "first",
        lambda v, q, s: implies(
            owes(v, q, s), v.row_first(v.forward_of(s), q) < sampled_position(v, q, s)
        ),
        lambda v, q, s: [(v.row_first(v.forward_of(s), q),)],
    ),
    (
        "last",
        lambda v, q, s: implies(
            owes(v, q, s),
            v.row_last(v.forward_of(s), q) == sampled_position(v, q, s) + drafts(v, q),
        ),
        lambda v, q, s: [(v.row_last(v.forward_of(s), q),)],
    ),
    (
        "own",
        lambda v, q, s, i: implies(
            and_(owes(v, q, s), within(0, i, v.row_last(v.forward_of(s), q))),
            v.row_kv(v.forward_of(s), q, i) == v.token_kv(q, i),
        ),
        lambda v, q, s, i: [(v.row_kv(v.forward_of(s), q, i),)],
    ),
    (
        "built",
        lambda v, q: implies(
            and_(
                v.alive(q),
                not_(v.in_decode_batch(q)),
                v.last_step(q) == v.steps + 1,
                v.last_samples(q) == 1,
            ),
            and_(
                v.late_drafts(q) == 0,
                v.own_samples(q) >= 1,
                v.own_dispatched(q) == v.own_tokens(q) + v.own_samples(q) - 1 + v.drafts(q),
                v.last_tokens(q) > v.drafts(q),
            ),
        ),
        lambda v, q: [(v.last_step(q),)],
    ),
    (
        "drafts",
        lambda v, q: implies(and_(v.alive(q), v.drafts(q) >= 1), v.last_samples(q) == 1),
        lambda v, q: [(v.drafts(q),)],
    ),
)
