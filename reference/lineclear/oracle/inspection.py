# pyright: basic
"""A scheduler as the oracle sees it: its state before a call, and whether it is the wanted one after it.

Guarantees: nothing of the scheduler is called or changed, and the first difference raises `Undone`. A state that it
gives can be changed freely, and what is to be looked at is the memory's own, which goes on from call to call.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from lineclear.oracle.books import check_books, check_shelters
from lineclear.oracle.compare import compare, same
from lineclear.oracle.memory import Memory
from lineclear.oracle.orders import Orders, Uncopied
from lineclear.oracle.own_orders import own_order
from lineclear.oracle.own_tenants import Tenants
from lineclear.oracle.rules import Undone
from lineclear.oracle.state import Asked, OracleState, observe
from lineclear.oracle.step_judge import judge_cache
from lineclear.scheduling.eviction import EVICTION

if TYPE_CHECKING:
    from lineclear.scheduler import Scheduler


class Inspection:
    """Looks at a scheduler between its calls.

    Args:
        scheduler: which; it must be new.

    Attributes:
        memory: what is remembered of its past.
        asked: the names of output, if the scheduler asks for them.
        exempt: steps that were not judged, by the name of the exemption.
    """

    def __init__(self, scheduler: Scheduler) -> None:
        self.scheduler = scheduler
        self.memory = Memory(own_order(scheduler.policy))
        self.asked: Asked | None = None
        self.exempt: Counter[str] = Counter()

    def exemption(self) -> str:
        """Why steps of this scheduler are not judged, or ""."""
        config = self.scheduler.config
        key = EVICTION[config.prefix_eviction]
        order = self.scheduler.cache.order
        if (None if order is None else order.key) is not key:
            return "order of eviction"
        return "rules" if config.rules != "lineclear" else ""

    def orders(self, state: OracleState) -> Orders | None:
        """The policy, to be asked; None if it cannot be copied."""
        try:
            return Orders(self.scheduler.policy, state, self.own())
        except Uncopied:
            return None

    def own(self) -> Any:
        """The oracle's statement of the policy; None if it has none, or if the policy is not followed."""
        followed = not self.exemption() and not self.scheduler.policy_failures
        return self.memory.own if followed else None

    def check_places(self, orders: Orders, state: OracleState) -> None:
        """A built-in policy without memory puts each request where it put it at first."""
        if self.scheduler.adapter.foreign or orders.reviews:
            return
        for live in state.lives:
            order, rank = live.order, live.rank
            orders.place(live)
            same(
                "order", f"place of request {live.name!r}", (order, rank), (live.order, live.rank)
            )

    def observe(self) -> OracleState:
        """The state before a call."""
        memory = self.memory
        state = observe(self.scheduler, memory.sheltered, memory.uses)
        state.looked, state.asked = memory.looked, self.asked
        return state

    def check_cache(self, wanted: OracleState, *, sure: bool = True) -> None:
        """What can be found after a call that is no step, and what rests.

        Args:
            wanted: the state after it.
            sure: whether the order in which blocks come to rest is stated: one request or branch has ended at most.
        """
        if self.exemption() or self.scheduler.policy_failures:
            self.memory.looked = dict(self.scheduler.cache.pending)
        else:
            judge_cache(self.scheduler, wanted.cache, "publication", sure=sure)

    def check_state(self, wanted: OracleState) -> None:
        """The state is the wanted one, and every list names live requests alone."""
        scheduler = self.scheduler
        if scheduler.policy_failures and not wanted.fcfs:
            self.check_lists()
            return
        compare(scheduler, wanted, {})
        self.check_lists()

    def check_lists(self) -> None:
        """Every list names live requests alone."""
        check_books(self.scheduler, self.memory.live)
        self.memory.charges.check(self.scheduler)
        failures = self.scheduler.policy_failures
        if failures and self.memory.own is not None:
            raise Undone("order", f"a built-in policy fails: {failures[0]}")
        if not self.exempt and not failures and not self.exemption():
            check_shelters(self.scheduler, self.memory.sheltered)
        own = self.own()
        if isinstance(own, Tenants):
            own.check(self.scheduler.policy, self.scheduler.ledger.steps)
