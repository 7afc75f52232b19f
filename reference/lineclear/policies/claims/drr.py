"""What is claimed of the policy in `policies/drr.py`: theorems, and the facts that they rest on."""

from __future__ import annotations

from typing import Any

from lineclear.policies import accounts, turns
from lineclear.policies.accounts import Rates
from lineclear.policies.claims import method_lemmas, turn_lemmas
from lineclear.policies.claims.fcfs import EARLIER
from lineclear.policies.claims.tenants import held, of_tenants
from lineclear.policies.drr import DeficitRoundRobin
from lineclear_spec.liveness.theorems import TABLE, Claims, Theorem, claim, unchecked


def steps(policy: DeficitRoundRobin, unknowns: Any) -> list[tuple[str, Any]]:
    """The lemmas about each event's effect on credit and round, and about the bound U."""
    return [
        *turn_lemmas.lemmas(policy, unknowns),
        *accounts.contracts(unknowns),
        *held(policy, unknowns),
        *method_lemmas.of_accounts(DeficitRoundRobin, unknowns),
        *method_lemmas.of_rounds(DeficitRoundRobin, unknowns),
    ]


STEPS = "order_drr/progress/"
BETWEEN = tuple(
    STEPS + label
    for label in (
        *accounts.CONTRACTS,
        "a turn keeps",
        "a turn has begun",
        "being served with credit keeps",
        "sampled tokens keep",
        "a step with sequences in the decode batch",
        "a sequence that joins or leaves the decode batch",
        "an end, and",
        "coming back keeps",
        "coming back brings",
        "a forgotten",
        "rounds without credit",
        "one round more",
        "who is away",
        "a round earns who",
        "the rounds that are taken",
        "no tenant pays",
        "a prompt and all",
        "the policy's own methods",
    )
)

claim(
    Claims(
        "drr",
        lambda unknowns: unchecked(
            DeficitRoundRobin,
            quantum=unknowns.whole("quantum", 1),
            dearest=Rates(unknowns.whole("prompt_rate", 1), unknowns.whole("output_rate", 1)),
        ),
        (
            *of_tenants("drr"),
            Theorem(
                "drr.P13",
                "the credit D of every tenant is between -U and Q, and of two tenants that wait all "
                "the time the service differs by at most Q + 2 (Q + U)",
                ("F9", "F10"),
                (
                    *BETWEEN,
                    STEPS + "a turn that begins",
                    STEPS + "of two who wait",
                    STEPS + "with turns that differ",
                ),
                "Sharing",
            ),
            Theorem(
                "drr.P7",
                "every request comes to its end: each round a tenant that waits earns a quantum, so "
                "that its turn comes with credit after at most U / Q + 1 rounds",
                ("F1", "F2", "F3", "F4", "F5", "F6", "F7", "F8", "F9", "F10"),
                (TABLE, *BETWEEN, STEPS + "a turn that begins", "order_drr/progress/only who"),
                "Sharing",
            ),
        ),
        (EARLIER,),
        steps,
        (*accounts.RUNS, *turns.RUNS),
    )
)
