"""Figures of a scheduler, by vLLM's metric names.

Guarantees: reading them changes nothing. It knows nothing about latency, which is measured by
whoever runs the steps.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lineclear.scheduling.transitions import Bookkeeping

__all__ = ["Counters", "stats"]


@dataclass(slots=True)
class Counters:
    """What has happened so far."""

    steps: int = 0
    rejected: int = 0
    aborted: int = 0
    discarded: int = 0
    failed_copies: int = 0
    preempted_alone: int = (
        0  # could not grow although nobody else ran: a premise of progress fails
    )
    recomputed_tokens: int = 0
    generated_tokens: int = 0
    batched_tokens: int = 0
    preemptions: Counter[str] = field(default_factory=Counter[str])
    finished: Counter[str] = field(default_factory=Counter[str])


def stats(scheduler: Bookkeeping) -> dict[str, int | float]:
    """Gauges of this moment and counters since the start."""
    ledger, counters = scheduler.ledger, scheduler.counters
    gpu, cpu = ledger.gpu, ledger.cpu
    return {
        "vllm:num_requests_running": len(ledger.running),
        "vllm:num_requests_waiting": len(ledger.waiting),
        "vllm:num_requests_swapped": len(ledger.swapped),
        "vllm:gpu_cache_usage_perc": 1 - gpu.free / gpu.total,
        "vllm:cpu_cache_usage_perc": 1 - cpu.free / cpu.total if cpu.total else 0.0,
        "vllm:num_preemptions_total": sum(counters.preemptions.values()),
        "vllm:request_success_total": sum(counters.finished.values()),
        "vllm:generation_tokens_total": counters.generated_tokens,
        "lineclear:preemptions_swap_total": counters.preemptions["swap"],
        "lineclear:preemptions_recompute_total": counters.preemptions["recompute"],
        "lineclear:recomputed_tokens_total": counters.recomputed_tokens,
        "lineclear:swapped_discarded_total": counters.discarded,
        "lineclear:failed_copies_total": counters.failed_copies,
        "lineclear:preempted_alone_total": counters.preempted_alone,
        "lineclear:requests_rejected_total": counters.rejected,
        "lineclear:requests_aborted_total": counters.aborted,
        "lineclear:batched_tokens_total": counters.batched_tokens,
        "lineclear:steps_total": counters.steps,
        "lineclear:policy_failures_total": len(scheduler.policy_failures),
    }
