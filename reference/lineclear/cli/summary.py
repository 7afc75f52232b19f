"""The result of a simulation on one screen.

Guarantees: a quantity that never occurred is shown as a dash.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lineclear.cli.exits import NONE_ACCEPTED
from lineclear.cli.output import count

if TYPE_CHECKING:
    from lineclear.simulation.result import RunResult

COLUMNS = ("mean", "p50", "p90", "p99", "max")
SPREADS = {
    "TTFT": "ttft",
    "TPOT": "tpot",
    "between tokens": "itl",
    "end to end": "e2e",
    "queue delay": "queue_delay",
    "longest stall": "max_stall",
    "preempted, if at all": "preempted_time",
}


def summary(result: RunResult, *, progress: bool = True) -> str:
    """The result as text; times in seconds.

    Args:
        result: of the run.
        progress: whether to say how long the head of the queue took; the table of bounds says it too.
    """
    metrics, config = result.metrics, result.config
    rows = [
        ("workload", f"{result.workload.name} ({result.workload.kind})"),
        (
            "pool",
            f"{config.num_gpu_blocks:,} GPU and {config.num_cpu_blocks:,} CPU blocks of "
            f"{config.block_size} tokens",
        ),
        (
            "policy",
            f"{result.policy}, preemption {config.preemption_mode}, victim {config.victim}",
        ),
        (
            "requests",
            f"{len(result.workload.requests):,}: {result.finished:,} finished, "
            f"{len(result.rejected):,} rejected, {result.clipped:,} clipped",
        ),
        ("steps", f"{result.steps:,} in {metrics['duration']:,.1f} s of simulated time"),
        (
            "preemptions",
            f"{result.preemptions['swap']:,} by swap, {result.preemptions['recompute']:,} by "
            f"recompute, {result.discarded:,} swapped requests discarded",
        ),
        (
            "invariants",
            f"checked {count(result.checks, 'time')}, {count(len(result.violations), 'violation')}",
        ),
    ]
    if result.bound is not None and progress:
        rows.append(
            (
                "progress",
                f"the head of the queue took {result.slowest:,} steps at most, "
                f"proved bound {result.bound:,}",
            )
        )
    found = prefix_line(result)
    if found:
        rows.append(("prefix cache", found))
    if result.workload.source:
        rows.insert(1, ("source", result.workload.source))
    lines = [f"{name:12}  {value}" for name, value in rows]
    lines += ["", f"{'seconds':20}{''.join(f'{column:>11}' for column in COLUMNS)}"]
    for title, key in SPREADS.items():
        values = metrics[key]
        cells = ("-" if values is None else f"{values[c]:.3f}" for c in COLUMNS)
        lines.append(f"  {title:18}{''.join(f'{cell:>11}' for cell in cells)}")
    lines.append("")
    for title, value in rates(metrics):
        lines.append(f"  {title:26}{value:>14}")
    lines += [f"violated: {violation}" for violation in result.violations]
    lines += [f"policy failed: {failure}" for failure in result.failures]
    lines += no_guarantee(result)
    lines += [f"no guarantee of progress: {rule} is disabled" for rule in config.lacking]
    lines += [f"stalled: {result.stalled}"] if result.stalled else []
    lines += [NONE_ACCEPTED] if result.none_accepted else []
    if result.stall is not None:
        lines += [f"  {line}" for line in result.stall.text().splitlines()]
    for name, reason in result.rejected[:5]:
        lines.append(f"rejected {name}: {reason}")
    if len(result.rejected) > 5:
        lines.append(f"rejected {len(result.rejected) - 5:,} more; --format json lists them")
    return "\n".join(lines)


def prefix_line(result: RunResult) -> str:
    """What was found in the prefix cache; empty if it is off."""
    metrics, caching = result.metrics, result.config.prefix_caching
    if caching == "off":
        return ""
    if metrics["prefix_hit_rate"] is None:
        return "on, but no request has prefix ids (hash_ids), so nothing can be found"
    return (
        f"{metrics['prefix_hit_rate']:.1%} of prompt tokens found, "
        f"{metrics['prefix_hit_rate_unbounded']:.1%} with a cache without bound; "
        f"{metrics['prefix_evicted_blocks']:,} blocks evicted"
    )


def no_guarantee(result: RunResult) -> list[str]:
    """One line if settings or missing workload properties invalidate theorems of the policy."""
    from lineclear.theorems.guarantees import guarantees, verdict

    rows = guarantees(result.config, result.workload)
    return [verdict(rows)] if any(row.lost for row in rows) else []


def rates(metrics: dict[str, Any]) -> list[tuple[str, str]]:
    """Figures of the whole run."""

    def number(value: float | None, pattern: str) -> str:
        return "-" if value is None else format(value, pattern)

    gpu, cpu = metrics["gpu_cache_usage"], metrics["cpu_cache_usage"]
    return [
        ("requests per second", number(metrics["requests_per_second"], ",.2f")),
        ("prompt tokens per second", number(metrics["prompt_tokens_per_second"], ",.0f")),
        ("generated tokens per second", number(metrics["generated_tokens_per_second"], ",.0f")),
        ("tokens per step", number(metrics["batched_tokens_per_step"], ",.1f")),
        ("sequences per step", number(metrics["sequences_per_step"], ",.1f")),
        ("recomputed tokens", f"{metrics['recomputed_tokens']:,}"),
        ("recompute tax", number(metrics["recompute_tax"], ".2%")),
        ("preempted requests", f"{metrics['preempted_requests']:,}"),
        ("blocks swapped out", f"{metrics['swapped_out_blocks']:,}"),
        ("blocks swapped in", f"{metrics['swapped_in_blocks']:,}"),
        ("GB swapped out", f"{metrics['swapped_out_bytes'] / 1e9:,.2f}"),
        ("GB swapped in", f"{metrics['swapped_in_bytes'] / 1e9:,.2f}"),
        ("blocks copied on write", f"{metrics['copied_blocks']:,}"),
        ("GPU KV use, mean", number(gpu["mean"], ".1%")),
        ("GPU KV use, maximum", number(gpu["max"], ".1%")),
        ("GPU KV allocated, empty", number(metrics["kv_waste"], ".1%")),
        ("CPU KV use, mean", number(cpu["mean"], ".1%")),
        ("CPU KV use, maximum", number(cpu["max"], ".1%")),
    ]
