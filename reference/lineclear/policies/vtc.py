"""Weighted fair queueing by a virtual token counter, with an explicit virtual time.

Guarantees: between two tenants that both have requests waiting, the service that each received,
divided by its weight, differs by at most what `bound` computes, whatever they ask for. It knows
nothing about single requests: within a tenant they go in the order of arrival.

The rule is that of Sheng et al. (OSDI 2024): the waiting tenant with the least counter goes next,
and pays for what it gets. A tenant that comes back is lifted to the virtual time, which is the
counter of the tenant that was served last when it was chosen; without that lift, who was away
would be owed for the time of its absence. What a request computes again after a preemption is not
charged again: the counters count useful tokens.
"""

from __future__ import annotations

import heapq
from collections.abc import Hashable
from typing import Any

from lineclear.policies.fcfs import EARLIER
from lineclear.policies.tenants import TenantPolicy, held, of_tenants, paid
from lineclear_spec.logic import both, implies, larger, negate
from lineclear_spec.theorems import TABLE, Claims, Theorem, claim, unchecked

__all__ = ["VirtualTokenCounter", "leads", "lifted"]

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
            if leads(now, counter):
                return tenant
            heapq.heapreplace(heap, (now, turn, tenant))

    def admitted(self, tenant: Hashable, tokens: int, step: int) -> None:
        """The virtual time is the counter of the tenant that is served, before it pays."""
        self.virtual = lifted(self.virtual, self.account(tenant).settle(step))
        super().admitted(tenant, tokens, step)
        if not self.turn:  # nobody waits: who comes next is compared with the last that was served
            self.virtual = lifted(self.virtual, self.account(tenant).charged)

    def bound(self, longest_prompt: int, longest_output: int, sequences: int) -> float:
        """The most by which the service of two waiting tenants differs, each divided by its weight.

        Args:
            longest_prompt: tokens of the longest prompt.
            longest_output: tokens that a sequence generates at most.
            sequences: sequences that run at once.
        """
        charged = self.most_charged(longest_prompt, longest_output, sequences)
        most: float = gap(charged / self.least_weight)
        return most

    def _forget(self, step: int) -> None:
        """Drops accounts that would be lifted anyway if their tenants came back."""
        for tenant, account in list(self.accounts.items()):
            if not account.waiting and not account.rate and account.settle(step) <= self.virtual:
                del self.accounts[tenant]


def lifted(counter: Any, virtual: Any) -> Any:
    """The counter, or the virtual time if that is more."""
    return larger(counter, virtual)


def leads(now: Any, least: Any) -> Any:
    """Whether a counter is the least, if none was below `least` and counters only grow."""
    return now <= least


def gap(most: Any) -> Any:
    """The most by which two tenants' service differs, if one has at most so much charged at once."""
    return 2 * most


# ---- theorems ----------------------------------------------------------------------------------


def stands(most: Any, virtual: Any, counter: Any, open_: Any, waits: Any) -> Any:
    """I(V): what always holds of a tenant.

    Args:
        most: U, the most that is charged for a prompt and all that the tenant has started.
        virtual: V, the virtual time.
        counter: what it was charged, or lifted to.
        open_: what its started requests may still be charged.
        waits: whether a request of it waits.
    """
    return both(
        virtual >= 0,
        implies(waits, virtual <= counter),
        open_ >= 0,
        open_ <= most,
        counter + open_ <= virtual + most,
    )


def steps(policy: VirtualTokenCounter, unknowns: Any) -> list[tuple[str, Any]]:
    """One lemma for each row of the table of transitions, for the tenant and for any other."""
    real = unknowns.real
    most, price, more, less, entry = map(real, ("most", "price", "more", "less", "entry"))
    virtual, counter, open_, other, others = map(
        real, ("virtual", "counter", "open", "other_counter", "other_open")
    )
    waits, theirs, still = (unknowns.truth(name) for name in ("waits", "other_waits", "still"))
    later, other_later = real("counter_later"), real("other_counter_later")
    before = both(
        stands(most, virtual, counter, open_, waits), stands(most, virtual, other, others, theirs)
    )
    least = implies(theirs, counter <= other)
    turn = lifted(virtual, counter)
    spent = paid(counter, price)
    admits = both(before, waits, least, price + open_ + more <= most)
    last = lifted(turn, spent)  # the virtual time if nobody waits now
    return [
        (
            "the tenant that is chosen has the least counter",
            implies(both(leads(counter, entry), entry <= other), counter <= other),
        ),
        (
            "admission keeps I(V)",
            implies(
                admits,
                both(
                    stands(most, turn, spent, open_ + more, still),
                    stands(most, turn, other, others, theirs),
                ),
            ),
        ),
        (
            "admission of the last that waits keeps I(V)",
            implies(
                both(admits, negate(theirs)),
                both(
                    stands(most, last, spent, open_ + more, False),
                    stands(most, last, other, others, theirs),
                ),
            ),
        ),
        (
            "a generated token keeps I(V)",
            implies(
                both(before, less <= open_),
                stands(most, virtual, paid(counter, less), open_ - less, waits),
            ),
        ),
        (
            "coming back, by an arrival or because a request gave way, keeps I(V)",
            implies(
                both(before, less <= open_),
                stands(most, virtual, lifted(counter, virtual), open_ - less, True),
            ),
        ),
        (
            "an end, and nobody waiting any more, keep I(V)",
            implies(
                both(before, less <= open_, implies(still, waits)),
                stands(most, virtual, counter, open_ - less, still),
            ),
        ),
        (
            "a new or a forgotten tenant is in I(V)",
            implies(
                both(virtual >= 0, open_ >= 0, open_ <= most),
                stands(most, virtual, counter * 0, open_, False),
            ),
        ),
        (
            "counters of two who wait differ by U at most",
            implies(
                both(before, waits, theirs), both(counter - other <= most, other - counter <= most)
            ),
        ),
        (
            "with counters that differ by U at both ends the service differs by 2 U at most",
            implies(
                both(
                    *[
                        both(a - b <= most, b - a <= most)
                        for a, b in ((counter, other), (later, other_later))
                    ]
                ),
                both(
                    (later - counter) - (other_later - other) <= gap(most),
                    (other_later - other) - (later - counter) <= gap(most),
                ),
            ),
        ),
        (
            "an admission raises a counter by the price of its prompt",
            paid(counter, price) - counter >= price,
        ),
        (
            "a new tenant goes before whoever is above the virtual time, which does not move by it",
            implies(
                virtual < counter,
                both(
                    lifted(virtual * 0, virtual) < counter,
                    lifted(virtual, lifted(virtual * 0, virtual)) == virtual,
                ),
            ),
        ),
        *held(policy, unknowns),
    ]


STEPS = "order_vtc/progress/"
KEPT = (
    STEPS + "the tenant that is chosen",
    STEPS + "admission ",
    STEPS + "a generated token keeps",
    STEPS + "coming back",
    STEPS + "an end, and",
    STEPS + "a new or a forgotten",
    STEPS + "counters of two",
    STEPS + "a prompt and all",
)

claim(
    Claims(
        "vtc",
        lambda unknowns: unchecked(
            VirtualTokenCounter,
            prompt_price=unknowns.real("prompt_price"),
            output_price=unknowns.real("output_price"),
        ),
        (
            *of_tenants("vtc"),
            Theorem(
                "vtc.P12",
                "counters of tenants that wait differ by at most U, and the service of two that wait "
                "all the time by at most 2 U",
                ("F9", "F10"),
                (*KEPT, STEPS + "with counters that differ"),
                "Sharing",
            ),
            Theorem(
                "vtc.P7",
                "every request comes to its end: another tenant is admitted only while its counter is "
                "not above the one that waits, and every admission raises it",
                ("F1", "F2", "F3", "F4", "F5", "F6", "F7", "F8", "F9", "F10", "A4"),
                (TABLE, *KEPT, STEPS + "an admission raises", STEPS + "only who"),
                "Sharing",
            ),
            Theorem(
                "vtc.P7 without A4",
                "a tenant may wait for ever: any number of new ones go before it",
                (),
                (STEPS + "a new tenant goes before",),
                "Sharing",
                holds=False,
            ),
        ),
        (EARLIER,),
        steps,
    )
)
