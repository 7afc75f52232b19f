"""Policies that share the machine among tenants: they choose the next tenant and count service.

Guarantees: an event changes the account of its tenant by one function of `accounts.py`, in whole numbers;
here accounts are only looked up and stored. Within a tenant the order is that of arrival. How the
next tenant is chosen is what each policy says.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Hashable, Mapping
from fractions import Fraction
from typing import Any

from lineclear.policies import accounts
from lineclear.policies.accounts import Account, Rates
from lineclear.policies.units import Exact, Number, amount, exact, unit_of, whole
from lineclear.policies.view import View


class TenantPolicy(ABC):
    """Whose turn it is.

    Args:
        prompt_price: charge for a token of a prompt, once for each request.
        output_price: charge for a generated token.
        weights: share of each tenant by name, 1 if it is not named; a charge is divided by it.

    Attributes:
        unit: what one unit of the accounts is worth, in that of the prices; see `units.py`.
        standard: units that a token costs a tenant of weight 1.
        rates: the same of each tenant that has a weight.
        dearest: the most that a token costs any tenant.
        cheapest: the least.
        accounts: by tenant.

    Raises:
        ValueError: a price or a weight is no finite number above 0, or they differ by so much that
            the accounts do not hold them.
    """

    name = "tenants"

    def __init__(
        self,
        prompt_price: Number = 1.0,
        output_price: Number = 2.0,
        weights: Mapping[str, Number] | None = None,
    ) -> None:
        """Starts with no tenant served."""
        self._settle_prices(prompt_price, output_price, weights, {}, 1)

    def _settle_prices(
        self,
        prompt_price: Number,
        output_price: Number,
        weights: Mapping[str, Number] | None,
        others: Mapping[str, Number],
        parts: int,
    ) -> dict[str, int]:
        """Converts the settings, once; the others in units of the accounts.

        Args:
            prompt_price: as given.
            output_price: as given.
            weights: as given; None for none.
            others: amounts, by label, that accounts are compared with.
            parts: into how many the greatest common unit is divided.
        """
        weights = {} if weights is None else weights
        if not hasattr(weights, "items"):
            raise ValueError(f"weights must be a table of tenants and numbers, not {weights!r}")
        self.prompt_price = exact(amount("prompt_price", prompt_price))
        self.output_price = exact(amount("output_price", output_price))
        self.weights = {t: exact(amount(f"the weight of {t}", w)) for t, w in weights.items()}
        shares: dict[str | None, Fraction] = {None: Fraction(1)}
        shares |= {tenant: Fraction(weight) for tenant, weight in self.weights.items()}
        asked = {
            (tenant, label): Fraction(price) / share
            for tenant, share in shares.items()
            for label, price in (("prompt", self.prompt_price), ("output", self.output_price))
        }
        wanted = {label: amount(label, value) for label, value in others.items()}
        self.unit = unit_of([*asked.values(), *wanted.values()], parts)
        given = {"prompt": prompt_price, "output": output_price}
        counted = {
            (tenant, label): whole(
                f"{label}_price {given[label]!r}"
                + (
                    f" divided by the weight {weights[tenant]!r} of {tenant}"
                    if tenant is not None
                    else ""
                ),
                value,
                self.unit,
            )
            for (tenant, label), value in asked.items()
        }
        found = {t: Rates(counted[t, "prompt"], counted[t, "output"]) for t in shares}
        self.standard = found[None]
        self.rates = {tenant: found[tenant] for tenant in self.weights}
        every = found.values()
        self.dearest = Rates(max(r.prompt for r in every), max(r.output for r in every))
        self.cheapest = Rates(min(r.prompt for r in every), min(r.output for r in every))
        self.accounts: dict[Hashable, Account] = {}
        return {
            label: whole(f"{label} {others[label]!r}", value, self.unit)
            for label, value in wanted.items()
        }

    # ---- what the scheduler asks ---------------------------------------------------------------

    def key(self, request: View) -> float:
        """Within a tenant the order of arrival."""
        return 0

    def may_displace(self, waiting: View, running: View) -> bool:
        """Never: a running request is not preempted for a waiting one."""
        return False

    def tenant(self, request: View) -> Hashable:
        """The tenant that the request is charged to."""
        return request.tenant

    @abstractmethod
    def first(self, step: int) -> Hashable:
        """The tenant whose turn it is, among those of whom a request waits."""

    # ---- what a tenant may be charged ----------------------------------------------------------

    def most_charged(self, longest_prompt: Any, longest_output: Any, sequences: Any) -> Any:
        """U, in units: the most that a prompt and all tokens of a tenant's started requests cost.

        Args:
            longest_prompt: tokens of the longest prompt.
            longest_output: tokens that a sequence generates at most.
            sequences: sequences that run at once; requests of a tenant start in order, so those
                that started and were preempted have no more than these.
        """
        return accounts.most_charged(self.dearest, longest_prompt, longest_output, sequences)

    @property
    def least_weight(self) -> Exact:
        """The smallest weight that any tenant may have."""
        return min(1, *self.weights.values()) if self.weights else 1

    # ---- what the scheduler tells --------------------------------------------------------------

    def account(self, tenant: Hashable) -> Account:
        """The tenant's account, opened when it is first asked for."""
        if tenant not in self.accounts:
            self._open(tenant)
        return self.accounts[tenant]

    def _open(self, tenant: Hashable) -> None:
        """The account of a new tenant, at its own rates."""
        self.accounts[tenant] = accounts.opened(self.rates.get(str(tenant), self.standard))

    def charged(self, tenant: Hashable, step: int) -> int:
        """All that the tenant was charged up to this step, in units."""
        charged: int = accounts.accrued(self.account(tenant), step)
        return charged

    def backlogged(self, tenant: Hashable, step: int) -> None:
        """A request of the tenant waits now, and none did before."""
        self.accounts[tenant] = accounts.waits(self.account(tenant), step)

    def idle(self, tenant: Hashable, step: int) -> None:
        """No request of the tenant waits any more."""
        self.accounts[tenant] = accounts.rests(self.account(tenant), step)

    def admitted(self, tenant: Hashable, tokens: int, step: int) -> None:
        """A request of the tenant was admitted for the first time, with so many prompt tokens."""
        self.accounts[tenant] = accounts.admitted(self.account(tenant), tokens, step)

    def sampled(self, tenant: Hashable, tokens: int, step: int) -> None:
        """So many tokens were sampled for sequences of the tenant that are not in the decode batch."""
        self.accounts[tenant] = accounts.sampled(self.account(tenant), tokens, step)

    def decode_batch_changed(self, tenant: Hashable, change: int, step: int) -> None:
        """So many more, or fewer, of its sequences are sampled one token in every step."""
        self.accounts[tenant] = accounts.with_batch_changed(self.account(tenant), change, step)
