"""Preemption: swap against recompute by the lesson's rules, and its choices of victims.

Guarantees: the mode and the victim come from runs.
"""

from __future__ import annotations

from collections.abc import Sequence

from lineclear.config import Config
from lineclear.lessons.figures import StateFigures
from lineclear.lessons.lesson import Claim, Lesson
from lineclear.lessons.run import LessonStep, SceneRun
from lineclear.lessons.scene import Scene, SceneRequest


def preempting_step(run: SceneRun) -> LessonStep:
    """The first step that preempted a request."""
    return next(row for row in run.rows if row.preempted)


# ---- swap or recompute -------------------------------------------------------------------------

LONG = (SceneRequest("L", 560, 4), SceneRequest("U", 96, 2, priority=1, step=3))
SMALL = (SceneRequest("S", 200, 4), SceneRequest("U", 48, 2, priority=1, step=3))
RETURNS = (
    SceneRequest("A", 47, 4, priority=5),
    SceneRequest("B", 14, 4, priority=3),
    SceneRequest("D", 16, 1, priority=9, step=2),
)
SWAP_COST = Config().swap_token_cost
URGENT = {"scheduling_policy": "priority"}
BY_LENGTH = {**URGENT, "preemption_mode": "by_length"}


def mode_claims(runs: Sequence[SceneRun]) -> list[Claim]:
    """By which mode each is preempted, and what is kept."""
    long, small, poor, alone, cheap, returns = runs
    rows = {run.title: preempting_step(run) for run in runs}

    def mode(run: SceneRun) -> str:
        return next(iter(rows[run.title].preempted.values()))

    kept = next(row for row in small.rows if row.step > rows[small.title].step and row.blocks("S"))
    (waiting,) = [row for row in returns.rows if row.step == 3]
    both = [
        r for r in returns.rows if r.outputs.blocks_to_swap_in and r.outputs.blocks_to_swap_out
    ]
    return [
        Claim("a long request, memory on the CPU", "swap", mode(long), "",
              "562 tokens, the threshold is 512"),
        Claim("a short one", "recompute", mode(small), "", "202 tokens"),
        Claim("a long one, no memory on the CPU", "recompute", mode(poor)),
        Claim("a long one of one sequence, by V0's rule", "swap", mode(alone), "",
              "V0 never looks at the length: it swaps groups of several sequences"),
        Claim("the short one, by cost", "recompute", mode(cheap), "",
              f"auto swaps it: 208 slots at {SWAP_COST} cost less than 201 tokens computed again; "
              "the lesson's threshold is a guess at where the costs cross"),
        Claim("pairs of blocks to swap out", "TypeError",
              rows[long.title].outputs.blocks_to_swap_out, "",
              "a list cannot be the key of a dict; 562 tokens are in 36 blocks"),
        Claim("CPU blocks taken where there are none", 36, rows[poor.title].cpu_used,
              "conservation", "the lesson takes them unasked; guard of swap_out: the CPU has a "
              "free block for every private block"),
        Claim("tokens known of S when it is back", 200, kept.tokens("S"), "F7",
              "reset to the initial state would lose two that were generated"),
        Claim("who takes the one free block in step 3, with B swapped out", "B",
              "A" if waiting.blocks("A") == 4 and not waiting.blocks("B") else "B", "F5",
              "the lesson swaps in before it looks at what runs: A would then lack its block"),
        Claim("steps that swap in and out", 1, len(both), "P6b",
              "what it swapped in it would have to preempt for A in the same step"),
    ]  # fmt: skip


SWAP_OR_RECOMPUTE = Lesson(
    "swap-or-recompute",
    "when to swap and when to recompute",
    "the threshold of 512 tokens is ours, the lesson has none",
    (StateFigures("36 blocks swapped to a CPU pool of 0", 40, 40, {}, 0, -36, {"L": (562, 36)}),),
    (
        Scene("long, with a CPU pool",
              {"num_gpu_blocks": 40, "num_cpu_blocks": 40, **BY_LENGTH}, LONG),
        Scene("short, with a CPU pool",
              {"num_gpu_blocks": 15, "num_cpu_blocks": 40, **BY_LENGTH}, SMALL),
        Scene("long, without a CPU pool", {"num_gpu_blocks": 40, **BY_LENGTH}, LONG),
        Scene("long, by V0's rule", {"num_gpu_blocks": 40, "num_cpu_blocks": 40, **URGENT,
              "preemption_mode": "groups"}, LONG),
        Scene("short, by cost", {"num_gpu_blocks": 15, "num_cpu_blocks": 40, **URGENT,
              "preemption_mode": "auto"}, SMALL),
        Scene("the preset lesson: a request swapped out, and one that grows",
              {"preset": "lesson", "num_gpu_blocks": 4, "num_cpu_blocks": 4,
               "swap_threshold": 0, "preemption_mode": "by_length"}, RETURNS),
    ),
    mode_claims,
)  # fmt: skip

# ---- the victim --------------------------------------------------------------------------------

THREE = (
    SceneRequest("A", 500, 12, priority=5),
    SceneRequest("B", 300, 12, priority=3, step=2),
    SceneRequest("C", 200, 12, priority=7, step=3),
    SceneRequest("D", 160, 2, priority=10, step=4),
)
EQUAL = (SceneRequest("A", 15, 8), SceneRequest("B", 15, 8), SceneRequest("C", 15, 8))
GROUP = (
    SceneRequest("G", 100, 8, n=2),
    SceneRequest("F", 150, 8),
    SceneRequest("D", 64, 2, priority=10, step=3),
)


def victims(run: SceneRun) -> str:
    """Whom the first preemption takes."""
    return ", ".join(sorted(preempting_step(run).preempted))


def victim_claims(runs: Sequence[SceneRun]) -> list[Claim]:
    """Whom each rule takes."""
    lowest, longest, newest, equal, group = runs
    return [
        Claim("lowest priority", "B", victims(lowest)),
        Claim("longest", "A", victims(longest)),
        Claim("newest", "C", victims(newest)),
        Claim("lowest priority, all priorities 0", "A", victims(equal), "F3",
              "the first minimum is the oldest, the request that must not starve; here the last "
              "in the order is preempted"),
        Claim("longest, of G with 2 sequences of 102 tokens and F with 152", "F",
              victims(group), "", "the lesson looks at the first sequence only"),
    ]  # fmt: skip


VICTIM_RULES = Lesson(
    "victims",
    "whom to preempt",
    "66 blocks; A, B and C arrive one after the other, and D needs 10 blocks while 2 are free",
    (),
    (
        *(
            Scene(f"victim rule: {rule}", {"num_gpu_blocks": 66, **URGENT, "victim": rule}, THREE)
            for rule in ("lowest_priority", "longest", "newest")
        ),
        Scene("equal priorities", {"num_gpu_blocks": 4, "victim": "lowest_priority"}, EQUAL),
        Scene("several sequences", {"num_gpu_blocks": 20, **URGENT, "victim": "longest"}, GROUP),
    ),
    victim_claims,
)
