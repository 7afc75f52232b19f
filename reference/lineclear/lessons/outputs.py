"""Queues, budget and outputs: the parts that the lesson's scheduler is made of, run.

Guarantees: fields and phases are read from the classes that run.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from lineclear.lessons.figures import StateFigures
from lineclear.lessons.lesson import Claim, Lesson
from lineclear.lessons.run import SceneRun
from lineclear.lessons.scene import Scene, SceneRequest
from lineclear.lessons.scenes import FIVE_STEP, blocks
from lineclear.plan import Plan
from lineclear.request import InvalidRequest, Request
from lineclear_spec.kernel.lifecycle import EVENTS, Phase

# ---- queues ------------------------------------------------------------------------------------

#: The arrows of the lesson's diagram.
DRAWN = {
    (Phase.NEW, Phase.WAITING),
    (Phase.WAITING, Phase.RUNNING),
    (Phase.RUNNING, Phase.SWAPPED),
    (Phase.SWAPPED, Phase.RUNNING),
    (Phase.RUNNING, Phase.FINISHED),
}
MOVES = (SceneRequest("L", 40, 6), SceneRequest("U", 32, 2, priority=1, step=3))


def edges() -> set[tuple[Phase, Phase]]:
    """Every move that the table of actions allows."""
    return {(source, goal) for sources, goal in EVENTS.values() for source in sources}


def phases(run: SceneRun, name: str) -> str:
    """Where a request is, step by step, each phase once in a row."""
    found: list[str] = []
    for row in run.rows:
        phase = row.states[name].phase.name if name in row.states else ""
        if phase and found[-1:] != [phase]:
            found.append(phase)
    return " ".join(found)


def queue_claims(runs: Sequence[SceneRun]) -> list[Claim]:
    """Three queues, and the moves between them."""
    swapped, recomputed = runs
    queues = [phase for phase in Phase if phase not in (Phase.NEW, Phase.FINISHED)]
    back = (Phase.RUNNING, Phase.WAITING)
    return [
        Claim("queues", 3, len(queues), "", ", ".join(q.name.lower() for q in queues)),
        Claim("arrows between phases", len(DRAWN), len(edges()), "",
              "without those of reject, abort, recompute and of what was swapped and is lost"),
        Claim("RUNNING to WAITING is drawn", "yes" if back in DRAWN else "no",
              "yes" if back in edges() else "no", "",
              "the lesson's recompute does it; its diagram has no such arrow"),
        Claim("arrows of the diagram that are not allowed", 0, len(DRAWN - edges())),
        Claim("a swapped request's way", "RUNNING SWAPPED RUNNING", phases(swapped, "L")),
        Claim("a recomputed request's way", "RUNNING WAITING RUNNING", phases(recomputed, "L")),
    ]  # fmt: skip


QUEUES = Lesson(
    "queues",
    "three queues and the life of a request (question 1)",
    "4 blocks: L holds 3, and U needs 2",
    (),
    (
        Scene("by swap", {"num_gpu_blocks": 4, "num_cpu_blocks": 4, "preemption_mode": "swap",
              "scheduling_policy": "priority"}, MOVES),
        Scene("by recompute", {"num_gpu_blocks": 4, "scheduling_policy": "priority"}, MOVES),
    ),
    queue_claims,
)  # fmt: skip

# ---- budget ------------------------------------------------------------------------------------

FIVE = FIVE_STEP.scenes[0]
SHARED = (SceneRequest("A", 40, 3), SceneRequest("B", 40, 3), SceneRequest("C", 40, 3))


def asked_for(tokens: int) -> str:
    """The outcome of a request with this cap."""
    try:
        Request(request_id="R", prompt_tokens=1, max_tokens=tokens)
    except InvalidRequest:
        return "refused"
    return "accepted"


def admissions(run: SceneRun) -> str:
    """When A and B run first."""
    return ", ".join(str(run.admitted(name)) for name in "AB")


def budget_claims(runs: Sequence[SceneRun]) -> list[Claim]:
    """Tokens and sequences of the first two steps."""
    shared, bare, marked, wide = runs
    first, second = (row.outputs for row in shared.rows[:2])
    return [
        Claim("tokens of the first step, at most 64", sum(entry.prompt for entry in SHARED),
              first.num_batched_tokens, "budget", "the lesson's program has no budget of tokens"),
        Claim("sequences in it, at most 2", len(SHARED), len(first.scheduled), "budget",
              "nor one of sequences"),
        Claim("tokens of the second step", 17, second.num_batched_tokens, "",
              "the rest of B's prompt, 40 - 24, and a token of A"),
        Claim("a request for 0 tokens", "1 token is generated", asked_for(0), "limit",
              "the program tests for the end after it has generated"),
        Claim("steps in which A and B of five-step run, without a watermark",
              admissions(bare), admissions(marked), "",
              "and with one of 1 block: the lesson leaves it out, and no decision changes"),
        Claim("blocks of 40 tokens, where a block has 32", blocks(40),
              wide.rows[0].blocks("R"), "capacity",
              "the program prints what a block of 16 would need, whatever its own size"),
    ]  # fmt: skip


BUDGET = Lesson(
    "budget",
    "what one step may compute: tokens and sequences",
    "the lesson names both limits and gives no figures: 64 tokens, 2 sequences",
    (),
    (
        Scene("three prompts of 40 tokens", {"num_gpu_blocks": 20, "max_num_batched_tokens": 64,
              "max_num_seqs": 2}, SHARED),
        FIVE,
        replace(FIVE, title="the same with a watermark of 1 block",
                settings={**FIVE.settings, "watermark": 0.05}),
        Scene("blocks of 32 tokens", {"num_gpu_blocks": 4, "block_size": 32},
              (SceneRequest("R", 40, 2),)),
    ),
    budget_claims,
)  # fmt: skip

# ---- outputs -----------------------------------------------------------------------------------

#: The fields of the lesson's outputs.
FIELDS = (
    "scheduled_seq_groups",
    "num_batched_tokens",
    "num_prefill_groups",
    "blocks_to_swap_in",
    "blocks_to_swap_out",
    "blocks_to_copy",
)
BEAMS = (SceneRequest("G", 20, 4, n=2),)


def output_claims(runs: Sequence[SceneRun]) -> list[Claim]:
    """The six fields, and figures of each."""
    swaps, beams = runs
    plan = dir(Plan)
    first, second = (row.outputs for row in beams.rows[:2])
    out = [row.outputs.blocks_to_swap_out for row in swaps.rows if row.preempted]
    back = [n for row in swaps.rows if (n := row.outputs.blocks_to_swap_in)]
    return [
        Claim("fields", len(FIELDS), sum(field in plan for field in FIELDS), "",
              "they are a plan's, by the same names"),
        Claim("num_batched_tokens of a prompt of 20", 20, first.num_batched_tokens),
        Claim("num_prefill_groups of it", 1, first.num_prefill_groups),
        Claim("num_prefill_groups of the step after", 0, second.num_prefill_groups),
        Claim("blocks_to_copy when two sequences write into a shared block", 1,
              second.blocks_to_copy, "", "the second keeps the block, the first has a copy"),
        Claim("blocks_to_swap_out of 42 tokens", 3, sum(out)),
        Claim("blocks_to_swap_in when they come back", 3, sum(back)),
    ]  # fmt: skip


OUTPUTS = Lesson(
    "outputs",
    "what a step hands on: the fields of SchedulerOutputs",
    "the lesson gives no figures; those called the lesson's are its definitions, by hand",
    (StateFigures("20 tokens in two blocks", 8, 6, {"G": (20, 2)}),),
    (
        Scene("a swap out and in", {"num_gpu_blocks": 4, "num_cpu_blocks": 4,
              "preemption_mode": "swap", "scheduling_policy": "priority"}, MOVES),
        Scene("two sequences of one prompt", {"num_gpu_blocks": 8}, BEAMS),
    ),
    output_claims,
)  # fmt: skip
