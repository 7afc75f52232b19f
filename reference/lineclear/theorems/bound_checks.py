"""Compares the bounds of theorems with a run: each bound beside the most that was seen.

Guarantees: what is seen comes from arrivals, plans and ends alone. A bound that was passed although its theorem holds
is reported as such: then the theorem, its premises or the scheduler is wrong.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from lineclear.config import Config
from lineclear.plan import Plan
from lineclear.policies import Policy, make
from lineclear.policies.tenants import TenantPolicy
from lineclear.policies.units import shown
from lineclear.theorems.guarantees import Guarantee, claims_of, guarantees
from lineclear.theorems.order_oracle import TENANTS
from lineclear.theorems.service import Service
from lineclear.theorems.wait_times import Waits
from lineclear.workload.workload import Arrival, Workload

#: Beyond a bound by less than this share of it is rounding, if one of the two is a float: keys that
#: are seconds are (premise A5). What is counted is a whole number or a fraction, and rounds nothing.
ROUNDING = 1e-9

#: What of it a theorem bounds, by the theorem or by the end of its name.
SEEN_BY = {
    "P5": "passes",
    "P6a": "without",
    "P6b": "first",
    "P7": "each",
    "P9": "lateness",
    "ceiling.bypass": "later",
    "drr.P7": "turns",
    "vtc.P7": "begun",
    "mlfq.P7": "dry",
}
#: Theorems whose bound is of service, which `Service` counts.
OF_SERVICE = ("vtc.P12", "drr.P13")


@dataclass(frozen=True, slots=True)
class BoundCheck:
    """One theorem after a run.

    Attributes:
        guarantee: how it stands for the configuration and the workload.
        seen: the most that was seen of what it bounds, if it bounds something; also where there
            is no guarantee, to show what is lost.
    """

    guarantee: Guarantee
    seen: float | Fraction | None

    @property
    def passed(self) -> bool:
        """Whether the bound was passed, although the theorem holds."""
        bound = self.guarantee.bound
        if bound is None or bound.number is None or self.seen is None:
            return False
        most = bound.number
        if not isinstance(self.seen, float) and not isinstance(most, float):
            return self.seen > most
        return self.seen > most * (1 + ROUNDING)

    @property
    def telling(self) -> bool:
        """Whether there is a bound, and more to say than that 0 is 0."""
        bound = self.guarantee.bound
        return bound is not None and bool(bound.number != 0 or self.seen)

    def json(self) -> dict[str, Any]:
        """The contract for scripts."""
        row = self.guarantee.json()
        bound = self.guarantee.bound
        return {
            **row,
            "bound": None if bound is None else shown(bound.number),
            "seen": shown(self.seen),
            "formula": None if bound is None else bound.formula,
            "where": {} if bound is None else {k: shown(v) for k, v in bound.where},
            "unit": None if bound is None else bound.unit,
        }


class Holding:
    """Receives a run, and then compares what was seen with the bounds of the policy.

    Args:
        config: the settings of the run.
        workload: its requests.
        policy: the one that runs, if it is made already.
    """

    def __init__(self, config: Config, workload: Workload, policy: Policy | None = None) -> None:
        """Nothing has happened."""
        self.config = config
        self.workload = workload
        if policy is None:
            policy = make(config.scheduling_policy, dict(config.policy_options))
        self.policy = policy
        self.waits = Waits(config, claims_of(config) or "", self.policy)
        self.service = service_of(self.policy, workload)

    def arrive(self, arrival: Arrival) -> None:
        """A request was accepted."""
        self.waits.arrive(arrival)
        self.service.arrive(arrival)

    def end(self, request_id: Hashable) -> None:
        """A request has ended."""
        self.waits.end(request_id)
        self.service.end(request_id)

    def step(self, plan: Plan, now: float) -> None:
        """A plan was made."""
        self.waits.step(plan, now)
        self.service.step(plan, now)

    def rows(self) -> list[BoundCheck]:
        """Every theorem of the policy."""
        found = guarantees(self.config, self.workload)
        return [
            BoundCheck(row, None if row.status == "fails" else self._seen(row.theorem))
            for row in found
        ]

    def _seen(self, theorem: str) -> float | Fraction | None:
        """The most that was seen."""
        return seen_of(theorem, self.waits, self.service)


def service_of(policy: Policy, workload: Workload) -> Service:
    """The counter of service by the prices of the policy."""
    tenants = sorted({request.client for request in workload.requests})
    if isinstance(policy, TenantPolicy):
        return Service(tenants, policy.prompt_price, policy.output_price, policy.weights)
    return Service(tenants)


def broken_bounds(rows: Iterable[BoundCheck]) -> list[str]:
    """Each bound that was passed although its theorem holds, in one line."""
    lines: list[str] = []
    for row in rows:
        bound = row.guarantee.bound
        if row.passed and bound is not None:
            lines.append(
                f"{row.guarantee.theorem} does not hold: {number(row.seen)} {bound.unit}, "
                f"{number(bound.number)} at most by {bound.formula}"
            )
    return lines


def lines(rows: Iterable[BoundCheck]) -> list[str]:
    """The status of each theorem as text; then the bounds."""
    found = list(rows)
    width = max(len(row.guarantee.theorem) for row in found)
    lines = ["theorems of the policy, for these settings and requests"]
    for row in found:
        lines.append(f"  {row.guarantee.theorem:<{width}}  {row.guarantee.why}")
        lines.append(f"  {'':<{width}}  {row.guarantee.sentence}")
    return [*lines, "", *bound_lines(found)][:-1]


def bound_lines(rows: Iterable[BoundCheck]) -> list[str]:
    """Each bound that is guaranteed, as a number and a formula, beside the most that was seen.

    A bound of zero requests passed that was kept is left out.
    """
    found = [row for row in rows if row.telling]
    if not found:
        return []
    width = max(16, *(len(row.guarantee.theorem) for row in found))
    lines = [f"{'theorem':<{width}}{'bound':>12}{'seen':>12}  of"]
    for row in found:
        bound = row.guarantee.bound
        assert bound is not None
        values = ", ".join(f"{name} {number(value)}" for name, value in bound.where)
        lines.append(
            f"{row.guarantee.theorem:<{width}}{number(bound.number):>12}{number(row.seen):>12}"
            f"  {bound.unit}: {bound.formula}" + (f" ({values})" if values else "")
        )
    return [*lines, ""]


def number(value: float | Fraction | None) -> str:
    """With a comma at each thousand, and no more digits than it needs."""
    if value is None:
        return "-"
    return f"{int(value):,}" if value == int(value) else f"{float(value):,.2f}"


def seen_of(theorem: str, waits: Waits, service: Service | None) -> float | Fraction | None:
    """The most that was seen of what a theorem bounds; None if it bounds nothing that can be seen.

    Args:
        theorem: its name, such as aging.P9.
        waits: of the run.
        service: of the run, if it was counted.
    """
    if theorem in OF_SERVICE:
        return None if service is None else service.gap
    policy, _, label = theorem.partition(".")
    found = SEEN_BY.get(theorem) or SEEN_BY.get(label)
    if found in ("first", "each") and (policy in ("hybrid", "mlfq", *TENANTS)):
        return None
    if found is None or (found == "passes" and waits.order is None):
        return None
    seen: float = getattr(waits.seen(), found)
    return seen
