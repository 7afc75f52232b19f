"""Weighted fair queueing by a virtual token counter, with an explicit virtual time.

Guarantees: between two tenants that both have requests waiting, the service that each received,
divided by its weight, differs by at most what `bound` computes, whatever they ask for. Within a
tenant, requests go in the order of arrival.

The rule is that of Sheng et al. (OSDI 2024): the waiting tenant with the least counter goes next, and pays for what
it gets. A tenant that comes back is lifted to the virtual time, which is the counter of the tenant that was served
last when it was chosen; without that lift, who was away would be owed for the time of its absence. What a request
computes again after a preemption is not charged again: the counters count useful tokens.
"""

from __future__ import annotations

import heapq
from collections.abc import Hashable, Mapping

from lineclear.policies import accounts, virtual_time
from lineclear.policies.tenants import TenantPolicy
from lineclear.policies.units import Exact, Number, exact

#: Accounts of tenants that have nothing here any more, and void places in the heap, before they are looked through.
FORGOTTEN = 64


class VirtualTokenCounter(TenantPolicy):
    """The waiting tenant that was served least goes next."""

    name = "vtc"

    def __init__(
        self,
        prompt_price: Number = 1.0,
        output_price: Number = 2.0,
        weights: Mapping[str, Number] | None = None,
    ) -> None:
        """Starts with no tenant served, at virtual time 0."""
        super().__init__(prompt_price, output_price, weights)
        self.virtual = 0  # units
        # Counters only grow, so that a counter in the heap is at most what it is now.
        self.heap: list[tuple[int, int, Hashable]] = []
        self.turns = 0  # of tenants that began to wait: equal counters go in this order
        self.turn: dict[Hashable, int] = {}
        self.kept = 0  # accounts that were left when they were looked through last

    def backlogged(self, tenant: Hashable, step: int) -> None:
        """It comes back with at least the virtual time on its counter."""
        account = virtual_time.returned(self.account(tenant), self.virtual, step)
        self.accounts[tenant] = account
        self.turns += 1
        self.turn[tenant] = self.turns
        heapq.heappush(self.heap, (account.charged, self.turns, tenant))

    def idle(self, tenant: Hashable, step: int) -> None:
        """Its place in the heap is void. `admitted` may follow, so its own account is kept here."""
        if len(self.accounts) > FORGOTTEN + 2 * self.kept:
            self._forget(step)
        super().idle(tenant, step)
        del self.turn[tenant]
        if len(self.heap) > FORGOTTEN + 2 * len(self.turn):
            self.heap = [entry for entry in self.heap if self.turn.get(entry[2]) == entry[1]]
            heapq.heapify(self.heap)

    def first(self, step: int) -> Hashable:
        """The waiting tenant with the least counter.

        An entry of the heap is looked at once: it is void, or its counter is brought up to this step.
        """
        heap = self.heap
        for _ in range(len(heap) + 1):
            counter, turn, tenant = heap[0]
            if self.turn.get(tenant) != turn:
                heapq.heappop(heap)
                continue
            now = accounts.accrued(self.accounts[tenant], step)
            if virtual_time.leads(now, counter):
                return tenant
            heapq.heapreplace(heap, (now, turn, tenant))
        raise LookupError("no tenant waits")

    def admitted(self, tenant: Hashable, tokens: int, step: int) -> None:
        """The virtual time moves to the counter of the tenant that is served, which then pays."""
        self.accounts[tenant], self.virtual = virtual_time.admitted(
            self.account(tenant), self.virtual, tokens, step, not self.turn
        )

    def bound(self, longest_prompt: int, longest_output: int, sequences: int) -> Exact:
        """The most by which the service of two waiting tenants differs, each divided by its weight.

        In the unit of the prices, without rounding.

        Args:
            longest_prompt: tokens of the longest prompt.
            longest_output: tokens that a sequence generates at most.
            sequences: sequences that run at once.
        """
        most: int = self.most_charged(longest_prompt, longest_output, sequences)
        return exact(virtual_time.gap(most) * self.unit)

    def _forget(self, step: int) -> None:
        """Drops accounts that would be lifted anyway if their tenants came back."""
        for tenant, account in list(self.accounts.items()):
            if virtual_time.forgotten(account, self.virtual, step):
                del self.accounts[tenant]
        self.kept = len(self.accounts)
