"""The result of a simulated run.

Guarantees: counts are whole numbers, and the names in the JSON object are a contract for scripts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from lineclear.config import Config
from lineclear.monitor.stall import Stall
from lineclear.policies import Policy
from lineclear.scheduling.counters import Counters
from lineclear.theorems.bounds import sizes_of
from lineclear.theorems.starvation import steps_of_the_first
from lineclear.workload.prefixes import PromptsSeen
from lineclear.workload.workload import Workload
from lineclear_spec.kernel.ledger import Ledger


@dataclass(frozen=True, slots=True)
class RunResult:
    """The result of a run.

    Attributes:
        workload: what was run.
        config: the settings it ran with.
        policy: the name of the policy.
        finished: requests that generated all they had to.
        rejected: (id, reason) of requests that were turned away when they arrived.
        clipped: requests whose output was cut, at max_tokens or at max_model_len.
        steps: steps that computed something.
        preemptions: by kind.
        discarded: swapped requests whose CPU copy was given up.
        checks: how often all invariants were checked.
        violations: the first invariant that did not hold, if any; the run ends there.
        stalled: why the run could not go on, or "".
        stall: who held what then, and which guard kept whom, or None.
        slowest: most steps from when a request became the first in the order to its end, or None.
        bound: what a theorem says of that at most, or None where none holds.
        failures: policy failures that the scheduler reported.
        metrics: times and rates, see `metrics.py`.
    """

    workload: Workload
    config: Config
    policy: str
    finished: int
    rejected: tuple[tuple[str, str], ...]
    clipped: int
    steps: int
    preemptions: dict[str, int]
    discarded: int
    checks: int
    violations: tuple[str, ...]
    stalled: str
    stall: Stall | None
    slowest: int | None
    bound: int | None
    failures: tuple[str, ...]
    metrics: dict[str, Any]

    @property
    def none_accepted(self) -> bool:
        """Whether every request was turned away, so that the run shows nothing."""
        return len(self.rejected) == len(self.workload.requests)

    def json(self) -> dict[str, Any]:
        """The contract for scripts."""
        return {
            "workload": self.workload.name,
            "source": self.workload.source or None,
            "policy": self.policy,
            "requests": len(self.workload.requests),
            "finished": self.finished,
            "rejected": len(self.rejected),
            "clipped": self.clipped,
            "steps": self.steps,
            "preemptions": dict(self.preemptions),
            "discarded": self.discarded,
            "invariant_checks": self.checks,
            "violations": len(self.violations),
            "violated": list(self.violations),
            "stalled": self.stalled or None,
            "no_guarantee": list(self.config.lacking),
            "stall": None if self.stall is None else self.stall.json(),
            "first_in_order": {"steps": self.slowest, "bound": self.bound},
            "policy_failures": list(self.failures),
            "rejections": [{"request_id": name, "reason": why} for name, why in self.rejected],
            "metrics": self.metrics,
        }


def bound_of(config: Config, workload: Workload, policy: Policy) -> int:
    """The bound of `slowest` for this workload: that of the guarantee, which `--guarantees` prints."""
    return steps_of_the_first(config, sizes_of(config, workload), hasattr(policy, "share"))


def found_in_the_cache(counters: Counters, seen: PromptsSeen | None) -> dict[str, float | None]:
    """Tokens of prompts that were found in the cache, of those that requests were admitted with.

    Args:
        counters: of the scheduler.
        seen: the prompts that came; None if no request may find blocks.
    """
    asked = counters.prefix_queries if seen is not None and seen.named else 0
    return {
        "prefix_queried_tokens": asked,
        "prefix_hit_tokens": counters.prefix_hits,
        "prefix_hit_rate": counters.prefix_hits / asked if asked else None,
        "prefix_hit_rate_unbounded": seen.found / seen.asked if asked and seen else None,
        "prefix_evicted_blocks": counters.evicted,
    }


def why_stalled(ledger: Ledger, left: int) -> str:
    """What no request can use although so many requests are left and nothing can happen any more."""
    return (
        f"nothing can happen any more and {left} requests are left: "
        f"{len(ledger.running)} running, {len(ledger.waiting)} waiting, "
        f"{len(ledger.swapped)} swapped, {ledger.gpu.free} of {ledger.gpu.total} blocks free"
    )
