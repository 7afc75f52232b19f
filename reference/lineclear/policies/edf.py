"""Earliest deadline first.

Guarantees: the order never changes; whoever has a deadline is preceded only by requests with an
earlier one, and these arrived before it if deadlines lie after arrivals. Requests without a deadline
come last, and may wait for ever. It knows nothing about whether a deadline can be kept: under overload
every one may be missed, and nobody is turned away for it.
"""

from __future__ import annotations

from math import inf

from lineclear.view import View
from lineclear_spec.logic import both, implies
from lineclear_spec.theorems import Claims, Fact, Theorem, claim, ends_by, of_any_order

__all__ = ["EarliestDeadlineFirst"]


class EarliestDeadlineFirst:
    """The earliest deadline first; it may displace a later one."""

    name = "edf"
    may_starve = True

    def key(self, request: View) -> float:
        """When it should be done."""
        return inf if request.deadline is None else request.deadline

    def may_displace(self, waiting: View, running: View) -> bool:
        """Whoever should be done strictly earlier."""
        return self.key(waiting) < self.key(running)


EARLIER = Fact(
    "whoever comes before arrived before the other's deadline, if it has time at all",
    lambda first, second, _: implies(
        both(first.order < second.order, first.arrival_time <= first.deadline),
        first.arrival_time <= second.deadline,
    ),
)
NO_LATER = Fact(
    "nobody comes before a request with an earlier deadline",
    lambda first, second, _: implies(
        first.order < second.order, first.deadline <= second.deadline
    ),
)
URGENT = Fact(
    "whoever is to be done earlier comes before, however late it arrives",
    lambda first, second, _: implies(
        both(first.deadline < second.deadline, first.arrival > second.arrival),
        first.order < second.order,
    ),
)

claim(
    Claims(
        "edf",
        lambda _: EarliestDeadlineFirst(),
        (
            *of_any_order("edf", ("whoever comes before arrived before",), ("A1", "A3")),
            ends_by("edf", "whoever comes before arrived before", ("A1", "A3")),
            Theorem(
                "edf.P7 without deadline",
                "a request without a deadline may wait for ever: any number of later ones that "
                "have one go before it",
                (),
                ("order_edf/progress/whoever is to be done earlier",),
                "No starvation",
                holds=False,
            ),
        ),
        (EARLIER, NO_LATER, URGENT),
    )
)
