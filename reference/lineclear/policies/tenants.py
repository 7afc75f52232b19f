"""Policies that share the machine among tenants: whose turn it is, and what each has had.

Guarantees: a tenant's account is right at every step, though nothing is done in a step for the
sequences that simply go on: what they are charged accrues at a rate that changes when one of them
starts or stops. Within a tenant the order is that of arrival. It knows nothing about how the next
tenant is chosen, which is what each policy says.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Hashable
from typing import Any

from lineclear.view import View
from lineclear_spec.logic import both, implies
from lineclear_spec.theorems import TABLE, Theorem, of_any_order

__all__ = ["Account", "TenantPolicy", "held", "of_tenants", "paid"]


class Account:
    """What one tenant was charged.

    Attributes:
        weight: its share relative to others; a charge is divided by it.
        charged: up to the step `since`.
        rate: tokens that its steady sequences are charged in each step, before the weight.
        since: the step up to which `charged` counts.
        waiting: whether a request of the tenant waits.
    """

    __slots__ = ("charged", "rate", "since", "waiting", "weight")

    def __init__(self, weight: float) -> None:
        """Nothing was charged."""
        self.weight = weight
        self.charged = 0.0
        self.rate = 0.0
        self.since = 0
        self.waiting = False

    def settle(self, step: int) -> float:
        """All that was charged up to this step."""
        if self.rate and step > self.since:
            self.charged = paid(self.charged, self.rate * (step - self.since) / self.weight)
        self.since = step
        return self.charged

    def charge(self, price: float, step: int) -> None:
        """The tenant was served for this price."""
        self.settle(step)
        self.charged = paid(self.charged, price / self.weight)


class TenantPolicy(ABC):
    """Whose turn it is.

    Args:
        prompt_price: charge for a token of a prompt, once for each request.
        output_price: charge for a generated token.
        weights: share of each tenant by name, 1 if it is not named.
    """

    name = "tenants"

    def __init__(
        self,
        prompt_price: float = 1.0,
        output_price: float = 2.0,
        weights: dict[str, float] | None = None,
    ) -> None:
        """Nobody was served."""
        for label, value in (("prompt_price", prompt_price), ("output_price", output_price)):
            if not value > 0:
                raise ValueError(f"{label} must be a number above 0, not {value!r}")
        for tenant, weight in (weights or {}).items():
            if not weight > 0:
                raise ValueError(f"the weight of {tenant} must be above 0, not {weight!r}")
        self.prompt_price = float(prompt_price)
        self.output_price = float(output_price)
        self.weights = dict(weights or {})
        self.accounts: dict[Hashable, Account] = {}

    # ---- what the scheduler asks ---------------------------------------------------------------

    def key(self, request: View) -> float:
        """Within a tenant the order of arrival."""
        return 0

    def may_displace(self, waiting: View, running: View) -> bool:
        """Never: nobody who runs gives way to somebody who waits."""
        return False

    def tenant(self, request: View) -> Hashable:
        """Whom the request is charged to."""
        return request.tenant

    @abstractmethod
    def first(self, step: int) -> Hashable:
        """The tenant whose turn it is, among those of whom a request waits."""

    # ---- what a tenant may be charged ----------------------------------------------------------

    def most_charged(self, longest_prompt: Any, longest_output: Any, sequences: Any) -> Any:
        """U: the most that a prompt costs, and all tokens of the requests of a tenant that started.

        Args:
            longest_prompt: tokens of the longest prompt.
            longest_output: tokens that a sequence generates at most.
            sequences: sequences that run at once; requests of a tenant start in order, so those
                that started and gave way have no more than these.
        """
        return self.prompt_price * longest_prompt + self.output_price * sequences * longest_output

    @property
    def least_weight(self) -> float:
        """The smallest weight that any tenant may have: a charge is divided by it."""
        return min(1.0, *self.weights.values()) if self.weights else 1.0

    # ---- what the scheduler tells --------------------------------------------------------------

    def account(self, tenant: Hashable) -> Account:
        """The tenant's account, opened when it is first asked for."""
        found = self.accounts.get(tenant)
        if found is None:
            found = self.accounts[tenant] = Account(self.weights.get(str(tenant), 1.0))
        return found

    def backlogged(self, tenant: Hashable, step: int) -> None:
        """A request of the tenant waits now, and none did before."""
        self.account(tenant).waiting = True

    def idle(self, tenant: Hashable, step: int) -> None:
        """No request of the tenant waits any more."""
        self.account(tenant).waiting = False

    def admitted(self, tenant: Hashable, tokens: int, step: int) -> None:
        """A request of the tenant was admitted for the first time, with so many prompt tokens."""
        self.account(tenant).charge(self.prompt_price * tokens, step)

    def sampled(self, tenant: Hashable, tokens: int, step: int) -> None:
        """So many tokens were sampled for sequences of the tenant that are not steady."""
        self.account(tenant).charge(self.output_price * tokens, step)

    def steady(self, tenant: Hashable, change: int, step: int) -> None:
        """So many more, or fewer, of its sequences are sampled one token in every step."""
        account = self.account(tenant)
        account.settle(step)
        account.rate += self.output_price * change


def paid(charged: Any, price: Any) -> Any:
    """What was charged, after a charge."""
    return charged + price


# ---- theorems ----------------------------------------------------------------------------------


def held(policy: TenantPolicy, unknowns: Any) -> list[tuple[str, Any]]:
    """What a prompt and all started requests may cost is U at most, for weights of 1 and others."""
    longest, output, sequences, prompt, tokens = map(
        unknowns.real,
        ("longest_prompt", "longest_output", "sequences", "prompt_tokens", "open_tokens"),
    )
    most = policy.most_charged(longest, output, sequences)
    asked = policy.prompt_price * prompt + policy.output_price * tokens
    least, weight, share, bound = map(unknowns.real, ("least_weight", "weight", "share", "bound"))
    return [
        (
            "a prompt and all that a tenant has started cost U at most",
            implies(both(prompt <= longest, tokens <= sequences * output), asked <= most),
        ),
        (
            "a prompt and all, divided by a weight, are at most U divided by the least weight",
            implies(
                both(
                    least > 0,
                    least <= weight,
                    asked <= most,
                    share * weight == asked,
                    bound * least == most,
                ),
                share <= bound,
            ),
        ),
    ]


def of_tenants(policy: str) -> tuple[Theorem, ...]:
    """What holds of every policy that shares among tenants: within one the order is that of arrival."""
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
                "decisions/progress/with no bypass nobody enters",
            ),
            "Order",
        ),
        Theorem(
            f"{policy}.P6b",
            "somebody always comes to its end: of those that run, the one that arrived first gives "
            "way to nobody, and only earlier arrivals can take its place",
            ("F1", "F2", "F3", "F4", "F5", "F6", "F7", "F8"),
            (TABLE, order),
            "Progress",
        ),
    )
