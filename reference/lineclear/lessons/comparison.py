"""The lesson's table of policies, measured: fairness, latency and throughput of each.

Guarantees: every policy sees the same requests in the same simulated time, with no invariant broken; a
word of the lesson is confirmed or corrected by a rule that stands here. It knows nothing about output.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache

from lineclear.compare import Row, compare
from lineclear.config import Config
from lineclear.generators import generate
from lineclear.lessons.lesson import Claim, Lesson
from lineclear.lessons.run import Run

__all__ = ["COMPARISON", "POLICIES", "Measured", "measured"]

#: What the lesson says of each: fairness, latency, throughput. `vtc` is the weighted exercise.
POLICIES: dict[str, tuple[str, str, str]] = {
    "fcfs": ("Medium", "High for waiting", "High"),
    "priority": ("Low", "Low for high-pri", "Medium"),
    "fair": ("High", "Medium", "Medium"),
    "sjf": ("Low", "Low average", "Highest"),
    "vtc": ("not said", "not said", "not said"),
}
#: Tenants of one weight, four in ten requests by the first of them, more than the pool can serve.
WORKLOAD = ("tenants", 240, 14.0, 0)
CONFIG = Config(
    num_gpu_blocks=192, num_cpu_blocks=48, max_model_len=2048, max_num_seqs=32, watermark=0.0
)
#: Rates within this share of each other are the same.
SAME = 0.05


@dataclass(frozen=True, slots=True)
class Measured:
    """One policy's figures.

    Attributes:
        gap: the most by which the service of two waiting tenants differed.
        ttft: seconds to the first token, mean.
        urgent: the same of the requests with the highest priority.
        rest: the same of all others.
        end: seconds end to end, mean.
        worst: the longest wait to be scheduled.
        rate: generated tokens a second.
    """

    gap: float
    ttft: float
    urgent: float
    rest: float
    end: float
    worst: float
    rate: float


def figures(row: Row, urgent: frozenset[str]) -> Measured:
    """What is looked at of one run."""
    if row.result.violations or row.result.stalled:
        raise AssertionError(f"{row.policy}: {row.result.violations or row.result.stalled}")
    first = {
        name: t.first_token - t.arrived
        for name, t in row.times.items()
        if t.first_token is not None
    }

    def mean(names: Sequence[str]) -> float:
        total: float = sum([first[name] for name in names])
        return total / max(1, len(names))

    metrics = row.result.metrics
    return Measured(
        gap=row.service.gap or 0.0,
        ttft=metrics["ttft"]["mean"],
        urgent=mean([name for name in first if name in urgent]),
        rest=mean([name for name in first if name not in urgent]),
        end=metrics["e2e"]["mean"],
        worst=metrics["queue_delay"]["max"],
        rate=metrics["generated_tokens_per_second"],
    )


@cache
def measured() -> dict[str, Measured]:
    """Every policy on the same requests; every sixth one is urgent."""
    drawn = generate(*WORKLOAD)
    requests = tuple(
        replace(
            request,
            priority=int(k % 6 == 0),
            predicted_tokens=max(request.output_tokens),
        )
        for k, request in enumerate(drawn.requests)
    )
    urgent = frozenset(request.request_id for request in requests if request.priority)
    rows = compare(replace(drawn, requests=requests), CONFIG, list(POLICIES), check_every=20)
    return {row.policy: figures(row, urgent) for row in rows}


def same(one: float, two: float) -> bool:
    """Whether two rates are as good as equal."""
    return abs(one - two) <= SAME * max(one, two)


def comparison_claims(_: Sequence[Run]) -> list[Claim]:
    """The lesson's words beside the figures of these runs."""
    found = measured()
    fcfs = found["fcfs"]
    claims: list[Claim] = []
    for policy, (fairness, latency, throughput) in POLICIES.items():
        own = found[policy]
        gaps = f"service gap {own.gap:,.0f}, longest wait {own.worst:.1f} s"
        claims.append(
            Claim(f"{policy}: fairness", fairness, fair_word(policy, found, fairness), "", gaps)
        )
        waits = (
            f"TTFT mean {own.ttft:.2f} s (urgent {own.urgent:.2f}, others {own.rest:.2f}), end to "
            f"end {own.end:.2f} s"
        )
        claims.append(
            Claim(f"{policy}: latency", latency, late_word(policy, found, latency), "", waits)
        )
        rate = f"{own.rate:,.0f} tokens a second, {own.rate / fcfs.rate:.2f} of fcfs"
        alike = "the same for all" if all(same(own.rate, o.rate) for o in found.values()) else (
            "not the same for all"
        )  # fmt: skip
        claims.append(Claim(f"{policy}: throughput", throughput, alike, "", rate))
    return claims


def fair_word(policy: str, found: dict[str, Measured], written: str) -> str:
    """Fairness between tenants: what the gap says of the lesson's word."""
    own, least = found[policy].gap, min(one.gap for one in found.values())
    most = max(one.gap for one in found.values())
    if policy == "fair":
        return written if own <= 2 * least else f"no more than fcfs ({found['fcfs'].gap:,.0f})"
    if written == "Low":
        return written if own >= most / 2 else "better than that"
    if written == "Medium":
        return written if 2 * least < own < most / 2 else f"among the widest gaps ({own:,.0f})"
    return "the smallest gap" if own == least else "not the smallest gap"


def late_word(policy: str, found: dict[str, Measured], written: str) -> str:
    """Latency: what the means say of the lesson's word."""
    own, fcfs = found[policy], found["fcfs"]
    least = min(one.ttft for one in found.values())
    if written == "Low for high-pri":
        return written if own.urgent < fcfs.urgent / 2 else "not low for high-pri"
    if written == "Low average":
        return written if own.ttft == least else "not the lowest average"
    if written == "High for waiting":
        return written if own.ttft >= 2 * least else "not high"
    if written == "Medium":
        between = least < own.ttft < max(one.ttft for one in found.values())
        return written if between else "as fcfs" if same(own.ttft, fcfs.ttft) else "at an end"
    return (
        "as fcfs" if same(own.ttft, fcfs.ttft) else "lower" if own.ttft < fcfs.ttft else "higher"
    )


COMPARISON = Lesson(
    "comparison",
    "the table of policies, measured",
    f"{WORKLOAD[1]} requests of six tenants, {WORKLOAD[2]:g} in a second, every sixth one urgent, "
    "lengths known to sjf; 192 blocks, simulated time; rates within 5% count as the same; complexity is "
    "not measured: every policy is one file of 40 to 300 lines here, and a step costs at most twice that "
    "of fcfs (docs/simulator_speed.md)",
    (),
    (),
    comparison_claims,
)
