"""The 42 places where the lesson is wrong or says too little, as data.

Guarantees: nothing but names and sentences; `errata.py` finds the figures, and refuses a name that leads nowhere.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Erratum:
    """One of them.

    Attributes:
        number: counted from 1, in the order of the lesson.
        says: what the lesson says or does.
        right: what is right.
        breaks: invariants, properties (P1 to P14) or premises (F1 to F8) that do not hold then.
        lesson: the example that shows it, "" if none can.
        shown_by: how its claim begins, or which of its states it is.
        guard: what refuses it on this table, or why it cannot be expressed.
    """

    number: int
    says: str
    right: str
    breaks: tuple[str, ...]
    lesson: str = ""
    shown_by: str = ""
    guard: str = ""


NEVER_ADMITTED = "guard of `admit`: the request waits"
TYPED = "cannot be expressed: a plan's copies are pairs of places"

ERRATA: tuple[Erratum, ...] = (
    Erratum(1, "100 blocks, 20 free, no request runs", "80 blocks have no owner",
            ("conservation",), "five-step", "initial state"),
    Erratum(2, "the fourteenth block comes at 223 tokens", "at token 209: 13 blocks are full at "
            "208, and a step yields one token, not 22", ("pending_samples",),
            "five-step", "A's tokens when it takes"),
    Erratum(3, "240 tokens in 14 blocks", "15 blocks, 5 free", ("capacity",),
            "five-step", "A's blocks at 240"),
    Erratum(4, "step 4 is out of memory", "5 blocks are free", (),
            "five-step", "out of memory then"),
    Erratum(5, "preempt A to make room for B and C", "29 blocks are needed, 20 exist; C alone fits",
            ("conservation",), "five-step", "preempting A makes room for B and C"),
    Erratum(6, "no watermark", "admission leaves a share free; here it changes nothing", (),
            "budget", "steps in which A and B"),
    Erratum(7, "`_need_to_preempt()` decides", "it is defined nowhere", ("P6b",),
            guard="cannot be expressed: preemption is asked for by a need, and only if the "
            "victims together cover it"),
    Erratum(8, "preempting one frees the blocks for D", "only A: 3 + 19 and 3 + 13 are too few",
            ("conservation",), "why-preemption", "preempting B alone"),
    Erratum(9, "A, B and C hold 63, 13 and 32 of 100 blocks", "that is 108", ("conservation",),
            "decision-tree", "blocks of the pool"),
    Erratum(10, "A is swapped to 50 CPU blocks", "it needs 63", ("conservation",),
            "decision-tree", "CPU blocks that A's swap needs",
            "guard of `swap_out`: the CPU has a free block for every private block"),
    Erratum(11, "B and A are preempted", "A alone suffices: 65 blocks for 25", (),
            "decision-tree", "victims"),
    Erratum(12, "78 blocks are free then", "with C's 32 that is 110 of 100", ("conservation",),
            "decision-tree", "free blocks after both"),
    Erratum(13, "swap if long, recompute if short; higher is more important",
            "V0 swaps groups of several sequences, and smaller is more important there", (),
            "swap-or-recompute", "a long one of one sequence"),
    Erratum(14, "a list of blocks is the key of a dict", "pairs of (source, target)", (),
            "swap-or-recompute", "pairs of blocks", TYPED),
    Erratum(15, "CPU blocks are taken unasked", "a swap that does not fit is refused",
            ("conservation",), "swap-or-recompute", "CPU blocks taken",
            "guard of `swap_out`: the CPU has a free block for every private block"),
    Erratum(16, "who was recomputed goes to the tail, reset to the start",
            "it goes back by its place in the order and keeps its tokens", ("F4", "F7", "P7"),
            "fcfs", "step in which C runs"),
    Erratum(17, "the first of the lowest priorities is preempted",
            "with equal priorities that is the oldest; the last in the order must", ("F3", "P6b"),
            "victims", "lowest priority, all priorities 0"),
    Erratum(18, "longest running", "the code takes the longest first sequence", (),
            "victims", "longest, of G"),
    Erratum(19, "FCFS: no starvation", "a head larger than the pool blocks for ever",
            ("F1", "fits", "P7"), "fcfs", "requests of 2 that finish",
            "guard of `submit`: its worst case fits into the GPU pool"),
    Erratum(20, "the priority loop passes over what does not fit",
            "the most important request starves behind small ones", ("F2", "P4", "P7"),
            "priority", "step in which the urgent U runs"),
    Erratum(21, "fair never takes a request off the waiting list", "it is admitted once",
            ("queue", "budget"), "fair", "times that A is admitted", NEVER_ADMITTED),
    Erratum(22, "two requests of 13 blocks pass with 14 free", "26 are needed",
            ("conservation",), "fair", "requests of 13 blocks",
            "guard of `admit`: the GPU has a free block for every block needed"),
    Erratum(23, "share = budget // waiting, 120 waiting, budget 100", "a share is at least 1",
            ("P1", "F8"), "fair", "requests scheduled in it"),
    Erratum(24, "what one leaves of its share is lost", "it goes to the next", (),
            "fair", "tokens used of a budget"),
    Erratum(25, "swap in, then serve what runs", "what runs takes its block first",
            ("F5", "P6b"), "swap-or-recompute", "who takes the one free"),
    Erratum(26, "`can_schedule()` and other names of V0", "V0 has no such names", (),
            guard="names, not behaviour"),
    Erratum(27, "no arrow from RUNNING to WAITING, none for abort or reject",
            "recompute is that arrow", (), "queues", "RUNNING to WAITING"),
    Erratum(28, "`free_blocks` is a list and a method", "TypeError at the first finish; repaired, "
            "the demonstration takes 10 steps", ("once",), "simulator", "steps until all three",
            "cannot be expressed: `finish` gives up all that is held, in one action"),
    Erratum(29, "out of memory is printed, and the request goes on",
            "52 tokens need 4 blocks, the pool has 2", ("capacity", "fits"),
            "simulator", "blocks of 20 + 32", "guard of `submit`: its worst case fits into the "
            "GPU pool"),
    Erratum(30, "SWAPPED is declared; no preemption, no budget", "with 11 blocks one is preempted",
            ("capacity", "budget"), "simulator", "preemptions with 11 blocks"),
    Erratum(31, "the limit is 100 steps", "the program stops after 101, with nothing finished",
            ("F1",), "fcfs", "steps until that ends"),
    Erratum(32, "need is printed for blocks of 16", "the scheduler's own block size counts",
            ("capacity",), "budget", "blocks of 40 tokens"),
    Erratum(33, "max_tokens = 0 yields a token", "it is refused", ("limit",),
            "budget", "a request for 0 tokens",
            "guard of `submit`: at least one token is to be generated"),
    Erratum(34, "the demonstration shows scheduling", "17 of 50 blocks: nothing contends", (),
            "simulator", "blocks of 50 in use"),
    Erratum(35, "a list that is None; blocks are freed before the state is FINISHED",
            "both at once", ("residency",),
            guard="cannot be expressed: `finish` clears tables and moves the request in one action"),
    Erratum(36, "shortest job first: by max_tokens, without aging",
            "no bound for a long job; a cap is no length", ("P7",), "sjf", "the same with aging"),
    Erratum(37, "a running request stays in the state waiting", "its phase is RUNNING",
            ("queue",), "weighted-fair", "phase of a request"),
    Erratum(38, "the fair share is computed and printed", "it is never used: arrival decides",
            ("P12",), "weighted-fair", "turns of 12"),
    Erratum(39, "what runs does not grow while anything waits", "36 tokens need 3 blocks",
            ("capacity",), "weighted-fair", "blocks of A"),
    Erratum(40, "priorities that add up to 0 fall back to FCFS", "a weight is above 0",
            ("P12",), "weighted-fair", "weights 1 and -1"),
    Erratum(41, "when to swap (question 2); how V0 prevents starvation (question 4)",
            "V0 goes by the number of sequences, and has none of the four techniques", ("P7",),
            "q4", "V0 has these techniques"),
    Erratum(42, "the table of policies", "measured: shortest job first has not the highest "
            "throughput", (), "policy-table", "throughput: sjf"),
)  # fmt: skip
