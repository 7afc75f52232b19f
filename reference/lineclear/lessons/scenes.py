"""The lesson's worked examples: its states, the runs that show them, and its figures beside ours.

Guarantees: each example runs on the real scheduler with every invariant checked after every step.
The lesson's own figures stand here as data; ours are computed.
"""

from __future__ import annotations

from collections.abc import Sequence

from lineclear.lessons.figures import StateFigures
from lineclear.lessons.lesson import Claim, Lesson
from lineclear.lessons.run import SceneRun
from lineclear.lessons.scene import Scene, SceneRequest

BLOCK_SIZE = 16


def blocks(tokens: int) -> int:
    """Blocks that so many tokens occupy."""
    return -(-tokens // BLOCK_SIZE)


# ---- the five-step trace -----------------------------------------------------------------------

A, B, C = (
    SceneRequest("A", 200, 60),
    SceneRequest("B", 150, 20),
    SceneRequest("C", 300, 10, step=42),
)


def five_step_claims(runs: Sequence[SceneRun]) -> list[Claim]:
    """Free blocks and boundaries while A grows from 200 to 240 tokens and beyond."""
    fcfs, priority = runs
    at_240 = next(row for row in fcfs.rows if row.tokens("A") == 240)
    boundary = next(row for row in fcfs.rows if row.blocks("A") > blocks(200))
    preempting = next(row for row in priority.rows if row.blocks("C"))
    gained = at_240.gpu_free + at_240.blocks("A")
    return [
        Claim("blocks for A's 200 tokens", 13, fcfs.rows[0].blocks("A")),
        Claim("blocks for B's 150 tokens", 10, blocks(150)),
        Claim("free blocks after A is admitted", 7, fcfs.rows[0].gpu_free),
        Claim("A's tokens when it takes its next block", 223, boundary.tokens("A"), "",
              "13 blocks are full at 208 tokens; a step adds one token"),
        Claim("free blocks after that", 6, boundary.gpu_free),
        Claim("A's blocks at 240 tokens", 14, at_240.blocks("A"), "capacity",
              f"240 tokens need {blocks(240)} blocks"),
        Claim("free blocks then", 6, at_240.gpu_free, "conservation",
              f"{20 - at_240.blocks('A')} are free if {at_240.blocks('A')} of 20 are held"),
        Claim("out of memory then", "yes", "no" if at_240.gpu_free else "yes", "",
              f"{at_240.gpu_free} blocks are free and A needs none"),
        Claim("preempting A makes room for B and C", "yes",
              "yes" if gained >= blocks(150) + blocks(300) else "no", "conservation",
              f"B and C need {blocks(150)} + {blocks(300)}; there are {gained}"),
        Claim("preempting A makes room for C alone", "yes",
              "yes" if preempting.blocks("C") and not preempting.blocks("A") else "no", "",
              f"{preempting.gpu_free} block is free then"),
    ]  # fmt: skip


FIVE_STEP = Lesson(
    "five-step",
    "one long request grows while another waits for blocks",
    "the pool has 20 blocks; of the lesson's 100, 80 have no owner. A generates 60 tokens, "
    "B 20, C 10",
    (
        StateFigures("initial state", 100, 20),
        StateFigures("step 1", 20, 7, {"A": (200, 13)}),
        StateFigures("step 2", 20, 7, {"A": (201, 13)}),
        StateFigures("step 3", 20, 6, {"A": (223, 14)}),
        StateFigures("step 4", 20, 6, {"A": (240, 14)}),
        StateFigures(
            "step 5, A preempted for B and C", 20, 20 - 29, {"B": (150, 10), "C": (300, 19)}
        ),
    ),
    (
        Scene("first come, first served", {"num_gpu_blocks": 20}, (A, B, C)),
        Scene(
            "by priority: C is more important",
            {"num_gpu_blocks": 20, "scheduling_policy": "priority"},
            (A, B, SceneRequest("C", 300, 10, priority=10, step=42)),
        ),
    ),
    five_step_claims,
)


# ---- why preemption ----------------------------------------------------------------------------

WHY_RUNNING = (SceneRequest("A", 500, 12), SceneRequest("B", 300, 12), SceneRequest("C", 200, 12))
WHY_D = SceneRequest("D", 400, 4, priority=10, step=2)


def why_claims(runs: Sequence[SceneRun]) -> list[Claim]:
    """Which single victim makes room for D."""
    start = runs[0].rows[0]
    claims = [Claim("free blocks", 3, start.gpu_free), Claim("blocks for D", 25, blocks(400))]
    for name in ("A", "B", "C"):
        gained = start.gpu_free + start.blocks(name)
        enough = gained >= blocks(400)
        claims.append(
            Claim(
                f"preempting {name} alone makes room for D",
                "yes",
                "yes" if enough else "no",
                "" if enough else "conservation",
                f"{start.gpu_free} + {start.blocks(name)} = {gained} free, {blocks(400)} needed",
            )
        )
    return claims


WHY_PREEMPTION = Lesson(
    "why-preemption",
    "a more important request arrives and 3 blocks are free",
    "the pool has 67 blocks, which the lesson leaves open; A, B and C generate 12 tokens, D 4",
    (
        StateFigures("the scenario", 67, 3, {"A": (500, 32), "B": (300, 19), "C": (200, 13)}),
        StateFigures("A preempted", 67, 10, {"B": (300, 19), "C": (200, 13), "D": (400, 25)}),
        StateFigures("B preempted", 67, -3, {"A": (500, 32), "C": (200, 13), "D": (400, 25)}),
        StateFigures("C preempted", 67, -9, {"A": (500, 32), "B": (300, 19), "D": (400, 25)}),
    ),
    tuple(
        Scene(
            f"victim rule: {rule}",
            {"num_gpu_blocks": 67, "scheduling_policy": "priority", "victim": rule},
            (*WHY_RUNNING, WHY_D),
        )
        for rule in ("longest", "last")
    ),
    why_claims,
)


# ---- the decision tree -------------------------------------------------------------------------

TREE = (
    SceneRequest("A", 1000, 6, priority=5),
    SceneRequest("B", 200, 6, priority=3),
    SceneRequest("C", 500, 6, priority=7),
    SceneRequest("D", 400, 3, priority=10, step=2),
)
TREE_CONFIG = {
    "num_gpu_blocks": 110,
    "scheduling_policy": "priority",
    "preemption_mode": "by_length",
    "victim": "lowest_priority",
}


def tree_claims(runs: Sequence[SceneRun]) -> list[Claim]:
    """Whom D preempts and how."""
    small, large = runs
    start = small.rows[0]
    arrival = next(row for row in small.rows if row.blocks("D"))
    swapping = next(row for row in large.rows if row.blocks("D"))
    held = {name: start.blocks(name) for name in "ABC"}
    victims = ", ".join(sorted(arrival.preempted)) or "none"
    swapped = swapping.cpu_used
    return [
        Claim("blocks of A, B and C", "63, 13, 32", ", ".join(str(n) for n in held.values())),
        Claim("blocks of the pool", 100, start.gpu_free + sum(held.values()), "conservation",
              f"{' + '.join(str(n) for n in held.values())} held and {start.gpu_free} free"),
        Claim("blocks still missing after B", 10, blocks(400) - start.gpu_free - held["B"]),
        Claim("victims", "A, B", victims, "",
              f"A alone makes {start.gpu_free + held['A']} blocks free, {blocks(400)} are needed"),
        Claim("CPU blocks that A's swap needs", 50, swapped, "conservation",
              f"{swapped} do not fit into 50: A is recomputed; the second run has 64"),
        Claim("free blocks after both are preempted", 78,
              start.gpu_free + held["A"] + held["B"], "conservation",
              f"with C's {held['C']} they make {78 + held['C']}, and 100 exist"),
        Claim("C keeps running", "yes", "yes" if arrival.blocks("C") else "no"),
    ]  # fmt: skip


DECISION_TREE = Lesson(
    "decision-tree",
    "whom to preempt for a more important request, and how",
    "the pool has 110 blocks, so that the lesson's 108 can be held and 2 are free; A, B and C "
    "generate 6 tokens, D 3",
    (
        StateFigures("given", 100, 2, {"A": (1000, 63), "B": (200, 13), "C": (500, 32)}),
        StateFigures("after both victims", 100, 78, {"C": (500, 32)}),
        StateFigures("A swapped", 110, 78, {"C": (500, 32)}, 50, 50 - 63, {"A": (1000, 63)}),
        StateFigures("D scheduled", 110, 53, {"C": (500, 32), "D": (400, 25)}),
    ),
    (
        Scene("50 CPU blocks", {**TREE_CONFIG, "num_cpu_blocks": 50}, TREE),
        Scene("64 CPU blocks", {**TREE_CONFIG, "num_cpu_blocks": 64}, TREE),
    ),
    tree_claims,
)


# ---- the simulator -----------------------------------------------------------------------------

DEMO = (
    SceneRequest("A", 32, 5, priority=5),
    SceneRequest("B", 128, 10, priority=3),
    SceneRequest("C", 64, 3, priority=7),
)


def simulator_claims(runs: Sequence[SceneRun]) -> list[Claim]:
    """What the lesson's program does once it is repaired, and what it never guards."""
    demo, small, tiny = runs
    peak = max(row.gpu_used for row in demo.rows)
    grown = StateFigures("", 2, 0, {"A": (52, 2)}).broken(BLOCK_SIZE)
    short = StateFigures("", 11, 0, {"A": (33, 3), "B": (129, 8)}).broken(BLOCK_SIZE)
    return [
        Claim("steps until all three have finished", 10, len(demo.rows)),
        Claim("requests finished", 3, len(demo.finished)),
        Claim("blocks of 50 in use at most", 17, peak, "",
              "nothing contends; the second run has 11 blocks"),
        Claim("preemptions with 11 blocks", 0, small.preemptions, short[0].invariant,
              f"it never preempts and goes on: {short[0].arithmetic}"),
        Claim("blocks of 20 + 32 tokens in a pool of 2", 2, blocks(52), grown[0].invariant,
              f"the program goes on without memory; here: {tiny.rejected.get('A', 'accepted')}"),
    ]  # fmt: skip


SIMULATOR = Lesson(
    "simulator",
    "the lesson's program: three requests and 50 blocks",
    "the program as printed stops with a TypeError when C finishes, in its third step: a list "
    "and a method have one name; the figures are those of the program without that error",
    (
        StateFigures("11 blocks, step 2", 11, 0, {"A": (33, 3), "B": (129, 8)}),
        StateFigures("a pool of 2 blocks, 20 + 32 tokens", 2, 0, {"A": (52, 2)}),
    ),
    (
        Scene("50 blocks, as in the lesson", {"num_gpu_blocks": 50}, DEMO),
        Scene("11 blocks, so that they contend", {"num_gpu_blocks": 11}, DEMO),
        Scene("2 blocks and one request of 20 + 32 tokens", {"num_gpu_blocks": 2},
              (SceneRequest("A", 20, 32),)),
    ),
    simulator_claims,
)  # fmt: skip


# ---- the questions -----------------------------------------------------------------------------

HOLDER = SceneRequest("H", 2386, 14)
LARGE = SceneRequest("A", 2000, 2, step=2)
SMALL = SceneRequest("B", 32, 2, step=2)


def blocking_claims(runs: Sequence[SceneRun]) -> list[Claim]:
    """Whether the small request runs behind the large one."""
    strict, passing = runs
    waits = [row for row in strict.rows if row.waits("A") and row.waits("B")]
    passed = [row for row in passing.rows if row.blocks("B") and row.waits("A")]
    return [
        Claim("blocks for A's 2000 tokens", 125, blocks(2000)),
        Claim("blocks for B's 32 tokens", 2, blocks(32)),
        Claim("free blocks while both wait", 10, waits[0].gpu_free if waits else "none wait"),
        Claim("B waits though it would fit", "yes", "yes" if waits else "no", "",
              f"for {len(waits)} steps; with --max-bypasses 1 B ran in {len(passed)} of them"),
    ]  # fmt: skip


QUESTION_3 = Lesson(
    "q3",
    "a large request at the head blocks a small one behind it",
    "H holds 150 of 160 blocks, so that 10 are free and A can ever run",
    (StateFigures("the example", 160, 10, {"H": (2386, 150)}),),
    (
        Scene("strictly in order", {"num_gpu_blocks": 160}, (HOLDER, LARGE, SMALL)),
        Scene("one request may pass", {"num_gpu_blocks": 160, "max_bypasses": 1},
              (HOLDER, LARGE, SMALL)),
    ),
    blocking_claims,
)  # fmt: skip


def size_claims(runs: Sequence[SceneRun]) -> list[Claim]:
    """Blocks, room and waste of 250 tokens."""
    first = runs[0].rows[0]
    held, tokens = first.blocks("R"), first.tokens("R")
    room = held * BLOCK_SIZE
    return [
        Claim("blocks", 16, held),
        Claim("room in tokens", 256, room),
        Claim("tokens of room that are not used", 6, room - tokens),
        Claim("share of it in per cent", 2.3, round(100 * (room - tokens) / room, 1)),
    ]


QUESTION_5 = Lesson(
    "q5",
    "blocks for 250 tokens",
    "",
    (StateFigures("the answer", 16, 0, {"R": (250, 16)}),),
    (Scene("a pool of 17 blocks", {"num_gpu_blocks": 17}, (SceneRequest("R", 250, 9),)),),
    size_claims,
)
