"""Policies that raise while requests wait and run; searches check what holds afterwards.

Guarantees: each is a built-in policy until it has answered so many questions of one kind; the next such
question raises. A copy of it fails at the same question.
"""

from __future__ import annotations

from functools import wraps
from typing import Any

from lineclear.policies.fair import Fair
from lineclear.policies.hybrid import Hybrid
from lineclear.policies.mlfq import MultiLevelFeedbackQueue
from lineclear.policies.priority import Priority
from lineclear.policies.view import View
from lineclear.policies.vtc import VirtualTokenCounter


def failing(what: str, kind: type[Any], question: str, after: int, **arguments: Any) -> type[Any]:
    """A policy that raises.

    Args:
        what: the last word of its name.
        kind: the policy that it is until then.
        question: the method that raises.
        after: how often it answers.
        arguments: of the policy.
    """
    right = getattr(kind, question)

    def made(self: Any) -> None:
        kind.__init__(self, **arguments)
        self.left_to_answer = after

    @wraps(right)
    def asked(self: Any, *given: Any) -> Any:
        self.left_to_answer -= 1
        if self.left_to_answer < 0:
            raise RuntimeError("this policy fails on purpose")
        return right(self, *given)

    name = f"failing {what}"
    body = {"__init__": made, "__module__": __name__, question: asked, "name": name}
    return type(f"Failing{what.capitalize()}", (kind,), body)


class LeastFirst(Hybrid):
    """Serves the least important of those that run first, so that its two orders differ."""

    def rank(self, request: View) -> float:
        """The least important first."""
        return request.priority


FailingPriorities = failing("priorities", Priority, "key", 8)
FailingDisplacements = failing("displacements", Priority, "may_displace", 4)
FailingRanks = failing("ranks", LeastFirst, "rank", 8)
FailingReviews = failing(
    "reviews", MultiLevelFeedbackQueue, "review", 20, quantum=2, levels=3, promote_after=6
)
FailingShares = failing("shares", Fair, "share", 8)
FailingTurns = failing("turns", VirtualTokenCounter, "first", 20)
