"""A scheduler driven by hand, one step after the other, every copy and every token at once; refutations.

Guarantees: the same requests give the same rows, and every invariant is checked twice in each step;
`Refutation.show` returns only if the property was seen to fail.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, replace
from typing import Any, TextIO

from lineclear.config import Config
from lineclear.journal.file import JournalFile
from lineclear.monitor.repeated_audit import RepeatedAudit
from lineclear.request import Rejected, Request
from lineclear.scheduler import Scheduler


class NotShown(AssertionError):
    """A run in which the property does not fail."""


@dataclass(frozen=True, slots=True)
class DrivenStep:
    """What one call of `schedule` and the commit after it did.

    Attributes:
        step: number of the step, None if nothing was computed.
        tokens: computed tokens by request.
        preempted: the preempted requests, and how each was.
        swapped_in: blocks that came back from the CPU.
        ended: requests that ended.
        waiting: requests that wait or are swapped out, after the step.
        free: free GPU blocks, after the step.
        seats: sequences that may still be added to those that run, after the step.
    """

    step: int | None
    tokens: Mapping[Hashable, int]
    preempted: tuple[tuple[Hashable, str], ...]
    swapped_in: int
    ended: tuple[Hashable, ...]
    waiting: int
    free: int
    seats: int


class Drive:
    """One run.

    Args:
        config: settings.
        journal: where every action is written, for `lineclear replay`.
    """

    def __init__(self, config: Config, journal: TextIO | None = None) -> None:
        self.config = config
        self.file = None if journal is None else JournalFile(journal, config.limits())
        self.scheduler = Scheduler(config, None, None, self.file)
        self.audit = RepeatedAudit(self.scheduler)
        self.rows: list[DrivenStep] = []
        self.arrived: dict[Hashable, int] = {}  # in order; calls of `schedule` before it came

    def add(self, name: Hashable, prompt: int, output: int, **more: Any) -> None:
        """A request arrives; a second passes with every step.

        Args:
            name: request id.
            prompt: tokens of the prompt.
            output: tokens to generate at most.
            more: other fields of `Request`.

        Raises:
            NotShown: it is rejected.
        """
        now = float(len(self.rows))
        request = Request(
            request_id=name, prompt_tokens=prompt, max_tokens=output, arrival_time=now, **more
        )
        answer = self.scheduler.add(request)
        if isinstance(answer, Rejected):
            raise NotShown(f"request {name} is rejected: {answer.reason}")
        self.arrived[name] = len(self.rows)

    def step(self) -> DrivenStep:
        """One step, computed, its copies done and one token sampled for each that samples."""
        scheduler = self.scheduler
        plan = scheduler.schedule()
        self.audit.check()
        scheduler.complete([o.number for o in plan.operations if o.kind.startswith("swap")])
        tokens: dict[Hashable, int] = {}
        for computed in plan.scheduled_seq_groups:
            name = computed.request_id
            tokens[name] = tokens.get(name, 0) + computed.tokens
        ended = scheduler.commit(plan, [0] * len(plan.sampling)) if plan.step is not None else ()
        self.audit.check()
        ledger = scheduler.ledger
        row = DrivenStep(
            plan.step,
            tokens,
            plan.preempted,
            len(plan.blocks_to_swap_in),
            tuple([finished.request_id for finished in ended]),
            len(ledger.waiting) + len(ledger.swapped),
            ledger.gpu.free,
            self.config.max_num_seqs - scheduler.seats,
        )
        self.rows.append(row)
        return row

    def steps(self, count: int) -> list[DrivenStep]:
        """So many steps; all rows so far."""
        for _ in range(count):
            self.step()
        return self.rows

    def end(self) -> None:
        """Closes the journal.

        Raises:
            NotShown: the policy failed, so that it was first come, first served.
        """
        if self.file is not None:
            self.file.end(self.scheduler.ledger)
        if self.scheduler.policy_failures:
            raise NotShown(f"the policy failed: {self.scheduler.policy_failures[0]}")

    # ---- questions -----------------------------------------------------------------------------

    def first_scheduled(self, name: Hashable) -> int | None:
        """The step, counted from 0, in which the request was scheduled first."""
        return next((k for k, row in enumerate(self.rows) if name in row.tokens), None)

    def ended(self) -> dict[Hashable, int]:
        """Of each request that has ended, when."""
        return {name: k for k, row in enumerate(self.rows) for name in row.ended}

    def period(self, names: set[Hashable], rows: int) -> int | None:
        """After how many steps the last rows repeat, requests named by their age; None if never.

        A scheduler is a function of its state. So that the future is like the past it is not enough
        that plans repeat, but a plan that repeats for so long shows where the run is going.

        Args:
            names: requests that are called by their name.
            rows: how many of the last rows are looked at.
        """
        seen: list[object] = []
        for k, row in list(enumerate(self.rows))[-rows:]:
            called = [
                (str(name) if name in names else k - self.arrived[name], count)
                for name, count in row.tokens.items()
            ]
            seen.append((sorted(called, key=str), len(row.ended), row.waiting, row.free))
        for period in range(1, rows // 3):
            if all(seen[k] == seen[k - period] for k in range(period, rows)):
                return period
        return None


Figures = dict[str, Any]
#: Drives a run, and returns the sentence and the numbers.
Script = Callable[[Drive], tuple[str, Figures]]


@dataclass(frozen=True, slots=True)
class Demonstration:
    """What was seen in a run.

    Attributes:
        sentence: in words, with the numbers of the run.
        figures: the numbers.
        steps: calls of `schedule`.
    """

    sentence: str
    figures: Figures
    steps: int


@dataclass(frozen=True, slots=True)
class Refutation:
    """One property that one policy or preset does not have.

    Attributes:
        policy: name of the policy or preset.
        fails: P1 to P13.
        what: what fails, without numbers.
        config: settings of the run.
        script: drives the run, and returns the sentence and the numbers.
        about: the row of table D of the lesson's systems, if it is one.
    """

    policy: str
    fails: str
    what: str
    config: Config
    script: Script
    about: str = ""

    @property
    def name(self) -> str:
        """As tools print it, and as files are called."""
        return f"{self.policy}.{self.fails}{f'.{self.about}' if self.about else ''}"

    def show(self, journal: TextIO | None = None, policy: str | None = None) -> Demonstration:
        """Runs it.

        Args:
            journal: where every action is written.
            policy: another one in its place, to see that the check notices.

        Raises:
            NotShown: the property does not fail in this run.
        """
        config = self.config
        if policy is not None:
            config = replace(config, scheduling_policy=policy, policy_options=())
        drive = Drive(config, journal)
        sentence, figures = self.script(drive)
        drive.end()
        return Demonstration(sentence, figures, len(drive.rows))
