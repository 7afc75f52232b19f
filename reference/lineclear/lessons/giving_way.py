"""How a request gives way in the lesson, and whom it names: modes and victim rules.

Guarantees: our figures come from runs in which every invariant is checked after every step. It knows
nothing about output.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lineclear.lessons.figures import Figures
from lineclear.lessons.lesson import Claim, Lesson
from lineclear.lessons.run import Run
from lineclear.lessons.scene import Entry, Scene

__all__ = ["MODES", "VICTIMS"]

LONG, SHORT = Entry("long", 600, 12, priority=1), Entry("short", 100, 12)
URGENT = Entry("urgent", 700, 2, priority=9, step=3)


def settings(**more: Any) -> dict[str, Any]:
    """49 blocks, of which the two take 45, for a request of 44."""
    return {
        "num_gpu_blocks": 49,
        "scheduling_policy": "priority",
        "preemption_mode": "by_length",
        "swap_threshold": 512,
        **more,
    }


def gave_way(run: Run) -> dict[str, str]:
    """Who was preempted, and how."""
    return {name: mode for row in run.rows for name, mode in row.preempted.items()}


def mode_claims(runs: Sequence[Run]) -> list[Claim]:
    """Who is swapped and who is computed again, and what is kept of them."""
    room, tight = runs
    at = next(k for k, row in enumerate(room.rows) if row.preempted)
    before, after = room.rows[at - 1], room.rows[at]
    again = next(row for row in room.rows[at + 1 :] if row.blocks("short"))
    return [
        Claim("the long one", "swap", gave_way(room)["long"], "", "512 tokens or more are swapped"),
        Claim("the short one", "recompute", gave_way(room)["short"]),
        Claim("the long one without CPU memory", "recompute", gave_way(tight)["long"]),
        Claim("the swap of 38 blocks into 30", "copies to blocks that do not exist",
              gave_way(tight)["long"], "conservation",
              "CPU blocks are taken without a look at how many are free"),
        Claim("`blocks_to_swap_out` is", "a dict keyed by a list",
              "pairs of block numbers, one for each distinct block", "",
              "a list has no hash: the printed line raises TypeError"),
        Claim("tokens known of the short one after it gave way", 100, after.tokens("short"), "P6",
              f"`reset_state` drops what it generated; it knew {before.tokens('short')} and one was on "
              "its way; here no generated token is lost"),
        Claim("both come back and end", "yes",
              "yes" if {"long", "short"} <= set(room.finished) else "no", "",
              f"the short one in step {again.step}"),
        Claim("will resume soon, uncertain if it resumes", "decides the mode",
              "never asked: length, or a comparison of costs (auto)", "",
              "nobody knows it when the victim is chosen"),
    ]  # fmt: skip


MODES = Lesson(
    "modes",
    "swap or recompute",
    "the pool has 49 blocks; an urgent request of 44 arrives while one of 38 and one of 7 run",
    (Figures("38 blocks swapped into 30", 49, 49, {}, 30, 30 - 38, {"long": (602, 38)}),),
    (
        Scene("64 CPU blocks", settings(num_cpu_blocks=64), (LONG, SHORT, URGENT)),
        Scene("30 CPU blocks", settings(num_cpu_blocks=30), (LONG, SHORT, URGENT)),
    ),
    mode_claims,
)

THREE = (
    Entry("A", 60, 5, priority=5),
    Entry("B", 90, 5, priority=3),
    Entry("C", 150, 5, priority=4),
    Entry("D", 48, 4, priority=9, step=2),
)
EQUAL = (Entry("A", 60, 20), Entry("B", 90, 20), Entry("C", 150, 20))


def victim_claims(runs: Sequence[Run]) -> list[Claim]:
    """Whom each rule names."""
    named = [next(iter(gave_way(run)), "nobody") for run in runs]
    return [
        Claim("lowest priority", "B", named[0]),
        Claim("longest", "C", named[1], "",
              "by the tokens of all its sequences; the lesson's line looks at the first one only"),
        Claim("last in (newest)", "C", named[2]),
        Claim("lowest priority, all of priority 0", "A", named[3], "P4'",
              "the first of equals is the oldest; here who comes last in the order gives way"),
        Claim("a rule may name somebody who comes before", "yes", "no", "P6",
              "rules choose among those behind the one that needs the room (F3)"),
    ]  # fmt: skip


VICTIMS = Lesson(
    "victims",
    "whom to preempt: three rules, and equals",
    "A, B and C hold 4, 6 and 10 of 21 blocks when D needs 3; for equals the pool has 20 blocks, and "
    "A needs a fifth",
    (),
    (
        *[
            Scene(
                f"victim rule: {rule}",
                {"num_gpu_blocks": 21, "scheduling_policy": "priority", "victim": rule},
                THREE,
            )
            for rule in ("lowest_priority", "longest", "newest")
        ],
        Scene(
            "all of priority 0, lowest priority",
            {"num_gpu_blocks": 20, "scheduling_policy": "priority", "victim": "lowest_priority"},
            EQUAL,
        ),
    ),
    victim_claims,
)
