"""Where the lesson is wrong or says too little, one row each.

Guarantees: each row names what it breaks, by its name here, and the example that shows it; one that no
example can show says why. It knows nothing about the runs.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["ERRATA", "Erratum"]


@dataclass(frozen=True, slots=True)
class Erratum:
    """One row.

    Attributes:
        where: the part of the lesson.
        said: what it writes or does.
        right: what is so.
        breaks: the invariant, the property P1 to P13, or the guard that it breaks; "" if it is a slip.
        shown: the example that shows it, or why none does.
    """

    where: str
    said: str
    right: str
    breaks: str
    shown: str


TRACE, NEED, TREE, CODE = "five-step trace", "why preemption", "decision tree", "code"
PROGRAM, EXERCISE, QUESTION = "simulator", "exercises", "questions"
PYTHON = "(an error of the printed program, which is not run here)"

ERRATA: tuple[Erratum, ...] = (
    Erratum(
        TRACE,
        "100 blocks, 20 free, nobody runs",
        "80 belong to nobody",
        "conservation",
        "five-step",
    ),
    Erratum(
        TRACE,
        "the boundary is crossed at token 223",
        "at token 209; a step yields one token",
        "",
        "five-step",
    ),
    Erratum(
        TRACE, "240 tokens in 14 blocks, 6 free", "15 blocks, 5 free", "capacity", "five-step"
    ),
    Erratum(
        TRACE, "step 4 is out of memory", "5 blocks are free and none is needed", "", "five-step"
    ),
    Erratum(
        TRACE,
        "preempting A makes room for B and C",
        "29 are needed, 20 there are",
        "conservation",
        "five-step",
    ),
    Erratum(TRACE, "no watermark", "1 of 100 is kept; it changes nothing here", "", "five-step"),
    Erratum(TRACE, "`_need_to_preempt` decides", "it is nowhere defined", "", "order"),
    Erratum(
        NEED, "preempting one makes room for D", "only A does", "conservation", "why-preemption"
    ),
    Erratum(
        TREE,
        "63, 13 and 32 of 100 blocks, 2 free",
        "they make 110",
        "conservation",
        "decision-tree",
    ),
    Erratum(
        TREE, "A is swapped into 50 CPU blocks", "it needs 63", "conservation", "decision-tree"
    ),
    Erratum(TREE, "B is recomputed and A swapped", "A alone suffices", "", "decision-tree"),
    Erratum(
        TREE,
        "78 blocks are free then",
        "with C's 32 they make 110",
        "conservation",
        "decision-tree",
    ),
    Erratum(
        TREE,
        "long ones are swapped, short ones recomputed; higher is more important",
        "vLLM V0 goes by the number of sequences, and smaller is more important",
        "",
        "modes",
    ),
    Erratum(CODE, "`blocks_to_swap_out[gpu_blocks]`", "a list has no hash", "", "modes"),
    Erratum(
        CODE,
        "a swap takes CPU blocks unasked",
        "a guard asks for each distinct block",
        "conservation",
        "modes",
    ),
    Erratum(
        CODE,
        "a recomputed request goes to the end, and to its initial state",
        "it keeps its place and its tokens",
        "P7",
        "fcfs",
    ),
    Erratum(CODE, "`min` by priority", "of equals it names the oldest", "P4'", "victims"),
    Erratum(
        CODE,
        "the longest running, most KV cache",
        "the code measures one sequence's length",
        "",
        "victims",
    ),
    Erratum(
        CODE,
        "a head that can never fit is tried for ever",
        "it is rejected when it is submitted",
        "fits",
        "fcfs",
    ),
    Erratum(
        CODE,
        "by priority, whoever fits enters",
        "the most important one may starve",
        "P7",
        "priority",
    ),
    Erratum(CODE, "fair: nothing leaves the waiting queue", "it is in one queue", "queue", "fair"),
    Erratum(CODE, "fair: two of 13 blocks pass with 14 free", "one does", "conservation", "fair"),
    Erratum(CODE, "fair: a share of budget // waiting", "0 for 120 waiting", "P1", "fair"),
    Erratum(
        CODE, "fair: what a request does not use is lost", "it goes to the others", "P2", "fair"
    ),
    Erratum(CODE, "swap in first, then run", "in and out in one step", "P6", "order"),
    Erratum(
        CODE,
        "`can_schedule()`, `add_num_batched_tokens(n)`, `SchedulerPolicy`",
        "they have arguments, or do not exist",
        "",
        "(names of another program)",
    ),
    Erratum(
        CODE,
        "the diagram of states",
        "RUNNING to WAITING, aborts and rejects are missing",
        "",
        "parts",
    ),
    Erratum(
        PROGRAM,
        "`free_blocks` is a list and a method",
        "TypeError when C finishes",
        "",
        "simulator",
    ),
    Erratum(
        PROGRAM,
        "out of memory is printed, and generation goes on",
        "52 tokens need 4 blocks of 2",
        "capacity",
        "simulator",
    ),
    Erratum(
        PROGRAM,
        "SWAPPED is declared",
        "nothing is ever swapped, and nobody preempted",
        "P6",
        "simulator",
    ),
    Erratum(
        PROGRAM,
        "a head larger than the pool",
        "0 finish, the limit stops it after 101 steps",
        "fits",
        "fcfs",
    ),
    Erratum(
        PROGRAM,
        "`blocks_needed()` in a message",
        "prints with a block size of 16 always",
        "",
        PYTHON,
    ),
    Erratum(
        PROGRAM,
        "a request ends after it has generated",
        "a cap of 0 gives a token",
        "limit",
        "(a cap of 0 is refused when it is submitted: a request generates at least 1 token)",
    ),
    Erratum(
        PROGRAM, "the demonstration", "17 of 50 blocks at most: nothing contends", "", "simulator"
    ),
    Erratum(PROGRAM, "`allocated_blocks: List[int] = None`", "a wrong type", "", PYTHON),
    Erratum(
        EXERCISE,
        "shortest job first by `max_tokens`",
        "a cap is no length; the long job starves",
        "P7",
        "sjf",
    ),
    Erratum(
        EXERCISE,
        "weighted: the state is never set",
        "running requests say that they wait",
        "queue",
        "weighted-fair",
    ),
    Erratum(EXERCISE, "weighted: the share is computed", "and never used", "P12", "weighted-fair"),
    Erratum(
        EXERCISE,
        "weighted: nobody grows while somebody waits",
        "36 tokens on 1 block, 3 needed",
        "capacity",
        "weighted-fair",
    ),
    Erratum(
        EXERCISE,
        "weighted: the sum of priorities",
        "may be 0, and is then first come, first served",
        "",
        "weighted-fair",
    ),
    Erratum(
        QUESTION,
        "vLLM resumes by guesses, and prevents starvation by four techniques",
        "it has none of them; here each is a policy: aging, ceiling, hybrid, and vtc or drr",
        "",
        "comparison",
    ),
    Erratum(QUESTION, "the table of policies", "no figure was measured", "", "comparison"),
)
