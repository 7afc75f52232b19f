"""What is claimed of the policy in `policies/edf.py`: theorems, and the facts that they rest on."""

from __future__ import annotations

from lineclear.policies.edf import EarliestDeadlineFirst
from lineclear_spec.liveness.theorems import Claims, Fact, Theorem, claim, ends_by, of_any_order
from lineclear_spec.logic import and_, given, implies, not_, or_else

EARLIER = Fact(
    "a request that comes before arrived before the other's deadline, if it has time at all",
    lambda first, second, _: implies(
        and_(
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
        and_(first.order < second.order, given(second.deadline)),
        and_(given(first.deadline), or_else(first.deadline, 0) <= or_else(second.deadline, 0)),
    ),
)
URGENT = Fact(
    "an earlier deadline comes before, however late the request arrives",
    lambda first, second, _: implies(
        and_(
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
        and_(given(first.deadline), not_(given(second.deadline))),
        and_(first.order < second.order, not_(second.order < first.order)),
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
