"""Weighted fair queueing by a virtual token counter, with an explicit virtual time.

Guarantees: between two tenants that both have requests waiting, the service that each received,
divided by its weight, differs by at most twice the bound that `bound` computes, whatever they ask
for. It knows nothing about single requests: within a tenant they go in the order of arrival.

The rule is that of Sheng et al. (OSDI 2024): the waiting tenant with the least counter goes next,
and pays for what it gets. A tenant that comes back is lifted to the virtual time, which is the
counter of the tenant that was served last when it was chosen; without that lift, who was away
would be owed for the time of its absence. What a request computes again after a preemption is not
charged again: the counters count useful tokens.
"""

from __future__ import annotations

import heapq
from collections.abc import Hashable

from lineclear.policies.tenants import TenantPolicy

__all__ = ["VirtualTokenCounter"]

#: Accounts of tenants that have nothing here any more, before they are looked through.
FORGOTTEN = 64


class VirtualTokenCounter(TenantPolicy):
    """The waiting tenant that was served least goes next."""

    name = "vtc"

    def __init__(
        self,
        prompt_price: float = 1.0,
        output_price: float = 2.0,
        weights: dict[str, float] | None = None,
    ) -> None:
        """Nobody was served, and the virtual time is 0."""
        super().__init__(prompt_price, output_price, weights)
        self.virtual = 0.0
        # Counters only grow, so that a counter in the heap is at most what it is now.
        self.heap: list[tuple[float, int, Hashable]] = []
        self.turns = 0  # of tenants that began to wait: equal counters go in this order
        self.turn: dict[Hashable, int] = {}

    def backlogged(self, tenant: Hashable, step: int) -> None:
        """It comes back with at least the virtual time on its counter."""
        super().backlogged(tenant, step)
        account = self.accounts[tenant]
        account.charged = lifted(account.settle(step), self.virtual)
        self.turns += 1
        self.turn[tenant] = self.turns
        heapq.heappush(self.heap, (account.charged, self.turns, tenant))

    def idle(self, tenant: Hashable, step: int) -> None:
        """Its place in the heap is void."""
        super().idle(tenant, step)
        del self.turn[tenant]
        if len(self.accounts) > FORGOTTEN + 2 * len(self.turn):
            self._forget(step)

    def first(self, step: int) -> Hashable:
        """The waiting tenant with the least counter."""
        heap = self.heap
        while True:
            counter, turn, tenant = heap[0]
            if self.turn.get(tenant) != turn:
                heapq.heappop(heap)
                continue
            now = self.accounts[tenant].settle(step)
            if now <= counter:
                return tenant
            heapq.heapreplace(heap, (now, turn, tenant))

    def admitted(self, tenant: Hashable, tokens: int, step: int) -> None:
        """The virtual time is the counter of the tenant that is served, before it pays."""
        self.virtual = lifted(self.virtual, self.account(tenant).settle(step))
        super().admitted(tenant, tokens, step)
        if not self.turn:  # nobody waits: who comes next is compared with the last that was served
            self.virtual = lifted(self.virtual, self.account(tenant).charged)

    def bound(self, longest_prompt: int, longest_output: int, sequences: int) -> float:
        """The most by which two counters of waiting tenants differ, for weights of 1.

        Args:
            longest_prompt: tokens of the longest prompt.
            longest_output: tokens that a sequence generates at most.
            sequences: sequences that run at once.
        """
        return self.prompt_price * longest_prompt + self.output_price * sequences * longest_output

    def _forget(self, step: int) -> None:
        """Drops accounts that would be lifted anyway if their tenants came back."""
        for tenant, account in list(self.accounts.items()):
            if not account.waiting and not account.rate and account.settle(step) <= self.virtual:
                del self.accounts[tenant]


def lifted(counter: float, virtual: float) -> float:
    """The counter, or the virtual time if that is more."""
    return max(counter, virtual)
