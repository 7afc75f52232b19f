"""Static priority: the more important first, then the order of arrival.

Guarantees: a request displaces only strictly less important ones.
"""

from __future__ import annotations

from lineclear.policies.view import View
from lineclear_spec.logic import both, implies, negate
from lineclear_spec.theorems import Claims, Fact, Theorem, claim, of_any_order

__all__ = ["Priority"]


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


RANKED = Fact(
    "a less important request never comes before a more important one",
    lambda first, second, _: implies(
        first.priority < second.priority, negate(first.order < second.order)
    ),
)
OVERTAKEN = Fact(
    "a more important request comes before, however late it arrives",
    lambda first, second, _: implies(
        both(first.priority == second.priority + 1, first.arrival > second.arrival),
        first.order < second.order,
    ),
)

claim(
    Claims(
        "priority",
        lambda _: Priority(),
        (
            *of_any_order("priority", ("a less important request never",), ("A2",)),
            Theorem(
                "priority.P7",
                "a request may wait for ever: any number of more important ones that arrive later "
                "go before it",
                (),
                ("order_priority/progress/a more important request",),
                "No starvation",
                holds=False,
            ),
        ),
        (RANKED, OVERTAKEN),
    )
)
