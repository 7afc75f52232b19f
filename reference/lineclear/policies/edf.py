"""Earliest deadline first.

Guarantees: the order never changes; a request with a deadline is preceded only by requests with an earlier one, and
these arrived before it if deadlines lie after arrivals. Requests without a deadline come last, and may wait for ever.
"""

from __future__ import annotations

from lineclear.policies.view import View
from lineclear_spec.logic import given, if_else, or_else, precedes


class EarliestDeadlineFirst:
    """The earliest deadline first; it may displace a later one."""

    name = "edf"
    may_starve = True

    def key(self, request: View) -> tuple[float, float]:
        """When it should be done; without a deadline after all that have one."""
        return if_else(given(request.deadline), 0, 1), or_else(request.deadline, 0)

    def may_displace(self, waiting: View, running: View) -> bool:
        """Preempts for a strictly earlier deadline."""
        sooner: bool = precedes(self.key(waiting), self.key(running))
        return sooner
