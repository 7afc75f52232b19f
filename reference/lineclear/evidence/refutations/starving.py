"""P7 fails: a request that waits is passed by later ones without end.

Guarantees: the victim computes nothing in all the run, while requests that arrived after it come
to their end, and what happens repeats.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lineclear.config import Config
from lineclear.evidence.refutations.drive import Drive, NotShown, Refutation, Script

STEPS = 300
#: Of the last so many steps the plans must repeat.
LOOKED_AT = 120
#: Later requests that must have ended before the victim has computed anything.
PASSED = 40

Made = Callable[[int], dict[str, Any]]


def settings(policy: str, **options: Any) -> Config:
    """One sequence at a time, and room for it."""
    return Config(
        num_gpu_blocks=64,
        num_cpu_blocks=0,
        block_size=4,
        max_num_seqs=1,
        max_num_batched_tokens=128,
        max_model_len=128,
        watermark=0.0,
        preemption_mode="recompute",
        scheduling_policy=policy,
        policy_options=tuple(sorted(options.items())),
    )


def starve(victim: Made, other: Made, before: Made | None = None) -> Script:
    """One request, and then a stream of others; whenever one of them ends, the next one is there.

    Args:
        victim: what it asks for.
        other: what the k-th of the others asks for.
        before: what the victim's tenant asked for before, if anything.
    """

    def script(drive: Drive) -> tuple[str, dict[str, Any]]:
        if before is not None:
            drive.add("before", **before(0))
            drive.step()
        sent = 0
        for _ in range(2):
            drive.add(sent, **other(sent))
            sent += 1
        drive.add("victim", **victim(0))
        drive.add(sent, **other(sent))
        sent += 1
        for _ in range(STEPS):
            for name in drive.step().ended:
                if name not in ("before", "victim"):
                    drive.add(sent, **other(sent))
                    sent += 1
        came = list(drive.arrived)
        later = [name for name in drive.ended() if came.index(name) > came.index("victim")]
        if drive.first_scheduled("victim") is not None:
            raise NotShown(f"the victim is scheduled in step {drive.first_scheduled('victim')}")
        period = drive.period({"victim"}, LOOKED_AT)
        if len(later) < PASSED or period is None:
            raise NotShown(f"{len(later)} later requests ended, plans repeat after {period} steps")
        figures = {
            "steps": len(drive.rows),
            "passed_by": len(later),
            "victim_tokens": 0,
            "period": period,
        }
        return (
            f"in {len(drive.rows)} steps the victim computes nothing while {len(later)} requests "
            f"that arrived after it end; the plans repeat every {period} steps",
            figures,
        )

    return script


def asks(prompt: int, output: int, **more: Any) -> Made:
    """The same for all."""
    return lambda _: {"prompt": prompt, "output": output, **more}


MORE_IMPORTANT = "more important requests that arrive later go before it without end"
REFUTATIONS = (
    Refutation(
        "priority",
        "P7",
        MORE_IMPORTANT,
        settings("priority"),
        starve(asks(8, 4, priority=0), asks(8, 4, priority=1)),
    ),
    Refutation(
        "hybrid",
        "P7",
        MORE_IMPORTANT,
        settings("hybrid"),
        starve(asks(8, 4, priority=0), asks(8, 4, priority=1)),
    ),
    Refutation(
        "sjf",
        "P7",
        "shorter requests that arrive later go before it without end",
        settings("sjf"),
        starve(asks(8, 40), asks(8, 4)),
    ),
    Refutation(
        "lpl",
        "P7",
        "requests with a shorter prompt that arrive later go before it without end",
        settings("lpl"),
        starve(asks(40, 4), asks(8, 4)),
    ),
    Refutation(
        "edf",
        "P7",
        "it has no deadline, and later requests that have one go before it without end (A3)",
        settings("edf"),
        starve(asks(8, 4), lambda k: {"prompt": 8, "output": 4, "deadline": 10.0 * k}),
    ),
    Refutation(
        "vtc",
        "P7",
        "its tenant was served before, and new tenants that arrive later go before it without end "
        "(A4)",
        settings("vtc"),
        starve(
            asks(8, 4, tenant="victim"),
            lambda k: {"prompt": 8, "output": 4, "tenant": k},
            asks(60, 4, tenant="victim"),
        ),
    ),
)
