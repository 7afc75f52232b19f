"""Counts the service of each tenant, and how much it differs between tenants that wait at once.

Guarantees: it reads plans and arrivals only, so it shares nothing with the accounts of the policy
that it is held against.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Mapping
from fractions import Fraction
from math import lcm
from typing import Any, Protocol

import numpy as np

from lineclear.plan import Plan
from lineclear.policies.units import Exact, Number, amount, exact
from lineclear.workload.workload import Arrival

#: Tenants up to which every pair of them is compared in every step.
MOST_PAIRS = 256
#: A token's parts up to which a run of 2**40 tokens is counted in 64 bits.
MOST_PARTS = 2**21


class Listener(Protocol):
    """Receives what happens in a simulation."""

    def arrive(self, arrival: Arrival) -> None:
        """A request was accepted."""

    def end(self, request_id: Hashable) -> None:
        """A request has ended."""

    def step(self, plan: Plan, now: float) -> None:
        """A plan was made."""


class Service:
    """Service by tenant: prompt tokens once for each request, and sampled tokens.

    Service is counted without rounding: in whole parts, of which `parts` are one of the prices' unit.

    Args:
        tenants: all that the workload names.
        prompt_price: weight of a prompt token.
        output_price: weight of a sampled token.
        weights: what a tenant's service is divided by, 1 where it is not named.

    Attributes:
        moments: seconds, one for each row of `curves`.
        curves: service of each tenant so far, at these moments, as floats.
        gaps: the greatest difference, at these moments, between two that have been waiting since.
        gap: the most by which the service of two tenants differed over a time in which both had
            requests waiting; by pairs, so None beyond 256 tenants.
        inversions: requests that were scheduled first while a more important one had never been.
        passed: by request, how many that arrived later were scheduled for the first time before it was.
        parts: parts of one of the prices' unit.
        costs: by tenant, what a prompt token and a sampled one cost, in parts.
        counts: by tenant, its service so far, in parts.
        waiting: by tenant, its requests that wait.
        fresh: requests that were never scheduled, each with the number of its arrival.
        away: requests that were preempted and not scheduled since.
        of: the arrival of each request that is live.
    """

    def __init__(
        self,
        tenants: list[str],
        prompt_price: Number = 1.0,
        output_price: Number = 2.0,
        weights: Mapping[str, Number] | None = None,
    ) -> None:
        """Starts with no service."""
        self.tenants = {tenant: k for k, tenant in enumerate(tenants)}
        count = len(tenants)
        shares = [amount("a weight", (weights or {}).get(tenant, 1)) for tenant in tenants]
        prices = (amount("prompt_price", prompt_price), amount("output_price", output_price))
        costs = [[price / share for price in prices] for share in shares]
        self.parts = lcm(*[cost.denominator for both in costs for cost in both])
        self.costs = [[int(cost * self.parts) for cost in both] for both in costs]
        small = all(cost < MOST_PARTS for both in self.costs for cost in both)
        self.counts = np.zeros(count, np.int64 if small else object)  # parts [tenants]
        self.waiting: Counter[str] = Counter()
        self.of: dict[Hashable, Arrival] = {}
        self.fresh: dict[Hashable, int] = {}  # never scheduled -> number of the arrival
        self.away: set[Hashable] = set()  # preempted and not scheduled since
        self.arrivals = 0
        self.moments: list[float] = []
        self.curves: list[Any] = []
        self.gaps: list[float] = []
        self.passed: dict[Hashable, int] = {}
        self.inversions = 0
        self._most: int | None = 0 if count <= MOST_PAIRS else None  # parts
        size = count if self._most is not None else 0
        self._joint = np.zeros((size, size), bool)  # which pairs wait
        # Of the present joint wait; of a pair that does not wait, what it is now.
        self._low = np.zeros((size, size), self.counts.dtype)  # parts [tenants, tenants]
        self._high = self._low

    @property
    def served(self) -> Any:
        """Service of each tenant so far, in the prices' unit, as floats."""
        return self.counts.astype(float) / self.parts

    @property
    def gap(self) -> Exact | None:
        """The greatest difference so far, in the prices' unit, without rounding."""
        return None if self._most is None else exact(Fraction(self._most, self.parts))

    def arrive(self, arrival: Arrival) -> None:
        """A request waits."""
        self.arrivals += 1
        self.of[arrival.request_id] = arrival
        self.fresh[arrival.request_id] = self.arrivals
        self.waiting[arrival.client] += 1

    def end(self, request_id: Hashable) -> None:
        """A request has ended."""
        arrival = self.of.pop(request_id)
        if self.fresh.pop(request_id, None) is not None or request_id in self.away:
            self.waiting[arrival.client] -= 1
        self.away.discard(request_id)

    def step(self, plan: Plan, now: float) -> None:
        """A plan was made."""
        for request_id, _ in plan.preempted:
            if request_id in self.of and request_id not in self.away:
                self.away.add(request_id)
                self.waiting[self.of[request_id].client] += 1
        if plan.step is None:
            return
        now_gap = 0.0
        for row in plan.scheduled_seq_groups:
            arrival = self.of.get(row.request_id)
            if arrival is None:
                continue
            tenant = self.tenants[arrival.client]
            number = self.fresh.pop(row.request_id, None)
            if number is not None:
                self.counts[tenant] += self.costs[tenant][0] * arrival.prompt_tokens
                self.waiting[arrival.client] -= 1
                self._passes(number)
                self.inversions += any(
                    self.of[other].priority > arrival.priority for other in self.fresh
                )
            elif row.request_id in self.away:
                self.away.discard(row.request_id)
                self.waiting[arrival.client] -= 1
            self.counts[tenant] += self.costs[tenant][1] * row.samples
        if self._most is not None:
            now_gap = self._compare()
        if not self.moments or now - self.moments[-1] >= 1.0:
            self.moments.append(now)
            self.curves.append(self.served)
            self.gaps.append(now_gap)

    def _passes(self, number: int) -> None:
        """A request is scheduled for the first time: those that came before it are passed."""
        for other, earlier in self.fresh.items():
            if earlier > number:
                break  # they stand in order of arrival
            self.passed[other] = self.passed.get(other, 0) + 1

    def _compare(self) -> float:
        """The greatest difference since each pair began to wait together."""
        both = np.array([self.waiting[tenant] > 0 for tenant in self.tenants])
        pairs = both[:, None] & both[None, :]
        difference = self.counts[:, None] - self.counts[None, :]
        since = pairs & self._joint
        self._joint = pairs
        self._low = np.where(since, np.minimum(self._low, difference), difference)
        self._high = np.where(since, np.maximum(self._high, difference), difference)
        spread = int((self._high - self._low).max(initial=0))
        self._most = max(self._most or 0, spread)
        return spread / self.parts
