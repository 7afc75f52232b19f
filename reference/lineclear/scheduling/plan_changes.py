"""Changes that the next plan must report and that the ledger does not record.

Invariant: a sequence in `replaced` is alive and its request runs.
"""

from __future__ import annotations

from collections.abc import Hashable

from lineclear_spec.records import Sequence

__all__ = ["PlanChanges"]


class PlanChanges:
    """Changes since the last plan.

    Attributes:
        replaced: sequences whose table changed otherwise than by growing; the plan names it whole.
        preempted: requests that were preempted, each with its mode, "swap" or "recompute".
        ended: requests that finished or were aborted.
    """

    __slots__ = ("ended", "preempted", "replaced")

    def __init__(self) -> None:
        """Nothing has changed."""
        self.replaced: dict[Sequence, None] = {}
        self.preempted: list[tuple[Hashable, str]] = []
        self.ended: list[Hashable] = []
