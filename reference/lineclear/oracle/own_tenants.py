"""A second, slow implementation of the tenant policies: plain sums, one turn at a time.

Guarantees: amounts are fractions in the unit of the prices; no account is ever forgotten or brought up to
date, since every token is added when a plan samples it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Hashable, Iterable
from fractions import Fraction
from typing import Any

from lineclear.oracle.rules import Undone
from lineclear.policies.view import View


class Tenants(ABC):
    """Prices, and which tenants have requests that wait."""

    def __init__(self, policy: Any) -> None:
        self.prompt, self.output = Fraction(policy.prompt_price), Fraction(policy.output_price)
        self.weights = {name: Fraction(weight) for name, weight in policy.weights.items()}
        self.unit = Fraction(policy.unit)
        self.waiting: list[Hashable] = []  # in the order in which they began to

    def key(self, view: View) -> Any:
        """Within a tenant the order of arrival."""
        return 0

    def may_displace(self, waiting: View, running: View) -> bool:
        """Never."""
        return False

    def weight(self, tenant: Hashable) -> Fraction:
        """By which a charge is divided."""
        return self.weights.get(str(tenant), Fraction(1))

    def backlogged(self, tenant: Hashable, step: int) -> None:
        """A request of the tenant waits, and none did."""
        self.waiting.append(tenant)

    def idle(self, tenant: Hashable, step: int) -> None:
        """No request of the tenant waits any more."""
        self.waiting.remove(tenant)

    def decode_batch_changed(self, tenant: Hashable, change: int, step: int) -> None:
        """Changes nothing: tokens are added when they are sampled."""
        del tenant, change, step

    def admitted(self, tenant: Hashable, tokens: int, step: int) -> None:
        """A request with such a prompt runs for the first time."""
        self.charge(tenant, self.prompt * tokens / self.weight(tenant))

    def sampled(self, tenants: Iterable[Hashable]) -> None:
        """A plan samples a token for each of them."""
        for tenant in tenants:
            self.charge(tenant, self.output / self.weight(tenant))

    @abstractmethod
    def charge(self, tenant: Hashable, amount: Fraction) -> None:
        """Adds an amount to what the tenant has paid."""

    @abstractmethod
    def first(self, step: int) -> Hashable:
        """The tenant whose turn it is."""

    @abstractmethod
    def check(self, policy: Any, step: int) -> None:
        """Raises if the accounts of a policy differ from these."""


def same(what: str, found: Any, wanted: Any) -> None:
    """Raises if the two differ."""
    if found != wanted:
        raise Undone("counts", f"{what}: {found}, and it should be {wanted}")


class VirtualTokenCounters(Tenants):
    """The waiting tenant with the least counter goes next; one that comes back is owed nothing."""

    def __init__(self, policy: Any) -> None:
        super().__init__(policy)
        self.counter: dict[Hashable, Fraction] = {}
        self.virtual = Fraction(0)

    def charge(self, tenant: Hashable, amount: Fraction) -> None:
        """Adds it to the counter."""
        self.counter[tenant] = self.counter.get(tenant, Fraction(0)) + amount

    def backlogged(self, tenant: Hashable, step: int) -> None:
        """Its counter is the virtual time at least."""
        super().backlogged(tenant, step)
        self.counter[tenant] = max(self.counter.get(tenant, Fraction(0)), self.virtual)

    def admitted(self, tenant: Hashable, tokens: int, step: int) -> None:
        """The virtual time is the counter of the tenant served last: before it pays if others wait."""
        self.virtual = max(self.virtual, self.counter[tenant])
        super().admitted(tenant, tokens, step)
        if not self.waiting:
            self.virtual = max(self.virtual, self.counter[tenant])

    def first(self, step: int) -> Hashable:
        """The least counter, of equal ones the tenant that waits longer."""
        return min(self.waiting, key=lambda tenant: self.counter[tenant])

    def check(self, policy: Any, step: int) -> None:
        """The virtual time, and the counters of all that the policy has accounts of."""
        same("the virtual time", policy.virtual * self.unit, self.virtual)
        same("tenants that wait", sorted(policy.turn, key=policy.turn.get), self.waiting)
        for tenant in policy.accounts:
            mine = self.counter.get(tenant, Fraction(0))
            same(f"counter of tenant {tenant!r}", policy.charged(tenant, step) * self.unit, mine)


class Turns(Tenants):
    """Tenants take turns; a turn earns a quantum, and lasts as long as there is credit."""

    def __init__(self, policy: Any) -> None:
        super().__init__(policy)
        self.quantum = policy.quantum * self.unit
        self.credit: dict[Hashable, Fraction] = {}
        self.begun = False  # the turn of the first
        self.away: dict[Hashable, Fraction] = {}  # what absent tenants have earned

    def charge(self, tenant: Hashable, amount: Fraction) -> None:
        """Takes it from the credit."""
        self.credit[tenant] = self.credit.get(tenant, Fraction(0)) - amount

    def backlogged(self, tenant: Hashable, step: int) -> None:
        """It has no credit, and owes what the rounds have not earned back for it."""
        super().backlogged(tenant, step)
        earned = self.away.pop(tenant, Fraction(0))
        self.credit[tenant] = min(Fraction(0), self.credit.get(tenant, Fraction(0)) + earned)

    def idle(self, tenant: Hashable, step: int) -> None:
        """If it was its turn, the turn of the next one has not begun."""
        self.begun = self.begun and self.waiting[0] != tenant
        super().idle(tenant, step)
        self.away[tenant] = Fraction(0)

    def first(self, step: int) -> Hashable:
        """Turn by turn, until one has credit."""
        while True:
            tenant = self.waiting[0]
            if not self.begun:
                self.credit[tenant] = min(self.quantum, self.credit[tenant] + self.quantum)
                self.begun = True
            if self.credit[tenant] > 0:
                return tenant
            self.begun = False
            part = self.unit * (self.quantum // self.unit // len(self.waiting))
            self.away = {absent: earned + part for absent, earned in self.away.items()}
            self.waiting.append(self.waiting.pop(0))

    def check(self, policy: Any, step: int) -> None:
        """The round, and the credit of all that the policy has accounts of."""
        same("the round", (list(policy.round), policy.turn.begun), (self.waiting, self.begun))
        for tenant in policy.accounts:
            mine = self.credit.get(tenant, Fraction(0))
            same(f"credit of tenant {tenant!r}", policy.credit(tenant, step) * self.unit, mine)
