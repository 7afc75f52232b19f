"""Priority with aging: a level of priority is worth a head start of so many seconds.

Guarantees: the order never changes, although priorities seem to grow with waiting, because all
grow alike: the order of two requests never changes. A request is overtaken
only by those that arrive within its head start, so that none starves as long as priorities have a
greatest one.

An age that is capped, or that counts only while a request waits, has neither property.
"""

from __future__ import annotations

from lineclear.policies.view import View
from lineclear_spec.logic import both, implies, or_else
from lineclear_spec.theorems import Claims, Fact, Theorem, claim, ends_by, of_any_order, unchecked

__all__ = ["Aging"]


class Aging:
    """The earliest arrival first, each level of priority counting as an earlier one.

    Args:
        seconds_per_level: the head start that one level of priority is worth. 0 is first come,
            first served by arrival time; the larger, the nearer to static priority.
    """

    name = "aging"

    def __init__(self, seconds_per_level: float = 10.0) -> None:
        """Rejects invalid values."""
        if isinstance(seconds_per_level, bool) or not 0 <= seconds_per_level < float("inf"):
            raise ValueError(
                f"seconds_per_level must be a number of at least 0, not {seconds_per_level!r}"
            )
        self.seconds_per_level = seconds_per_level

    def key(self, request: View) -> float:
        """The time of the arrival, less the head start."""
        return request.arrival_time - self.seconds_per_level * request.priority

    def may_displace(self, waiting: View, running: View) -> bool:
        """Preempts for a strictly more important request that comes before."""
        wins: bool = both(
            running.priority < waiting.priority, self.key(waiting) < self.key(running)
        )
        return wins


OVERTAKEN = Fact(
    "a request that comes before arrived before the other's head start was over",
    lambda first, second, policy: implies(
        first.order < second.order,
        first.arrival_time
        <= second.arrival_time
        + policy.seconds_per_level * first.priority
        - policy.seconds_per_level * second.priority,
    ),
)
SAME_ALWAYS = Fact(
    "at every moment the older and more important by its age comes before",
    lambda first, second, policy: implies(
        # Age and priority, in seconds, at a moment that is as good as any: the deadline's, or 0.
        policy.seconds_per_level * first.priority
        + (or_else(first.deadline, 0) - first.arrival_time)
        > policy.seconds_per_level * second.priority
        + (or_else(first.deadline, 0) - second.arrival_time),
        first.order < second.order,
    ),
)
AMONG_EQUALS = Fact(
    "among equally important requests the earlier arrival comes before",
    lambda first, second, _: implies(
        both(first.priority == second.priority, first.arrival_time < second.arrival_time),
        first.order < second.order,
    ),
)

claim(
    Claims(
        "aging",
        lambda unknowns: unchecked(Aging, seconds_per_level=unknowns.real("seconds_per_level")),
        (
            *of_any_order("aging", ("a request that comes before arrived before",), ("A1", "A2")),
            ends_by("aging", "a request that comes before arrived before", ("A1", "A2")),
            Theorem(
                "aging.P9",
                "only requests that arrive within (their priority - its own) * seconds_per_level "
                "after a request can go before it, at whatever moment",
                ("F4",),
                (
                    "order_aging/progress/a request that comes before arrived before",
                    "order_aging/progress/at every moment",
                ),
                "No starvation",
            ),
        ),
        (OVERTAKEN, SAME_ALWAYS, AMONG_EQUALS),
    )
)
