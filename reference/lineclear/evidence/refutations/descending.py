"""P6b fails without premise W: each arrival comes before the one before it, without end.

Guarantees: no request comes to its end in all the run, though requests keep tokens in it (P6a).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lineclear.config import Config
from lineclear.evidence.refutations.drive import Drive, NotShown, Refutation, Script

STEPS = 400
PROMPT, OUTPUT, BUDGET = 12, 4, 8
#: Steps in a row without a token, at most: C6 of two steps for a prompt.
MOST = 2 * 2 + 1

Made = Callable[[int], dict[str, Any]]


def settings(policy: str, **options: Any) -> Config:
    """Room for one request, whose prompt takes two steps."""
    return Config(
        num_gpu_blocks=4,
        num_cpu_blocks=0,
        block_size=4,
        max_num_seqs=4,
        max_num_batched_tokens=BUDGET,
        max_model_len=PROMPT + OUTPUT,
        watermark=0.0,
        preemption_mode="recompute",
        scheduling_policy=policy,
        policy_options=tuple(sorted(options.items())),
    )


def descend(asks: Made) -> Script:
    """Before each step one request arrives, which comes before all that are there.

    Args:
        asks: what the k-th of them asks for, besides its lengths.
    """

    def script(drive: Drive) -> tuple[str, dict[str, Any]]:
        preempted = dry = longest = 0
        counters = drive.scheduler.counters
        for k in range(STEPS):
            kept = counters.generated_tokens
            drive.add(k, PROMPT, OUTPUT, **asks(k))
            preempted += len(drive.step().preempted)
            dry = 0 if counters.generated_tokens > kept else dry + 1
            longest = max(longest, dry)
        tokens, ended = counters.generated_tokens, len(drive.ended())
        if ended or not tokens or longest >= MOST:
            raise NotShown(f"{ended} requests end, {tokens} tokens, {longest} steps without one")
        figures = {
            "steps": STEPS,
            "preemptions": preempted,
            "tokens": tokens,
            "ended": ended,
            "steps_without_a_token": longest,
        }
        return (
            f"in {STEPS} steps {STEPS} requests arrive, each before the one before it: {tokens} tokens "
            f"are kept, never more than {longest} step{'s' * (longest > 1)} without one, {preempted} "
            "requests are preempted and none comes to its end",
            figures,
        )

    return script


REFUTATIONS = (
    Refutation(
        "priority",
        "P6b",
        "priorities rise without end (without W)",
        settings("priority"),
        descend(lambda k: {"priority": k}),
    ),
    Refutation(
        "edf",
        "P6b",
        "deadlines come ever earlier (without W)",
        settings("edf"),
        descend(lambda k: {"deadline": float(STEPS - k)}),
    ),
    Refutation(
        "aging",
        "P6b",
        "priorities rise faster than requests age (without W)",
        settings("aging", seconds_per_level=10.0),
        descend(lambda k: {"priority": k}),
    ),
)
