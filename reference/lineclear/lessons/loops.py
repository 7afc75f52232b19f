"""The lesson's three policies: its loops' own cases, and what becomes of them here.

Guarantees: our figures come from runs in which every invariant is checked twice in each step; the
lesson's are what its printed code does, by hand or as it was run. It knows nothing about output.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lineclear.config import Config
from lineclear.lessons.figures import Figures
from lineclear.lessons.lesson import Claim, Lesson
from lineclear.lessons.run import Run
from lineclear.lessons.scene import Entry, Scene
from lineclear.refutations import Drive

__all__ = ["FAIR", "FCFS", "PRIORITY"]


def pool(blocks: int, **settings: Any) -> Config:
    """The lesson's pool, without a watermark and without a CPU pool."""
    plain: dict[str, Any] = {
        "num_cpu_blocks": 0, "watermark": 0.0, "preemption_mode": "recompute",
        "max_num_seqs": 64, "max_model_len": 4096, **settings,
    }  # fmt: skip
    return Config(num_gpu_blocks=blocks, **plain)


# ---- first come, first served ------------------------------------------------------------------


def fcfs_claims(runs: Sequence[Run]) -> list[Claim]:
    """A head that can never run, and who goes first after a recompute."""
    large, contended = runs
    order = [name for row in contended.rows for name in row.preempted]
    back = next(
        (row for row in contended.rows if order and row.step > 1 and row.blocks(order[0])), None
    )
    later = [row.step for row in contended.rows if row.waits("D") and row.waits(order[0])]
    return [
        Claim("requests finished behind a head that needs more than the pool", 0,
              len(large.finished), "P7",
              f"the lesson's loop tries it for ever; here it is {large.rejected.get('A', '')}"),
        Claim("no starvation", "yes", "yes" if not contended.violations else "no"),
        Claim("whoever was preempted goes", "behind later arrivals",
              "before later arrivals" if back is not None and later else "not preempted", "P8",
              "it keeps its place: the lesson appends it, so that later ones overtake it"),
        Claim("a large head blocks a small one", "yes", "yes", "",
              "lineclear simulate --lesson q3 shows it"),
    ]  # fmt: skip


FCFS = Lesson(
    "fcfs",
    "the loop of first come, first served",
    "A, of 70 tokens, is put into a pool of 4 blocks; and four requests of 40 + 24 tokens into 10",
    (),
    (
        Scene("a head larger than the pool", {"num_gpu_blocks": 4},
              (Entry("A", 60, 10), Entry("B", 16, 4))),
        Scene("four that contend", {"num_gpu_blocks": 10},
              tuple(Entry(name, 40, 24, step=step) for name, step in zip("ABCD", (1, 1, 1, 4), strict=True))),
    ),
    fcfs_claims,
)  # fmt: skip


# ---- by priority -------------------------------------------------------------------------------


def stream(drive: Drive, urgent: bool) -> int | None:
    """In which step the urgent request, which needs 8 of 10 blocks, runs first."""
    for k in range(60):
        drive.add(f"small {k}", 46, 3, priority=0)
        if k == 3 and urgent:
            drive.add("urgent", 126, 3, priority=10)
        drive.step()
    return drive.first_scheduled("urgent")


def priority_claims(_: Sequence[Run]) -> list[Claim]:
    """The most important request behind a stream of small ones, and the default victim."""
    ours = stream(Drive(pool(10, scheduling_policy="priority")), urgent=True)
    waits = Drive(pool(9, scheduling_policy="priority", block_size=16))
    for k, name in enumerate(("oldest", "middle", "newest")):
        waits.add(name, 46, 20)
        if k == 0:
            waits.step()
    waits.steps(30)
    victims = [str(name) for row in waits.rows for name, _ in row.preempted]
    return [
        Claim("the urgent request, which needs 8 of 10 blocks, runs", "never",
              "never" if ours is None else f"in step {ours + 1}, having arrived before step 4", "P7",
              "the loop goes on to whoever fits, so that 3 blocks are taken as soon as they are free"),
        Claim("the victim among requests of one priority", "oldest",
              victims[0] if victims else "nobody", "P4'",
              "`min` by priority gives the first of equals; here who came last gives way"),
        Claim("priority starves nobody", "not said", "it may: P7 is refuted", "P7",
              "lineclear policies --show priority.P7"),
    ]  # fmt: skip


PRIORITY = Lesson(
    "priority",
    "the loop by priority",
    "a request of 46 + 3 tokens arrives in every step, and before step 4 an urgent one of 126 + 3",
    (),
    (),
    priority_claims,
)


# ---- fair --------------------------------------------------------------------------------------


def fair_claims(_: Sequence[Run]) -> list[Claim]:
    """Shares of a step: none lost, none of nothing, and no block promised twice."""
    many = Drive(
        pool(1024, scheduling_policy="fair", max_num_seqs=100, max_num_batched_tokens=100)
    )
    for k in range(120):
        many.add(k, 10, 2)
    first = many.step()
    two = Drive(pool(1024, scheduling_policy="fair", max_num_batched_tokens=100))
    two.add("short", 10, 2)
    two.add("long", 200, 2)
    shares = two.step()
    tight = Drive(pool(14, scheduling_policy="fair", max_num_batched_tokens=1024))
    for name in ("A", "B"):
        tight.add(name, 200, 2)
    held = tight.step()
    twice = Drive(pool(64, scheduling_policy="fair"))
    twice.add("A", 32, 4)
    twice.steps(2)
    return [
        Claim("tokens of the first step, 120 waiting, budget 100", 0, sum(first.tokens.values()),
              "P1", "100 // 120 is 0; a share is at least 1 token here"),
        Claim("tokens of the first step for prompts of 10 and 200, budget 100", 60,
              sum(shares.tokens.values()), "P2",
              "what one does not use goes to the other: 10 and 90"),
        Claim("of two requests of 13 blocks, scheduled with 14 free", 2, len(held.tokens),
              "conservation", "both pass `can_allocate`, and 26 blocks do not exist"),
        Claim("a request that was scheduled is scheduled as new again in the next step", "yes",
              "yes" if twice.rows[1].tokens.get("A", 0) > 1 else "no", "queue",
              "the loop never takes it out of the waiting queue"),
    ]  # fmt: skip


FAIR = Lesson(
    "fair",
    "the loop of equal shares",
    "",
    (Figures("two of 13 blocks in 14", 14, 14 - 26, {"A": (200, 13), "B": (200, 13)}),),
    (),
    fair_claims,
)
