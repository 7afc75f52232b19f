"""What each loop over blocks promises: the loop invariant, written apart from the loop.

Guarantees: `promises(before, now, k, ...)` is proved to hold after k iterations for every k, so
`promises(before, after, count, ...)` may be assumed wherever the loop is called with its
requirements met.
"""

from __future__ import annotations

from lineclear_spec.contracts import clearing, moving, sharing, taking
from lineclear_spec.contracts.contract import (
    CONTRACTS,
    Contract,
    Part,
    attained,
    grant_of,
    same,
)

__all__ = [
    "CONTRACTS",
    "Contract",
    "Part",
    "attained",
    "clearing",
    "grant_of",
    "moving",
    "same",
    "sharing",
    "taking",
]
