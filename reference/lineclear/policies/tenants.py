"""Policies that share the machine among tenants: whose turn it is, and what each has had.

Guarantees: a tenant's account is right at every step, though nothing is done in a step for the
sequences that simply go on: what they are charged accrues at a rate that changes when one of them
starts or stops. Within a tenant the order is that of arrival. It knows nothing about how the next
tenant is chosen, which is what each policy says.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Hashable

from lineclear.view import View

__all__ = ["Account", "TenantPolicy"]


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
            self.charged += self.rate * (step - self.since) / self.weight
        self.since = step
        return self.charged

    def charge(self, price: float, step: int) -> None:
        """The tenant was served for this price."""
        self.settle(step)
        self.charged += price / self.weight


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
