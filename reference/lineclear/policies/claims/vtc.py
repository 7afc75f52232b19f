"""What is claimed of the policy in `policies/vtc.py`: theorems, and the facts that they rest on."""

from __future__ import annotations

from typing import Any

from lineclear.policies import accounts, virtual_time
from lineclear.policies.accounts import Rates
from lineclear.policies.claims import method_lemmas
from lineclear.policies.claims.fcfs import EARLIER
from lineclear.policies.claims.tenants import held, of_tenants
from lineclear.policies.vtc import VirtualTokenCounter
from lineclear_spec.liveness.theorems import TABLE, Claims, Theorem, claim, unchecked


def steps(policy: VirtualTokenCounter, unknowns: Any) -> list[tuple[str, Any]]:
    """The lemmas about each event's effect on an account and on I(V), and about the bound U."""
    return [
        *virtual_time.lemmas(unknowns),
        *accounts.contracts(unknowns),
        *held(policy, unknowns),
        *method_lemmas.of_accounts(VirtualTokenCounter, unknowns),
        *method_lemmas.of_virtual_time(VirtualTokenCounter, unknowns),
    ]


STEPS = "order_vtc/progress/"
KEPT = tuple(
    STEPS + label
    for label in (
        *accounts.CONTRACTS,
        "the tenant that is chosen",
        "admission keeps",
        "admission of the last",
        "an admission charges the prompt, at the tenant's rate for prompts, and moves V",
        "V moves on",
        "sampled tokens keep",
        "a step with sequences in the decode batch",
        "a sequence that joins or leaves the decode batch",
        "coming back, ",
        "coming back lifts",
        "an end, and",
        "a new tenant is",
        "a forgotten",
        "counters of two",
        "no tenant pays",
        "a prompt and all",
        "the policy's own methods",
    )
)

claim(
    Claims(
        "vtc",
        lambda unknowns: unchecked(
            VirtualTokenCounter,
            dearest=Rates(unknowns.whole("prompt_rate", 1), unknowns.whole("output_rate", 1)),
        ),
        (
            *of_tenants("vtc"),
            Theorem(
                "vtc.P12",
                "counters of tenants that wait differ by at most U, and the service of two that wait "
                "all the time by at most 2 U",
                ("F9", "F10"),
                (*KEPT, STEPS + "with counters that differ"),
                "Sharing",
            ),
            Theorem(
                "vtc.P7",
                "every request comes to its end: another tenant is admitted only while its counter is "
                "not above the one that waits, and each first admission and each token raises it",
                ("F1", "F2", "F3", "F4", "F5", "F6", "F7", "F8", "F9", "F10", "A4"),
                (TABLE, *KEPT, STEPS + "an admission raises", STEPS + "only who"),
                "Sharing",
            ),
            Theorem(
                "vtc.P7 without A4",
                "a tenant may wait for ever: any number of new ones go before it",
                (),
                (STEPS + "a new tenant goes before",),
                "Sharing",
                holds=False,
            ),
        ),
        (EARLIER,),
        steps,
        (*accounts.RUNS, *virtual_time.RUNS),
    )
)
