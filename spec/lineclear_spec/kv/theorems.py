# pyright: basic
"""The theorem of KV: every token that a request learns was computed from the KV of exactly its own tokens.

Guarantees: each part is one predicate over a view, proved of any state (`kv/obligations.py`) and evaluated on
executed ones.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from lineclear_spec.invariants.clause import GPU
from lineclear_spec.invariants.history import place_of, row_read
from lineclear_spec.logic import and_, implies, not_, or_

SENTENCE = (
    "Every token that a request learns was computed from the KV of exactly its own tokens, whatever was "
    "preempted, shared, copied, published, aborted or failed."
)
T1 = (
    "for every forward that a device carries out under the waits of its plan, every sequence in it and every "
    "position before its own: the slot that the block table gives, as plans have sent it, holds the KV of "
    "exactly those tokens of that sequence, or the one copy that its request waited for has failed"
)
T2 = (
    "the table accepts tokens for a sequence only of the forward that computed the positions before them, of "
    "exactly the tokens that the sequence has there; that forward has run, the copy that it "
    "relied on has not failed, and all that it read of the sequence was right"
)


def meets_version(v: Any, tier: int, n: Any, p: Any) -> Any:
    """When the device carries an operation out, each block id that it touches has the version that was decided.

    Args:
        v: state in which the device carries it out.
        tier: pool.
        n: operation.
        p: block id.
    """
    return implies(v.touch(tier, n, p), v.actual(tier, p) == v.expected(tier, n, p))


def reads_right_kv(v: Any, n: Any, q: Any, i: Any) -> Any:
    """T1, of the state in which the device carries out forward n.

    Args:
        v: the state.
        n: the forward.
        q: the sequence.
        i: the position.
    """
    lies = v.memory(GPU, place_of(v, n, q, i), v.slot_of(i))
    return implies(
        row_read(v, n, q, i), or_(lies == v.row_kv(n, q, i), v.fails(v.row_relies(n, q)))
    )


def entry_was_sent(v: Any, n: Any, q: Any, i: Any) -> Any:
    """T1: plans have sent the entry of the block table in which a position lies that forward n reads or computes.

    Args:
        v, n, q, i: state, forward, sequence and position.
    """
    taken = and_(v.takes(n, q), 0 <= i, i < v.row_last(n, q))
    return implies(taken, v.block_of(i) < v.row_length(n, q))


class Learned(NamedTuple):
    """Tokens that a sequence learns.

    Attributes:
        of: the sequence for which the step sampled them.
        step: the step that sampled them, by the table's account (premise `reported`).
        known: tokens that it knew before.
        count: tokens that are learned.
        by: the sequence that learns them: the same, or a branch that forks from it.
    """

    of: Any
    step: Any
    known: Any
    count: Any
    by: Any


def learned(action: str, v: Any, values: Sequence[Any], result: Any) -> Learned | None:
    """What one sequence learns when the action happens.

    Args:
        action: its name.
        v: the state before.
        values: the arguments.
        result: what the action returns.
    """
    if action == "sample":
        q, step, accepted = values[:3]
        return Learned(q, step, v.num_tokens(q), accepted, q)
    if action == "fork":
        parent, tokens = values
        return Learned(parent, v.sampling_step(parent), v.num_tokens(parent), tokens, result)
    return None


def clock_learns(v: Any, q: Any) -> Learned:
    """What a sequence in the decode batch learns when the oldest step in flight is committed."""
    return Learned(q, v.committed + 1, v.num_tokens(q), 1, q)


def learns_position(x: Learned, i: Any) -> Any:
    """Whether the token at the position is one of them."""
    return and_(x.known <= i, i < x.known + x.count)


#: T2, of the state in which tokens were accepted, and of the forward that sampled them: each part is a label and a
#: predicate of a view, `Learned` and the number of the forward.
T2_PARTS: dict[str, Callable[[Any, Learned, Any], Any]] = {
    "the forward has run": lambda v, x, n: v.ran(n),
    "it takes the sequence": lambda v, x, n: v.takes(n, x.of),
    "its copy has not failed": lambda v, x, n: not_(v.fails(v.row_relies(n, x.of))),
    "all that it read was right": lambda v, x, n: v.right(n, x.of),
    "it computes the newest known position": lambda v, x, n: and_(
        v.row_first(n, x.of) < x.known, x.known <= v.row_last(n, x.of)
    ),
    "and every draft that is accepted": lambda v, x, n: (
        x.known + x.count - 1 <= v.row_last(n, x.of)
    ),
}


def takes_own_tokens(v: Any, x: Learned, n: Any, i: Any) -> Any:
    """T2: the forward took exactly the tokens that the sequence has before the newest one.

    Args:
        v: the state after.
        x: what is learned.
        n: the forward.
        i: a position.
    """
    before = and_(0 <= i, i < x.known + x.count - 1)
    return implies(before, v.row_kv(n, x.of, i) == v.token_kv(x.by, i))
