"""A small scheduler, its requests, and steps in which each sequence gets one token."""

from __future__ import annotations

from typing import Any

from lineclear.config import Config
from lineclear.monitor.audit import audit
from lineclear.plan import Plan
from lineclear.request import Request
from lineclear.scheduler import Scheduler

SMALL: dict[str, Any] = {
    "num_gpu_blocks": 16,
    "num_cpu_blocks": 8,
    "block_size": 4,
    "max_num_seqs": 4,
    "max_num_batched_tokens": 32,
    "max_model_len": 48,
    "watermark": 0.0,
}


def make(**settings: Any) -> Scheduler:
    """A scheduler of the small world, with these settings changed."""
    return Scheduler(Config(**{**SMALL, **settings}))


def request(name: Any, prompt: int = 5, most: int = 4, **more: Any) -> Request:
    """A request of this name."""
    return Request(request_id=name, prompt_tokens=prompt, max_tokens=most, **more)


def step(scheduler: Scheduler, stopped: tuple[int, ...] = ()) -> Plan:
    """Schedules and commits one token for each."""
    plan = scheduler.schedule()
    scheduler.commit(plan, [7] * len(plan.sampling), stopped)
    return plan


def finish_all(scheduler: Scheduler) -> int:
    """Steps until nothing is live."""
    for count in range(1000):
        if not scheduler.entries:
            return count
        plan = step(scheduler)
        scheduler.complete([o.number for o in plan.operations if o.kind.startswith("swap")])
        audit(scheduler)
    raise AssertionError("it never ends")
