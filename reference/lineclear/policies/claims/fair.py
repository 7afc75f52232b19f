"""What is claimed of the policy in `policies/fair.py`: theorems, and the facts that they rest on."""

from __future__ import annotations

from lineclear.policies.claims.fcfs import EARLIER, in_order_of_arrival
from lineclear.policies.fair import Fair
from lineclear_spec.liveness.theorems import Claims, claim, ends_by, of_any_order

claim(
    Claims(
        "fair",
        lambda _: Fair(),
        (
            *of_any_order("fair", ("only who arrived earlier",), shares=True),
            ends_by("fair", "only who arrived earlier"),
            in_order_of_arrival("fair"),
        ),
        (EARLIER,),
    )
)
