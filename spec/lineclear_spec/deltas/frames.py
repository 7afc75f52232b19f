# pyright: basic
"""The words in which actions promise: what changes, and that nothing else does.

Guarantees: a frame names every field of every record it speaks of.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lineclear_spec.contracts import Part, attained, grant_of, same
from lineclear_spec.invariants import CPU, GPU, present, private, within
from lineclear_spec.logic import both, implies, negate

REQUEST = (
    "phase",
    "queue",
    "width",
    "blocks",
    "copy",
    "moved",
    "born",
    "releases",
    "prompt",
    "limit",
    "parallel",
)
LAZY = (
    "offset",
    "known_tokens",
    "reach_tokens",
    "slot_tokens",
    "promised_samples",
    "last_step",
    "last_tokens",
    "previous_tokens",
    "last_samples",
    "previous_samples",
)
CALENDARS = ("boundary", "ending")
BLOCK = ("tier", "place", "group", "name", "listed", "readers")
SEQUENCE = (
    "alive", "steady", "drafts", "late_drafts", "void", "length", *LAZY, *CALENDARS,
)  # fmt: skip
OBSERVED = (
    "known",
    "reach",
    "computed",
    "slots",
    "promised",
    "in_flight",
    "length",
    "drafts",
    "owed",
)
CLOCKS = (
    "batch_size",
    "issued",
    "done",
    "carried",
    "barrier",
    "steps",
    "settled",
    "step_tokens",
    "step_sequences",
)

DELTAS: dict[str, Callable[..., list[Part]]] = {}


def promise(promises: Callable[..., list[Part]]) -> Callable[..., list[Part]]:
    """Enter what the action of the same name promises, from (before, after, arguments, result)."""
    DELTAS[promises.__name__] = promises
    return promises


def now(label: str, *conditions: Callable[[], Any]) -> Part:
    """A part without variables."""
    return (label, (), lambda: both(*[condition() for condition in conditions]))


def clocks(old: Any, new: Any, *moving: str) -> Part:
    """Every clock and counter but these stands still."""
    return (
        "frame_clocks",
        (),
        lambda: both(*[getattr(new, c) == getattr(old, c) for c in CLOCKS if c not in moving]),
    )


def free(old: Any, new: Any) -> Part:
    """No place is granted or given up."""
    return now(
        "frame_pools",
        lambda: new.free(GPU) == old.free(GPU),
        lambda: new.free(CPU) == old.free(CPU),
    )


def operations(old: Any, new: Any, *changed: Any) -> Part:
    """No operation but these is opened, closed or ordered anew."""
    return (
        "frame_operations",
        ("operation",),
        lambda o: implies(
            both(o <= old.issued, o >= 1, *[o != c for c in changed]),
            both(new.open(o) == old.open(o), new.wait(o) == old.wait(o)),
        ),
    )


def others(
    old: Any,
    new: Any,
    r: Any,
    mine: Callable[[Any], Any] | None = None,
    *,
    shares: bool = False,
) -> list[Part]:
    """Nothing of any other request changes; of this one, sequences that are not `mine` don't
    either.

    Args:
        old: the state before.
        new: the state after.
        r: the request that the action is about.
        mine: the sequences that it may change; all of the request's if None.
        shares: whether it may change how many entries name a sealed block.
    """

    def foreign(q: Any) -> Any:
        if mine is None:
            return both(old.alive(q), old.request(q) != r)
        return both(old.alive(q), negate(mine(q)))

    return [
        same("frame_requests", "request", old, new, REQUEST, lambda x: x != r),
        (
            "frame_members",
            ("request", "index"),
            lambda x, k: implies(
                both(x != r, within(0, k, old.width(x))), new.member(x, k) == old.member(x, k)
            ),
        ),
        same("frame_sequences", "sequence", old, new, ("request", *SEQUENCE), foreign),
        (
            "frame_tables",
            ("sequence", "index"),
            lambda q, i: implies(
                both(foreign(q), within(0, i, old.length(q))), new.table(q, i) == old.table(q, i)
            ),
        ),
        same(
            "frame_blocks",
            "block",
            old,
            new,
            ("ref", *BLOCK),
            lambda b: both(private(old, b), old.group(b) != r),
        ),
        same(
            "frame_sealed",
            "block",
            old,
            new,
            (*(() if shares else ("ref",)), *BLOCK),
            lambda b: both(present(old, b), present(new, b), old.name(b) != 0),
        ),
    ]


def request_same(old: Any, new: Any, r: Any, *changed: str) -> Part:
    """The request itself changes in nothing but these fields."""
    return now(
        "frame_request",
        *[
            lambda f=f: getattr(new, f)(r) == getattr(old, f)(r)
            for f in REQUEST
            if f not in changed
        ],
    )


def sequence_same(old: Any, new: Any, q: Any, *changed: str) -> Part:
    """The sequence itself changes in nothing but these fields."""
    return now(
        "frame_sequence",
        *[
            lambda f=f: getattr(new, f)(q) == getattr(old, f)(q)
            for f in SEQUENCE
            if f not in changed
        ],
    )


def everything_else(old: Any, new: Any) -> list[Part]:
    """No request, no table and no block changes."""
    return [
        same(
            "frame_requests", "request", old, new, REQUEST, lambda x: old.phase(x) == old.phase(x)
        ),
        (
            "frame_tables",
            ("sequence", "index"),
            lambda q, i: implies(within(0, i, old.length(q)), new.table(q, i) == old.table(q, i)),
        ),
        same(
            "frame_blocks",
            "block",
            old,
            new,
            ("ref", *BLOCK),
            lambda b: present(old, b),
        ),
    ]


def waits(old: Any, new: Any, wait: Callable[[], Any], *known: Any) -> list[Part]:
    """The wait is exactly the largest of the known ones and of the fences of the GPU places that
    were granted: no shorter, so that it is safe, and no longer, so that nothing is held up.
    """
    return [
        now("waits_enough", *[lambda number=number: number <= wait() for number in known]),
        (
            "waits_for_fences",
            ("place",),
            lambda p: implies(grant_of(old, new, p), old.until(GPU, p) <= wait()),
        ),
        ("waits_no_longer", (), lambda: attained(old, new, wait(), *known)),
    ]
