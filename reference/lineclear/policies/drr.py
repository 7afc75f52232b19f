"""Deficit round robin over tenants, in the form in which a tenant may run into debt.

Guarantees: a waiting tenant is served in its turn while it has credit; each turn earns it one
quantum and no credit above one quantum is saved, so the service of two waiting tenants differs by
a bound (`bound`), whatever they ask for. It knows nothing about single requests.

The round is that of Shreedhar and Varghese (1996). What a request will cost is not known before it
has generated its tokens, so generated tokens are charged as they come and drive the credit below
zero; the tenant then sits out as many rounds as it takes to earn it back.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable
from itertools import islice

from lineclear.policies.tenants import TenantPolicy

__all__ = ["DeficitRoundRobin"]

#: Tenants with nothing waiting, before they are looked through.
FORGOTTEN = 64


class DeficitRoundRobin(TenantPolicy):
    """Tenants take turns.

    Args:
        quantum: credit that a turn earns, in the units of the prices.
        prompt_price: charge for a token of a prompt, once for each request.
        output_price: charge for a generated token.
        weights: each tenant's quantum is multiplied by its weight, 1 if it is not named.
    """

    name = "drr"

    def __init__(
        self,
        quantum: float = 512.0,
        prompt_price: float = 1.0,
        output_price: float = 2.0,
        weights: dict[str, float] | None = None,
    ) -> None:
        """Nobody has credit."""
        super().__init__(prompt_price, output_price, weights)
        if not quantum > 0:
            raise ValueError(f"quantum must be a number above 0, not {quantum!r}")
        self.quantum = float(quantum)
        self.earned: dict[Hashable, float] = {}
        self.round: deque[Hashable] = deque()
        self.rounds = 0.0  # that went by
        self.left: dict[Hashable, float] = {}  # tenant with nothing waiting -> rounds by then

    def credit(self, tenant: Hashable, step: int) -> float:
        """What the tenant earned less what it was charged, for a weight of 1."""
        return self.earned.get(tenant, 0.0) - self.account(tenant).settle(step)

    def backlogged(self, tenant: Hashable, step: int) -> None:
        """It takes its place at the end of the round, without credit and with what it still owes."""
        super().backlogged(tenant, step)
        owed = min(0.0, self._paid_back(tenant, step))
        self.earned[tenant] = self.accounts[tenant].settle(step) + owed
        self.left.pop(tenant, None)
        self.round.append(tenant)

    def idle(self, tenant: Hashable, step: int) -> None:
        """It has no turn any more; who owes nothing is forgotten."""
        super().idle(tenant, step)
        self.round.remove(tenant)
        self.left[tenant] = self.rounds
        if len(self.left) > FORGOTTEN:
            # Two are looked at each time, so that tenants who left leave nothing behind.
            for other in list(islice(self.left, 2)):
                left = self.left.pop(other)
                if self.accounts[other].rate or self._paid_back(other, step, left) < 0:
                    self.left[other] = left
                else:
                    del self.accounts[other]
                    self.earned.pop(other, None)

    def first(self, step: int) -> Hashable:
        """The tenant whose turn it is, or the next one with credit."""
        while self.credit(self.round[0], step) <= 0:
            self.round.rotate(-1)
            self.rounds += 1 / len(self.round)
            tenant = self.round[0]
            spent = self.accounts[tenant].settle(step)
            self.earned[tenant] = spent + refilled(self.earned[tenant] - spent, self.quantum)
        return self.round[0]

    def _paid_back(self, tenant: Hashable, step: int, left: float | None = None) -> float:
        """Its credit, with a quantum for each round that went by while it had nothing waiting."""
        left = self.left.get(tenant, self.rounds) if left is None else left
        return self.credit(tenant, step) + self.quantum * (self.rounds - left)

    def bound(self, longest_prompt: int, longest_output: int, sequences: int) -> float:
        """The most by which the service of two waiting tenants differs, for weights of 1.

        Args:
            longest_prompt: tokens of the longest prompt.
            longest_output: tokens that a sequence generates at most.
            sequences: sequences that run at once.
        """
        debt = self.prompt_price * longest_prompt + self.output_price * sequences * longest_output
        return self.quantum + 2 * (self.quantum + debt)


def refilled(credit: float, quantum: float) -> float:
    """The credit after a turn came: one quantum more, and no more than one quantum."""
    return min(quantum, credit + quantum)
