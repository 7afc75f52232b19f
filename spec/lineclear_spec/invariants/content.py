# pyright: basic
"""Invariants of what tables name: blocks hold the KV of the tokens of those who name them."""

from __future__ import annotations

from typing import Any

from lineclear_spec.invariants.clause import (
    GPU,
    NEW,
    RUNNING,
    WAITING,
    declare_kv,
    each_tier,
    present,
    within,
)
from lineclear_spec.logic import and_, implies, not_, or_


def issued_reach(v: Any, q: Any) -> Any:
    """Positions computed or being computed by a step that was issued: `num_dispatched_tokens` without the step
    being built.
    """
    building = v.if_else(v.in_decode_batch(q), False, v.last_step(q) == v.steps + 1)
    return v.num_dispatched_tokens(q) - v.if_else(building, v.last_tokens(q), 0)


def named(v: Any, tier: int, q: Any, i: Any) -> Any:
    """Whether the sequence has the position, and lies there in a block of the tier.

    Args:
        v: the state.
        tier: GPU or CPU.
        q: the sequence.
        i: the position.
    """
    k = v.block_of(i)
    return and_(
        v.alive(q),
        within(0, i, issued_reach(v, q)),
        within(0, k, v.length(q)),
        v.tier(v.table(q, k)) == tier,
    )


def now(v: Any, field: str, tier: int, b: Any, i: Any) -> Any:
    """A field, `content` or `relies`, of the slot in which a block has a position, once every operation decided so
    far is done.

    Args:
        v: the state.
        field: its name.
        tier: of the block.
        b: the block.
        i: the position.
    """
    p = v.block_id(b)
    return getattr(v, field)(tier, v.version(tier, p), p, v.slot_of(i))


def at_entry(v: Any, q: Any, i: Any) -> list[tuple[Any, ...]]:
    """Patterns of a clause about a position of a sequence."""
    return [(v.table(q, v.block_of(i)), v.slot_of(i))]


def trusted(v: Any, number: Any) -> Any:
    """Whether a copy is none, or known to have succeeded."""
    return or_(number == 0, v.good(number))


declare_kv(
    "holds",
    "every position that issued steps compute lies in the block that the table gives, with the KV of the "
    "sequence's own tokens, and relies on no copy but the one that its request waits for",
    *each_tier(
        "own",
        lambda t: (
            lambda v, q, i: implies(
                named(v, t, q, i),
                now(v, "content", t, v.table(q, v.block_of(i)), i) == v.token_kv(q, i),
            ),
            at_entry,
        ),
    ),
    *each_tier(
        "relies",
        lambda t: (
            lambda v, q, i: implies(
                named(v, t, q, i),
                or_(
                    trusted(v, now(v, "relies", t, v.table(q, v.block_of(i)), i)),
                    now(v, "relies", t, v.table(q, v.block_of(i)), i) == v.open_swap(v.request(q)),
                ),
            ),
            at_entry,
        ),
    ),
)


def in_named_block(v: Any, b: Any, i: Any) -> Any:
    """Whether the position lies in blocks of that name, and the block has one."""
    return and_(present(v, b), v.name(b) >= 1, i >= 0, v.block_of(i) == v.preceding(v.name(b)))


declare_kv(
    "cached",
    "a block with a name holds the KV of the tokens of that name, and relies on no copy that may fail",
    (
        "content",
        lambda v, b, i: implies(
            in_named_block(v, b, i), now(v, "content", GPU, b, i) == v.name_kv(v.name(b), i)
        ),
        lambda v, b, i: [(v.name(b), v.slot_of(i))],
    ),
    (
        "relies",
        lambda v, b, i: implies(in_named_block(v, b, i), trusted(v, now(v, "relies", GPU, b, i))),
        lambda v, b, i: [(v.name(b), v.slot_of(i))],
    ),
)


declare_kv(
    "tokens",
    "names mean the tokens that a sequence knows, and every sequence of a request begins with its prompt",
    (
        "prompt",
        lambda v, q, i: implies(
            and_(v.alive(q), within(0, i, v.prompt(v.request(q)))),
            v.token_kv(q, i) == v.prompt_kv(v.request(q), i),
        ),
        lambda v, q, i: [(v.token_kv(q, i),)],
    ),
    (
        "name",
        lambda v, q, i: implies(
            and_(
                v.alive(q),
                i >= 0,
                v.block_of(i) < v.block_of(v.num_tokens(q)),
                v.block_name(q, v.block_of(i)) >= 1,
            ),
            v.token_kv(q, i) == v.name_kv(v.block_name(q, v.block_of(i)), i),
        ),
        lambda v, q, i: [(v.token_kv(q, i), v.block_name(q, v.block_of(i)))],
    ),
)


declare_kv(
    "foreseen",
    "nothing builds on drafts that were dropped before they were verified",
    (
        "late",
        lambda v, q: implies(
            and_(v.alive(q), v.late_drafts(q) >= 1),
            and_(
                v.drafts(q) == 0,
                v.scheduled_samples(q) == 1,
                v.num_dispatched_tokens(q) <= v.num_tokens(q),
            ),
        ),
        lambda v, q: [(v.late_drafts(q),)],
    ),
)

declare_kv(
    "vouched",
    "a sample that may still come was computed by a forward whose copy has succeeded, or is the one that the "
    "running request still waits for; the forward takes the sequence's own tokens",
    (
        "sample",
        lambda v, n, q: implies(
            and_(v.takes(n, q), v.alive(q), v.step_of(n) > v.void(q)),
            or_(
                trusted(v, v.row_relies(n, q)),
                and_(
                    v.row_relies(n, q) == v.open_swap(v.request(q)),
                    v.phase(v.request(q)) == RUNNING,
                ),
            ),
        ),
        lambda v, n, q: [(v.takes(n, q),)],
    ),
    (
        "waits",
        lambda v, n, q: implies(v.takes(n, q), v.row_relies(n, q) <= v.wait(n)),
        lambda v, n, q: [(v.takes(n, q),)],
    ),
    (
        "barrier",
        lambda v, r: and_(
            implies(v.phase(r) == RUNNING, v.open_swap(r) <= v.barrier),
            implies(or_(v.phase(r) == NEW, v.phase(r) == WAITING), v.open_swap(r) == 0),
        ),
        lambda v, r: [(v.open_swap(r),)],
    ),
    (
        "step",
        lambda v, s: implies(
            and_(1 <= s, s <= v.steps),
            and_(
                v.step_of(v.forward_of(s)) == s,
                v.is_forward(v.forward_of(s)),
                within(1, v.forward_of(s), v.issued + 1),
            ),
        ),
        lambda v, s: [(v.forward_of(s),)],
    ),
    (
        "forward",
        lambda v, n: implies(
            and_(1 <= n, n <= v.issued, v.is_forward(n)),
            and_(within(1, v.step_of(n), v.steps + 1), v.forward_of(v.step_of(n)) == n),
        ),
        lambda v, n: [(v.step_of(n),)],
    ),
    (
        "closed",
        lambda v, s: implies(and_(1 <= s, s <= v.committed), not_(v.open(v.forward_of(s)))),
        lambda v, s: [(v.forward_of(s),)],
    ),
)
