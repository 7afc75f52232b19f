"""Presets that lack one rule of progress each, and small worlds in which the searches see it.

By the third a request is preempted for one behind it, and no more than that: the table admits a request
with blocks for every token that it knows, so a request that grows also learns a token, and no cycle comes
of it (`small_workloads.py` runs a family made for that).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from lineclear.config import Config
from lineclear.explore.bounds import RequestShape, SearchBounds
from lineclear.explore.small import SMALL
from lineclear.policies.mlfq import MultiLevelFeedbackQueue
from lineclear.policies.view import View
from lineclear.scheduler import Scheduler
from lineclear.scheduling.step import Step

TAIL_REQUEUE = "lineclear.evidence.faults:TailRequeue"
ANY_FIT = "lineclear.evidence.faults:AnyFit"
LONGEST_VICTIM = "lineclear.evidence.faults:LongestVictim"

BROKEN: dict[str, Config] = {
    "broken_tail_requeue": Config(rules=TAIL_REQUEUE),
    "broken_any_fit": Config(rules=ANY_FIT),
    "broken_longest_victim": Config(
        rules=LONGEST_VICTIM, victim="longest", pause_after_preemption=False
    ),
}
CALM: dict[str, Any] = {"live": 3, "aborts": False, "fails": False, "stops": False, "late": False}


def world(name: str, *shapes: RequestShape, **changes: Any) -> SearchBounds:
    """A small world without a CPU pool, in which nothing goes wrong."""
    changes = {**SMALL, "num_cpu_blocks": 0, "preemption_mode": "recompute", **changes}
    return SearchBounds(name, replace(BROKEN[name], **changes), shapes, **CALM)


BROKEN_WORLDS: dict[str, SearchBounds] = {
    made.name: made
    for made in (
        world(
            "broken_tail_requeue", RequestShape(1, 2), RequestShape(1, 3), max_num_batched_tokens=2
        ),
        world("broken_any_fit", RequestShape(1, 2), RequestShape(2, 2), max_num_batched_tokens=2),
        world(
            "broken_longest_victim",
            *(RequestShape(1, 3), RequestShape(2, 2), RequestShape(3, 2)),
            num_gpu_blocks=4,
            max_num_batched_tokens=3,
            max_num_seqs=3,
        ),
    )
}


_review = MultiLevelFeedbackQueue.review


def review_of_waiting_in_a_row(self: MultiLevelFeedbackQueue, request: View) -> Any:
    """A review that counts steps of waiting in a row only: who is let in and gets nowhere is never promoted."""
    if request.waiting == 0 or request.waiting is None:
        self.seen[request.number] = (request.generated, request.step)
    return _review(self, request)


class Restless(Step):
    """Gives up an unfinished prompt in every step."""

    def _make_room(self, demands: list[Any]) -> list[Any]:
        for demand in demands:
            if not demand.decode:
                self.transitions.preempt(demand.entry)
        return super()._make_room([demand for demand in demands if demand.decode])


class Livelocked(Scheduler):
    """Begins prompts again and again."""

    def __init__(self, *arguments: Any, **rest: Any) -> None:
        super().__init__(*arguments, **rest)
        self._step = Restless
