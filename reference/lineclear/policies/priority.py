"""Static priority: the more important first, then the order of arrival.

Guarantees: a request displaces only strictly less important ones.
"""

from __future__ import annotations

from lineclear.policies.view import View


class Priority:
    """Higher priority is more important, as in the lesson (vLLM's sign is the opposite)."""

    name = "priority"
    may_starve = True

    def key(self, request: View) -> float:
        """The most important first."""
        return -request.priority

    def may_displace(self, waiting: View, running: View) -> bool:
        """Only the strictly less important."""
        return running.priority < waiting.priority
