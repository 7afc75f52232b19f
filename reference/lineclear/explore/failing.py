"""Policies that raise while requests wait and run; searches check what holds afterwards.

Guarantees: each is a built-in policy until it has answered so many questions of one kind; the next such
question raises. A copy of it fails at the same question.
"""

from __future__ import annotations

from lineclear.policies.fair import Fair
from lineclear.policies.hybrid import Hybrid
from lineclear.policies.mlfq import MultiLevelFeedbackQueue
from lineclear.policies.priority import Priority
from lineclear.policies.view import View
from lineclear.policies.vtc import VirtualTokenCounter

__all__ = [
    "FailingDisplacements",
    "FailingPriorities",
    "FailingRanks",
    "FailingReviews",
    "FailingShares",
    "FailingTurns",
]


class Countdown:
    """Questions that are still answered."""

    def __init__(self, after: int) -> None:
        """None was asked."""
        self.after = after

    def __call__(self) -> None:
        """One more is asked.

        Raises:
            RuntimeError: so many were answered already.
        """
        self.after -= 1
        if self.after < 0:
            raise RuntimeError("this policy fails on purpose")


class FailingPriorities(Priority):
    """The places of waiting requests, by priority, until it fails."""

    name = "failing priorities"

    def __init__(self, after: int = 8) -> None:
        """Nothing was asked."""
        self.count = Countdown(after)

    def key(self, request: View) -> float:
        """The most important first."""
        self.count()
        return super().key(request)


class FailingDisplacements(Priority):
    """The most important displaces others, until it fails."""

    name = "failing displacements"

    def __init__(self, after: int = 4) -> None:
        """Nothing was asked."""
        self.count = Countdown(after)

    def may_displace(self, waiting: View, running: View) -> bool:
        """Only the strictly less important."""
        self.count()
        return super().may_displace(waiting, running)


class FailingRanks(Hybrid):
    """Another order among those that run, until it fails."""

    name = "failing ranks"

    def __init__(self, after: int = 8) -> None:
        """Nothing was asked."""
        self.count = Countdown(after)

    def rank(self, request: View) -> float:
        """The least important first, so that the orders differ."""
        self.count()
        return request.priority


class FailingReviews(MultiLevelFeedbackQueue):
    """Levels, until it fails."""

    name = "failing reviews"

    def __init__(self, after: int = 20) -> None:
        """Nothing was asked."""
        super().__init__(quantum=2, levels=3, promote_after=6)
        self.count = Countdown(after)

    def review(self, request: View) -> int:
        """Promotes requests that wait."""
        self.count()
        return super().review(request)


class FailingShares(Fair):
    """Equal shares of a step, until it fails."""

    name = "failing shares"

    def __init__(self, after: int = 8) -> None:
        """Nothing was asked."""
        self.count = Countdown(after)

    def share(self, request: View, budget: int, sharers: int) -> int:
        """The budget divided by the number of live requests."""
        self.count()
        return super().share(request, budget, sharers)


class FailingTurns(VirtualTokenCounter):
    """Tenants by what they were served, until it fails."""

    name = "failing turns"

    def __init__(self, after: int = 20) -> None:
        """Nothing was asked."""
        super().__init__()
        self.count = Countdown(after)

    def first(self, step: int) -> object:
        """The waiting tenant that was served least."""
        self.count()
        return super().first(step)
