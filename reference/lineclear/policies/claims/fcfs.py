"""What is claimed of the policy in `policies/fcfs.py`: theorems, and the facts that they rest on."""

from __future__ import annotations

from lineclear.policies.fcfs import FirstComeFirstServed
from lineclear_spec.liveness.theorems import TABLE, Claims, Fact, Theorem, claim, of_any_order
from lineclear_spec.logic import implies

EARLIER = Fact(
    "only who arrived earlier comes before",
    lambda first, second, _: implies(first.order < second.order, first.arrival < second.arrival),
)


def in_order_of_arrival(policy: str) -> Theorem:
    """The theorems that hold if only earlier arrivals come before."""
    return Theorem(
        f"{policy}.P8",
        "requests are first admitted in the order of their arrival",
        ("F2", "F4"),
        (
            f"order_{policy}/",
            "decisions/progress/the first request of all is the head",
            "decisions/progress/with no bypass no request enters",
        ),
        "Order",
    )


claim(
    Claims(
        "fcfs",
        lambda _: FirstComeFirstServed(),
        (
            *of_any_order("fcfs", ("only who arrived earlier",)),
            Theorem(
                "fcfs.P7",
                "every request comes to its end: only those that arrived earlier go before it",
                ("F1", "F2", "F3", "F4", "F5", "F6", "F7", "F8"),
                (TABLE, "order_fcfs/"),
                "No starvation",
            ),
            in_order_of_arrival("fcfs"),
        ),
        (EARLIER,),
    )
)
