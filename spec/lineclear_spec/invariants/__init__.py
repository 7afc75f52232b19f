"""The named invariants: what is true between any two actions, each with one English sentence.

Guarantees: each clause is one predicate, evaluated symbolically by `prove.py` and concretely by
`view.py`.

*Step* invariants hold after every single block step; *boundary* invariants hold between actions.
Ghost fields (`index`, `rank`, `holder`, `owner`, `slot`, `seat`, `touch`, ...) are inverse
maps and histories that only the proofs need; for a concrete ledger they are recomputed from the
tables.
"""

from __future__ import annotations

# ruff: noqa: I001 (the order in which tools print them)
from lineclear_spec.invariants import pools
from lineclear_spec.invariants import sequences
from lineclear_spec.invariants import requests
from lineclear_spec.invariants import operations
from lineclear_spec.invariants import device
from lineclear_spec.invariants import history
from lineclear_spec.invariants import content
from lineclear_spec.invariants import samples
from lineclear_spec.invariants.clause import (
    CPU,
    FINISHED,
    GPU,
    INVARIANTS,
    KV,
    NEW,
    RUNNING,
    SWAPPED,
    TIERS,
    WAITING,
    Clause,
    Invariant,
    clauses,
    holds,
    is_free,
    kv_clauses,
    live,
    present,
    private,
    rests,
    sealed,
    within,
)

__all__ = [
    "CPU",
    "FINISHED",
    "GPU",
    "INVARIANTS",
    "KV",
    "NEW",
    "RUNNING",
    "SWAPPED",
    "TIERS",
    "WAITING",
    "Clause",
    "Invariant",
    "clauses",
    "content",
    "device",
    "history",
    "holds",
    "is_free",
    "kv_clauses",
    "live",
    "operations",
    "pools",
    "present",
    "private",
    "requests",
    "rests",
    "samples",
    "sealed",
    "sequences",
    "within",
]
