"""Small random workloads and settings, and one run checked against its bounds.

Guarantees: the same number gives the same workload.
"""

from __future__ import annotations

import random
from typing import Any

from lineclear.config import MODES, POLICIES, VICTIMS, Config
from lineclear.policies import make
from lineclear.request import Request
from lineclear.scheduler import Scheduler
from lineclear.simulation.simulate import Simulation
from lineclear.theorems.bound_checks import BoundCheck, Holding
from lineclear.workload.workload import Arrival, Workload

#: Clients of a `Driven`.
TENANTS = ("a", "b", "c")

#: Parameters that make the bound of a small run small.
OPTIONS: dict[str, tuple[tuple[str, Any], ...]] = {
    "aging": (("seconds_per_level", 0.05),),
    "sjf_aging": (("seconds_per_token", 0.02),),
    "lpl": (("seconds_per_token", 0.02),),
    "ceiling": (("ceiling", 2), ("levels", 3)),
    "drr": (("quantum", 7.0),),
    "mlfq": (("promote_after", 8), ("quantum", 2)),
    "vtc": (("weights", {"a": 0.5, "b": 2.0}),),
}


def drawn(number: int, **changes: Any) -> tuple[Config, Workload]:
    """A pool too small for all, and up to 40 requests that arrive in bursts or slowly."""
    draw = random.Random(number)
    choice = draw.choice
    policy = changes.get("scheduling_policy", choice(POLICIES))
    narrow = draw.random() < 0.6
    seats, size = choice((2, 4, 6)), choice((1, 2, 4))
    drafts = choice((0, 0, 0, 2)) if narrow else 0
    cut = draw.random() < 0.7
    settings: dict[str, Any] = {
        "num_gpu_blocks": choice((24, 32, 48)) // size,
        "num_cpu_blocks": choice((0, 6, 24)),
        "block_size": size,
        "max_num_seqs": seats,
        "max_num_batched_tokens": max(seats * (1 + drafts), choice((6, 12, 24)), 0 if cut else 22),
        "max_model_len": 22,
        "enable_chunked_prefill": cut,
        "watermark": choice((0.0, 0.2)),
        "num_lookahead_slots": drafts,
        "scheduling_policy": policy,
        "policy_options": OPTIONS.get(policy, ()),
        "preemption_mode": choice(MODES),
        "swap_threshold": 8,
        "victim": choice(VICTIMS),
        "max_steps_in_flight": choice((1, 2)),
        "max_bypasses": choice((0, 0, 0, 2)),
        "pause_after_preemption": draw.random() < 0.7,
    }
    rate, now, requests = choice((3, 30, 300)), 0.0, list[Arrival]()
    for k in range(draw.randint(5, 40)):
        width = 1 if narrow else min(seats, choice((1, 1, 2, 3)))
        most = draw.randint(1, 10)
        requests.append(
            Arrival(
                str(k),
                now,
                draw.randint(1, 10),
                tuple(draw.randint(1, most) for _ in range(width)),
                most,
                priority=draw.randint(0, 2),
                client=choice("aaabc"),
                predicted_tokens=choice((None, draw.randint(0, 12))),
                deadline=now + draw.random(),
            )
        )
        now += draw.expovariate(rate)
    config = Config(**{**settings, **changes})
    return config, Workload(f"drawn {number}", "drawn", tuple(requests))


def hold(config: Config, workload: Workload) -> Holding:
    """Runs it to its end, and counts."""
    holding = Holding(config, workload)
    result = Simulation(
        workload, config, check_every=0, policy=holding.policy, service=holding
    ).run()
    assert not result.stalled
    assert not result.failures
    assert result.finished + len(result.rejected) == len(workload.requests)
    return holding


def held_rows(holding: Holding) -> dict[str, BoundCheck]:
    """Rows by the part of the theorem's name after the policy's."""
    return {row.guarantee.theorem.partition(".")[2]: row for row in holding.rows()}


class Driven:
    """A scheduler driven step by step and checked against its bounds; a turn takes a second.

    Args:
        config: its settings.
        policy: the policy; default: the one that `config` names.
        promised: the settings whose theorems are checked; default: `config`. Planted faults are only in
            `config`.
    """

    def __init__(self, config: Config, policy: Any = None, promised: Config | None = None) -> None:
        self.reserved = promised or config
        self.policy = policy or make(config.scheduling_policy, dict(config.policy_options))
        self.scheduler = Scheduler(config, self.policy)
        tenants = [Arrival(name, 0.0, 1, (1,), 1, client=name) for name in ("", *TENANTS)]
        self.holding = Holding(self.reserved, Workload("", "", tuple(tenants)), self.policy)
        self.arrivals: list[Arrival] = []
        self.turns = 0

    def add(self, prompt: int, most: int, client: str = "", **rest: Any) -> str:
        """Adds a request that generates all it may; returns its name."""
        name = f"{client}{len(self.arrivals)}"
        time = float(self.turns)
        self.scheduler.add(
            Request(
                request_id=name,
                prompt_tokens=prompt,
                max_tokens=most,
                arrival_time=time,
                tenant=client or None,
                **rest,
            )
        )
        arrival = Arrival(name, time, prompt, (most,), most, client=client, **rest)
        self.arrivals.append(arrival)
        self.holding.arrive(arrival)
        return name

    def turn(self) -> list[str]:
        """One step; returns names of the admitted requests."""
        plan = self.scheduler.schedule()
        waited = set(self.holding.waits.waiting)
        self.holding.step(plan, float(self.turns))
        entered = [str(name) for name in waited - set(self.holding.waits.waiting)]
        swaps = [o.number for o in plan.operations if o.kind in ("swap_in", "swap_out")]
        if plan.step is not None:
            for finished in self.scheduler.commit(plan, [0] * len(plan.sampling)):
                self.holding.end(finished.request_id)
        self.scheduler.complete([n for n in swaps if n in self.scheduler.ledger.operations])
        self.turns += 1
        return entered

    def rows(self) -> dict[str, BoundCheck]:
        """Every theorem of the promised settings, for what has arrived."""
        self.holding.workload = Workload("driven", "driven", tuple(self.arrivals))
        return held_rows(self.holding)
