"""The named invariants: what is true between any two actions, each with one English sentence.

Guarantees: each clause is one predicate of a state, evaluated on formulas by `proof/prove.py` and on plain data by
`modelcheck/concrete.py`. It is proved to hold at the start, and to be kept by every action.

*Step* invariants also hold after each block step, once all of its blocks have moved; *boundary* invariants hold
between actions only; those of *KV* speak of a device too, and are proved in units of their own. What `v.holder`,
`v.holder_index`, `v.held_index` and the other fields mean, and which are ghosts: `symbolic/fields.py`. For a concrete
ledger ghosts are recomputed from its tables.
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
    copies,
    domains_of,
    holds,
    is_free,
    kv_clauses,
    leads,
    live,
    present,
    private,
    rests,
    sealed,
    within,
)

__all__ = [
    "CPU", "FINISHED", "GPU", "INVARIANTS", "KV", "NEW", "RUNNING", "SWAPPED", "TIERS", "WAITING", "Clause",
    "Invariant", "clauses", "content", "copies", "device", "domains_of", "history", "holds", "is_free",
    "kv_clauses", "leads", "live", "operations", "pools", "present", "private", "requests", "rests", "samples",
    "sealed", "sequences", "within",
]  # fmt: skip
