"""What is claimed of the policy in `policies/hybrid.py`: theorems, and the facts that they rest on."""

from __future__ import annotations

from lineclear.policies.hybrid import Hybrid
from lineclear_spec.liveness.theorems import TABLE, Claims, Fact, Theorem, claim, of_any_order
from lineclear_spec.logic import and_, implies

SENIOR = Fact(
    "only who arrived earlier ranks before",
    lambda first, second, _: implies(first.rank < second.rank, first.arrival < second.arrival),
)
OVERTAKEN = Fact(
    "a more important request enters before, however late it arrives",
    lambda first, second, _: implies(
        and_(first.priority == second.priority + 1, first.arrival > second.arrival),
        first.order < second.order,
    ),
)

claim(
    Claims(
        "hybrid",
        lambda _: Hybrid(),
        (
            *[t for t in of_any_order("hybrid", ranked=True) if not t.name.endswith(".P6b")],
            Theorem(
                "hybrid.P6b",
                "some request always finishes: of those that run, the one that arrived first "
                "is not preempted, and only earlier arrivals can take its place",
                ("F1", "F2", "F3", "F4", "F5", "F6", "F7", "F8"),
                (TABLE, "order_hybrid/"),
                "Progress",
            ),
            Theorem(
                "hybrid.P7",
                "a request may wait for ever: any number of more important ones that arrive later "
                "enter before it",
                (),
                ("order_hybrid/progress/a more important request",),
                "No starvation",
                holds=False,
            ),
        ),
        (SENIOR, OVERTAKEN),
    )
)
