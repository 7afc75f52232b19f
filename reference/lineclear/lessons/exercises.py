"""The lesson's two exercises: shortest job first, and weighted fair queuing.

Guarantees: our figures come from runs in which every invariant is checked twice in each step. It knows
nothing about output.
"""

from __future__ import annotations

from collections.abc import Sequence

from lineclear.config import Config
from lineclear.lessons.figures import Figures
from lineclear.lessons.lesson import Claim, Lesson
from lineclear.lessons.loops import pool
from lineclear.lessons.run import Run
from lineclear.refutations import Drive

__all__ = ["SJF", "WEIGHTED_FAIR"]


def shortest(policy: str, steps: int = 60) -> tuple[int, int | None]:
    """A long job and a new short one every two steps: short jobs that ended, and when the long did."""
    drive = Drive(pool(64, scheduling_policy=policy, max_num_seqs=1))
    drive.add("first", 16, 2)
    drive.add("long", 16, 30)
    sent = 0
    for k in range(steps):
        if k % 2 == 0:
            drive.add(sent, 16, 2)
            sent += 1
        drive.step()
    ended = drive.ended()
    return sum(name not in ("first", "long") for name in ended), ended.get("long")


def sjf_claims(_: Sequence[Run]) -> list[Claim]:
    """The mean against the tail, and what is known of a length."""
    plain, aged, fcfs = (shortest(policy) for policy in ("sjf", "sjf_aging", "fcfs"))

    def ended(found: tuple[int, int | None]) -> str:
        return "no" if found[1] is None else f"in step {found[1] + 1}"

    return [
        Claim("the long job ends within 60 steps of short ones", "yes", ended(plain), "P7",
              f"{plain[0]} short ones ended; nothing bounds how many later ones pass it"),
        Claim("the same with aging (sjf_aging)", "not there", ended(aged), "",
              "0.05 seconds for each token of its length; an arrival is a step here"),
        Claim("the same first come, first served", "not said", ended(fcfs)),
        Claim("the length of a job", "max_tokens", "predicted_tokens, or max_tokens as a cap", "",
              "`max_tokens` is what it may generate at most, and no scheduler knows what it will"),
        Claim("the prompt counts", "no", "no", "",
              "longest prefill last (`lpl`) goes by the prompt"),
    ]  # fmt: skip


SJF = Lesson(
    "sjf",
    "exercise: shortest job first",
    "one sequence runs at a time; a job of 2 tokens arrives every other step, one of 30 is there first",
    (),
    (),
    sjf_claims,
)


def refusal(weights: dict[str, float]) -> str:
    """What the policy says to weights."""
    from lineclear.policies import make

    try:
        make("vtc", {"weights": weights})
    except ValueError as error:
        return str(error)
    return "accepted"


def weighted() -> tuple[float, int]:
    """Two tenants, of weight 3 and 1, that always wait: the share of the first, and steps."""
    config = Config(
        num_gpu_blocks=256, num_cpu_blocks=0, max_num_seqs=4, max_model_len=256,
        preemption_mode="recompute", scheduling_policy="vtc",
        policy_options=(("weights", {"A": 3.0, "B": 1.0}),),
    )  # fmt: skip
    drive = Drive(config)
    for tenant in "AB":
        for k in range(60):
            drive.add((tenant, k), 16, 8, tenant=tenant)
    served = {"A": 0, "B": 0}
    while True:
        row = drive.step()
        begun = [name for name, tokens in row.tokens.items() if tokens > 1]
        for name in row.tokens:
            tenant = str(name)[2]
            served[tenant] += 2 + 16 * (name in begun)
        if any(drive.first_scheduled((tenant, 50)) is not None for tenant in "AB"):
            return served["A"] / sum(served.values()), len(drive.rows)


def growing() -> int:
    """Blocks of a request of 36 tokens while another waits."""
    drive = Drive(pool(4, scheduling_policy="vtc"))
    drive.add("runs", 16, 22)
    drive.step()
    drive.add("waits", 48, 2)
    while True:
        drive.step()
        entry = drive.scheduler.entries["runs"]
        if entry.tokens(drive.scheduler.ledger) >= 36:
            return entry.record.blocks


def weighted_claims(_: Sequence[Run]) -> list[Claim]:
    """Shares by weight, weights that mean nothing, and growth while others wait."""
    share, steps = weighted()
    held = growing()
    return [
        Claim("share of weight 3 beside weight 1, by the order of service", "arrival",
              f"{share:.0%} in {steps} steps, both waiting all the time", "P12",
              "the share is computed and printed, and never used"),
        Claim("blocks of 36 tokens while another waits", 1, held, "capacity",
              "running requests are not grown as long as somebody waits"),
        Claim("a weight of 0", "served like any other", refusal({"A": 0.0}), "",
              "it would never be served, so it is refused"),
        Claim("weights of -1 and 1", "fall back to first come, first served",
              refusal({"A": -1.0, "B": 1.0})),
        Claim("the state of a request that runs", "waiting", "RUNNING", "queue",
              "the exercise never sets it; here the phase is the queue it is in"),
    ]  # fmt: skip


WEIGHTED_FAIR = Lesson(
    "weighted-fair",
    "exercise: weighted fair queuing",
    "the virtual token counter with weights takes its place: service is charged, and who was charged "
    "least for its weight goes next",
    (Figures("36 tokens while another waits", 4, 3, {"A": (36, 1)}),),
    (),
    weighted_claims,
)
