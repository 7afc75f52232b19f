"""Who gets how much: the lesson's third policy and its second exercise, run.

Guarantees: what the lesson's code computes is computed here from the same sizes, what this
scheduler does comes from a run.
"""

from __future__ import annotations

from collections.abc import Sequence

from lineclear.lessons.figures import StateFigures
from lineclear.lessons.lesson import Claim, Lesson
from lineclear.lessons.run import SceneRun
from lineclear.lessons.scene import Scene, SceneRequest
from lineclear.lessons.scenes import BLOCK_SIZE, blocks
from lineclear.policies import make

# ---- fair --------------------------------------------------------------------------------------

BUDGET = 100
TWO = (SceneRequest("A", 10, 2), SceneRequest("B", 200, 2))
MANY = tuple(SceneRequest(f"r{k}", 10, 1) for k in range(120))
WIDE = (SceneRequest("A", 200, 4), SceneRequest("B", 200, 4))
FAIR_SETTINGS = {
    "scheduling_policy": "fair",
    "max_num_batched_tokens": BUDGET,
    "max_num_seqs": BUDGET,
}


def lesson_shares(prompts: Sequence[int]) -> list[int]:
    """What the lesson's rule gives each: the budget divided once, nothing handed on."""
    return [min(tokens, BUDGET // len(prompts)) for tokens in prompts]


def fair_claims(runs: Sequence[SceneRun]) -> list[Claim]:
    """Tokens of a step, admissions, and blocks."""
    two, many, wide = runs
    start, crowd = two.rows[0].outputs, many.rows[0].outputs
    theirs = lesson_shares([entry.prompt for entry in TWO])
    none = lesson_shares([entry.prompt for entry in MANY])
    again = sum("A is admitted" in row.events for row in two.rows)
    together = sum(wide.rows[0].blocks(name) > 0 for name in "AB")
    need = sum(blocks(entry.prompt) for entry in WIDE)
    return [
        Claim("tokens used of a budget of 100, prompts of 10 and 200", sum(theirs),
              start.num_batched_tokens, "",
              "what A leaves of its share goes to B: "
              f"{start.scheduled['A']} + {start.scheduled['B']}, not {theirs[0]} + {theirs[1]}"),
        Claim("tokens of the first step, 120 prompts of 10", sum(none),
              crowd.num_batched_tokens, "P1", "100 // 120 is 0; a share is at least 1 here"),
        Claim("requests scheduled in it with 0 tokens", sum(not tokens for tokens in none),
              sum(not tokens for tokens in crowd.scheduled.values()), "F8",
              f"{len(crowd.scheduled)} are scheduled here, each with a token or more"),
        Claim("requests of 13 blocks that pass with 14 free", 2, together, "conservation",
              f"each is asked alone; both need {need}"),
        Claim("times that A is admitted in two steps", 2, again, "queue",
              "the lesson never takes a request off its waiting list; guard of admit: the "
              "request waits"),
    ]  # fmt: skip


FAIR = Lesson(
    "fair",
    "an equal share of each step's tokens",
    "",
    (StateFigures("both pass the check", 14, 14 - 26, {"A": (200, 13), "B": (200, 13)}),),
    (
        Scene("a short and a long prompt", {"num_gpu_blocks": 20, **FAIR_SETTINGS}, TWO),
        Scene("120 prompts", {"num_gpu_blocks": 200, **FAIR_SETTINGS}, MANY),
        Scene("14 blocks, two prompts of 13",
              {"num_gpu_blocks": 14, "scheduling_policy": "fair"}, WIDE),
    ),
    fair_claims,
)  # fmt: skip

# ---- weighted fair queueing --------------------------------------------------------------------

TENANTS = tuple(SceneRequest(f"{t}{k}", 16, 1, tenant=t) for t in "ab" for k in range(12))
GROWING = (SceneRequest("A", 14, 22, priority=1), SceneRequest("W", 48, 1, priority=1))
TURNS = 12


def refused(weights: dict[str, float]) -> str:
    """Whether such weights are refused."""
    try:
        make("vtc", {"weights": weights})
    except ValueError:
        return "refused"
    return "accepted"


def weighted_claims(runs: Sequence[SceneRun]) -> list[Claim]:
    """Turns by weight, growth while a request waits, and invalid weights."""
    turns, growing = runs
    order = sorted(turns.names, key=turns.admitted)[:TURNS]
    (row,) = [row for row in growing.rows if row.tokens("A") == 35]
    grown = StateFigures("", 1, 0, {"A": (36, 1)}).broken(BLOCK_SIZE)
    return [
        Claim("turns of 12 that b gets, of weight 2 beside a's 1", 0,
              sum(name.startswith("b") for name in order), "P12",
              "the lesson computes a share and prints it; its order is that of arrival, and a's "
              f"requests came first. Here: {' '.join(name[0] for name in order)}"),
        Claim("blocks of A before its 36th token, while W waits", 1, row.blocks("A"),
              grown[0].invariant, f"what runs is not grown while anything waits: "
              f"{grown[0].arithmetic}"),
        Claim("phase of a request that runs", "waiting", row.states["A"].phase.name.lower(),
              "queue", "the lesson's exercise never sets the state"),
        Claim("a weight of 0", "accepted", refused({"a": 0.0}), "P12",
              "served like any other there; no charge can be divided by it"),
        Claim("weights 1 and -1", "accepted", refused({"a": 1.0, "b": -1.0}), "P12",
              "their sum is 0, and the lesson silently goes by arrival"),
    ]  # fmt: skip


WEIGHTED = {
    "num_gpu_blocks": 10,
    "max_num_seqs": 1,
    "scheduling_policy": "vtc",
    "policy_options": {"weights": {"a": 1.0, "b": 2.0}},
}
WEIGHTED_FAIR = Lesson(
    "weighted-fair",
    "exercise: weighted fair queueing",
    "weights belong to tenants, not to requests; the prompts are 16 tokens, one is generated",
    (StateFigures("36 tokens on a block", 1, 0, {"A": (36, 1)}),),
    (
        Scene("one seat, 12 requests of each tenant", WEIGHTED, TENANTS),
        Scene("A grows while W waits", {"num_gpu_blocks": 3, "scheduling_policy": "vtc"}, GROWING),
    ),
    weighted_claims,
)
