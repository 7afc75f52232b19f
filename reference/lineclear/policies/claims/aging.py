"""What is claimed of the policy in `policies/aging.py`: theorems, and the facts that they rest on."""

from __future__ import annotations

from lineclear.policies.aging import Aging
from lineclear_spec.liveness.theorems import (
    Claims,
    Fact,
    Theorem,
    claim,
    ends_by,
    of_any_order,
    unchecked,
)
from lineclear_spec.logic import and_, implies, or_else

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
        and_(first.priority == second.priority, first.arrival_time < second.arrival_time),
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
                ("F2", "F4", "A5"),
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
