"""The report of what each live request holds, and which guard keeps it from running.

Invariant: it names, for each request that waits, one guard with the figures that it compares, the smallest change
that would lift it, and whether waiting can. A request that is blocked for a moment looks like one that is blocked
for good: `liveness.py` raises the alarm when it lasts.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import asdict, dataclass
from typing import Any

from lineclear.monitor.relief import Relief

#: Every guard that a report names, and what would lift it.
GUARDS = {
    "open_copy": "a copy of it is not complete; tell `complete` when it is",
    "blocks": "the pool lacks blocks for all its tokens",
    "worst_cases": "its worst case does not fit beside the worst cases of the running requests (capacity_policy)",
    "seats": "max_num_seqs sequences run",
    "tokens": "the step has no max_num_batched_tokens left for it",
    "long_prefills": "max_long_partial_prefills requests compute prompts that could use more than their share",
    "head_of_line": "a request before it in the order does not run yet, and may not be passed",
    "pause_after_preemption": "the last step preempted for growth, so it admitted no request",
    "displaced": "the last step admitted the head in place of another, and no other request",
    "paused": "the scheduler is paused; call `resume`",
    "prefill_first": "the last step had fewer tokens left than the share of a prompt that runs",
    "beside_a_prompt": "it has several sequences, and a prompt that runs could use more than its share of a step",
    "prefix": "a request before it computes a block that it will share",
    "commit": "a step that computes for it is not committed",
    "leader": "the first branch of its request computes the prompt first",
    "turn": "it is another tenant's turn",
    "rules": "none of the guards above; the rules of the preset lack what would let it go on",
    "none": "no guard; the next step may take it",
}


@dataclass(frozen=True, slots=True)
class Holder:
    """The holdings of one live request.

    Attributes:
        request_id: whose.
        phase: waiting, running or swapped.
        gpu_blocks: blocks of the GPU pool.
        cpu_blocks: blocks of the CPU pool.
        seats: of those that may run at once; that it takes when it enters, if it does not run.
        num_tokens: tokens that its sequences know.
        num_computed_tokens: of these, the ones whose KV is valid.
    """

    request_id: Hashable
    phase: str
    gpu_blocks: int
    cpu_blocks: int
    seats: int
    num_tokens: int
    num_computed_tokens: int


@dataclass(frozen=True, slots=True)
class BlockedRequest:
    """The guard that keeps one live request from progress.

    Attributes:
        request_id: whom.
        phase: waiting, running or swapped.
        guard: one of `GUARDS`.
        figures: what the guard compares.
        relief: the smallest change that would lift it.
        waiting: whether waiting can: it cannot if the guard is false even if every other request ended now.
        still: steps issued since it was in one, None if it never was.
    """

    request_id: Hashable
    phase: str
    guard: str
    figures: dict[str, Any]
    relief: Relief
    waiting: str
    still: int | None

    def sentence(self) -> str:
        """For people."""
        figures = ", ".join(f"{name} {value}" for name, value in self.figures.items())
        return f"{GUARDS[self.guard]}" + (f" ({figures})" if figures else "")

    def change(self) -> str:
        """The change that would lift the guard, as text."""
        still = (
            "never in a step" if self.still is None else f"in none of the last {self.still} steps"
        )
        still = "in the last step" if self.still == 0 else still
        return f"{still}; smallest change: {self.relief.sentence()}; waiting {self.waiting}"


@dataclass(frozen=True, slots=True)
class Stall:
    """A report.

    Attributes:
        step: steps issued so far.
        in_flight: steps that are not committed.
        open_copies: swaps that a plan dispatched and that are not complete.
        gpu_free: blocks of the GPU pool that are free or can be evicted, of gpu_total.
        cpu_free: free blocks of the CPU pool, of cpu_total.
        holders: what each live request holds that holds anything.
        held: what keeps each live request, those that run first, then in the queue's order.
        held_by_readers: blocks that readers outside hold; progress presumes that their holds end.
    """

    step: int
    in_flight: int
    open_copies: tuple[int, ...]
    gpu_free: int
    gpu_total: int
    cpu_free: int
    cpu_total: int
    holders: tuple[Holder, ...]
    held: tuple[BlockedRequest, ...]
    held_by_readers: int = 0

    def json(self) -> dict[str, Any]:
        """For scripts; ids are text."""
        return {
            "step": self.step,
            "in_flight": self.in_flight,
            "open_copies": list(self.open_copies),
            "gpu": {"free": self.gpu_free, "total": self.gpu_total},
            "cpu": {"free": self.cpu_free, "total": self.cpu_total},
            "held_by_readers": self.held_by_readers,
            "holders": [
                {**asdict(row), "request_id": str(row.request_id)} for row in self.holders
            ],
            "held": [
                {
                    **asdict(row),
                    "request_id": str(row.request_id),
                    "because": row.sentence(),
                    "relief": row.relief.json(),
                }
                for row in self.held
            ],
        }

    def text(self, most: int = 12) -> str:
        """For people; of each list the first `most`."""
        lines = [
            f"step {self.step}, {self.in_flight} in flight; {self.gpu_free} of {self.gpu_total} "
            f"GPU and {self.cpu_free} of {self.cpu_total} CPU blocks free"
        ]
        if self.open_copies:
            lines.append(f"copies that are not complete: {', '.join(map(str, self.open_copies))}")
        if self.held_by_readers:
            lines.append(
                f"{self.held_by_readers} blocks are held by readers; progress presumes that holds end"
            )
        for holder in self.holders[:most]:
            blocks = f"{holder.gpu_blocks} GPU blocks" if holder.gpu_blocks else ""
            blocks = blocks or f"{holder.cpu_blocks} CPU blocks"
            lines.append(
                f"{holder.request_id} ({holder.phase}) holds {blocks}; "
                f"{holder.num_computed_tokens} of {holder.num_tokens} tokens are computed"
            )
        lines += more(len(self.holders) - most)
        for held in self.held[:most]:
            lines.append(f"{held.request_id} ({held.phase}) {held.guard}: {held.sentence()}")
            lines.append(f"  {held.change()}")
        return "\n".join([*lines, *more(len(self.held) - most)])


def more(count: int) -> list[str]:
    """A line that says how many are left out."""
    return [f"... and {count} more"] if count > 0 else []
