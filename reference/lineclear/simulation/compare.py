"""One workload under several policies: the same requests, the same model, one row each.

Guarantees: every run sees the same arrivals, and the bounds that a policy states are computed from
the workload and the settings, not from the run.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import partial
from typing import Any

from lineclear.config import Config
from lineclear.policies import make
from lineclear.policies.units import shown
from lineclear.simulation.history import History
from lineclear.simulation.result import RunResult
from lineclear.simulation.simulate import Simulation
from lineclear.simulation.steptime import StepTime
from lineclear.theorems.bound_checks import OF_SERVICE, BoundCheck, Holding, broken_bounds
from lineclear.theorems.service import Service
from lineclear.workload.workload import Workload
from lineclear_spec.parallel import in_parallel


@dataclass(frozen=True, slots=True)
class ServiceGoal:
    """What a request that went well looks like.

    Attributes:
        ttft: seconds to the first token, at most.
        tpot: seconds for each token after it, at most.
    """

    ttft: float = 1.0
    tpot: float = 0.05


@dataclass(frozen=True, slots=True)
class PolicyRow:
    """One policy's run.

    Attributes:
        policy: its name, as it was asked for.
        result: of the simulation.
        service: what each tenant got.
        bound: the most by which the service of two waiting tenants may differ, if the policy states one.
        attained: share of the requests that reached the goal.
        goodput: requests that reached the goal, a second.
        passed: the most requests that were let pass one that came before them.
        times: by request, arrival, first token and end, in seconds.
        history: what happened when.
        held: each theorem of the policy, how it stands for these settings and this workload, its
            bound, and the most that was seen.
    """

    policy: str
    result: RunResult
    service: Service
    bound: float | Fraction | None
    attained: float
    goodput: float | None
    passed: int
    times: dict[str, Any]
    history: History
    held: list[BoundCheck]

    def json(self) -> dict[str, Any]:
        """The contract for scripts."""
        return {
            "policy": self.policy,
            "service_gap": shown(self.service.gap),
            "service_gap_bound": shown(self.bound),
            "slo_attainment": self.attained,
            "goodput": self.goodput,
            "passed_max": self.passed,
            "inversions": self.service.inversions,
            "served": dict(zip(self.service.tenants, self.service.served.tolist(), strict=True)),
            "theorems": [held.json() for held in self.held],
            "broken_bounds": broken_bounds(self.held),
            "run": self.result.json(),
        }


def compare(
    workload: Workload,
    config: Config,
    policies: list[str],
    *,
    model: StepTime | None = None,
    goal: ServiceGoal | None = None,
    check_every: int = 0,
    workers: int | None = None,
    on_row: Callable[[], object] = lambda: None,
) -> list[PolicyRow]:
    """Runs the workload once for each policy, on every core.

    Args:
        workload: who asks for what and when.
        config: the settings; each policy takes the place of `scheduling_policy`.
        policies: names, as in `scheduling_policy`.
        model: how long things take.
        goal: what counts as a request that went well.
        check_every: steps between two checks of all invariants, 0 for none.
        workers: processes at most; None for one for each core. The rows are the same.
        on_row: called for each policy whose run ends.

    Raises:
        ValueError: there is no policy of that name.
    """
    job = partial(
        row_of,
        workload=workload,
        config=config,
        model=model,
        goal=goal or ServiceGoal(),
        check_every=check_every,
    )
    rows: list[PolicyRow] = []
    for row in in_parallel(job, policies, workers):
        rows.append(row)
        on_row()
    return rows


def row_of(
    name: str,
    *,
    workload: Workload,
    config: Config,
    model: StepTime | None,
    goal: ServiceGoal,
    check_every: int,
) -> PolicyRow:
    """One policy's run; the arguments are those of `compare`.

    Args:
        name: name of the policy.
        workload: the requests.
        config: settings but for the policy.
        model: times of steps and copies, None for the default.
        goal: the times that a request should meet.
        check_every: steps between two audits.
    """
    named = config.scheduling_policy == name
    options = dict(config.policy_options) if named else {}
    policy = make(name, options)
    chosen = replace(config, scheduling_policy=name, policy_options=tuple(sorted(options.items())))
    holding = Holding(chosen, workload, policy)
    service = holding.service
    history = History()
    simulation = Simulation(
        workload,
        chosen,
        model=model,
        check_every=check_every,
        policy=policy,
        service=holding,
        collector=history,
    )
    result = simulation.run()
    times = simulation.collector.times
    good = sum(
        1
        for t in times.values()
        if t.finished is not None
        and t.first_token is not None
        and t.last_token is not None
        and t.first_token - t.arrived <= goal.ttft
        and (t.last_token - t.first_token) <= goal.tpot * max(1, t.longest - 1)
    )
    duration = result.metrics["duration"]
    held = holding.rows()
    return PolicyRow(
        policy=name,
        result=result,
        service=service,
        bound=gap_bound(held) if len(service.tenants) > 1 else None,
        attained=good / max(1, len(workload.requests)),
        goodput=good / duration if duration else None,
        passed=max(service.passed.values(), default=0),
        times={str(key): value for key, value in times.items()},
        history=history,
        held=held,
    )


def gap_bound(rows: list[BoundCheck]) -> float | Fraction | None:
    """The most by which the service of two tenants may differ, if a theorem that holds says so."""
    for row in rows:
        if row.guarantee.theorem in OF_SERVICE and row.guarantee.bound is not None:
            return row.guarantee.bound.number
    return None
