"""Figures of a scheduler, by vLLM's metric names.

Reading them changes nothing. Latency is not among them: it is measured where steps run.
"""

from __future__ import annotations

from lineclear.scheduling.readings import Readings

__all__ = ["stats"]


def stats(scheduler: Readings) -> dict[str, int | float]:
    """Gauges of this moment and counters since the start."""
    ledger, counters = scheduler.ledger, scheduler.counters
    gpu, cpu = ledger.gpu, ledger.cpu
    return {
        "vllm:num_requests_running": len(ledger.running),
        "vllm:num_requests_waiting": len(ledger.waiting),
        "vllm:num_requests_swapped": len(ledger.swapped),
        "vllm:gpu_cache_usage_perc": 1 - (gpu.free + len(ledger.resting)) / gpu.total,
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
        "lineclear:prefix_queries_total": counters.prefix_queries,
        "lineclear:prefix_hits_total": counters.prefix_hits,
        "lineclear:prefix_evicted_total": counters.evicted,
        "lineclear:prefix_blocks_cached": len(ledger.cached),
        "lineclear:prefix_blocks_resting": len(ledger.resting),
        "lineclear:prefix_blocks_held": len(scheduler.cache.held),
        "lineclear:policy_failures_total": len(scheduler.policy_failures),
    }
