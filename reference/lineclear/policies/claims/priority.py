"""What is claimed of the policy in `policies/priority.py`: theorems, and the facts that they rest on."""

from __future__ import annotations

from lineclear.policies.priority import Priority
from lineclear_spec.liveness.theorems import Claims, Fact, Theorem, claim, of_any_order
from lineclear_spec.logic import and_, implies, not_

RANKED = Fact(
    "a less important request never comes before a more important one",
    lambda first, second, _: implies(
        first.priority < second.priority, not_(first.order < second.order)
    ),
)
OVERTAKEN = Fact(
    "a more important request comes before, however late it arrives",
    lambda first, second, _: implies(
        and_(first.priority == second.priority + 1, first.arrival > second.arrival),
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
