"""Deficit round robin over tenants, in the form in which a tenant may run into debt.

Guarantees: a waiting tenant is served in its turn while it has credit; each turn earns it one quantum and no credit
above one quantum is saved, so the service of two waiting tenants differs by a bound (`bound`), whatever they ask for.

The round is that of Shreedhar and Varghese (1996). What a request will cost is not known before it
has generated its tokens, so generated tokens are charged as they come and drive the credit below
zero; the tenant then sits out as many rounds as it takes to earn it back. A turn begins when a
tenant comes to the head of the round, also if the one before it left with nothing more to ask for.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable, Mapping
from itertools import islice

from lineclear.policies import turns
from lineclear.policies.tenants import TenantPolicy
from lineclear.policies.turns import Round
from lineclear.policies.units import Exact, Number, exact

#: Tenants with nothing waiting, before they are looked through.
FORGOTTEN = 64
#: The same, before debts are forgotten too, the oldest first: while every turn finds credit no debt is earned back.
MOST_AWAY = 65_536


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
        quantum: Number = 512.0,
        prompt_price: Number = 1.0,
        output_price: Number = 2.0,
        weights: Mapping[str, Number] | None = None,
    ) -> None:
        """Starts without credit."""
        found = self._settle_prices(
            prompt_price, output_price, weights, {"quantum": quantum}, turns.PARTS
        )
        self.quantum = found["quantum"]  # units
        self.earned: dict[Hashable, int] = {}
        self.turn = Round(begun=False, last=0, given=0)
        # place of each that waits, in order
        self.round: OrderedDict[Hashable, int] = OrderedDict()
        self.left: dict[
            Hashable, int
        ] = {}  # tenant with nothing waiting -> what was given by then

    def credit(self, tenant: Hashable, step: int) -> int:
        """The tenant's earnings less its charges, in units."""
        credit: int = turns.credit(self.account(tenant), self.earned.get(tenant, 0), step)
        return credit

    def _open(self, tenant: Hashable) -> None:
        """It has nothing waiting yet: one that was forgotten while its requests run is charged again."""
        super()._open(tenant)
        self.left[tenant] = self.turn.given

    def backlogged(self, tenant: Hashable, step: int) -> None:
        """It takes its place at the end of the round, without credit and with what it still owes."""
        account = self.account(tenant)
        gone = turns.absent(self.turn.given, self.left.pop(tenant, self.turn.given))
        self.accounts[tenant], self.earned[tenant] = turns.returned(
            account, self.earned.get(tenant, 0), gone, step
        )
        self.turn = turns.joined(self.turn)
        self.round[tenant] = self.turn.last

    def idle(self, tenant: Hashable, step: int) -> None:
        """It has no turn any more. Of others that left, two are looked at: each is forgotten if it owes nothing, or
        if too many are away.
        """
        if len(self.left) > FORGOTTEN:
            # Two are looked at each time, so that tenants who left leave nothing behind.
            for other in list(islice(self.left, 2)):
                left = self.left.pop(other)
                gone = turns.absent(self.turn.given, left)
                account, earned = self.accounts[other], self.earned.get(other, 0)
                many = len(self.left) >= MOST_AWAY and account.rate == 0
                if many or turns.forgotten(account, earned, gone, step):
                    del self.accounts[other]
                    self.earned.pop(other, None)
                else:
                    self.left[other] = left
        super().idle(tenant, step)
        self.turn = turns.departed(self.turn, next(iter(self.round)) == tenant)
        del self.round[tenant]
        self.left[tenant] = self.turn.given

    def first(self, step: int) -> Hashable:
        """The tenant whose turn it is, or the next one with credit.

        Each tenant has a turn; if none of them comes to have credit, the rounds in which none would
        are taken at once, and then one turn each is enough: a lemma says so.
        """
        waiting = len(self.round)
        for _ in range(waiting + 1):
            if self._stays(step):
                return next(iter(self.round))
        self._skip(step)
        for _ in range(waiting):
            if self._stays(step):
                return next(iter(self.round))
        raise LookupError("no tenant comes to have credit")

    def _stays(self, step: int) -> bool:
        """Whether the turn of the head goes on; otherwise it has gone to the end."""
        tenant = next(iter(self.round))
        stays: bool
        self.turn, self.earned[tenant], stays = turns.visited(
            self.turn, self.accounts[tenant], self.earned[tenant], self.quantum, step
        )
        if not stays:
            self.turn = turns.turned(self.turn, turns.portion(self.quantum, len(self.round)))
            self.round[tenant] = self.turn.last
            self.round.move_to_end(tenant)
        return stays

    def _skip(self, step: int) -> None:
        """Skips the rounds in which no tenant would get credit; none has any."""
        rounds = min(turns.short_rounds(self.credit(t, step), self.quantum) for t in self.round)
        for tenant in self.round:
            self.earned[tenant] = turns.skipped(self.earned[tenant], self.quantum, rounds)
        waiting = len(self.round)
        part = turns.portion(self.quantum, waiting)
        self.turn = turns.passed(self.turn, rounds, waiting, part)

    def bound(self, longest_prompt: int, longest_output: int, sequences: int) -> Exact:
        """The most by which the service of two waiting tenants differs, each divided by its weight.

        In the unit of the prices, without rounding.

        Args:
            longest_prompt: tokens of the longest prompt.
            longest_output: tokens that a sequence generates at most.
            sequences: sequences that run at once.
        """
        charged: int = self.most_charged(longest_prompt, longest_output, sequences)
        return exact(turns.gap(self.quantum, charged) * self.unit)
