"""The order of a step that the lesson teaches: swap in, then serve what runs, then admit.

Guarantees: what the lesson's order leads to comes from runs with its preset.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from lineclear.config import PRESETS
from lineclear.evidence.refutations import Drive
from lineclear.lessons.lesson import Claim, Lesson
from lineclear.lessons.run import SceneRun

CONFIG = replace(
    PRESETS["lesson"],
    num_gpu_blocks=12,
    num_cpu_blocks=24,
    max_num_seqs=8,
    preemption_mode="swap",
)


def driven() -> tuple[int, int, int]:
    """Steps that swapped in and preempted a request they compute; swaps in; steps."""
    both = swaps = steps = 0
    for seed in range(4):
        drive = Drive(CONFIG)
        for k in range(12):
            drive.add(k, 20 + (7 * k + seed) % 40, 20, priority=k % 3)
        while drive.scheduler.entries and steps < 2000:
            row = drive.step()
            gone = {name for name, _mode in row.preempted}
            swaps += row.swapped_in > 0
            both += row.swapped_in > 0 and bool(gone & set(row.tokens))
            steps += 1
    return both, swaps, steps


def order_claims(_: Sequence[SceneRun]) -> list[Claim]:
    """Swap-in before growth: a request must not come in and go out in one step."""
    both, swaps, steps = driven()
    return [
        Claim("swapped requests go before waiting ones", "yes",
              "yes" if CONFIG.swapped_first else "no", "",
              "the preset lesson; off by default, where one order holds for all"),
        Claim("steps in which a request is swapped in and preempted again", "possible", both,
              "P6b", f"{swaps} steps of {steps} swap in; what running requests need is set aside "
              "first"),
    ]  # fmt: skip


ORDER = Lesson(
    "order",
    "the order of a step: swap in, then run, then admit",
    "four times twelve requests in 12 blocks, with the lesson's order and victim",
    (),
    (),
    order_claims,
)
