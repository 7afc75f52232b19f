"""Steps that lack one rule of progress each, so that a search, a watch or a test can be seen to find it.

Invariant: nothing unsafe comes of them, because every change is an action of the table. They are used by
name only: `Config(rules="lineclear.evidence.faults:AnyFit")`.
"""

from __future__ import annotations

import math
from typing import Any

from lineclear.scheduling.live_request import LiveRequest
from lineclear.scheduling.sequence_demand import SequenceDemand
from lineclear.scheduling.step import Step, StepParts
from lineclear.scheduling.victims import worst


class TailRequeue(Step):
    """A request that was preempted stands behind every request of its key that has arrived."""

    lacks = ("a preempted request is queued again by its place in the order",)
    replaces = False

    def _make_room(self, demands: list[SequenceDemand]) -> list[SequenceDemand]:
        before = len(self.transitions.changes.preempted)
        left = super()._make_room(demands)
        self._send_back(before)
        return left

    def _displace(self, demands: list[SequenceDemand]) -> list[SequenceDemand]:
        before = len(self.transitions.changes.preempted)
        left = super()._displace(demands)
        self._send_back(before)
        return left

    def _send_back(self, before: int) -> None:
        """Requests that were preempted since then go to the tail, as if they arrived now."""
        live = self.live
        for name, _ in self.transitions.changes.preempted[before:]:
            entry = live.entries[name]
            live.waiting.leave(entry)
            live.arrivals += 1
            entry.order = (*entry.order[:-1], live.arrivals)
            entry.rank = (*entry.rank[:-1], live.arrivals)
            live.waiting.push(entry)


class AnyFit(Step):
    """Any number of requests may pass one that does not fit."""

    lacks = ("no request passes one that does not fit",)
    replaces = False

    def __init__(self, parts: StepParts) -> None:
        super().__init__(parts)
        self.max_bypasses = math.inf


class LongestVictim(Step):
    """The longest request is preempted, also for one behind it, and others are admitted then."""

    lacks = (
        "a request that grows preempts only later ones in the order",
        "no request is admitted in a step that preempted",
    )
    needs: dict[str, Any] = {"victim": "longest", "pause_after_preemption": False}  # noqa: RUF012
    replaces = False

    def _victim_after(self, entry: LiveRequest) -> LiveRequest | None:
        return worst(self.live.running.entries.values(), "longest", self.ledger)
