"""Runs of the real scheduler in which a property fails, one for each cell that says so.

Guarantees: what a refutation says was seen is read from the plans of a run, by a check that shares
nothing with the policy; the run can be written as a journal.
"""

from __future__ import annotations

from lineclear.evidence.refutations import descending, ordering, presets, sharing, starving
from lineclear.evidence.refutations.drive import Demonstration, Drive, NotShown, Refutation

__all__ = ["REFUTATIONS", "Demonstration", "Drive", "NotShown", "Refutation", "find"]

REFUTATIONS: tuple[Refutation, ...] = (
    *starving.REFUTATIONS,
    *descending.REFUTATIONS,
    *ordering.REFUTATIONS,
    *sharing.REFUTATIONS,
    *presets.REFUTATIONS,
)


def find(name: str) -> Refutation:
    """The refutation of that name.

    Raises:
        ValueError: there is none; the message is one line.
    """
    for refutation in REFUTATIONS:
        if refutation.name == name:
            return refutation
    known = ", ".join(refutation.name for refutation in REFUTATIONS)
    raise ValueError(f"there is no refutation {name!r}; known are {known}")
