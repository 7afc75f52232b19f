"""What is claimed of the policy in `policies/tenants.py`: theorems, and the facts that they rest on."""

from __future__ import annotations

from typing import Any

from lineclear.policies import accounts
from lineclear.policies.tenants import TenantPolicy
from lineclear_spec.liveness.theorems import TABLE, Theorem, of_any_order
from lineclear_spec.logic import and_, implies


def held(policy: TenantPolicy, unknowns: Any) -> list[tuple[str, Any]]:
    """Whether a prompt and all started requests cost any tenant U at most."""
    longest, output, sequences, prompt, tokens = map(
        unknowns.whole,
        ("longest_prompt", "longest_output", "sequences", "prompt_tokens", "open_tokens"),
    )
    paying = accounts.any_account(unknowns, "paying")
    # The tokens of all sequences are one unknown, so that no solver multiplies three.
    everything = unknowns.whole("most_tokens")
    most = policy.most_charged(longest, everything, 1)
    asked = paying.prompt * prompt + paying.output * tokens
    least = policy.dearest.prompt * prompt + policy.dearest.output * tokens
    return [
        (
            "no tenant pays more than the dearest rates",
            implies(
                and_(
                    paying.prompt <= policy.dearest.prompt, paying.output <= policy.dearest.output
                ),
                asked <= least,
            ),
        ),
        (
            "U is that of one sequence with the tokens of all",
            policy.most_charged(longest, output, sequences)
            == policy.most_charged(longest, sequences * output, 1),
        ),
        (
            "a prompt and all that a tenant has started cost U at most",
            implies(and_(prompt <= longest, tokens <= everything), least <= most),
        ),
    ]


def of_tenants(policy: str) -> tuple[Theorem, ...]:
    """The theorems of every tenant policy: within one tenant the order is that of arrival."""
    order = f"order_{policy}/progress/"
    kept = [t for t in of_any_order(policy) if not t.name.endswith((".P4", ".P6b"))]
    return (
        *kept,
        Theorem(
            f"{policy}.P4",
            "of a tenant's requests none enters while an earlier one waits, unless it may pass",
            ("F2", "F4"),
            (
                order + "the order is ",
                order + "only who",
                "decisions/progress/with no bypass no request enters",
            ),
            "Order",
        ),
        Theorem(
            f"{policy}.P6b",
            "some request always finishes: of those that run, the one that arrived first is not "
            "preempted, and only earlier arrivals can take its place",
            ("F1", "F2", "F3", "F4", "F5", "F6", "F7", "F8"),
            (TABLE, order),
            "Progress",
        ),
    )
