"""A small scheduler with prefix caching, and requests with names."""

from __future__ import annotations

from typing import Any

from lineclear.config import Config
from lineclear.monitor.audit import audit
from lineclear.plan import Plan
from lineclear.request import Request
from lineclear.scheduler import Scheduler


def config(**changed: Any) -> Config:
    """A small pool with prefix caching."""
    settings: dict[str, Any] = {
        "num_gpu_blocks": 12,
        "num_cpu_blocks": 4,
        "block_size": 2,
        "max_num_seqs": 4,
        "max_num_batched_tokens": 16,
        "max_model_len": 24,
        "watermark": 0.0,
        "prefix_caching": "all",
        "preemption_mode": "recompute",
    }
    return Config(**settings | changed)


def ask(
    scheduler: Scheduler,
    name: str,
    names: tuple[int, ...],
    prompt: int = 0,
    most: int = 2,
    n: int = 1,
) -> None:
    """Adds a request whose prompt has one token more than its names cover."""
    size = scheduler.config.block_size
    tokens = prompt or len(names) * size + 1
    assert scheduler.add(
        Request(request_id=name, prompt_tokens=tokens, max_tokens=most, n=n, prefix_names=names)
    )


def step(scheduler: Scheduler) -> Plan:
    """One step, committed at once."""
    plan = scheduler.schedule()
    if plan.step is not None:
        scheduler.commit(plan, [0] * len(plan.sampling))
    audit(scheduler)
    return plan


def computed(plan: Plan, name: str) -> int:
    """Tokens that a plan computes of a request."""
    return sum([row.tokens for row in plan.scheduled_seq_groups if row.request_id == name])
