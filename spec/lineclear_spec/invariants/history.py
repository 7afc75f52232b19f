# pyright: basic
"""Invariants of what operations write: copies, forwards, and the plan of each forward.

None of this is ever written again: it says of an operation what was decided when it was numbered. What a
block id holds *relies* on the one copy without which it would be something else: 0 if there is none, -1 if
what it holds is never to be used.
"""

from __future__ import annotations

from typing import Any

from lineclear_spec.invariants.clause import CPU, GPU, KvPart, declare_kv, each_tier, within
from lineclear_spec.logic import and_, implies, not_, or_


def copies_in(v: Any, o: Any, p: Any) -> Any:
    """Whether the operation copies to the GPU block from the CPU."""
    return and_(v.writes(GPU, o, p), not_(v.compute(o)))


def twins(v: Any, o: Any, p: Any) -> Any:
    """Whether the operation copies to the GPU block from another one."""
    return and_(v.writes(GPU, o, p), v.compute(o), not_(v.is_forward(o)))


def copied(label: str, target: int, source: int, copies: Any, own: bool) -> list[KvPart]:
    """What one kind of copy brings: what its source holds when it meets it.

    Args:
        label: of the parts.
        target: the tier that it writes.
        source: the tier that it reads.
        copies: whether the operation is one that writes the block id, from (view, operation, block id).
        own: whether the copy may fail, as swaps may, so that what it brings relies on it; a copy on write passes
            on what its source relies on.
    """

    def origin(v: Any, o: Any, p: Any, k: Any, field: str) -> Any:
        block_id = v.source(target, o, p)
        return getattr(v, field)(source, v.expected(source, o, block_id), block_id, k)

    def relies(v: Any, o: Any, p: Any, k: Any) -> Any:
        there, before = v.relies(target, o, p, k), origin(v, o, p, k, "relies")
        if not own:
            return there == before
        return or_(there == -1, and_(there == o, or_(before == 0, v.good(before))))

    parts: list[KvPart] = [
        (
            f"source_{label}",
            lambda v, o, p: implies(copies(v, o, p), v.touch(source, o, v.source(target, o, p))),
            lambda v, o, p: [(v.source(target, o, p), v.writes(target, o, p))],
        ),
        (
            f"content_{label}",
            lambda v, o, p, k: implies(
                copies(v, o, p), v.content(target, o, p, k) == origin(v, o, p, k, "content")
            ),
            lambda v, o, p, k: [(v.source(target, o, p), v.content(target, o, p, k))],
        ),
        (
            f"relies_{label}",
            lambda v, o, p, k: implies(copies(v, o, p), relies(v, o, p, k)),
            lambda v, o, p, k: [(v.source(target, o, p), v.relies(target, o, p, k))],
        ),
    ]
    if own:
        parts.append(
            (
                f"fails_{label}",
                lambda v, o, p, k: implies(
                    copies(v, o, p),
                    or_(v.relies(target, o, p, k) == -1, v.relies(target, o, p, k) == o),
                ),
                lambda v, o, p, k: [(v.writes(target, o, p), v.relies(target, o, p, k))],
            )
        )
    return parts


def position_at(v: Any, n: Any, p: Any, k: Any) -> Any:
    """The position that a forward writes to a slot of a block id.

    Args:
        v, n, p, k: state, forward, block id and slot of the block.
    """
    return v.position_of(v.written_as(n, p), k)


def in_row(v: Any, n: Any, q: Any, i: Any) -> Any:
    """Whether the forward computes the position of the sequence.

    Args:
        v, n, q, i: state, forward, sequence and position.
    """
    return and_(v.takes(n, q), v.row_first(n, q) <= i, i < v.row_last(n, q))


declare_kv(
    "history",
    "a copy brings what its source holds when it meets it; a forward writes the positions of its plan and "
    "leaves every other slot alone",
    *copied("out", CPU, GPU, lambda v, o, p: v.writes(CPU, o, p), own=True),
    *copied("in", GPU, CPU, copies_in, own=True),
    *copied("twin", GPU, GPU, twins, own=False),
    (
        "kept_content",
        lambda v, n, p, k: implies(
            and_(v.is_forward(n), v.writes(GPU, n, p), not_(v.slot_written(n, p, k))),
            v.content(GPU, n, p, k) == v.content(GPU, v.expected(GPU, n, p), p, k),
        ),
        lambda v, n, p, k: [(v.writes(GPU, n, p), v.slot_written(n, p, k))],
    ),
    (
        "kept_relies",
        lambda v, n, p, k: implies(
            and_(v.is_forward(n), v.writes(GPU, n, p), not_(v.slot_written(n, p, k))),
            v.relies(GPU, n, p, k) == v.relies(GPU, v.expected(GPU, n, p), p, k),
        ),
        lambda v, n, p, k: [(v.writes(GPU, n, p), v.slot_written(n, p, k))],
    ),
    (
        "written",
        lambda v, n, p, k: implies(
            v.slot_written(n, p, k),
            and_(
                within(1, n, v.issued + 1),
                v.is_forward(n),
                in_row(v, n, v.writer(n, p), position_at(v, n, p, k)),
            ),
        ),
        lambda v, n, p, k: [(v.slot_written(n, p, k),)],
    ),
    (
        "written_content",
        lambda v, n, p, k: implies(
            v.slot_written(n, p, k),
            v.content(GPU, n, p, k) == v.row_kv(n, v.writer(n, p), position_at(v, n, p, k)),
        ),
        lambda v, n, p, k: [(v.slot_written(n, p, k),)],
    ),
    (
        "written_relies",
        lambda v, n, p, k: implies(
            v.slot_written(n, p, k),
            v.relies(GPU, n, p, k) == v.row_relies(n, v.writer(n, p)),
        ),
        lambda v, n, p, k: [(v.slot_written(n, p, k),)],
    ),
)


def row_read(v: Any, n: Any, q: Any, i: Any) -> Any:
    """Whether the forward reads the position of the sequence.

    Args:
        v, n, q, i: state, forward, sequence and position.
    """
    return and_(v.takes(n, q), within(0, i, v.row_first(n, q)))


def place_of(v: Any, n: Any, q: Any, i: Any) -> Any:
    """Where the plan of the forward says that the position lies.

    Args:
        v, n, q, i: state, forward, sequence and position.
    """
    return v.row_block_id(n, q, v.block_of(i))


def meets(v: Any, field: str, n: Any, q: Any, i: Any) -> Any:
    """A field, `content` or `relies`, of the slot in which the plan says that the position lies, as of the
    version that the forward meets there.

    Args:
        v, n, q, i: state, forward, sequence and position.
        field: content or relies.
    """
    p = place_of(v, n, q, i)
    return getattr(v, field)(GPU, v.expected(GPU, n, p), p, v.slot_of(i))


def at_row(v: Any, n: Any, q: Any, i: Any) -> list[tuple[Any, ...]]:
    """Patterns of a clause about a position of a plan.

    Args:
        v, n, q, i: state, forward, sequence and position.
    """
    return [(v.takes(n, q), place_of(v, n, q, i))]


declare_kv(
    "plan",
    "the slot that a plan's block table gives for a position holds the KV of the sequence's token there, or "
    "the one copy that its request waits for has failed",
    (
        "scope",
        lambda v, n, q: implies(
            v.takes(n, q), and_(1 <= n, n <= v.issued, v.is_forward(n), v.row_relies(n, q) >= 0)
        ),
        lambda v, n, q: [(v.takes(n, q),)],
    ),
    (
        "sent",
        lambda v, n, q, i: implies(
            and_(v.takes(n, q), within(0, i, v.row_last(n, q))),
            v.block_of(i) < v.row_length(n, q),
        ),
        lambda v, n, q, i: [(v.takes(n, q), v.block_of(i))],
    ),
    (
        "written",
        lambda v, n, p, k: implies(
            v.slot_written(n, p, k),
            and_(
                v.row_block_id(n, v.writer(n, p), v.written_as(n, p)) == p,
                v.block_of(position_at(v, n, p, k)) == v.written_as(n, p),
                v.slot_of(position_at(v, n, p, k)) == k,
            ),
        ),
        lambda v, n, p, k: [(v.slot_written(n, p, k),)],
    ),
    (
        "touches",
        lambda v, n, q, i: implies(row_read(v, n, q, i), v.touch(GPU, n, place_of(v, n, q, i))),
        at_row,
    ),
    (
        "reads",
        lambda v, n, q, i: implies(
            row_read(v, n, q, i), meets(v, "content", n, q, i) == v.row_kv(n, q, i)
        ),
        at_row,
    ),
    (
        "relies",
        lambda v, n, q, i: implies(
            row_read(v, n, q, i),
            or_(
                meets(v, "relies", n, q, i) == 0,
                v.good(meets(v, "relies", n, q, i)),
                meets(v, "relies", n, q, i) == v.row_relies(n, q),
            ),
        ),
        at_row,
    ),
    (
        "writes",
        lambda v, n, q, i: implies(
            and_(in_row(v, n, q, i), i >= 0),
            v.slot_written(n, place_of(v, n, q, i), v.slot_of(i)),
        ),
        at_row,
    ),
    (
        "writer",
        lambda v, n, q, i: implies(
            and_(in_row(v, n, q, i), i >= 0),
            and_(
                v.writer(n, place_of(v, n, q, i)) == q,
                v.written_as(n, place_of(v, n, q, i)) == v.block_of(i),
            ),
        ),
        at_row,
    ),
)

declare_kv(
    "lies",
    "memory holds what was decided for the version that it has, or the copy on which that relies has failed",
    *each_tier(
        "",
        lambda t: (
            lambda v, p, k: or_(
                v.memory(t, p, k) == v.content(t, v.actual(t, p), p, k),
                v.fails(v.relies(t, v.actual(t, p), p, k)),
            ),
            lambda v, p, k: [(v.memory(t, p, k),)],
        ),
    ),
    ("good", lambda v, o: implies(v.good(o), not_(v.fails(o))), lambda v, o: [(v.good(o),)]),
    (
        "right",
        lambda v, n, q: implies(
            and_(v.ran(n), v.takes(n, q)), or_(v.right(n, q), v.fails(v.row_relies(n, q)))
        ),
        lambda v, n, q: [(v.right(n, q),)],
    ),
)
