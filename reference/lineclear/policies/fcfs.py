"""First come, first served: the order of arrival, and nobody waiting displaces anybody.

Guarantees: finitely many requests go before any other. It knows nothing about priorities.
"""

from __future__ import annotations

from lineclear.view import View

__all__ = ["FirstComeFirstServed"]


class FirstComeFirstServed:
    """The order of arrival."""

    name = "fcfs"

    def key(self, request: View) -> float:
        """The same for all: ties are broken by arrival."""
        return 0

    def may_displace(self, waiting: View, running: View) -> bool:
        """Never."""
        return False
