# pyright: basic
"""The parts that several actions ensure: what changes, and that nothing else does (*frames*).

A postcondition is a list of parts, from the state before (`old`), the state after (`new`), the action's arguments
and its result (`_` where there is none). The letters are those of the invariants (`invariants/clause.py`).

A frame names its fields. Every field of the state, those of KV aside, is in one of the tuples below, is written out in
the parts (`ref`, `request`, `member`, `table`, `free`, `open`, `wait`), or is in `LEFT_OUT`, which says why not.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lineclear_spec.contracts import (
    Part,
    alike,
    allocation_of,
    attained,
    but,
    entries_same,
    part,
    same,
)
from lineclear_spec.invariants import CPU, GPU, is_free, present, private, within
from lineclear_spec.logic import add_once, and_, implies, not_

REQUEST = (
    "phase", "queue", "width", "blocks", "open_swap", "last_swap", "born", "releases", "prompt", "limit", "parallel",
)  # fmt: skip
#: Counters that mean nothing while a sequence is in the decode batch, and the offset, which means something only then.
OWN_COUNTERS = (
    "offset", "own_tokens", "own_dispatched", "own_slots", "own_samples", "last_step", "last_tokens",
    "previous_tokens", "last_samples", "previous_samples",
)  # fmt: skip
CALENDARS = ("boundary", "ending")
SEQUENCE = (
    "alive", "in_decode_batch", "drafts", "late_drafts", "void", "length", *OWN_COUNTERS, *CALENDARS,
)  # fmt: skip
BLOCK = ("tier", "block_id", "group", "name", "listed", "readers")
#: What counters mean, however they are kept: questions of `kernel/queries.py`, and fields.
OBSERVED = (
    "num_tokens", "num_dispatched_tokens", "num_computed_tokens", "num_allocated_slots", "scheduled_samples",
    "in_flight", "length", "drafts", "pending_samples",
)  # fmt: skip
CLOCKS = (
    "decode_batch_size", "issued", "done", "dispatched", "barrier", "steps", "committed", "step_tokens",
    "step_sequences",
)  # fmt: skip
#: Fields of which no frame speaks, by the reason.
LEFT_OUT: dict[str, tuple[str, ...]] = {
    "given by the caller and written by no action but that which makes a sequence": ("block_name", "prompt_names"),
    "an order or an inverse map: invariants fix it, up to an order that is never read": (
        "order", "position", "owner", "held_index", "held", "holder", "holder_index", "index", "member_index",
        "decode_batch", "decode_batch_index",
    ),
    "of a block id that is not taken, until it is: `fence` says what it has to be": ("last_use",),
    "of the names that lead to a block, fixed by `name` and `listed` (`catalogue`)": ("cached",),
    "of an operation, written where it is numbered, as other parts of that action's postcondition say": (
        "is_forward", "compute", "outward", "request_of", "forward_of", "step_of", "tokens_of", "sequences_of",
    ),
    "of what plans send of tables: `sent` says what it has to be": (
        "whole", "heard", "sent_length", "queued_length", "sent_block_id",
    ),
    "of an operation and the block ids that it touches: contracts of block steps say which": ("touch", "source"),
}  # fmt: skip

POSTCONDITIONS: dict[str, Callable[..., list[Part]]] = {}


def ensures(postcondition: Callable[..., list[Part]]) -> Callable[..., list[Part]]:
    """Enter what the action of the same name ensures, from (before, after, *arguments, result)."""
    add_once(POSTCONDITIONS, postcondition.__name__, postcondition)
    return postcondition


def now(label: str, *conditions: Callable[[], Any]) -> Part:
    """A part without variables."""
    return part(label, lambda: and_(*[condition() for condition in conditions]))


def clocks(old: Any, new: Any, *moving: str) -> Part:
    """Every clock and counter but these stands still."""
    still = but(CLOCKS, *moving)
    return part("frame_clocks", lambda: and_(*[getattr(new, c) == getattr(old, c) for c in still]))


def free(old: Any, new: Any) -> Part:
    """In each pool the same block ids are free."""
    return part(
        "frame_pools",
        lambda p: and_(
            *[new.free(tier) == old.free(tier) for tier in (GPU, CPU)],
            *[
                implies(
                    within(0, p, old.total(tier)), is_free(new, tier, p) == is_free(old, tier, p)
                )
                for tier in (GPU, CPU)
            ],
        ),
    )


def operations(old: Any, new: Any, *changed: Any) -> Part:
    """No operation but these is opened, closed or ordered anew."""
    return part(
        "frame_operations",
        lambda o: implies(
            and_(o <= old.issued, o >= 1, *[o != c for c in changed]),
            and_(new.open(o) == old.open(o), new.wait(o) == old.wait(o)),
        ),
    )


def every(_record: Any) -> bool:
    """Of a frame that speaks of every record."""
    return True


def none(_record: Any) -> bool:
    """Of a frame with no exception."""
    return False


def others(
    old: Any,
    new: Any,
    r: Any,
    mine: Callable[[Any], Any] | None = None,
    *,
    shares: bool = False,
) -> list[Part]:
    """Nothing of any other request changes; of this one, sequences that are not `mine` don't either.

    Args:
        old: the state before.
        new: the state after.
        r: the request that the action is about.
        mine: the sequences that it may change; all of the request's if None.
        shares: whether it may change how many entries name a sealed block.
    """
    return all_others(old, new, lambda x: x != r, mine, shares=shares)


def all_others(
    old: Any,
    new: Any,
    other: Callable[[Any], Any],
    mine: Callable[[Any], Any] | None = None,
    *,
    shares: bool = False,
) -> list[Part]:
    """As `others`, of an action that is about several requests.

    Args:
        old, new, mine, shares: see `others`.
        other: the requests that it is not about.
    """
    return [
        *other_requests(old, new, other),
        *other_sequences(old, new, other, mine),
        same(
            "frame_blocks",
            "block",
            old,
            new,
            ("ref", *BLOCK),
            lambda b: and_(private(old, b), other(old.group(b))),
        ),
        same(
            "frame_sealed",
            "block",
            old,
            new,
            (*(() if shares else ("ref",)), *BLOCK),
            lambda b: and_(present(old, b), present(new, b), old.name(b) != 0),
        ),
    ]


def other_requests(old: Any, new: Any, other: Callable[[Any], Any]) -> list[Part]:
    """No other request changes, nor which sequences it has."""
    return [
        same("frame_requests", "request", old, new, REQUEST, other),
        Part(
            "frame_members",
            ("request", "index"),
            lambda x, k: implies(
                and_(other(x), within(0, k, old.width(x))), new.member(x, k) == old.member(x, k)
            ),
        ),
    ]


def other_sequences(
    old: Any, new: Any, other: Callable[[Any], Any], mine: Callable[[Any], Any] | None
) -> list[Part]:
    """No sequence that is not one of `mine` changes, nor its table; if `mine` is None, no sequence of another request.

    Args:
        old, new, mine: see `others`.
        other: the requests that the action is not about.
    """

    def foreign(q: Any) -> Any:
        return and_(old.alive(q), other(old.request(q)) if mine is None else not_(mine(q)))

    return [
        same("frame_sequences", "sequence", old, new, ("request", *SEQUENCE), foreign),
        entries_same("frame_tables", old, new, foreign),
    ]


def request_same(old: Any, new: Any, r: Any, *changed: str) -> Part:
    """The request itself changes in nothing but these fields.

    Args:
        old, new: state before and after.
        r: request.
        changed: fields that may change.
    """
    return part("frame_request", lambda: alike(old, new, r, but(REQUEST, *changed)))


def sequence_same(old: Any, new: Any, q: Any, *changed: str) -> Part:
    """The sequence itself changes in nothing but these fields.

    Args:
        old, new: state before and after.
        q: sequence.
        changed: fields that may change.
    """
    return part("frame_sequence", lambda: alike(old, new, q, but(SEQUENCE, *changed)))


def requests_same(old: Any, new: Any, *changed: str) -> Part:
    """Requests change in nothing but these fields."""
    return same("frame_requests", "request", old, new, but(REQUEST, *changed), every)


def sequences_same(old: Any, new: Any) -> Part:
    """No sequence that is alive changes; of its table, the length does not."""
    fields = ("request", *SEQUENCE)
    return same("frame_sequences", "sequence", old, new, fields, lambda q: old.alive(q))


def tables_same(old: Any, new: Any) -> Part:
    """Every entry of a table refers to the block that it referred to."""
    return entries_same("frame_tables", old, new)


def blocks_same(old: Any, new: Any, besides: Any = None) -> Part:
    """No block that is `present` changes, except `besides` if it is given."""
    return same(
        "frame_blocks",
        "block",
        old,
        new,
        ("ref", *BLOCK),
        lambda b: present(old, b) if besides is None else and_(present(old, b), b != besides),
    )


def all_records_same(old: Any, new: Any, besides: Any = None) -> list[Part]:
    """No request, no sequence, no table and no block but one, if it is given, changes."""
    return [
        sequences_same(old, new),
        requests_same(old, new),
        tables_same(old, new),
        blocks_same(old, new, besides),
    ]


def rest_same(old: Any, new: Any) -> list[Part]:
    """No clock, no pool and no operation changes."""
    return [clocks(old, new), free(old, new), operations(old, new)]


def waits(old: Any, new: Any, wait: Callable[[], Any], *at_least: Any) -> list[Part]:
    """The wait is exactly the largest of some numbers and of the fences of the GPU blocks that
    were allocated: no shorter, so that it is safe, and no longer, so that nothing is held up.

    Args:
        old: the state before.
        new: the state after.
        wait: the number up to which operations are waited for.
        at_least: numbers that it has to reach whatever was allocated.
    """
    return [
        now("waits_enough", *[lambda number=number: number <= wait() for number in at_least]),
        part(
            "waits_for_fences",
            lambda p: implies(allocation_of(old, new, p), old.last_use(GPU, p) <= wait()),
        ),
        part("waits_no_longer", lambda: attained(old, new, wait(), *at_least)),
    ]
