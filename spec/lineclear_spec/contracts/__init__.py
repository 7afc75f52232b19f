"""What each block step requires and what it ensures, written apart from the step.

Guarantees: `ensures(before, after, count, ...)` is proved of the step in `kernel/blocks.py`, from every state that
meets `requirements(before, count, ...)` and the step invariants (`SymbolicLedger.prove`). So it may be assumed wherever
an action runs the step and these are proved to hold (`SymbolicLedger.by_contract`).
"""

from __future__ import annotations

from lineclear_spec.contracts import clearing, moving, sharing, taking
from lineclear_spec.contracts.contract import (
    CONTRACTS,
    Contract,
    Part,
    alike,
    allocation_of,
    attained,
    but,
    entries_same,
    larger,
    of_request,
    part,
    private_of,
    same,
)

__all__ = [
    "CONTRACTS", "Contract", "Part", "alike", "allocation_of", "attained", "but", "clearing", "entries_same",
    "larger", "moving", "of_request", "part", "private_of", "same", "sharing", "taking",
]  # fmt: skip
