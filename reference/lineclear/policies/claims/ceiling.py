"""What is claimed of the policy in `policies/ceiling.py`: theorems, and the facts that they rest on."""

from __future__ import annotations

from lineclear.policies.ceiling import Ceiling
from lineclear_spec.liveness.theorems import (
    Claims,
    Fact,
    Theorem,
    claim,
    ends_by,
    of_any_order,
    unchecked,
)
from lineclear_spec.logic import and_, implies

LEVELS = Fact(
    "a request that comes before arrived before the head start of its level was over",
    lambda first, second, policy: implies(
        first.order < second.order,
        first.number
        <= second.number
        + policy.ceiling * policy.level(first)
        - policy.ceiling * policy.level(second),
    ),
)
WITHIN = Fact(
    "a level is between 0 and the highest",
    lambda first, _, policy: and_(
        policy.level(first) >= 0, policy.level(first) <= policy.levels - 1
    ),
)
PASSED = Fact(
    "with two levels at most `ceiling` later arrivals come before",
    lambda first, second, policy: implies(
        and_(policy.levels == 2, first.order < second.order),
        first.number <= second.number + policy.ceiling,
    ),
)

claim(
    Claims(
        "ceiling",
        lambda unknowns: unchecked(
            Ceiling, ceiling=unknowns.whole("ceiling"), levels=unknowns.whole("levels", 1)
        ),
        (
            *of_any_order("ceiling", ("a request that comes before arrived before", "a level is")),
            ends_by("ceiling", "a request that comes before arrived before"),
            Theorem(
                "ceiling.bypass",
                "at most ceiling * (levels - 1) requests that arrive after a request go before it",
                ("F2", "F4"),
                (
                    "order_ceiling/progress/a request that comes before arrived before",
                    "order_ceiling/progress/a level is between",
                ),
                "No starvation",
            ),
        ),
        (LEVELS, WITHIN, PASSED),
    )
)
