"""First come, first served: the order of arrival; a waiting request displaces none.

Guarantees: finitely many requests go before any other, so that none starves.
"""

from __future__ import annotations

from lineclear.policies.view import View


class FirstComeFirstServed:
    """The order of arrival."""

    name = "fcfs"

    def key(self, request: View) -> float:
        """The same for all: ties are broken by arrival."""
        return 0

    def may_displace(self, waiting: View, running: View) -> bool:
        """Never."""
        return False
