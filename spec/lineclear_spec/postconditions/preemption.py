# pyright: basic
"""Postconditions of the actions of `actions/preemption.py`."""

from __future__ import annotations

from typing import Any

from lineclear_spec.contracts import Part, larger, of_request, part, private_of, same
from lineclear_spec.invariants import CPU, GPU, RUNNING, SWAPPED, WAITING, within
from lineclear_spec.logic import and_, implies, not_
from lineclear_spec.postconditions.frames import (
    clocks,
    ensures,
    none,
    now,
    operations,
    others,
    request_same,
    waits,
)


def carried_over(old: Any, new: Any, r: Any, source: int, target: int, phase: int) -> list[Part]:
    """The same tables and counters in the other tier, one copy for each private block.

    Args:
        old: the state before.
        new: the state after.
        r: the request.
        source: the tier that its blocks leave.
        target: the tier that they get to.
        phase: of the request afterwards.
    """
    number = old.issued + 1
    return [
        now("phase", lambda: new.phase(r) == phase),
        now(
            "pools",
            lambda: new.free(source) == old.free(source) + old.blocks(r),
            lambda: new.free(target) == old.free(target) - old.blocks(r),
        ),
        part(
            "copied",
            lambda b: implies(
                private_of(old, r)(b),
                and_(
                    new.tier(b) == target,
                    new.touch(source, number, old.block_id(b)),
                    new.touch(target, number, new.block_id(b)),
                ),
            ),
        ),
        part("shared", lambda b: and_(new.ref(b) == old.ref(b), new.group(b) == old.group(b))),
        now(
            "operation",
            lambda: new.issued == number,
            lambda: new.open(number),
            lambda: not_(new.compute(number)),
            lambda: new.outward(number) == (target == CPU),
            lambda: not_(new.is_forward(number)),
            lambda: new.request_of(number) == r,
            lambda: new.open_swap(r) == number,
            lambda: new.last_swap(r) == number,
        ),
        request_same(old, new, r, "phase", "queue", "open_swap", "last_swap"),
        *others(old, new, r, none),
        clocks(old, new, "issued", "barrier"),
        operations(old, new),
    ]


@ensures
def swap_out(old: Any, new: Any, r: Any, _: Any) -> list[Part]:
    """On the CPU, after everything decided before."""
    return [
        now(
            "waits", lambda: new.wait(new.issued) == old.issued, lambda: new.barrier == old.barrier
        ),
        *carried_over(old, new, r, GPU, CPU, SWAPPED),
    ]


@ensures
def swap_in(old: Any, new: Any, r: Any, _: Any) -> list[Part]:
    """On the GPU, and the next step waits for it."""
    return [
        now("waited", lambda: new.barrier == new.issued),
        *waits(old, new, lambda: new.wait(new.issued), old.barrier, old.last_swap(r)),
        *carried_over(old, new, r, CPU, GPU, RUNNING),
    ]


def voided(old: Any, new: Any, r: Any, condition: Any) -> Part:
    """Under the condition, what steps so far sample for the request is void; else its samples stay.

    Args:
        old: the state before.
        new: the state after.
        r: the request.
        condition: of the state before; False if samples stay in any case.
    """
    return part(
        "void",
        lambda q: implies(
            of_request(old, r)(q),
            and_(
                new.scheduled_samples(q) == old.if_else(condition, 0, old.scheduled_samples(q)),
                new.void(q) == old.if_else(condition, old.steps, old.void(q)),
                new.last_samples(q) == old.if_else(condition, 0, old.last_samples(q)),
                new.late_drafts(q)
                == old.if_else(condition, 0, larger(old, old.late_drafts(q), old.drafts(q))),
            ),
        ),
    )


def freed(old: Any, new: Any, r: Any, *kept: str) -> list[Part]:
    """The request waits and holds nothing; what its sequences know stays, and the fields that are `kept`.

    Args:
        old, new: state before and after.
        r: request.
        kept: fields of it.
    """
    mine = of_request(old, r)
    return [
        now(
            "waits",
            lambda: new.phase(r) == WAITING,
            lambda: new.blocks(r) == 0,
            lambda: new.open_swap(r) == 0,
        ),
        part(
            "reset",
            lambda q: implies(
                mine(q),
                and_(
                    new.length(q) == 0,
                    new.num_dispatched_tokens(q) == 0,
                    new.num_allocated_slots(q) == 0,
                    new.in_flight(q) == 0,
                ),
            ),
        ),
        same(
            "kept",
            "sequence",
            old,
            new,
            ("alive", "own_tokens", "last_step", "in_decode_batch", *kept),
            mine,
        ),
        part("nothing", lambda b: implies(private_of(old, r)(b), new.ref(b) == 0)),
        part(
            "members",
            lambda k: implies(within(0, k, old.width(r)), new.member(r, k) == old.member(r, k)),
        ),
        request_same(old, new, r, "phase", "queue", "open_swap", "blocks"),
        *others(old, new, r, shares=True),
        clocks(old, new),
    ]


@ensures
def recompute(old: Any, new: Any, r: Any, _: Any) -> list[Part]:
    """Waiting, holding nothing, with known tokens kept; samples to come too, unless its swap-in is still open:
    then they are void, as they may rely on a copy that fails.
    """
    return [
        *freed(old, new, r),
        voided(old, new, r, old.open_swap(r) >= 1),
        operations(old, new),
    ]


@ensures
def discard_swapped(old: Any, new: Any, r: Any, _: Any) -> list[Part]:
    """Waiting, holding nothing, with known tokens and samples to come kept."""
    return [
        *freed(old, new, r, "previous_samples"),
        voided(old, new, r, False),
        operations(old, new),
    ]
