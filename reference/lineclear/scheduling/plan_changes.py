"""Changes that the next plan must report and that the ledger does not record."""

from __future__ import annotations

from collections.abc import Hashable


class PlanChanges:
    """Changes since the last plan.

    Attributes:
        preempted: requests that were preempted, each with its mode, "swap" or "recompute".
        ended: requests that finished or were aborted.
    """

    __slots__ = ("ended", "preempted")

    def __init__(self) -> None:
        """Nothing has changed."""
        self.preempted: list[tuple[Hashable, str]] = []
        self.ended: list[Hashable] = []
