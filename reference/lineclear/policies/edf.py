"""Earliest deadline first.

Guarantees: the order never changes; a request with a deadline is preceded only by requests with an
earlier one, and these arrived before it if deadlines lie after arrivals. Requests without a
deadline come last, and may wait for ever.
"""

from __future__ import annotations

from lineclear.policies.view import View
from lineclear_spec.logic import both, either, given, implies, negate, or_else, precedes
from lineclear_spec.theorems import Claims, Fact, Theorem, claim, ends_by, of_any_order

__all__ = ["EarliestDeadlineFirst"]


class EarliestDeadlineFirst:
    """The earliest deadline first; it may displace a later one."""

    name = "edf"
    may_starve = True

    def key(self, request: View) -> tuple[float, float]:
        """When it should be done; without a deadline after all that have one."""
        return either(given(request.deadline), 0, 1), or_else(request.deadline, 0)

    def may_displace(self, waiting: View, running: View) -> bool:
        """Preempts for a strictly earlier deadline."""
        sooner: bool = precedes(self.key(waiting), self.key(running))
        return sooner


EARLIER = Fact(
    "a request that comes before arrived before the other's deadline, if it has time at all",
    lambda first, second, _: implies(
        both(
            first.order < second.order,
            given(second.deadline),
            first.arrival_time <= or_else(first.deadline, first.arrival_time),
        ),
        first.arrival_time <= or_else(second.deadline, 0),
    ),
)
NO_LATER = Fact(
    "no request comes before one with an earlier deadline",
    lambda first, second, _: implies(
        both(first.order < second.order, given(second.deadline)),
        both(given(first.deadline), or_else(first.deadline, 0) <= or_else(second.deadline, 0)),
    ),
)
URGENT = Fact(
    "an earlier deadline comes before, however late the request arrives",
    lambda first, second, _: implies(
        both(
            given(first.deadline),
            or_else(first.deadline, 0) < or_else(second.deadline, or_else(first.deadline, 0) + 1),
            first.arrival > second.arrival,
        ),
        first.order < second.order,
    ),
)
LAST = Fact(
    "a request without a deadline comes after all that have one",
    lambda first, second, _: implies(
        both(given(first.deadline), negate(given(second.deadline))),
        both(first.order < second.order, negate(second.order < first.order)),
    ),
)

claim(
    Claims(
        "edf",
        lambda _: EarliestDeadlineFirst(),
        (
            *of_any_order("edf", ("a request that comes before arrived before",), ("A1", "A3")),
            ends_by("edf", "a request that comes before arrived before", ("A1", "A3")),
            Theorem(
                "edf.P7 without deadline",
                "a request without a deadline may wait for ever: any number of later ones that "
                "have one go before it",
                (),
                (
                    "order_edf/progress/an earlier deadline comes before",
                    "order_edf/progress/a request without a deadline",
                ),
                "No starvation",
                holds=False,
            ),
        ),
        (EARLIER, NO_LATER, URGENT, LAST),
    )
)
