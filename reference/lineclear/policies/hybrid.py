"""Hybrid, of the lesson's fourth question: priority for the first admission, arrival afterwards.

Guarantees: running requests are served and preempted by the order of arrival, so the one that arrived
first of all that run always goes on.
"""

from __future__ import annotations

from lineclear.policies.view import View


class Hybrid:
    """The most important is admitted first; among those that run the order is that of arrival."""

    name = "hybrid"
    may_starve = True

    def key(self, request: View) -> float:
        """The most important first."""
        return -request.priority

    def rank(self, request: View) -> float:
        """The same for all: ties are broken by arrival."""
        return 0

    def may_displace(self, waiting: View, running: View) -> bool:
        """Never."""
        return False
