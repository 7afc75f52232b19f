"""What each action ensures: the difference it makes and everything it leaves alone (*frame*).

Guarantees: a postcondition is a predicate over the state before and the state after, written apart from
the effect, so an effect that does nothing, too little or too much breaks one.
"""

from __future__ import annotations

from lineclear_spec.postconditions import (
    arrival,
    branches,
    cache,
    growth,
    operations,
    preemption,
    steps,
)
from lineclear_spec.postconditions.frames import POSTCONDITIONS

__all__ = [
    "POSTCONDITIONS", "arrival", "branches", "cache", "growth", "operations", "preemption", "steps",
]  # fmt: skip
