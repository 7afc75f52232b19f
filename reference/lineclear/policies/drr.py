"""Deficit round robin over tenants, in the form in which a tenant may run into debt.

Guarantees: a waiting tenant is served in its turn while it has credit; each turn earns it one
quantum and no credit above one quantum is saved, so the service of two waiting tenants differs by
a bound (`bound`), whatever they ask for. It knows nothing about single requests.

The round is that of Shreedhar and Varghese (1996). What a request will cost is not known before it
has generated its tokens, so generated tokens are charged as they come and drive the credit below
zero; the tenant then sits out as many rounds as it takes to earn it back. A turn begins when a
tenant comes to the head of the round, also if the one before it left with nothing more to ask for.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable
from itertools import islice
from typing import Any

from lineclear.policies.fcfs import EARLIER
from lineclear.policies.tenants import TenantPolicy, held, of_tenants, paid
from lineclear_spec.logic import any_of, both, implies, negate, smaller
from lineclear_spec.theorems import TABLE, Claims, Theorem, claim, unchecked

__all__ = ["DeficitRoundRobin", "earned_back", "has_credit", "refilled"]

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
        self.begun = False  # whether the turn of the head of the round has begun
        self.rounds = 0.0  # that went by
        self.left: dict[Hashable, float] = {}  # tenant with nothing waiting -> rounds by then

    def credit(self, tenant: Hashable, step: int) -> float:
        """What the tenant earned less what it was charged, for a weight of 1."""
        return self.earned.get(tenant, 0.0) - self.account(tenant).settle(step)

    def backlogged(self, tenant: Hashable, step: int) -> None:
        """It takes its place at the end of the round, without credit and with what it still owes."""
        super().backlogged(tenant, step)
        owed = self._paid_back(tenant, step)
        self.earned[tenant] = self.accounts[tenant].settle(step) + owed
        self.left.pop(tenant, None)
        self.round.append(tenant)

    def idle(self, tenant: Hashable, step: int) -> None:
        """It has no turn any more; who owes nothing is forgotten."""
        super().idle(tenant, step)
        if self.round[0] == tenant:
            self.begun = False  # the turn of the one behind it begins
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
        while True:
            tenant = self.round[0]
            if not self.begun:
                self.begun = True
                spent = self.accounts[tenant].settle(step)
                self.earned[tenant] = spent + refilled(self.earned[tenant] - spent, self.quantum)
            if has_credit(self.credit(tenant, step)):
                return tenant
            self.round.rotate(-1)
            self.begun = False
            self.rounds += 1 / len(self.round)

    def _paid_back(self, tenant: Hashable, step: int, left: float | None = None) -> float:
        """What it owes, less a quantum for each round that went by while it had nothing waiting."""
        left = self.left.get(tenant, self.rounds) if left is None else left
        gone = self.quantum * (self.rounds - left)
        credit: float = earned_back(self.credit(tenant, step), gone)
        return credit

    def bound(self, longest_prompt: int, longest_output: int, sequences: int) -> float:
        """The most by which the service of two waiting tenants differs, each divided by its weight.

        Args:
            longest_prompt: tokens of the longest prompt.
            longest_output: tokens that a sequence generates at most.
            sequences: sequences that run at once.
        """
        charged = self.most_charged(longest_prompt, longest_output, sequences)
        most: float = gap(self.quantum, charged / self.least_weight)
        return most


def has_credit(credit: Any) -> Any:
    """Whether a turn goes on."""
    return credit > 0


def refilled(credit: Any, quantum: Any) -> Any:
    """The credit after a turn came: one quantum more, and no more than one quantum."""
    return smaller(quantum, credit + quantum)


def earned_back(credit: Any, gone: Any) -> Any:
    """The credit of a tenant that comes back, after rounds that would have earned it so much."""
    return smaller(0.0, credit + gone)


def gap(quantum: Any, charged: Any) -> Any:
    """The most by which two tenants' service differs, if one has at most so much charged at once."""
    return quantum + 2 * (quantum + charged)


# ---- theorems ----------------------------------------------------------------------------------


def stands(most: Any, quantum: Any, credit: Any, open_: Any) -> Any:
    """What always holds of a tenant.

    Args:
        most: U, the most that is charged for a prompt and all that the tenant has started.
        quantum: Q.
        credit: D.
        open_: what its started requests may still be charged.
    """
    return both(open_ >= 0, open_ <= most, -most <= credit - open_, credit <= quantum)


def steps(policy: DeficitRoundRobin, unknowns: Any) -> list[tuple[str, Any]]:
    """One lemma for each thing that happens to a tenant, and the bound."""
    real, quantum = unknowns.real, policy.quantum
    most, open_, price, more, less, gone = map(
        real, ("most", "open", "price", "more", "less", "gone")
    )
    credit = real("credit", None)
    before = both(quantum > 0, stands(most, quantum, credit, open_))
    refill = refilled(credit, quantum)
    ends = real("credit_end", None), real("other_credit", None), real("other_end", None)
    late, other, other_late = ends
    within = [both(-most <= c, c <= quantum) for c in (credit, *ends)]
    apart = real("turns_apart", None)  # what one of the two earned more: a turn's quantum at most
    service = apart - (late - credit) + (other_late - other)
    ahead, holds, turns = unknowns.truth("ahead"), unknowns.truth("holds"), unknowns.whole("turns")
    return [
        (
            "a turn keeps the credit between -U and Q",
            implies(before, stands(most, quantum, refill, open_)),
        ),
        (
            "a turn without credit before it earns one quantum, all of it",
            implies(both(quantum > 0, negate(has_credit(credit))), refill == credit + quantum),
        ),
        (
            "being served with credit keeps it between -U and Q",
            implies(
                both(before, has_credit(credit), price + open_ + more <= most),
                stands(most, quantum, -paid(-credit, price), open_ + more),
            ),
        ),
        (
            "a generated token keeps it between -U and Q",
            implies(
                both(before, less <= open_),
                stands(most, quantum, -paid(-credit, less), open_ - less),
            ),
        ),
        (
            "an end keeps it between -U and Q",
            implies(both(before, less <= open_), stands(most, quantum, credit, open_ - less)),
        ),
        (
            "coming back keeps it between -U and Q, and brings no credit",
            implies(
                before,
                both(
                    stands(most, quantum, earned_back(credit, gone), open_),
                    negate(has_credit(earned_back(credit, gone))),
                ),
            ),
        ),
        (
            "of two who wait the turns differ by at most one",
            both(
                *[
                    implies(pair(ahead, holds, turns), after)
                    for after in moved(ahead, holds, turns)
                ]
            ),
        ),
        (
            "with turns that differ by at most one the service differs by Q + 2 (Q + U) at most",
            implies(
                both(*within, -quantum <= apart, apart <= quantum),
                both(service <= gap(quantum, most), -service <= gap(quantum, most)),
            ),
        ),
        *held(policy, unknowns),
    ]


def pair(ahead: Any, holds: Any, turns: Any) -> Any:
    """How many turns more one of two waiting tenants had than the other: 0 or 1.

    Args:
        ahead: it stands before the other in the round.
        holds: the turn of whoever of them stands before has begun.
        turns: the difference.
    """
    more = any_of(both(ahead, holds), both(negate(ahead), negate(holds)))
    return both(implies(more, turns == 1), implies(negate(more), turns == 0))


def moved(ahead: Any, holds: Any, turns: Any) -> list[Any]:
    """The pair after a turn has begun, and after whoever has had its turn went to the end."""
    begun = any_of(
        holds,
        both(
            implies(ahead, pair(ahead, True, turns + 1)),
            implies(negate(ahead), pair(ahead, True, turns - 1)),
        ),
    )
    return [begun, implies(holds, pair(negate(ahead), False, turns))]


STEPS = "order_drr/progress/"
BETWEEN = (
    STEPS + "a turn keeps",
    STEPS + "being served with credit keeps",
    STEPS + "a generated token keeps",
    STEPS + "an end keeps",
    STEPS + "coming back keeps",
    STEPS + "a prompt and all",
)

claim(
    Claims(
        "drr",
        lambda unknowns: unchecked(
            DeficitRoundRobin,
            quantum=unknowns.real("quantum"),
            prompt_price=unknowns.real("prompt_price"),
            output_price=unknowns.real("output_price"),
        ),
        (
            *of_tenants("drr"),
            Theorem(
                "drr.P13",
                "the credit D of every tenant is between -U and Q, and of two tenants that wait all "
                "the time the service differs by at most Q + 2 (Q + U)",
                ("F9", "F10"),
                (
                    *BETWEEN,
                    STEPS + "a turn without credit",
                    STEPS + "of two who wait",
                    STEPS + "with turns that differ",
                ),
                "Sharing",
            ),
            Theorem(
                "drr.P7",
                "every request comes to its end: each round a tenant that waits earns a quantum, so "
                "that its turn comes with credit after at most U / Q + 1 rounds",
                ("F1", "F2", "F3", "F4", "F5", "F6", "F7", "F8", "F9", "F10"),
                (TABLE, *BETWEEN, STEPS + "a turn without credit", "order_drr/progress/only who"),
                "Sharing",
            ),
        ),
        (EARLIER,),
        steps,
    )
)
