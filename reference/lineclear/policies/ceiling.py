"""Priority with a ceiling: how many later requests may pass one, at most, is a number.

Guarantees: at most `ceiling * (levels - 1)` requests that arrived after a request are admitted before it, whatever
keeps arriving, because a level of priority is worth a head start of `ceiling` arrivals and no more.
"""

from __future__ import annotations

from lineclear.policies.view import View
from lineclear_spec.logic import and_, larger, smaller


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
                raise ValueError(
                    f"{label} must be a whole number of at least {least}, not {value!r}"
                )
        self.ceiling = ceiling
        self.levels = levels

    def key(self, request: View) -> float:
        """The number of the arrival, less the head start."""
        return request.number - self.ceiling * self.level(request)

    def level(self, request: View) -> int:
        """The priority, between 0 and the highest level."""
        level: int = larger(0, smaller(request.priority, self.levels - 1))
        return level

    def may_displace(self, waiting: View, running: View) -> bool:
        """Preempts for a strictly more important request that comes before."""
        wins: bool = and_(
            running.priority < waiting.priority, self.key(waiting) < self.key(running)
        )
        return wins
