"""Measures how long requests wait and how often they are passed, from arrivals, plans and ends.

Guarantees: it shares nothing with the policy that it is held against, but the values of the
parameters: who comes before whom is written a second time in `order_oracle.py`.

A request *waits* from its arrival, or from when a plan says that it was preempted, until a plan sends its block
table: then it was admitted. Steps are counted as they are issued.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import Counter
from collections.abc import Hashable
from dataclasses import dataclass, field
from math import inf
from typing import Any

from lineclear.config import Config
from lineclear.plan import Plan
from lineclear.theorems.order_oracle import ENDLESS, HEAD_STARTS, ORDERS, TENANTS
from lineclear.workload.workload import Arrival

Order = tuple[float, int]


@dataclass(slots=True)
class Wait:
    """One live request.

    Attributes:
        arrival: what it asked for.
        number: of its arrival.
        order: where it stands; None if the policy has no order that stays.
        line: whom it stands in line with: all, or its tenant's.
        since: the step at which the last of those before it had arrived.
        before: how many of them were live then.
        waits: whether it waits.
        passed: by how many that stand behind it, since it waits.
        later: how many that arrived later were let in for the first time before it was.
    """

    arrival: Arrival
    number: int
    order: Order | None
    line: str
    since: int
    before: int = 0
    waits: bool = False
    passed: int = 0
    later: int = 0


@dataclass(slots=True)
class LongestWaits:
    """The most of each kind, None where nothing of the kind can be seen under the policy.

    Attributes:
        passes: of one request while it waited, by those that stand behind it.
        first: steps from when a request became the first in the order to its end, or to now.
        each: steps from when the last of those before it had arrived to its end, or to now, for each
            of them that was live then and for itself.
        lateness: seconds by which one came later that was let in before a request that never ran;
            counted, as the next two, under policies with head starts.
        excess: by how much more than its head start it came later, in seconds, or in arrivals under `ceiling`;
            below 0 if by less.
        later: later arrivals that were let in before one that never ran.
        without: steps in a row without a sample.
        dry: steps in which the earliest arrival of all generated no token.
        turns: times that another tenant was let in anew while one waited for its turn.
        begun: requests of another tenant that were let in for the first time meanwhile.
    """

    passes: int = 0
    first: int = 0
    each: float = 0.0
    lateness: float = 0.0
    excess: float = -inf
    later: int = 0
    without: int = 0
    dry: int = 0
    turns: int = 0
    begun: int = 0


@dataclass(slots=True)
class Line:
    """Requests of one line, in order: those that live, and those of them that wait."""

    orders: list[Order] = field(default_factory=list[Order])
    waiting: list[Order] = field(default_factory=list[Order])
    first: Order | None = None
    since: int = 0


class Waits:
    """Receives every arrival, plan and end.

    Args:
        config: the settings of the run.
        name: the policy, by the name under which its theorems are claimed.
        parameters: the policy, or whatever has its parameters by their names.
    """

    def __init__(self, config: Config, name: str, parameters: Any) -> None:
        """Starts without requests."""
        self.config = config
        self.name = name
        self.parameters = parameters
        self.order = ORDERS.get(name)
        self.steps = 0
        self.arrivals = 0
        self.live: dict[Hashable, Wait] = {}  # in order of arrival
        self.waiting: dict[Hashable, Wait] = {}
        self.fresh: dict[Hashable, Wait] = {}  # never ran; in order of arrival
        self.backlog: Counter[str] = Counter()  # how many of a tenant wait
        self.lines: dict[str, Line] = {}
        self.by_order: dict[tuple[str, Order], Wait] = {}
        self.most = LongestWaits()
        self.without = 0  # steps since one sampled
        self.oldest: Hashable = None
        self.fruitless = 0  # steps since the earliest arrival generated a token, or became it
        self.turn: frozenset[str] = frozenset()  # tenants that the last step with any let in
        # By tenant that waits, since one of it was let in: turns of others, and those that began.
        self.others: dict[str, Counter[str]] = {}
        self.begun: dict[str, Counter[str]] = {}

    # ---- what is received ----------------------------------------------------------------------

    def arrive(self, arrival: Arrival) -> None:
        """A request waits."""
        self.arrivals += 1
        line = arrival.client if self.name in TENANTS else ""
        order = None
        if self.order is not None:
            key = self.order(arrival, self.arrivals, self.config, self.parameters)
            order = (key, self.arrivals)
        wait = Wait(arrival, self.arrivals, order, line, self.steps)
        self.live[arrival.request_id] = self.fresh[arrival.request_id] = wait
        if order is not None:
            found = self.lines.setdefault(line, Line())
            insort(found.orders, order)
            self.by_order[line, order] = wait
            place = bisect_left(found.orders, order)
            last = place + 1 if self.name in ENDLESS else len(found.orders)
            for before in range(place, last):  # it, and those that it goes before
                after = self.by_order[line, found.orders[before]]
                after.since, after.before = self.steps, before
            self._look(found)
        self._waits(wait)

    def end(self, request_id: Hashable) -> None:
        """A request has ended."""
        self.without = 0
        wait = self.live.pop(request_id)
        self._let_in(wait)
        self.fresh.pop(request_id, None)
        self._measure(wait)
        if wait.order is not None:
            found = self.lines[wait.line]
            del found.orders[bisect_left(found.orders, wait.order)]
            del self.by_order[wait.line, wait.order]
            self._look(found)

    def step(self, plan: Plan, now: float) -> None:
        """A plan was made."""
        for request_id, _ in plan.preempted:
            wait = self.live.get(request_id)
            if wait is not None and not wait.waits:
                wait.passed = 0
                self._waits(wait)
        entering = dict.fromkeys(table[0] for table in plan.tables)
        entered = [self.waiting[name] for name in entering if name in self.waiting]
        for wait in entered:
            self._let_in(wait)
        for wait in entered:
            self._pass(wait)
        if entered and self.name in TENANTS:
            begun = [w.arrival.client for w in entered if w.arrival.request_id in self.fresh]
            self._turns(frozenset(wait.arrival.client for wait in entered), begun)
        for wait in entered:
            wait.passed = 0
            self.fresh.pop(wait.arrival.request_id, None)
        if plan.step is not None:
            self.steps += 1
            self.without = 0 if plan.sampling else self.without + 1
            self.most.without = max(self.most.without, self.without)
            self._fruit(plan)

    def seen(self) -> LongestWaits:
        """The most of each kind up to now, those that are live included."""
        for wait in self.live.values():
            self._measure(wait)
        for line in self.lines.values():
            if line.first is not None:
                self.most.first = max(self.most.first, self.steps - line.since)
        return self.most

    # ---- what is counted -----------------------------------------------------------------------

    def _measure(self, wait: Wait) -> None:
        """Steps for each that goes before it."""
        if wait.order is not None and self.name not in ENDLESS:
            each = (self.steps - wait.since) / (wait.before + 1)
            self.most.each = max(self.most.each, each)

    def _look(self, line: Line) -> None:
        """The first request now."""
        first = line.orders[0] if line.orders else None
        if first != line.first:
            if line.first is not None:  # it has ended, or one that goes before it has arrived
                self.most.first = max(self.most.first, self.steps - line.since)
            line.first, line.since = first, self.steps

    def _waits(self, wait: Wait) -> None:
        """It waits from now on."""
        wait.waits = True
        self.waiting[wait.arrival.request_id] = wait
        if wait.order is not None:
            insort(self.lines[wait.line].waiting, wait.order)
        self.backlog[wait.arrival.client] += 1
        self._waits_for_a_turn(wait.arrival.client)

    def _let_in(self, wait: Wait) -> None:
        """It waits no longer, if it did."""
        if not wait.waits:
            return
        wait.waits = False
        del self.waiting[wait.arrival.request_id]
        if wait.order is not None:
            orders = self.lines[wait.line].waiting
            del orders[bisect_left(orders, wait.order)]
        self.backlog[wait.arrival.client] -= 1

    def _pass(self, entered: Wait) -> None:
        """Counts a pass for each waiting request before the one that was admitted."""
        most = self.most
        if entered.order is not None:
            for order in self.lines[entered.line].waiting:
                if order > entered.order:
                    break
                other = self.by_order[entered.line, order]
                other.passed += 1
                most.passes = max(most.passes, other.passed)
        if self.name not in HEAD_STARTS or entered.arrival.request_id not in self.fresh:
            return
        for other in self.fresh.values():
            if other.number > entered.number:
                break
            if other.waits:
                other.later += 1
                most.later = max(most.later, other.later)
                late = entered.arrival.arrival_time - other.arrival.arrival_time
                most.lateness = max(most.lateness, late)
                if entered.order is not None and other.order is not None:
                    most.excess = max(most.excess, entered.order[0] - other.order[0])

    def _turns(self, entered: frozenset[str], begun: list[str]) -> None:
        """Tenants that were let in, and did not have the turn already, have one more."""
        for tenant in list(self.others):
            if not self.backlog[tenant] or tenant in entered:
                del self.others[tenant], self.begun[tenant]
        for tenant, turns in self.others.items():
            turns.update(entered - self.turn)
            self.begun[tenant].update(begun)
            self.most.turns = max(self.most.turns, *turns.values(), 0)
            self.most.begun = max(self.most.begun, *self.begun[tenant].values(), 0)
        for tenant in entered:
            if self.backlog[tenant]:
                self._waits_for_a_turn(tenant)
        self.turn = entered

    def _waits_for_a_turn(self, tenant: str) -> None:
        """From now on others are counted."""
        if tenant not in self.others:
            self.others[tenant], self.begun[tenant] = Counter(), Counter()

    def _fruit(self, plan: Plan) -> None:
        """Whether the earliest arrival of all generates a token in this step."""
        if self.name != "mlfq":
            return  # others have an order that stays
        oldest = next(iter(self.live), None)
        samples = any(row.samples and row.request_id == oldest for row in plan.sampling)
        self.fruitless = 0 if samples or oldest != self.oldest else self.fruitless + 1
        self.oldest = oldest
        self.most.dry = max(self.most.dry, self.fruitless)
