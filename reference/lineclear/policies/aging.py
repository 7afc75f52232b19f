"""Priority with aging: a level of priority is worth a head start of so many seconds.

Guarantees: the order never changes, although priorities seem to grow with waiting, because all grow alike: the order
of two requests never changes. A request is overtaken only by those that arrive within its head start, so that none
starves as long as priorities have a greatest one.

An age that is capped, or that counts only while a request waits, has neither property.
"""

from __future__ import annotations

from lineclear.policies.units import need_seconds
from lineclear.policies.view import View
from lineclear_spec.logic import and_


class Aging:
    """The earliest arrival first, each level of priority counting as an earlier one.

    Args:
        seconds_per_level: the head start that one level of priority is worth. 0 is first come,
            first served by arrival time; the larger, the nearer to static priority.
    """

    name = "aging"

    def __init__(self, seconds_per_level: float = 10.0) -> None:
        """Rejects invalid values."""
        need_seconds("seconds_per_level", seconds_per_level)
        self.seconds_per_level = seconds_per_level

    def key(self, request: View) -> float:
        """The time of the arrival, less the head start."""
        return request.arrival_time - self.seconds_per_level * request.priority

    def may_displace(self, waiting: View, running: View) -> bool:
        """Preempts for a strictly more important request that comes before."""
        wins: bool = and_(
            running.priority < waiting.priority, self.key(waiting) < self.key(running)
        )
        return wins
