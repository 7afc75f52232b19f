"""The parts that the lesson names: queues, the budget of a step, what a step tells, and their order.

Guarantees: our figures come from the classes and from runs. It knows nothing about output.
"""

from __future__ import annotations

from collections.abc import Sequence

from lineclear.config import PRESETS, Config
from lineclear.lessons.lesson import Claim, Lesson
from lineclear.lessons.loops import pool
from lineclear.lessons.run import Run
from lineclear.plan import Plan
from lineclear.refutations import Drive
from lineclear_spec.ledger import Ledger, Limits
from lineclear_spec.lifecycle import EVENTS, Phase

__all__ = ["ORDER", "PARTS"]

FIELDS = (
    "scheduled_seq_groups",
    "num_batched_tokens",
    "num_prefill_groups",
    "blocks_to_swap_in",
    "blocks_to_swap_out",
    "blocks_to_copy",
)


def parts_claims(_: Sequence[Run]) -> list[Claim]:
    """Queues, transitions, outputs and budgets."""
    ledger = Ledger(Limits(block_size=16, gpu_blocks=4))
    queues = [name for name in ("waiting", "running", "swapped") if hasattr(ledger, name)]
    back = [
        event for event, (sources, target) in EVENTS.items()
        if Phase.RUNNING in sources and target == Phase.WAITING
    ]  # fmt: skip
    early = [
        event for event, (sources, target) in EVENTS.items()
        if Phase.WAITING in sources and target == Phase.FINISHED
    ]  # fmt: skip
    drive = Drive(pool(64, max_num_seqs=2, max_num_batched_tokens=64))
    for k in range(3):
        drive.add(k, 40, 4)
    rows = drive.steps(3)
    found = [
        Claim("queues", 3, len(queues)),
        Claim("an edge from RUNNING back to WAITING", "not drawn", ", ".join(back), "",
              "the recompute code takes it; lineclear diagram lifecycle draws it"),
        Claim("an edge from WAITING to FINISHED", "not drawn", ", ".join(early), "",
              "a request may be aborted, or can never fit"),
        Claim("most tokens of a step with a budget of 64", 64,
              max(sum(row.tokens.values()) for row in rows)),
        Claim("most sequences of a step with a budget of 2", 2, max(len(row.tokens) for row in rows)),
    ]  # fmt: skip
    slots = {name for kind in Plan.__mro__ for name in dir(kind)}
    found += [
        Claim(f"a plan tells {name}", "yes", "yes" if name in slots else "no") for name in FIELDS
    ]
    return found


PARTS = Lesson(
    "parts",
    "three queues, a budget, and what a step tells",
    "",
    (),
    (),
    parts_claims,
)


def order_claims(_: Sequence[Run]) -> list[Claim]:
    """Swap-in before growth: a request must not come in and go out in one step."""
    config: Config = PRESETS["lesson"]
    both = steps = 0
    for seed in range(4):
        drive = Drive(
            pool(
                12, scheduling_policy="priority", victim="lowest_priority", swapped_first=True,
                preemption_mode="swap", num_cpu_blocks=24, max_num_seqs=8,
            )
        )  # fmt: skip
        for k in range(12):
            drive.add(k, 20 + (7 * k + seed) % 40, 20, priority=k % 3)
        for _turn in range(400):
            row = drive.step()
            gone = {name for name, _mode in row.preempted}
            both += row.swapped_in > 0 and bool(gone & set(row.tokens))
            steps += 1
            if not drive.scheduler.entries:
                break
    return [
        Claim("swapped requests before waiting ones", "yes",
              "yes" if config.swapped_first else "no", "",
              "as in the lesson; off by default, where one order holds for all"),
        Claim("steps in which a request is swapped in and gives way again", "may happen", both,
              "P6",
              f"in {steps} steps with 12 blocks; what running requests need is set aside first"),
        Claim("`_need_to_preempt` is", "called and nowhere defined", "progress.grows", "",
              "blocks that are wanted against blocks that are free; asked, and proved"),
    ]  # fmt: skip


ORDER = Lesson(
    "order",
    "swap in, then run, then admit",
    "twelve requests in 12 blocks, with the lesson's order and victim",
    (),
    (),
    order_claims,
)
