"""A second implementation of the tenant policies, one step and one turn at a time, in fractions.

Guarantees: it calls nothing of the policies. It charges every sequence in the decode batch in every step, takes
every turn by itself, and forgets and defers nothing.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from fractions import Fraction

__all__ = ["PlainShares", "PlainTurns", "PlainVirtualTime"]


class PlainShares:
    """The charge of every tenant, in the unit of the prices.

    Args:
        prices: of a prompt token and of a generated one.
        weights: by tenant, 1 if absent.
    """

    def __init__(self, prices: tuple[Fraction, Fraction], weights: dict[str, Fraction]) -> None:
        self.prices, self.weights = prices, weights
        self.charged: defaultdict[str, Fraction] = defaultdict(Fraction)
        self.in_decode_batch: Counter[str] = Counter()
        self.waiting: list[str] = []

    def charge(self, tenant: str, price: Fraction) -> None:
        self.charged[tenant] += price / self.weights.get(tenant, Fraction(1))

    def tick(self) -> None:
        for tenant, count in self.in_decode_batch.items():
            self.charge(tenant, self.prices[1] * count)

    def backlogged(self, tenant: str) -> None:
        self.waiting.append(tenant)

    def idle(self, tenant: str) -> None:
        self.waiting.remove(tenant)

    def admitted(self, tenant: str, tokens: int) -> None:
        self.charge(tenant, self.prices[0] * tokens)

    def sampled(self, tenant: str, tokens: int) -> None:
        self.charge(tenant, self.prices[1] * tokens)


class PlainVirtualTime(PlainShares):
    """The least counter goes next; ties go to the tenant that began to wait first."""

    virtual = Fraction(0)

    def backlogged(self, tenant: str) -> None:
        super().backlogged(tenant)
        self.charged[tenant] = max(self.charged[tenant], self.virtual)

    def first(self) -> str:
        return min(self.waiting, key=lambda t: (self.charged[t], self.waiting.index(t)))

    def admitted(self, tenant: str, tokens: int) -> None:
        self.virtual = max(self.virtual, self.charged[tenant])
        super().admitted(tenant, tokens)
        if not self.waiting:
            self.virtual = max(self.virtual, self.charged[tenant])


class PlainTurns(PlainShares):
    """Turns in a ring; `waiting` is the ring.

    Args:
        quantum: earnings of a turn.
        unit: a part of a quantum is rounded down to this, for an absent tenant.
    """

    def __init__(
        self,
        prices: tuple[Fraction, Fraction],
        weights: dict[str, Fraction],
        quantum: Fraction,
        unit: Fraction,
    ) -> None:
        super().__init__(prices, weights)
        self.quantum, self.unit = quantum, unit
        self.earned: defaultdict[str, Fraction] = defaultdict(Fraction)
        self.away: defaultdict[str, Fraction] = defaultdict(Fraction)
        self.begun = False

    def credit(self, tenant: str) -> Fraction:
        return self.earned[tenant] - self.charged[tenant]

    def backlogged(self, tenant: str) -> None:
        super().backlogged(tenant)
        credit = min(Fraction(0), self.credit(tenant) + self.away.pop(tenant, Fraction(0)))
        self.earned[tenant] = self.charged[tenant] + credit

    def idle(self, tenant: str) -> None:
        if tenant == self.waiting[0]:
            self.begun = False
        super().idle(tenant)
        self.away[tenant] = Fraction(0)

    def first(self) -> str:
        while True:
            head = self.waiting[0]
            if not self.begun:
                self.begun = True
                credit = min(self.quantum, self.credit(head) + self.quantum)
                self.earned[head] = self.charged[head] + credit
            if self.credit(head) > 0:
                return head
            self.waiting.append(self.waiting.pop(0))
            self.begun = False
            part = self.quantum / self.unit // len(self.waiting) * self.unit
            for tenant in self.away:
                self.away[tenant] += part
