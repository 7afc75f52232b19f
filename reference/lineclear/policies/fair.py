"""Fair, the lesson's third policy made sound: an equal share of each step's tokens for prompts.

Guarantees: no prompt takes more than its share while another could use it, so a long prompt delays the others by
less; a share is at least one token and unused tokens go to others, which are two of the ways in which the lesson's
version loses tokens. Order and progress are those of first come, first served.
"""

from __future__ import annotations

from lineclear.policies.view import View


class Fair:
    """The order of arrival, and equal shares of a step for prompts that are not computed."""

    name = "fair"

    def key(self, request: View) -> float:
        """The same for all: ties are broken by arrival."""
        return 0

    def may_displace(self, waiting: View, running: View) -> bool:
        """Never."""
        return False

    def share(self, request: View, budget: int, sharers: int) -> int:
        """The budget divided by those who are live, at least 1."""
        return max(1, budget // max(1, sharers))
