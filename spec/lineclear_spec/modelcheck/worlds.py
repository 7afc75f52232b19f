"""The small worlds in which the table is searched and its mutants are tried.

Guarantees: together they show every action, and for each guard a state in which it alone refuses.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from lineclear_spec.kernel.records import Limits

Step = tuple[str, tuple[Any, ...]]
Trace = tuple[Step, ...]
#: Prompt, limit, parallel sequences, and what its tokens are: requests of one kind begin with the same
#: tokens and have the same names for them; those of kind 0 have no names.
Shape = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Bounds:
    """What a search is limited to; printed with every result."""

    name: str
    block_size: int = 2
    gpu_blocks: int = 4
    cpu_blocks: int = 3
    max_num_batched_tokens: int = 4
    max_num_seqs: int = 2
    max_model_len: int = 6
    max_steps_in_flight: int = 2
    chunked: bool = True
    cut_long: bool = False
    live: int = 2
    open: int = (
        4  # operations open at once; without a bound, copies that nothing waits for pile up
    )
    shapes: tuple[Shape, ...] = ((1, 3, 1), (3, 5, 1))
    tokens: tuple[int, ...] = (1, 2, 3)
    drafts: tuple[int, ...] = (0,)
    accepted: tuple[int, ...] = (1,)
    counts: tuple[int, ...] = (1,)
    leave_out: tuple[str, ...] = ()
    start: Trace = ()
    max_states: int = 4000

    def limits(self) -> Limits:
        """The constants of the ledger."""
        return Limits(
            block_size=self.block_size,
            gpu_blocks=self.gpu_blocks,
            cpu_blocks=self.cpu_blocks,
            max_num_batched_tokens=self.max_num_batched_tokens,
            max_num_seqs=self.max_num_seqs,
            max_model_len=self.max_model_len,
            chunked=self.chunked,
            cut_long=self.cut_long,
            max_steps_in_flight=self.max_steps_in_flight,
        )


#: Small worlds that together show every action: plain requests with both kinds of preemption, branches that fork and
#: rejoin, drafts, and a budget so small that its guards bind.
ENDS = (
    "finish",
    "abort",
    "reject",
    "lift_fences",
    "dispatch_copies",
    "prune",
    "fork",
    "rejoin",
    "copy_on_write",
)
MOVES = ("swap_out", "swap_in", "recompute", "discard_swapped", "complete_copy", "fail_copy")
HOLDS = ("hold_block", "release_block")
BOUNDS = (
    Bounds("one request", gpu_blocks=1, cpu_blocks=1, live=1, shapes=((1, 2, 1),), tokens=(1,), open=3, max_states=2200),
    Bounds(
        "one draft", gpu_blocks=2, cpu_blocks=0, live=1, shapes=((1, 3, 1),), tokens=(1, 2), drafts=(0, 1), accepted=(1, 2),
        open=2, max_states=700,
    ),
    Bounds("preemption", shapes=((1, 3, 1), (3, 4, 1)), tokens=(1, 3), max_states=1200),
    Bounds(
        "branches", gpu_blocks=5, cpu_blocks=4, live=1, shapes=((2, 5, 2),), tokens=(1, 2), max_num_seqs=3, max_states=1500
    ),
    Bounds("drafts", live=1, shapes=((1, 5, 1),), drafts=(0, 1, 2), accepted=(1, 2), max_states=500),
    Bounds(
        "whole prompts", gpu_blocks=8, cpu_blocks=1, shapes=((2, 4, 1), (2, 5, 1)), max_num_batched_tokens=3, max_num_seqs=1,
        live=3, max_steps_in_flight=1, chunked=False, tokens=(1, 2), max_states=600,
    ),
    Bounds(
        "long recomputes", gpu_blocks=6, cpu_blocks=1, shapes=((2, 5, 1),), max_num_batched_tokens=3, max_num_seqs=1,
        live=1, max_steps_in_flight=1, chunked=False, cut_long=True, tokens=(1, 2), max_states=400,
    ),
    Bounds(
        "full pool", block_size=1, gpu_blocks=2, cpu_blocks=2, shapes=((1, 3, 1),), tokens=(1,), max_steps_in_flight=1,
        leave_out=("abort", "reject", "lift_fences"), max_states=900,
    ),
    Bounds(
        "last free block", gpu_blocks=2, cpu_blocks=0, shapes=((1, 3, 2), (1, 2, 1)), tokens=(1,), max_steps_in_flight=1, max_num_seqs=3,
        leave_out=("finish", "abort", "reject", "lift_fences", "prune", "join_batch", "recompute"), max_states=900,
    ),
    Bounds(
        "copy after a swap", gpu_blocks=2, cpu_blocks=1, shapes=((1, 3, 2), (1, 2, 1)), tokens=(1,), max_steps_in_flight=1, max_num_seqs=3,
        leave_out=(
            "finish", "abort", "reject", "lift_fences", "prune", "join_batch", "recompute", "discard_swapped", "append_slots",
            "complete_copy", "fail_copy", "dispatch_copies", "swap_in",
        ), max_states=300,
    ),
    Bounds(
        "decoding branches", gpu_blocks=5, cpu_blocks=0, live=1, shapes=((2, 5, 2), (1, 4, 2)), tokens=(1, 2), max_steps_in_flight=1,
        max_num_seqs=2,
        leave_out=(
            "finish", "abort", "reject", "lift_fences", "dispatch_copies", "prune", "leave_batch", "swap_out", "swap_in", "discard_swapped",
            "complete_copy", "fail_copy",
        ), max_states=700,
    ),
    Bounds(
        "shared prompts", block_size=1, gpu_blocks=6, cpu_blocks=0, max_model_len=4, shapes=((2, 3, 1, 1),), tokens=(1, 2), max_steps_in_flight=1,
        leave_out=(*HOLDS, *ENDS[1:], *MOVES[:2], *MOVES[3:], "append_slots", "join_batch"), max_states=1500,
    ),
    Bounds(
        "shared and swapped", block_size=1, gpu_blocks=4, cpu_blocks=3, max_model_len=4, shapes=((2, 3, 1, 1),), tokens=(2,), max_steps_in_flight=1,
        leave_out=(*HOLDS, "reject", "lift_fences", "dispatch_copies", "prune", "fork", "rejoin", "copy_on_write", "append_slots", "join_batch"), max_states=1500,
    ),
    Bounds(
        "shared by branches", block_size=1, gpu_blocks=5, cpu_blocks=0, live=1, max_num_seqs=2, max_model_len=4, shapes=((2, 4, 2, 1),), tokens=(1, 2),
        max_steps_in_flight=1, leave_out=(*HOLDS, "reject", "lift_fences", "dispatch_copies", "join_batch", *MOVES[:2], *MOVES[3:]), max_states=1200,
    ),
    Bounds(
        "shared drafts", gpu_blocks=5, cpu_blocks=0, live=1, shapes=((1, 5, 1, 1),), drafts=(0, 1, 2), accepted=(1, 2), max_steps_in_flight=2,
        leave_out=(*HOLDS, "reject", "lift_fences", "dispatch_copies", "join_batch", *MOVES), max_states=700,
    ),
    Bounds(
        "held by a reader", block_size=1, gpu_blocks=3, cpu_blocks=0, max_model_len=3, shapes=((2, 3, 1, 1),), tokens=(2,), max_steps_in_flight=1,
        leave_out=(*ENDS[1:], *MOVES[:2], *MOVES[3:], "append_slots", "join_batch"), max_states=900,
    ),
    Bounds(
        "two kinds", block_size=1, gpu_blocks=4, cpu_blocks=0, max_model_len=3, shapes=((2, 3, 1, 1), (2, 3, 1, 2), (2, 3, 1)), tokens=(2,), max_steps_in_flight=1,
        leave_out=(*HOLDS, *ENDS[1:], *MOVES[:2], *MOVES[3:], "append_slots", "join_batch"), max_states=1000,
    ),
    Bounds(
        "step budget", gpu_blocks=6, shapes=((1, 3, 1), (3, 4, 1)), tokens=(1, 3), max_num_batched_tokens=3, max_num_seqs=3,
        max_steps_in_flight=1, leave_out=(*ENDS, *MOVES), max_states=1300,
    ),
    Bounds(
        "sequence budget", gpu_blocks=6, shapes=((1, 3, 1),), tokens=(1,), max_num_seqs=1, max_steps_in_flight=1,
        leave_out=(*ENDS, *MOVES), max_states=500,
    ),
    Bounds(
        "decoding step", block_size=1, gpu_blocks=3, cpu_blocks=0, shapes=((1, 3, 1),), tokens=(1,), max_num_seqs=3, max_steps_in_flight=1,
        leave_out=(*ENDS, *MOVES), max_states=700,
    ),
    # Deep situations: the search starts where a trace written by hand leads to.
    Bounds(
        "an open copy of names", block_size=1, max_model_len=4, live=1, shapes=(), tokens=(1,), max_states=40,
        start=(
            ("submit", (2, 4, 1, 1)), ("admit", ("r1",)), ("schedule_tokens", ("s1", 2, 0)), ("issue_step", ()), ("commit_step", ()),
            ("swap_out", ("r1",)), ("dispatch_copies", ()), ("complete_copy", (2,)), ("swap_in", ("r1",)),
        ),
    ),
    Bounds(
        "forked before it is published", block_size=1, gpu_blocks=6, max_model_len=4, live=1, shapes=(), tokens=(1,), max_states=40,
        start=(
            ("submit", (2, 4, 2, 1)), ("admit", ("r1",)), ("schedule_tokens", ("s1", 2, 0)), ("issue_step", ()), ("commit_step", ()),
            ("fork", ("s1", 1)),
        ),
    ),
    Bounds(
        "equal prompts end at once", block_size=1, gpu_blocks=8, cpu_blocks=0, max_model_len=4, shapes=(), tokens=(1,), max_steps_in_flight=1,
        max_states=40,
        start=(
            ("submit", (2, 4, 1, 1)), ("submit", (2, 4, 1, 1)), ("admit", ("r1",)), ("admit", ("r2",)), ("schedule_tokens", ("s1", 2, 0)),
            ("schedule_tokens", ("s2", 2, 0)), ("issue_step", ()), ("commit_step", ()), ("sample", ("s1", 1, 1, 0)),
            ("sample", ("s2", 1, 1, 0)), ("join_batch", ("s1",)), ("join_batch", ("s2",)), ("issue_step", ()), ("commit_step", ()),
        ),
    ),
    Bounds(
        "ended while it is read", block_size=1, gpu_blocks=6, max_model_len=4, live=1, shapes=(), tokens=(1,), max_states=60,
        start=(
            ("submit", (2, 4, 1, 1)), ("admit", ("r1",)), ("schedule_tokens", ("s1", 2, 0)), ("issue_step", ()), ("commit_step", ()),
            ("publish", ("s1", 0)), ("sample", ("s1", 1, 1, 0)), ("append_slots", ("s1", 1)), ("schedule_tokens", ("s1", 1, 0)),
            ("issue_step", ()),
        ),
    ),
    Bounds(
        "forked after its output is published", block_size=1, gpu_blocks=8, max_model_len=6, live=1, shapes=(), tokens=(1,),
        max_states=40,
        start=(
            ("submit", (2, 6, 2, 1)), ("admit", ("r1",)), ("schedule_tokens", ("s1", 2, 0)), ("issue_step", ()), ("commit_step", ()),
            ("sample", ("s1", 1, 1, 0)), ("append_slots", ("s1", 1)), ("schedule_tokens", ("s1", 1, 0)), ("issue_step", ()),
            ("commit_step", ()), ("sample", ("s1", 2, 1, 0)), ("publish", ("s1", 2)), ("append_slots", ("s1", 1)),
            ("schedule_tokens", ("s1", 1, 0)), ("issue_step", ()), ("commit_step", ()),
        ),
    ),
    Bounds(
        "one name twice", block_size=1, gpu_blocks=8, max_model_len=4, live=2, shapes=(), tokens=(1,), max_states=60,
        start=(
            ("submit", (2, 4, 1, 1)), ("submit", (2, 4, 1, 1)), ("admit", ("r1",)), ("admit", ("r2",)),
            ("schedule_tokens", ("s1", 2, 0)), ("schedule_tokens", ("s2", 2, 0)), ("issue_step", ()), ("commit_step", ()),
            ("sample", ("s1", 1, 1, 0)), ("sample", ("s2", 1, 1, 0)), ("join_batch", ("s1",)), ("join_batch", ("s2",)),
        ),
    ),
    Bounds(
        "swapped before it is published", block_size=1, max_model_len=4, live=1, shapes=(), tokens=(1,), max_states=40,
        start=(
            ("submit", (2, 4, 1, 1)), ("admit", ("r1",)), ("schedule_tokens", ("s1", 2, 0)), ("issue_step", ()), ("commit_step", ()),
            ("swap_out", ("r1",)), ("dispatch_copies", ()), ("complete_copy", (2,)),
        ),
    ),
    Bounds(
        "half a block", gpu_blocks=6, live=2, shapes=(), tokens=(1, 2), max_states=60,
        start=(
            ("submit", (3, 5, 1, 1)), ("admit", ("r1",)), ("schedule_tokens", ("s1", 3, 0)), ("issue_step", ()), ("commit_step", ()),
            ("publish", ("s1", 0)), ("submit", (3, 5, 1, 1)),
        ),
    ),
    Bounds(
        "late samples", gpu_blocks=6, live=1, shapes=(), tokens=(1,), max_num_seqs=3, max_states=40,
        start=(
            ("submit", (1, 6, 2)), ("admit", ("r1",)), ("append_slots", ("s1", 2)), ("schedule_tokens", ("s1", 1, 0)),
            ("issue_step", ()), ("schedule_tokens", ("s1", 1, 0)), ("issue_step", ()), ("commit_step", ()),
            ("commit_step", ()), ("sample", ("s1", 1, 1, 0)), ("schedule_tokens", ("s1", 1, 0)), ("issue_step", ()), ("commit_step", ()),
        ),
    ),
    Bounds(
        "recomputed branches", gpu_blocks=6, live=1, shapes=(), tokens=(1,), max_num_seqs=3, max_num_batched_tokens=6, max_states=40,
        start=(
            ("submit", (1, 6, 2)), ("admit", ("r1",)), ("schedule_tokens", ("s1", 1, 0)), ("issue_step", ()), ("commit_step", ()),
            ("fork", ("s1", 1)), ("sample", ("s1", 1, 1, 0)), ("copy_on_write", ("s1",)), ("append_slots", ("s1", 3)),
            ("schedule_tokens", ("s1", 1, 0)), ("issue_step", ()), ("complete_copy", (2,)), ("commit_step", ()), ("sample", ("s1", 2, 1, 0)),
            ("schedule_tokens", ("s1", 1, 0)), ("issue_step", ()), ("commit_step", ()), ("sample", ("s1", 3, 1, 0)),
            ("schedule_tokens", ("s1", 1, 0)), ("issue_step", ()), ("commit_step", ()), ("sample", ("s1", 4, 1, 0)),
            ("recompute", ("r1",)), ("admit", ("r1",)), ("schedule_tokens", ("s1", 5, 0)), ("issue_step", ()), ("commit_step", ()),
        ),
    ),
    Bounds(
        "recomputed in flight", live=1, shapes=(), tokens=(1, 2), max_states=40,
        start=(
            ("submit", (1, 5, 1)), ("admit", ("r1",)), ("schedule_tokens", ("s1", 1, 0)), ("issue_step", ()), ("recompute", ("r1",)),
            ("admit", ("r1",)), ("schedule_tokens", ("s1", 1, 0)), ("issue_step", ()),
        ),
    ),
    Bounds(
        "two positions at once", live=1, shapes=(), tokens=(1, 2), max_states=12,
        start=(
            ("submit", (1, 5, 1)), ("admit", ("r1",)), ("schedule_tokens", ("s1", 1, 0)), ("issue_step", ()), ("recompute", ("r1",)),
            ("admit", ("r1",)), ("append_slots", ("s1", 1)), ("schedule_tokens", ("s1", 2, 0)),
        ),
    ),
    Bounds(
        "drafts in flight", live=1, shapes=(), drafts=(0, 1), max_states=40,
        start=(
            ("submit", (1, 5, 1)), ("admit", ("r1",)), ("schedule_tokens", ("s1", 1, 0)), ("issue_step", ()), ("commit_step", ()),
            ("sample", ("s1", 1, 1, 0)), ("append_slots", ("s1", 2)), ("schedule_tokens", ("s1", 2, 1)), ("issue_step", ()),
        ),
    ),
    Bounds(
        "a decoding branch", gpu_blocks=5, live=1, shapes=(), tokens=(1,), max_num_seqs=3, max_states=40,
        start=(
            ("submit", (2, 5, 2)), ("admit", ("r1",)), ("schedule_tokens", ("s1", 2, 0)), ("issue_step", ()), ("commit_step", ()),
            ("fork", ("s1", 1)), ("sample", ("s1", 1, 1, 0)), ("join_batch", ("s1",)),
        ),
    ),
    Bounds(
        "two steps in flight", live=1, shapes=(), tokens=(1,), max_states=40,
        start=(
            ("submit", (1, 5, 1)), ("admit", ("r1",)), ("append_slots", ("s1", 1)), ("schedule_tokens", ("s1", 1, 0)),
            ("issue_step", ()), ("schedule_tokens", ("s1", 1, 0)), ("issue_step", ()),
        ),
    ),
    Bounds(
        "copy to a fenced block", gpu_blocks=2, cpu_blocks=1, shapes=(), tokens=(1,), max_steps_in_flight=1, max_num_seqs=3, max_states=40,
        start=(
            ("submit", (1, 3, 2)), ("admit", ("r1",)), ("schedule_tokens", ("s1", 1, 0)), ("issue_step", ()), ("commit_step", ()),
            ("fork", ("s1", 1)), ("sample", ("s1", 1, 1, 0)), ("submit", (1, 2, 1)), ("admit", ("r2",)), ("swap_out", ("r2",)),
        ),
    ),
    Bounds(
        "decoding at a fence", block_size=1, gpu_blocks=3, cpu_blocks=1, shapes=(), tokens=(1,), max_steps_in_flight=1, max_num_seqs=3, max_states=40,
        start=(
            ("submit", (1, 4, 1)), ("admit", ("r1",)), ("schedule_tokens", ("s1", 1, 0)), ("issue_step", ()), ("commit_step", ()),
            ("sample", ("s1", 1, 1, 0)), ("submit", (1, 2, 1)), ("admit", ("r2",)), ("join_batch", ("s1",)), ("swap_out", ("r2",)),
        ),
    ),
    Bounds(
        "branches by one", block_size=1, gpu_blocks=6, cpu_blocks=0, live=1, shapes=((1, 3, 2),), tokens=(1, 2), max_states=60,
        start=(
            ("submit", (1, 3, 2)), ("admit", ("r1",)), ("schedule_tokens", ("s1", 1, 0)), ("issue_step", ()),
            ("commit_step", ()), ("fork", ("s1", 1)), ("sample", ("s1", 1, 1, 0)), ("recompute", ("r1",)),
            ("admit", ("r1",)), ("schedule_tokens", ("s1", 2, 0)), ("issue_step", ()), ("commit_step", ()),
        ),
    ),
    Bounds(
        "out and in at once", gpu_blocks=2, cpu_blocks=4, shapes=(), tokens=(1,), max_steps_in_flight=1, max_states=40,
        start=(
            ("submit", (3, 4, 1)), ("admit", ("r1",)), ("swap_out", ("r1",)), ("dispatch_copies", ()), ("complete_copy", (1,)),
            ("submit", (3, 4, 1)), ("admit", ("r2",)), ("swap_out", ("r2",)),
        ),
    ),
)  # fmt: skip
