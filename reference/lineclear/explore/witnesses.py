"""Situations that the searches of the scheduler must meet, each with a sentence.

Guarantees: a situation is a fact about one move that was carried out, or about the state after it.
"""

from __future__ import annotations

from typing import Any

from lineclear.plan import Plan
from lineclear.scheduler import Scheduler
from lineclear.scheduling.live_request import LiveRequest
from lineclear.scheduling.step import Step
from lineclear_spec.kernel.ledger import Ledger
from lineclear_spec.kernel.lifecycle import Phase
from lineclear_spec.kernel.progress import behind
from lineclear_spec.modelcheck.situations import states_shown

#: What must be seen in some search; the actions of the table and `situations.IN_STATES` aside.
SOMETIMES = (
    "preempted by swap",
    "preempted by recompute",
    "preempted to let an earlier one grow",
    "preempted itself",
    "displaced by a more important one that waited",
    "swap fell back to recompute: the CPU pool is full",
    "a less important CPU copy is discarded",
    "a fenced block is allocated, and the next forward waits",
    "a fenced block is allocated to a sequence in the decode batch",
    "a shared block is copied to a fenced block",
    "swapped out while a step computes for it",
    "recomputed while its copy in is open",
    "a copy in failed",
    "a copy out failed",
    "a copy failed while its request runs",
    "a copy failed while its request is swapped out",
    "aborted while it waits",
    "aborted while it runs",
    "aborted while it is swapped out",
    "aborted while a step computes for it",
    "aborted while a copy of it is open",
    "a prompt is computed in several steps",
    "a sample is kept after a recompute",
    "a sample is kept while its request is swapped out",
    "a request finishes while it does not run",
    "a draft is accepted",
    "a draft is rejected",
    "a step only moves blocks",
    "a group is computed again and its branches rejoin",
    "a group of two sequences is swapped out",
    "one that fits waits for a block that one before it computes",
)


#: What a move breaks that preempts a request for one behind it.
NOT_BEHIND = "order (F3): a preempted request comes later in the order than the one it makes room for, or is that one"

WORDS = {
    Phase.WAITING: "waits",
    Phase.RUNNING: "runs",
    Phase.SWAPPED: "is swapped out",
}


class Notes:
    """Notes the situations of the last move."""

    def __init__(self) -> None:
        self.seen: set[str] = set()
        self.against: set[str] = set()  # rules of the order that the move broke
        self.barrier = 0
        self.copied: set[Any] = set()  # requests that ran with an open copy before the move
        self.idle: set[Any] = set()  # ids of those that did not run

    def begin(self, scheduler: Scheduler, move: tuple[Any, ...]) -> None:
        """A move is about to be carried out."""
        self.seen.clear()
        self.against.clear()
        self.barrier = scheduler.ledger.barrier
        self.copied = {r for r in scheduler.ledger.running if r.open_swap}
        self.idle = {
            name
            for name, entry in scheduler.entries.items()
            if move[0] == "commit" and entry.record.phase != Phase.RUNNING
        }

    def action(self, ledger: Ledger, name: str, arguments: tuple[Any, ...]) -> None:
        """An action of the table was done."""
        seen = self.seen
        seen.add(name)
        if ledger.barrier > self.barrier:
            self.barrier = ledger.barrier
            if any(number <= ledger.barrier for number in ledger.operations):
                seen.add("a fenced block is allocated, and the next forward waits")
                if name == "issue_step":
                    seen.add("a fenced block is allocated to a sequence in the decode batch")
                if name == "copy_on_write":
                    seen.add("a shared block is copied to a fenced block")
        if name in ("swap_out", "recompute"):
            request = arguments[0]
            if name == "swap_out" and any(ledger.in_flight(s) for s in request.members):
                seen.add("swapped out while a step computes for it")
            if name == "recompute" and request in self.copied:
                seen.add("recomputed while its copy in is open")
            if name == "swap_out" and request.width > 1:
                seen.add("a group of two sequences is swapped out")
        elif name == "rejoin":
            seen.add("a group is computed again and its branches rejoin")
        elif name == "sample":
            phase = arguments[0].request.phase
            if phase == Phase.WAITING:
                seen.add("a sample is kept after a recompute")
            elif phase == Phase.SWAPPED:
                seen.add("a sample is kept while its request is swapped out")
            if arguments[2] >= 2:
                seen.add("a draft is accepted")
            if arguments[3] >= 1:
                seen.add("a draft is rejected")
        elif name == "discard_swapped":
            seen.add("a less important CPU copy is discarded")

    def aborted(self, scheduler: Scheduler, entry: LiveRequest) -> None:
        """A request is about to be aborted."""
        ledger, record = scheduler.ledger, entry.record
        self.seen.add(f"aborted while it {WORDS[record.phase]}")
        if any(ledger.in_flight(s) for s in record.members):
            self.seen.add("aborted while a step computes for it")
        if record.open_swap:
            self.seen.add("aborted while a copy of it is open")

    def failed(self, entry: LiveRequest, kind: str) -> None:
        """A copy of the request is about to be reported as failed."""
        self.seen.add("a copy in failed" if kind == "swap_in" else "a copy out failed")
        self.seen.add(f"a copy failed while its request {WORDS[entry.record.phase]}")

    def end(self, scheduler: Scheduler, plan: Plan | None) -> None:
        """The move was carried out."""
        seen = self.seen
        seen.update(states_shown(scheduler.ledger))  # type: ignore[arg-type] # pyright: ignore
        if any(name not in scheduler.entries for name in self.idle):
            seen.add("a request finishes while it does not run")
        if plan is None:
            return
        for _, mode in plan.preempted:
            seen.add(f"preempted by {mode}")
            if mode == "recompute" and scheduler.config.preemption_mode == "swap":
                seen.add("swap fell back to recompute: the CPU pool is full")
        if scheduler.admission_blocked_by == "prefix":
            seen.add("one that fits waits for a block that one before it computes")
        if plan.step is None and plan.operations:
            seen.add("a step only moves blocks")
        for row in plan.scheduled_seq_groups.first:
            if row.prefill and not row.samples:
                seen.add("a prompt is computed in several steps")


def noted(scheduler: Scheduler, notes: Notes) -> type[Step]:
    """The scheduler's way to build a step, with its preemptions noted and judged from now on.

    That a victim stands behind is judged here by the ranks alone, whatever the rule has asked.
    """
    plain: type[Step] = scheduler._step  # pyright: ignore[reportPrivateUsage]

    class NotedStep(plain):  # type: ignore[misc,valid-type]
        """A step whose preemptions are noted."""

        def _victim_after(self, entry: LiveRequest) -> LiveRequest | None:
            victim: LiveRequest | None = super()._victim_after(entry)
            sentence = "preempted to let an earlier one grow" if victim else "preempted itself"
            notes.seen.add(sentence)
            if victim not in (None, entry) and not behind(entry.rank, victim.rank):
                notes.against.add(NOT_BEHIND)
            return victim

        def _displace(self, demands: list[Any]) -> list[Any]:
            left: list[Any] = super()._displace(demands)
            if self.displaced:
                notes.seen.add("displaced by a more important one that waited")
            return left

    scheduler._step = NotedStep  # pyright: ignore[reportPrivateUsage]
    return NotedStep
