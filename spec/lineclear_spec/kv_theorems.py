# pyright: basic
"""The theorem of KV: every token that a request learns was computed from the KV of exactly its own tokens.

Guarantees: each part is one predicate over a view, proved of any state (`kv_obligations.py`) and evaluated on
executed ones.
"""

from __future__ import annotations

from typing import Any

from lineclear_spec.invariants.clause import GPU
from lineclear_spec.invariants.history import place_of, row_read
from lineclear_spec.logic import any_of, both, implies, negate

__all__ = ["SENTENCE", "T1", "T2", "learned_from_right_kv", "meets_version", "reads_right_kv"]

SENTENCE = (
    "Every token that a request learns was computed from the KV of exactly its own tokens, whatever was "
    "preempted, shared, copied, published, aborted or failed."
)
T1 = (
    "for every forward that a device carries out under the waits of its plan, every sequence in it and every "
    "position before its own: the slot that the plan's block table gives holds the KV of exactly those tokens of "
    "that sequence, or the one copy that its request waited for has failed"
)
T2 = (
    "the table accepts a sample only of a forward that has run, of which the copy has not failed and all that it "
    "read of the sequence was right"
)


def meets_version(v: Any, tier: int, n: Any, p: Any) -> Any:
    """When the device carries an operation out, each place that it touches has the version that was decided."""
    return implies(v.touch(tier, n, p), v.actual(tier, p) == v.expected(tier, n, p))


def reads_right_kv(v: Any, n: Any, q: Any, i: Any) -> Any:
    """T1, of the state in which the device carries out forward n."""
    lies = v.memory(GPU, place_of(v, n, q, i), v.slot_of(i))
    return implies(
        row_read(v, n, q, i), any_of(lies == v.row_kv(n, q, i), v.fails(v.row_relies(n, q)))
    )


def learned_from_right_kv(v: Any, q: Any, step: Any) -> Any:
    """T2, of the state in which a sample of the step is accepted for the sequence."""
    n = v.forward_of(step)
    return both(
        v.ran(n), implies(v.takes(n, q), both(v.right(n, q), negate(v.fails(v.row_relies(n, q)))))
    )
