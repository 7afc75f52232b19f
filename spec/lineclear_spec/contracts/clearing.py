# pyright: basic
"""Contracts of the block steps that free blocks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lineclear_spec.contracts.contract import (
    Part,
    contract,
    in_pool,
    invariant,
    larger,
    of_request,
    part,
    private_of,
    same,
)
from lineclear_spec.invariants import CPU, GPU, RUNNING, holds, is_free
from lineclear_spec.logic import and_, implies, not_, or_

CLEARING = (
    "free_gpu", "order_gpu", "position_gpu", "last_use_gpu", "free_cpu", "order_cpu", "position_cpu", "last_use_cpu",
    "ref", "holder", "holder_index", "held_index", "held", "blocks", "length",
)  # fmt: skip


def freed(old: Any, new: Any, tier: int, name: str) -> list[Part]:
    """What putting block ids back does to a pool: free blocks stay free, and each one put back is fenced by the
    operation decided last.

    Args:
        old: the state before.
        new: the state after.
        tier: of the pool.
        name: of the tier, in the labels.
    """
    return [
        part(
            f"only_frees_{name}",
            lambda p: implies(
                and_(in_pool(old, tier, p), is_free(old, tier, p)), is_free(new, tier, p)
            ),
        ),
        part(
            f"fences_{name}",
            lambda p: implies(
                and_(in_pool(old, tier, p), is_free(new, tier, p)),
                or_(
                    new.last_use(tier, p) == old.issued,
                    and_(is_free(old, tier, p), new.last_use(tier, p) == old.last_use(tier, p)),
                ),
            ),
        ),
        part(
            f"last_use_{name}",
            lambda p: or_(
                new.last_use(tier, p) == old.last_use(tier, p), new.last_use(tier, p) == old.issued
            ),
        ),
    ]


def rested(old: Any, new: Any) -> Part:
    """A block that comes to rest is fenced with the last operation decided."""
    return part(
        "rests",
        lambda b: implies(
            and_(old.ref(b) >= 1, new.ref(b) == 0, old.listed(b)),
            new.last_use(GPU, old.block_id(b)) == old.issued,
        ),
    )


def one_tier(v: Any, r: Any) -> Part:
    """Requirement: the request's private blocks are GPU blocks if it runs, and CPU blocks otherwise."""
    return part(
        "tier",
        lambda b: implies(
            private_of(v, r)(b),
            v.tier(b) == v.if_else(v.phase(r) == RUNNING, GPU, CPU),
        ),
    )


contract(
    "clear_table",
    count=lambda v, q: v.length(q),
    modifies=lambda q: CLEARING,
    requirements=lambda v, count, q: [one_tier(v, v.request(q))],
    ensures=lambda old, new, count, q: [
        part("length", lambda: new.length(q) == 0),
        same("lengths", "sequence", old, new, ("length",), lambda x: x != q),
        part("ref", lambda b: new.ref(b) == old.ref(b) - old.if_else(holds(old, q, b), 1, 0)),
        same("others", "request", old, new, ("blocks",), lambda r: r != old.request(q)),
        rested(old, new),
        *freed(old, new, GPU, "gpu"),
        *freed(old, new, CPU, "cpu"),
    ],
)

RESET = ("own_dispatched", "own_slots", "last_tokens", "previous_tokens", "drafts")
WRITTEN = (*RESET, "late_drafts")


def late_drafts(v: Any, q: Any) -> Any:
    """Drafts of the sequence that are late once it is cleared; one of the two is 0 (`foreseen.late`)."""
    return larger(v, v.late_drafts(q), v.drafts(q))


def written(old: Any, _count: Any, r: Any) -> dict[str, Callable[[Any], Any]]:
    """What the counters of each sequence are once the tables of the request are cleared."""
    gone = of_request(old, r)

    def reset(name: str) -> Callable[[Any], Any]:
        before = getattr(old, name)
        return lambda q: old.if_else(gone(q), 0, before(q))

    fields = {name: reset(name) for name in RESET}
    fields["late_drafts"] = lambda q: old.if_else(gone(q), late_drafts(old, q), old.late_drafts(q))
    return fields


contract(
    "clear_tables",
    count=lambda v, r: v.width(r),
    modifies=lambda r: (*CLEARING, *WRITTEN),
    requirements=lambda v, count, r: [
        one_tier(v, r),
        part("alive", lambda q: implies(v.length(q) >= 1, v.alive(q))),
        *invariant(v, "members"),
    ],
    ensures=lambda old, new, count, r: [
        part(
            "cleared",
            lambda q: implies(
                of_request(old, r)(q),
                and_(new.length(q) == 0, *[getattr(new, f)(q) == 0 for f in RESET]),
            ),
        ),
        part(
            "late",
            lambda q: implies(of_request(old, r)(q), new.late_drafts(q) == late_drafts(old, q)),
        ),
        same(
            "others",
            "sequence",
            old,
            new,
            ("length", *WRITTEN),
            lambda q: not_(of_request(old, r)(q)),
        ),
        same(
            "blocks",
            "block",
            old,
            new,
            ("ref",),
            lambda b: and_(old.name(b) == 0, old.group(b) != r),
        ),
        rested(old, new),
        part("fewer", lambda b: new.ref(b) <= old.ref(b)),
        same("requests", "request", old, new, ("blocks",), lambda x: x != r),
        *freed(old, new, GPU, "gpu"),
        *freed(old, new, CPU, "cpu"),
    ],
    exact=written,
)
