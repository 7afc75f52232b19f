# pyright: basic
"""What the actions of `actions/preemption.py` promise.

Guarantees: nothing by itself; every promise is proved.
"""

from __future__ import annotations

from typing import Any

from lineclear_spec.contracts import Part, same
from lineclear_spec.deltas.frames import (
    clocks,
    now,
    operations,
    others,
    promise,
    request_same,
    waits,
)
from lineclear_spec.invariants import CPU, GPU, RUNNING, SWAPPED, WAITING, private, within
from lineclear_spec.logic import both, implies, negate


def carried_over(old: Any, new: Any, r: Any, source: int, target: int, phase: int) -> list[Part]:
    """The same tables and counters in the other tier, one copy for each distinct block."""
    number = old.issued + 1
    return [
        now("phase", lambda: new.phase(r) == phase),
        now(
            "pools",
            lambda: new.free(source) == old.free(source) + old.blocks(r),
            lambda: new.free(target) == old.free(target) - old.blocks(r),
        ),
        (
            "copied",
            ("block",),
            lambda b: implies(
                both(private(old, b), old.group(b) == r),
                both(
                    new.tier(b) == target,
                    new.touch(source, number, old.place(b)),
                    new.touch(target, number, new.place(b)),
                ),
            ),
        ),
        (
            "shared",
            ("block",),
            lambda b: both(new.ref(b) == old.ref(b), new.group(b) == old.group(b)),
        ),
        now(
            "operation",
            lambda: new.issued == number,
            lambda: new.open(number),
            lambda: negate(new.compute(number)),
            lambda: negate(new.is_forward(number)),
            lambda: new.request_of(number) == r,
            lambda: new.copy(r) == number,
            lambda: new.moved(r) == number,
        ),
        request_same(old, new, r, "phase", "queue", "copy", "moved"),
        *others(old, new, r, lambda q: q != q),
        clocks(old, new, "issued", "barrier"),
        operations(old, new),
    ]


@promise
def swap_out(old: Any, new: Any, r: Any, _: Any) -> list[Part]:
    """On the CPU, after everything decided before."""
    return [
        now(
            "waits", lambda: new.wait(new.issued) == old.issued, lambda: new.barrier == old.barrier
        ),
        *carried_over(old, new, r, GPU, CPU, SWAPPED),
    ]


@promise
def swap_in(old: Any, new: Any, r: Any, _: Any) -> list[Part]:
    """On the GPU, and the next step waits for it."""
    return [
        now("waited", lambda: new.barrier == new.issued),
        *waits(old, new, lambda: new.wait(new.issued), old.barrier, old.moved(r)),
        *carried_over(old, new, r, CPU, GPU, RUNNING),
    ]


def larger(v: Any, first: Any, second: Any) -> Any:
    """The larger of two numbers."""
    return v.either(first >= second, first, second)


def voided(old: Any, new: Any, r: Any, condition: Any) -> Part:
    """Under the condition, what steps so far sample for the request is void; else its samples
    stay.
    """
    return (
        "void",
        ("sequence",),
        lambda q: implies(
            both(old.alive(q), old.request(q) == r),
            both(
                new.promised(q) == old.either(condition, 0, old.promised(q)),
                new.void(q) == old.either(condition, old.steps, old.void(q)),
                new.last_samples(q) == old.either(condition, 0, old.last_samples(q)),
                new.late_drafts(q)
                == old.either(condition, 0, larger(old, old.late_drafts(q), old.drafts(q))),
            ),
        ),
    )


def given_back(old: Any, new: Any, r: Any, *changed: str) -> list[Part]:
    """The request waits and holds nothing; what its sequences know stays."""

    def mine(q: Any) -> Any:
        return both(old.alive(q), old.request(q) == r)

    return [
        now(
            "waits",
            lambda: new.phase(r) == WAITING,
            lambda: new.blocks(r) == 0,
            lambda: new.copy(r) == 0,
        ),
        (
            "reset",
            ("sequence",),
            lambda q: implies(
                mine(q),
                both(
                    new.length(q) == 0,
                    new.reach(q) == 0,
                    new.slots(q) == 0,
                    new.in_flight(q) == 0,
                ),
            ),
        ),
        same(
            "kept",
            "sequence",
            old,
            new,
            ("alive", "known_tokens", "last_step", "steady", *changed),
            mine,
        ),
        (
            "nothing",
            ("block",),
            lambda b: implies(both(private(old, b), old.group(b) == r), new.ref(b) == 0),
        ),
        (
            "members",
            ("index",),
            lambda k: implies(within(0, k, old.width(r)), new.member(r, k) == old.member(r, k)),
        ),
        request_same(old, new, r, "phase", "queue", "copy", "blocks"),
        *others(old, new, r, shares=True),
        clocks(old, new),
    ]


@promise
def recompute(old: Any, new: Any, r: Any, _: Any) -> list[Part]:
    """Waiting, holding nothing, with known and promised tokens kept."""
    return [
        *given_back(old, new, r),
        voided(old, new, r, old.copy(r) >= 1),
        operations(old, new),
    ]


@promise
def discard_swapped(old: Any, new: Any, r: Any, _: Any) -> list[Part]:
    """Waiting, holding nothing, with known and promised tokens kept."""
    return [
        *given_back(old, new, r, "previous_samples"),
        voided(old, new, r, old.phase(r) != SWAPPED),
        operations(old, new),
    ]
