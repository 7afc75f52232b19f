"""Who goes first: the lesson's first two policies and its first exercise, run.

Guarantees: where the lesson's code does something else than this scheduler, its rule runs as a
broken preset if the table of actions admits it.
"""

from __future__ import annotations

from collections.abc import Sequence

from lineclear.config import PRESETS
from lineclear.lessons.figures import StateFigures
from lineclear.lessons.lesson import Claim, Lesson
from lineclear.lessons.run import SceneRun
from lineclear.lessons.scene import Scene, SceneRequest


def back(run: SceneRun, name: str) -> int:
    """The step in which a request that was preempted is computed again."""
    gone = next(row.step for row in run.rows if name in row.preempted)
    return next(r.step for r in run.rows if r.step > gone and r.outputs.scheduled.get(name))


# ---- first come, first served ------------------------------------------------------------------

HUGE = (SceneRequest("A", 2000, 2), SceneRequest("B", 32, 2))
TAIL = (SceneRequest("A", 32, 4), SceneRequest("B", 16, 4), SceneRequest("C", 16, 4, step=2))


def fcfs_claims(runs: Sequence[SceneRun]) -> list[Claim]:
    """A head that can never run, and who goes on first after a preemption."""
    huge, kept, tail = runs
    return [
        Claim("requests of 2 that finish behind a head of 2000 tokens, 10 blocks", 0,
              len(huge.finished), "fits", "its loop stops at the head for ever; here it is "
              f"rejected: {huge.rejected.get('A', 'it is not')}"),
        Claim("steps until that ends", 101, len(huge.rows), "",
              "the lesson's limit of 100 is tested after the count"),
        Claim("step in which C runs, which came after B was preempted", tail.admitted("C"),
              kept.admitted("C"), "P4", "the lesson appends B at the tail, as the third run does: "
              f"B goes on in step {back(tail, 'B')} then, and in step {back(kept, 'B')} by its "
              "place in the order"),
        Claim("B waits longer than C, which came later", "yes" if tail.admitted("C") <
              back(tail, "B") else "no", "yes" if kept.admitted("C") < back(kept, "B") else "no",
              "P7", "a stream of requests like C keeps B waiting as long as it lasts"),
    ]  # fmt: skip


FCFS = Lesson(
    "fcfs",
    "first come, first served: no starvation, says the lesson",
    "the pools are so small that it happens at once",
    (StateFigures("a head larger than the pool", 10, 10),),
    (
        Scene("a head larger than the pool", {"num_gpu_blocks": 10}, HUGE),
        Scene("B is preempted and C arrives", {"num_gpu_blocks": 4}, TAIL),
        Scene("the same with the lesson's rule: B goes to the tail",
              {"num_gpu_blocks": 4, "rules": "lineclear.evidence.faults:TailRequeue"}, TAIL),
    ),
    fcfs_claims,
)  # fmt: skip

# ---- priority ----------------------------------------------------------------------------------

STREAM = (
    SceneRequest("U", 128, 1, priority=1, step=4),
    *(SceneRequest(f"s{k}", 46, 3, step=k) for k in range(1, 21)),
)


def priority_claims(runs: Sequence[SceneRun]) -> list[Claim]:
    """When the most important request runs."""
    skipping, strict, ours = (run.admitted("U") for run in runs)
    return [
        Claim("step in which the urgent U runs, which arrives before step 4", skipping, ours,
              "P4", "the lesson passes over what does not fit; it is U that never does while 20 "
              f"small requests keep coming. Strictly in order it runs in step {strict}"),
        Claim("requests admitted before U although it comes first", skipping - 6,
              ours - 4, "P5", "one in each step from the fourth to the twentieth"),
    ]  # fmt: skip


PRIORITY = Lesson(
    "priority",
    "priority: an urgent request of 8 blocks, and small ones that keep coming",
    "the lesson gives no figures: pool 10, small requests hold 3 blocks for 3 steps",
    (),
    tuple(
        Scene(title, {"num_gpu_blocks": 10, **settings}, STREAM)
        for title, settings in (
            ("the lesson's loop: who does not fit is passed over",
             {"scheduling_policy": "hybrid", "rules": "lineclear.evidence.faults:AnyFit"}),
            ("strictly in order, without preemption", {"scheduling_policy": "hybrid"}),
            ("strictly in order, running requests are preempted", {"scheduling_policy": "priority"}),
        )
    ),
    priority_claims,
)  # fmt: skip

# ---- shortest job first ------------------------------------------------------------------------

SHORT = tuple(SceneRequest(f"s{k}", 16, 2, step=k) for k in range(1, 60, 2))
JOBS = (SHORT[0], SceneRequest("L", 16, 40), *SHORT[1:])
SEAT = {"num_gpu_blocks": 10, "max_num_seqs": 1}
PROMPTS = (SceneRequest("P", 160, 3), SceneRequest("Q", 16, 4))
GUESSED = (SceneRequest("X", 16, 40, predicted=2), SceneRequest("Y", 16, 10))


def before(run: SceneRun, name: str) -> int:
    """Requests that run before it does."""
    return sum(0 < run.admitted(other) < run.admitted(name) for other in run.names)


def first(run: SceneRun) -> str:
    """Who runs first."""
    return min(run.names, key=run.admitted)


def sjf_claims(runs: Sequence[SceneRun]) -> list[Claim]:
    """How long the long job waits, and what counts as short."""
    plain, aged, prompts, guessed = runs
    return [
        Claim("short jobs done while the long one waits, in 60 steps", 30, before(plain, "L"), "",
              f"plain shortest job first does that here too: L runs in step {plain.admitted('L')}"),
        Claim("the same with aging", 30, before(aged, "L"), "P7",
              f"half a step of a later arrival for a token: L runs in step {aged.admitted('L')}"),
        Claim("first of P (160 + 3 tokens) and Q (16 + 4)", "P", first(prompts), "",
              "the prompt counts for nothing in either: the key is what is still generated"),
        Claim("first of X (cap 40, 2 expected) and Y (cap 10)", "Y", first(guessed), "",
              "a cap is no length: a prediction counts here if there is one, and a wrong one, as "
              "X's, costs the others"),
    ]  # fmt: skip


SJF = Lesson(
    "sjf",
    "exercise: shortest job first",
    "one seat; a short job of 2 tokens arrives every second step, the long one generates 40",
    (),
    (
        Scene("plain", {**SEAT, "scheduling_policy": "sjf"}, JOBS),
        Scene("with aging", {**SEAT, "scheduling_policy": "sjf_aging",
              "policy_options": {"seconds_per_token": 0.5}}, JOBS),
        Scene("two prompts", {**SEAT, "num_gpu_blocks": 20, "scheduling_policy": "sjf"}, PROMPTS),
        Scene("a prediction", {**SEAT, "scheduling_policy": "sjf"}, GUESSED),
    ),
    sjf_claims,
)  # fmt: skip

# ---- question 4 --------------------------------------------------------------------------------

URGENT = tuple(
    SceneRequest(f"u{k}", 16, 2, priority=1, step=k, tenant="u") for k in range(1, 60, 2)
)
LOW = (URGENT[0], SceneRequest("L", 16, 2, tenant="l"), *URGENT[1:])
TECHNIQUES: tuple[tuple[str, str, dict[str, float]], ...] = (
    ("aging", "aging", {"seconds_per_level": 10.0}),
    ("priority ceiling", "ceiling", {"ceiling": 4}),
    ("hybrid policy", "hybrid", {}),
    ("fair share", "vtc", {}),
)


def starvation_claims(runs: Sequence[SceneRun]) -> list[Claim]:
    """Whether the low request runs before the stream of 30 ends, after 60 steps."""
    steps = [run.admitted("L") for run in runs]
    theirs, known = PRESETS["vllm_v0"].scheduling_policy, [policy for _, policy, _ in TECHNIQUES]
    claims = [
        Claim("V0 has these techniques", "yes", "yes" if theirs in known else "no", "P7",
              f"the preset vllm_v0 goes by {theirs} alone; static priority has none of them: L "
              f"runs in step {steps[0]}, after the last"),
    ]  # fmt: skip
    for (name, _, _), step in zip(TECHNIQUES, steps[1:], strict=True):
        found = "yes" if step <= 60 else "no"
        broken = "" if found == "yes" else "P7"
        claims.append(Claim(f"{name} prevents it", "yes", found, broken, f"L runs in step {step}"))
    return claims


QUESTION_4 = Lesson(
    "q4",
    "starvation under priority, and the four techniques against it",
    "one seat, 30 urgent requests of 2 steps, one every second step, and one request of "
    "priority 0",
    (),
    (
        Scene("priority", {**SEAT, "scheduling_policy": "priority"}, LOW),
        *(
            Scene(name, {**SEAT, "scheduling_policy": policy, "policy_options": options}, LOW)
            for name, policy, options in TECHNIQUES
        ),
    ),
    starvation_claims,
)
