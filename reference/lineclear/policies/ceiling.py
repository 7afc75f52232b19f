"""Priority with a ceiling: how many later requests may pass one, at most, is a number.

Guarantees: at most `ceiling * (levels - 1)` requests that arrived after a request are admitted
before it, whatever keeps arriving, because a level of priority is worth a head start of `ceiling`
arrivals and no more. It knows nothing about time: it counts arrivals.
"""

from __future__ import annotations

from lineclear.view import View

__all__ = ["Ceiling"]


class Ceiling:
    """A priority is a head start in the order of arrival.

    Args:
        ceiling: arrivals that one level of priority is worth.
        levels: priorities 0 to `levels` - 1 are told apart; others count as the nearest of them.
    """

    name = "ceiling"

    def __init__(self, ceiling: int = 16, levels: int = 2) -> None:
        """Refuses what can't be meant."""
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
        level = max(0, min(request.priority, self.levels - 1))
        return request.number - self.ceiling * level

    def may_displace(self, waiting: View, running: View) -> bool:
        """Whoever comes before in the order and is strictly more important."""
        return running.priority < waiting.priority and self.key(waiting) < self.key(running)
