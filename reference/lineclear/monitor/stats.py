"""Figures of a scheduler.

Reading them changes nothing. Latency is not among them: it is measured where steps run.
"""

from __future__ import annotations

from lineclear.scheduling.readings import Readings


def stats(scheduler: Readings, prefix: str = "") -> dict[str, int | float]:
    """Gauges of this moment and counters since the start.

    Args:
        scheduler: whose.
        prefix: before the names that vLLM has too, such as "vllm:"; the others have "lineclear:" then.
    """
    own = "lineclear:" if prefix else ""
    ledger, counters = scheduler.ledger, scheduler.counters
    gpu, cpu = ledger.gpu, ledger.cpu
    return {
        f"{prefix}num_requests_running": len(ledger.running),
        f"{prefix}num_requests_waiting": len(ledger.waiting),
        f"{prefix}num_requests_swapped": len(ledger.swapped),
        f"{prefix}gpu_cache_usage_perc": 1 - (gpu.free + len(ledger.resting)) / gpu.total,
        f"{prefix}cpu_cache_usage_perc": 1 - cpu.free / cpu.total if cpu.total else 0.0,
        f"{prefix}num_preemptions_total": sum(counters.preemptions.values()),
        f"{prefix}request_success_total": sum(counters.finished.values()),
        f"{prefix}generation_tokens_total": counters.generated_tokens,
        f"{own}preemptions_swap_total": counters.preemptions["swap"],
        f"{own}preemptions_recompute_total": counters.preemptions["recompute"],
        f"{own}recomputed_tokens_total": counters.recomputed_tokens,
        f"{own}swapped_discarded_total": counters.discarded,
        f"{own}failed_copies_total": counters.failed_copies,
        f"{own}preempted_alone_total": counters.preempted_alone,
        f"{own}requests_rejected_total": counters.rejected,
        f"{own}requests_aborted_total": counters.aborted,
        f"{own}batched_tokens_total": counters.batched_tokens,
        f"{own}steps_total": counters.steps,
        f"{own}prefix_queries_total": counters.prefix_queries,
        f"{own}prefix_hits_total": counters.prefix_hits,
        f"{own}prefix_evicted_total": counters.evicted,
        f"{own}prefix_blocks_cached": len(ledger.cached),
        f"{own}prefix_blocks_resting": len(ledger.resting),
        f"{own}prefix_blocks_held": len(scheduler.cache.held),
        f"{own}policy_failures_total": len(scheduler.policy_failures),
    }
