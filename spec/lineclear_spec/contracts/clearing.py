# pyright: basic
"""Contracts of the loops that give them up.

Guarantees: nothing by itself; every promise is proved of the step in `blocks.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lineclear_spec.contracts.contract import Part, contract, in_pool, invariant, same
from lineclear_spec.invariants import CPU, GPU, RUNNING, holds, is_free, private
from lineclear_spec.logic import any_of, both, implies, negate

CLEARING = (
    "free_gpu", "order_gpu", "position_gpu", "until_gpu", "free_cpu", "order_cpu", "position_cpu", "until_cpu",
    "ref", "holder", "rank", "slot", "held", "blocks", "length",
)  # fmt: skip


def given_up(old: Any, new: Any, tier: int, name: str) -> list[Part]:
    """What giving places up does to a pool: free places stay free, and each place given up is fenced."""
    return [
        (
            f"only_frees_{name}",
            ("place",),
            lambda p: implies(
                both(in_pool(old, tier, p), is_free(old, tier, p)), is_free(new, tier, p)
            ),
        ),
        (
            f"fences_{name}",
            ("place",),
            lambda p: implies(
                both(in_pool(old, tier, p), is_free(new, tier, p)),
                any_of(
                    new.until(tier, p) == old.issued,
                    both(is_free(old, tier, p), new.until(tier, p) == old.until(tier, p)),
                ),
            ),
        ),
        (
            f"until_{name}",
            ("place",),
            lambda p: any_of(
                new.until(tier, p) == old.until(tier, p), new.until(tier, p) == old.issued
            ),
        ),
    ]


def rested(old: Any, new: Any) -> Part:
    """A block that can be found and that no entry names any more remembers the last operation that may
    touch it.
    """
    return (
        "rests",
        ("block",),
        lambda b: implies(
            both(old.ref(b) >= 1, new.ref(b) == 0, old.listed(b)),
            new.until(GPU, old.place(b)) == old.issued,
        ),
    )


def one_tier(v: Any, r: Any) -> Part:
    """Requirement: the request's private blocks are GPU blocks if it runs, and CPU blocks otherwise."""
    return (
        "tier",
        ("block",),
        lambda b: implies(
            both(private(v, b), v.group(b) == r),
            v.tier(b) == v.either(v.phase(r) == RUNNING, GPU, CPU),
        ),
    )


contract(
    "clear_table",
    lambda v, q: v.length(q),
    lambda q: CLEARING,
    lambda v, count, q: [one_tier(v, v.request(q))],
    lambda old, new, k, q: [
        ("length", (), lambda: new.length(q) == old.length(q) - k),
        same("lengths", "sequence", old, new, ("length",), lambda x: x != q),
        (
            "ref",
            ("block",),
            lambda b: (
                new.ref(b)
                == old.ref(b)
                - old.either(both(holds(old, q, b), old.index(q, b) >= old.length(q) - k), 1, 0)
            ),
        ),
        same("others", "request", old, new, ("blocks",), lambda r: r != old.request(q)),
        rested(old, new),
        *given_up(old, new, GPU, "gpu"),
        *given_up(old, new, CPU, "cpu"),
    ],
)

RESET = ("reach_tokens", "slot_tokens", "last_tokens", "previous_tokens", "drafts")
WRITTEN = (*RESET, "late_drafts")


def cleared(v: Any, r: Any, k: Any) -> Callable[[Any], Any]:
    """Whether a sequence is one of the first k of the request."""
    return lambda q: both(v.alive(q), v.request(q) == r, v.seat(q) < k)


def written(old: Any, k: Any, r: Any) -> dict[str, Callable[[Any], Any]]:
    """What the counters of each sequence are after k iterations."""
    gone = cleared(old, r, k)
    late, drafts = old.late_drafts, old.drafts

    def reset(name: str) -> Callable[[Any], Any]:
        before = getattr(old, name)
        return lambda q: old.either(gone(q), 0, before(q))

    def largest(q: Any) -> Any:
        return old.either(late(q) >= drafts(q), late(q), drafts(q))

    fields = {name: reset(name) for name in RESET}
    fields["late_drafts"] = lambda q: old.either(gone(q), largest(q), late(q))
    return fields


contract(
    "clear_tables",
    lambda v, r: v.width(r),
    lambda r: (*CLEARING, *WRITTEN),
    lambda v, count, r: [
        one_tier(v, r),
        ("alive", ("sequence",), lambda q: implies(v.length(q) >= 1, v.alive(q))),
        *invariant(v, "members"),
    ],
    lambda old, new, k, r: [
        (
            "cleared",
            ("sequence",),
            lambda q: implies(
                cleared(old, r, k)(q),
                both(new.length(q) == 0, *[getattr(new, f)(q) == 0 for f in RESET]),
            ),
        ),
        (
            "late",
            ("sequence",),
            lambda q: implies(
                cleared(old, r, k)(q),
                new.late_drafts(q)
                == old.either(
                    old.late_drafts(q) >= old.drafts(q), old.late_drafts(q), old.drafts(q)
                ),
            ),
        ),
        same(
            "others",
            "sequence",
            old,
            new,
            ("length", *WRITTEN),
            lambda q: negate(cleared(old, r, k)(q)),
        ),
        same(
            "blocks",
            "block",
            old,
            new,
            ("ref",),
            lambda b: both(old.name(b) == 0, old.group(b) != r),
        ),
        rested(old, new),
        ("fewer", ("block",), lambda b: new.ref(b) <= old.ref(b)),
        same("requests", "request", old, new, ("blocks",), lambda x: x != r),
        *given_up(old, new, GPU, "gpu"),
        *given_up(old, new, CPU, "cpu"),
    ],
    written,
)
