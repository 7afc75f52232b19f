"""The lesson's table of policies, measured: each word of it as a comparison of two runs.

Guarantees: every policy serves the same requests with the same pools and the same model of time,
and a difference below a tenth counts as none. What is complex is not measured.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache

from lineclear.config import Config
from lineclear.lessons.lesson import Claim, Lesson
from lineclear.lessons.run import SceneRun
from lineclear.simulation.compare import PolicyRow, compare
from lineclear.workload.generators import generate
from lineclear.workload.workload import Workload

#: Settings under which requests wait for blocks, seats and tokens.
CONFIG = Config(
    num_gpu_blocks=160,
    num_cpu_blocks=48,
    max_model_len=2048,
    max_num_seqs=24,
    max_num_batched_tokens=128,
)
WEIGHTS = {"a": 2.0}
#: A difference below a tenth counts as none: it is one workload.
LESS = 0.9
#: Steps between two checks of every invariant.
CHECK = 20


@dataclass(frozen=True, slots=True)
class Measured:
    """One policy's run, times in seconds.

    Attributes:
        policy: its name.
        ttft: mean time to the first token.
        ttft_p99: its 99th percentile.
        urgent: mean time to the first token of the most important requests.
        e2e: mean time to the end.
        e2e_max: the greatest.
        throughput: tokens generated a second.
        wait: the greatest time until a request was first computed.
        gap: the most by which two waiting tenants' service differed, each divided by its weight.
    """

    policy: str
    ttft: float
    ttft_p99: float
    urgent: float
    e2e: float
    e2e_max: float
    throughput: float
    wait: float
    gap: float


def requests() -> Workload:
    """A hundred requests of six tenants, their lengths known to who asks for them."""
    drawn = generate("tenants", 100, 14.0, 1)
    return replace(
        drawn,
        requests=tuple(replace(r, predicted_tokens=r.output_tokens[0]) for r in drawn.requests),
    )


@cache
def measure() -> dict[str, Measured]:
    """Every policy of the lesson's table, and weighted fair queueing."""
    workload = requests()
    weighted = replace(
        CONFIG, scheduling_policy="vtc", policy_options=(("weights", dict(WEIGHTS)),)
    )
    rows = compare(workload, CONFIG, ["fcfs", "priority", "fair", "sjf"], check_every=CHECK)
    rows += compare(workload, weighted, ["vtc"], check_every=CHECK)
    return {row.policy: measured(row, workload) for row in rows}


def measured(row: PolicyRow, workload: Workload) -> Measured:
    """The figures of one run.

    Raises:
        RuntimeError: an invariant did not hold, or the run did not end.
    """
    if row.result.violations or row.result.stalled:
        raise RuntimeError(f"{row.policy}: {row.result.violations or row.result.stalled}")
    metrics = row.result.metrics
    top = max(request.priority for request in workload.requests)
    urgent = [row.times[r.request_id] for r in workload.requests if r.priority == top]
    return Measured(
        row.policy,
        metrics["ttft"]["mean"],
        metrics["ttft"]["p99"],
        sum(times.first_token - times.arrived for times in urgent) / len(urgent),
        metrics["e2e"]["mean"],
        metrics["e2e"]["max"],
        metrics["generated_tokens_per_second"],
        metrics["queue_delay"]["max"],
        float(row.service.gap or 0),
    )


def table() -> list[list[str]]:
    """The figures, heads first."""
    heads = ["policy", "TTFT mean", "TTFT p99", "TTFT urgent", "end mean", "end max", "tokens/s",
             "greatest wait", "service gap"]  # fmt: skip
    names = {"vtc": "weighted fair (vtc)"}
    return [
        heads,
        *(
            [names.get(m.policy, m.policy), f"{m.ttft:.2f}", f"{m.ttft_p99:.2f}",
             f"{m.urgent:.2f}", f"{m.e2e:.2f}", f"{m.e2e_max:.2f}", f"{m.throughput:.0f}",
             f"{m.wait:.2f}", f"{m.gap:.0f}"]
            for m in measure().values()
        ),
    ]  # fmt: skip


def less(one: float, other: float) -> bool:
    """Whether one is less by more than a tenth."""
    return one < LESS * other


def compared(what: str, holds: bool, why: str) -> Claim:
    """A word of the lesson's table that two runs confirm or not."""
    return Claim(what, "yes", "yes" if holds else "no", "", why)


def claims(_: Sequence[SceneRun]) -> list[Claim]:
    """The words for fairness, latency and throughput."""
    runs = measure()
    fcfs, priority, fair, sjf, weighted = runs.values()
    best = max(m.throughput for m in (fcfs, priority, fair, sjf))

    def waits(one: Measured, other: Measured) -> str:
        return f"greatest wait {one.wait:.2f} s and {other.wait:.2f} s"

    def gaps(one: Measured, other: Measured) -> str:
        return f"greatest service gap {one.gap:.0f} and {other.gap:.0f}"

    def rates(one: Measured, other: Measured) -> str:
        return f"{one.throughput:.0f} and {other.throughput:.0f} tokens/s"

    return [
        compared("fairness, by the greatest wait: fcfs (medium) before priority (low)",
                 less(fcfs.wait, priority.wait), waits(fcfs, priority)),
        compared("fairness, by the greatest wait: fcfs (medium) before sjf (low)",
                 less(fcfs.wait, sjf.wait), waits(fcfs, sjf)),
        compared("fairness, by the greatest wait: fair (high) before fcfs (medium)",
                 less(fair.wait, fcfs.wait), waits(fair, fcfs)),
        compared("fairness, by service: fcfs (medium) before priority (low)",
                 less(fcfs.gap, priority.gap), gaps(fcfs, priority)),
        compared("fairness, by service: fcfs (medium) before sjf (low)",
                 less(fcfs.gap, sjf.gap), gaps(fcfs, sjf)),
        compared("fairness, by service: fair (high) before fcfs (medium)",
                 less(fair.gap, fcfs.gap), f"{gaps(fair, fcfs)}; weighted fair queueing, which "
                 f"has a theorem (P12), {weighted.gap:.0f}"),
        compared("latency: fcfs, high for those who wait: the highest mean TTFT of the four",
                 not any(less(fcfs.ttft, m.ttft) for m in (priority, fair, sjf)),
                 f"fcfs {fcfs.ttft:.2f} s, priority {priority.ttft:.2f} s"),
        compared("latency: priority, low for those of high priority",
                 less(priority.urgent, fcfs.urgent),
                 f"their mean TTFT {priority.urgent:.2f} s, with fcfs {fcfs.urgent:.2f} s"),
        compared("latency: fair, medium: between sjf and fcfs",
                 less(sjf.ttft, fair.ttft) and less(fair.ttft, fcfs.ttft),
                 f"mean TTFT {sjf.ttft:.2f}, {fair.ttft:.2f} and {fcfs.ttft:.2f} s"),
        compared("latency: sjf, the lowest mean",
                 all(less(sjf.e2e, m.e2e) for m in (fcfs, priority, fair)),
                 f"mean time to the end {sjf.e2e:.2f} s, with fcfs {fcfs.e2e:.2f} s; the lengths "
                 "are known exactly here"),
        compared("throughput: fcfs, high: within a tenth of the best",
                 not less(fcfs.throughput, best), f"{fcfs.throughput:.0f} of {best:.0f} tokens/s"),
        compared("throughput: priority, medium: less than fcfs",
                 less(priority.throughput, fcfs.throughput), rates(priority, fcfs)),
        compared("throughput: fair, medium: less than fcfs",
                 less(fair.throughput, fcfs.throughput), rates(fair, fcfs)),
        compared("throughput: sjf, the highest: more than fcfs",
                 less(fcfs.throughput, sjf.throughput), rates(sjf, fcfs)),
    ]  # fmt: skip


POLICY_TABLE = Lesson(
    "policy-table",
    "the table of policies, measured",
    "100 requests of six tenants at 14 a second, one tenant sends half of them, 160 blocks, 24 "
    "seats, 128 tokens a step; seconds of the simulator's model of time; weighted fair queueing "
    "gives that tenant twice the weight; one workload, so no word is confirmed beyond it, and a "
    "difference below a tenth counts as none. The column Complexity has no measurement and is "
    "left out",
    (),
    (),
    claims,
    table=table,
)
