"""P3, P8 and P10 fail: the order of admission, and the choice of victims.

Guarantees: the order is read from the plans.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from lineclear.evidence.refutations.drive import Drive, NotShown, Refutation, Script
from lineclear.evidence.refutations.starving import settings
from lineclear.policies import BUILT_IN


def overtake(early: dict[str, Any], late: dict[str, Any]) -> Script:
    """While one request runs two more arrive; the one that arrived later is scheduled first."""

    def script(drive: Drive) -> tuple[str, dict[str, Any]]:
        first: dict[str, Any] = {"tenant": early["tenant"]} if "tenant" in early else {}
        drive.add("runs", 8, 6, deadline=0.5, **first)
        drive.step()
        drive.add("early", **early)
        drive.step()
        drive.add("late", **late)
        drive.steps(24 + early["output"] + late["output"])
        after, before = drive.first_scheduled("early"), drive.first_scheduled("late")
        if before is None or after is None or before >= after:
            raise NotShown(f"early is scheduled in step {after}, late in step {before}")
        figures = {"late": before, "early": after}
        return (
            f"early arrives before step 1 and late before step 2; late is scheduled first in step "
            f"{before}, early in step {after}",
            figures,
        )

    return script


def any_fit(drive: Drive) -> tuple[str, dict[str, Any]]:
    """The head needs two seats and one is free: the next one, which would fit, waits as well."""
    drive.add("runs", 8, 12)
    drive.step()
    drive.add("wide", 8, 4, n=2)
    drive.add("narrow", 8, 4)
    row = drive.step()
    if "narrow" in row.tokens or "wide" in row.tokens:
        raise NotShown("another request than the running one is scheduled")
    left = drive.config.max_num_batched_tokens - sum(row.tokens.values())
    if row.seats < 1 or row.free < 2 or left < 8:
        raise NotShown(f"{row.seats} seats, {row.free} blocks and {left} tokens are left")
    return (
        f"one request runs, the head needs 2 seats, and {row.seats} seat, {row.free} blocks and "
        f"{left} tokens are left: the request behind it needs 1 seat, 2 blocks and 8 tokens, and "
        "waits",
        {"seats": row.seats, "blocks": row.free, "tokens": left},
    )


def turns(drive: Drive) -> tuple[str, dict[str, Any]]:
    """Two requests preempt each other in turn."""
    drive.add("a", 4, 60)
    drive.add("b", 4, 60)
    drive.steps(90)
    preempted = [str(name) for row in drive.rows for name, _ in row.preempted]
    if preempted[:3] not in (["a", "b", "a"], ["b", "a", "b"]):
        raise NotShown(f"they are preempted in the order {' '.join(preempted) or '(none)'}")
    return (
        f"with one seat, {' then '.join(preempted[:4])} are preempted for each other",
        {"preempted": preempted},
    )


PLAIN = {"prompt": 8, "output": 4}
EARLY_LATE: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    **dict.fromkeys(
        ("priority", "aging", "hybrid", "ceiling"),
        ({**PLAIN, "priority": 0}, {**PLAIN, "priority": 1}),
    ),
    "sjf": ({"prompt": 8, "output": 40}, PLAIN),
    "sjf_aging": ({"prompt": 8, "output": 60}, PLAIN),
    "lpl": ({"prompt": 40, "output": 4}, PLAIN),
    "lpl_aging": ({"prompt": 120, "output": 4}, PLAIN),
    "mlfq": ({"prompt": 100, "output": 4}, PLAIN),
    "edf": ({**PLAIN, "deadline": 900.0}, {**PLAIN, "deadline": 9.0}),
    **dict.fromkeys(("vtc", "drr"), ({**PLAIN, "tenant": "a"}, {**PLAIN, "tenant": "b"})),
}
AGED = settings("lpl", seconds_per_token=0.05)
ROWS = {**{policy: settings(policy) for policy in BUILT_IN}, "lpl_aging": AGED}


REFUTATIONS = (
    *[
        Refutation(
            policy,
            "P3",
            "a request that would fit waits behind a head that does not",
            replace(config, max_num_seqs=2),
            any_fit,
        )
        for policy, config in ROWS.items()
    ],
    *[
        Refutation(
            policy,
            "P8",
            "a request that arrives later is admitted first",
            {**ROWS, "drr": settings("drr", quantum=4.0)}[policy],
            overtake(*EARLY_LATE[policy]),
        )
        for policy in EARLY_LATE
    ],
    Refutation(
        "mlfq",
        "P10",
        "two requests preempt each other in turn",
        settings("mlfq", quantum=4, levels=3, promote_after=6),
        turns,
    ),
)
