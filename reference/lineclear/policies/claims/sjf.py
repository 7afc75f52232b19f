"""What is claimed of the policy in `policies/sjf.py`: theorems, and the facts that they rest on."""

from __future__ import annotations

from lineclear.policies.sjf import AgingShortestJobFirst, ShortestJobFirst
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

SHORTER = Fact(
    "a shorter request comes before, however late it arrives",
    lambda first, second, policy: implies(
        and_(policy.length(first) < policy.length(second), first.arrival > second.arrival),
        first.order < second.order,
    ),
)
POSITIVE = Fact(
    "a length is at least 0, as a guess is",
    lambda first, _, policy: implies(
        or_else(first.predicted_tokens, 0) >= 0, policy.length(first) >= 0
    ),
)
NO_LONGER = Fact(
    "no request comes before a shorter one",
    lambda first, second, policy: implies(
        first.order < second.order, policy.length(first) <= policy.length(second)
    ),
)
OVERTAKEN = Fact(
    "a request that comes before arrived before the other's length was over",
    lambda first, second, policy: implies(
        first.order < second.order,
        first.arrival_time
        <= second.arrival_time
        + policy.seconds_per_token * policy.length(second)
        - policy.seconds_per_token * policy.length(first),
    ),
)

claim(
    Claims(
        "sjf",
        lambda _: ShortestJobFirst(),
        (
            *of_any_order("sjf", ("a length is", "no request comes before a shorter")),
            Theorem(
                "sjf.P7",
                "a request may wait for ever: any number of shorter ones that arrive later go "
                "before it",
                (),
                ("order_sjf/progress/a shorter request",),
                "No starvation",
                holds=False,
            ),
        ),
        (SHORTER, POSITIVE, NO_LONGER),
    )
)
claim(
    Claims(
        "sjf_aging",
        lambda unknowns: unchecked(
            AgingShortestJobFirst, aged=True, seconds_per_token=unknowns.real("seconds_per_token")
        ),
        (
            *of_any_order("sjf_aging", ("a request that comes before arrived before",), ("A1",)),
            ends_by("sjf_aging", "a request that comes before arrived before", ("A1",)),
            Theorem(
                "sjf_aging.P9",
                "only requests that arrive within (its length - theirs) * seconds_per_token after "
                "a request can go before it",
                ("F2", "F4", "A5"),
                ("order_sjf_aging/progress/a request that comes before arrived before",),
                "No starvation",
            ),
        ),
        (OVERTAKEN,),
    )
)
