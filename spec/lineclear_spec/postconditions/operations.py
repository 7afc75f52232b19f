# pyright: basic
"""Postconditions of the actions of `actions/operations.py`."""

from __future__ import annotations

from typing import Any

from lineclear_spec.contracts import Part, part
from lineclear_spec.invariants import RUNNING
from lineclear_spec.logic import and_, implies, not_
from lineclear_spec.postconditions.frames import (
    all_records_same,
    blocks_same,
    clocks,
    ensures,
    free,
    now,
    operations,
    requests_same,
    sequences_same,
    tables_same,
)
from lineclear_spec.postconditions.preemption import freed, voided


@ensures
def complete_copy(old: Any, new: Any, number: Any, _: Any) -> list[Part]:
    """The copy is closed, and its request waits for it no longer."""
    return [
        now("closed", lambda: not_(new.open(number))),
        part(
            "waited",
            lambda r: (
                new.open_swap(r)
                == old.if_else(
                    and_(old.open_swap(r) == number, old.open_swap(r) >= 1), 0, old.open_swap(r)
                )
            ),
        ),
        requests_same(old, new, "open_swap"),
        sequences_same(old, new),
        tables_same(old, new),
        blocks_same(old, new),
        clocks(old, new),
        free(old, new),
        operations(old, new, number),
    ]


@ensures
def fail_copy(old: Any, new: Any, r: Any, _: Any) -> list[Part]:
    """Waiting, holding nothing; samples are void if the copy in failed, on which they rest, and stay if the copy
    out did.
    """
    return [
        *freed(old, new, r),
        now("closed", lambda: not_(new.open(old.open_swap(r)))),
        voided(old, new, r, old.phase(r) == RUNNING),
        operations(old, new, old.open_swap(r)),
    ]


def quiet(old: Any, new: Any, clock: str) -> list[Part]:
    """Nothing but this clock changes."""
    return [
        *all_records_same(old, new),
        clocks(old, new, clock),
        free(old, new),
        operations(old, new),
    ]


@ensures
def dispatch_copies(old: Any, new: Any, _: Any) -> list[Part]:
    """Every operation decided is in a plan."""
    return [
        now(
            "dispatched",
            lambda: new.dispatched == old.issued,
            lambda: new.dispatched > old.dispatched,
        ),
        *quiet(old, new, "dispatched"),
    ]


@ensures
def lift_fences(old: Any, new: Any, _: Any) -> list[Part]:
    """Every operation up to the new mark is complete."""
    return [
        now("further", lambda: new.done > old.done, lambda: new.done <= old.issued),
        part("complete", lambda o: implies(and_(old.done < o, o <= new.done), not_(old.open(o)))),
        *quiet(old, new, "done"),
    ]
