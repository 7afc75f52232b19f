"""Priority with a ceiling: how many later requests may pass one, at most, is a number.

Guarantees: at most `ceiling * (levels - 1)` requests that arrived after a request are admitted
before it, whatever keeps arriving, because a level of priority is worth a head start of `ceiling`
arrivals and no more.
"""

from __future__ import annotations

from lineclear.policies.view import View
from lineclear_spec.logic import both, implies, larger, smaller
from lineclear_spec.theorems import Claims, Fact, Theorem, claim, ends_by, of_any_order, unchecked

__all__ = ["Ceiling"]


class Ceiling:
    """A priority is a head start in the order of arrival.

    Args:
        ceiling: arrivals that one level of priority is worth.
        levels: priorities 0 to `levels` - 1 are distinguished; others count as the nearest of them.
    """

    name = "ceiling"

    def __init__(self, ceiling: int = 16, levels: int = 2) -> None:
        """Rejects invalid values."""
        for label, value, least in (("ceiling", ceiling, 0), ("levels", levels, 1)):
            if type(value) is not int or value < least:
                raise ValueError(f"{label} must be a whole number of at least {least}")
        self.ceiling = ceiling
        self.levels = levels

    @property
    def bypass(self) -> int:
        """Later requests that may pass one, at most."""
        return self.ceiling * (self.levels - 1)

    def key(self, request: View) -> float:
        """The number of the arrival, less the head start."""
        return request.number - self.ceiling * self.level(request)

    def level(self, request: View) -> int:
        """The priority, between 0 and the highest level."""
        level: int = larger(0, smaller(request.priority, self.levels - 1))
        return level

    def may_displace(self, waiting: View, running: View) -> bool:
        """Preempts for a strictly more important request that comes before."""
        wins: bool = both(
            running.priority < waiting.priority, self.key(waiting) < self.key(running)
        )
        return wins


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
    lambda first, _, policy: both(
        policy.level(first) >= 0, policy.level(first) <= policy.levels - 1
    ),
)
PASSED = Fact(
    "with two levels at most `ceiling` later arrivals come before",
    lambda first, second, policy: implies(
        both(policy.levels == 2, first.order < second.order),
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
