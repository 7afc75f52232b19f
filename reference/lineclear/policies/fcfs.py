"""First come, first served: the order of arrival, and nobody waiting displaces anybody.

Guarantees: finitely many requests go before any other. It knows nothing about priorities.
"""

from __future__ import annotations

from lineclear.request import Request

__all__ = ["FirstComeFirstServed"]


class FirstComeFirstServed:
    """The order of arrival."""

    name = "fcfs"

    def key(self, request: Request) -> float:
        """The same for all: ties are broken by arrival."""
        return 0

    def may_displace(self, waiting: Request, running: Request) -> bool:
        """Never."""
        return False
