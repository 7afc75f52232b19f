"""Runs of lineclear's scheduler under memory pressure, as journals and as conforming event logs.

Guarantees: the same seed and settings give the same run. A run has everything that its settings
allow: several branches, drafts, two steps in flight, late and failed swaps, aborts.
"""

from __future__ import annotations

import io
import random
from collections import deque
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from lineclear.config import Config
from lineclear.conform import Header, Writer
from lineclear.conform.journal_log import journal_events, most_drafts
from lineclear.conform.translator import Translator
from lineclear.journal.file import JournalFile
from lineclear.plan import Plan
from lineclear.request import Request
from lineclear.scheduler import Scheduler
from lineclear_spec.kernel.records import Limits

SWAPS = ("swap_in", "swap_out")
#: Settings under which different things happen.
WORLDS: dict[str, dict[str, Any]] = {
    "plain": {"preemption_mode": "recompute"},
    "swap": {"preemption_mode": "swap"},
    "two_in_flight": {"preemption_mode": "auto", "max_steps_in_flight": 2},
    "drafts": {"preemption_mode": "auto", "num_lookahead_slots": 2},
    "chunks": {"preemption_mode": "recompute", "max_num_batched_tokens": 9, "max_num_seqs": 3},
    "prefix": {"preemption_mode": "auto", "prefix_caching": "prompt", "max_steps_in_flight": 2},
    "priority": {
        "preemption_mode": "auto",
        "scheduling_policy": "priority",
        "max_steps_in_flight": 2,
    },
}


def limits_of(config: Config) -> Limits:
    """The limits of a scheduler's ledger."""
    return Scheduler(config).ledger.limits


class Run:
    """One random run.

    Args:
        seed: seed of the run.
        steps: number of scheduler calls.
        emit: receives the events of the run, idle calls included.
        changes: settings that differ from the small world.
    """

    def __init__(
        self,
        seed: int,
        steps: int,
        emit: Callable[[dict[str, Any]], object] | None = None,
        **changes: Any,
    ) -> None:
        settings: dict[str, Any] = {
            "num_gpu_blocks": 9,
            "num_cpu_blocks": 8,
            "block_size": 4,
            "max_num_seqs": 6,
            "max_num_batched_tokens": 24,
            "max_model_len": 40,
            "watermark": 0.0,
            **changes,
        }
        self.config = Config(**settings)
        self.random = random.Random(seed)
        self.text = io.StringIO()
        self.file = JournalFile(self.text, limits_of(self.config))
        self.scheduler = Scheduler(self.config, journal=self.note)
        self.emit = emit
        self.translate = Translator(self.scheduler.ledger, emit or print)
        self.flights: deque[Plan] = deque()
        self.copies: list[int] = []
        self.made = 0
        for _ in range(steps):
            self.step()
        self.file.end(self.scheduler.ledger)

    def note(self, name: str, arguments: tuple[Any, ...]) -> None:
        self.file(name, arguments)
        if self.emit is not None:
            self.translate(name, arguments)

    def lines(self) -> list[str]:
        return self.text.getvalue().splitlines()

    def names(self, prompt: int) -> tuple[int, ...]:
        """Names of the prompt's full blocks: one of two common beginnings, then its own block."""
        if self.config.prefix_caching == "off":
            return ()
        full = prompt // self.config.block_size
        shared = tuple(range(1, full) if self.made % 3 else range(11, 10 + full))
        return (*shared, 100 + self.made)[:full]

    def step(self) -> None:
        draw = self.random
        if len(self.scheduler.entries) < 6 and draw.random() < 0.4:
            self.made += 1
            prompt = draw.randint(1, 14)
            self.scheduler.add(
                Request(
                    request_id=self.made,
                    prompt_tokens=prompt,
                    max_tokens=draw.randint(1, 12),
                    n=draw.choice((1, 1, 1, 2, 3)),
                    priority=draw.randint(0, 2),
                    prefix_names=self.names(prompt),
                )
            )
        if self.scheduler.entries and draw.random() < 0.04:
            self.scheduler.abort(draw.choice(list(self.scheduler.entries)))
        if len(self.flights) < self.config.max_steps_in_flight:
            plan = self.scheduler.schedule()
            self.copies += [o.number for o in plan.operations if o.kind in SWAPS]
            if plan.step is not None:
                self.flights.append(plan)
            elif not self.flights:
                if self.emit is not None:
                    self.translate.flush()
                    self.emit({"e": "idle"})
                self.complete(everything=True)
        self.complete(everything=False)
        if self.flights and (
            len(self.flights) == self.config.max_steps_in_flight or draw.random() < 0.5
        ):
            self.commit(self.flights.popleft())

    def complete(self, everything: bool) -> None:
        """Completes some copies; now and then one fails."""
        draw = self.random
        done = [n for n in self.copies if everything or draw.random() < 0.5]
        self.copies = [n for n in self.copies if n not in done]
        operations = self.scheduler.ledger.operations
        failed = [n for n in done if n in operations and draw.random() < 0.1]
        self.scheduler.complete([n for n in done if n not in failed], failed)

    def commit(self, plan: Plan) -> None:
        draw = self.random
        sampled: list[Any] = []
        for position, row in enumerate(plan.sampling):
            sequence = self.scheduler.flights[0].sequence(position)
            record = sequence.request
            entry: Any = draw.randint(1, 9)
            if sequence.alive and row.drafts:
                entry = [[1] * draw.randint(1, 1 + row.drafts)]
            elif (
                sequence.alive
                and self.scheduler.of[record].branches_made == 1
                and self.config.max_steps_in_flight == 1
            ):
                entry = [[1]] * record.parallel
            elif sequence.alive and record.width > 1 and draw.random() < 0.1:
                entry = []
            sampled.append(entry)
        stopped = [p for p in range(len(sampled)) if sampled[p] != [] and draw.random() < 0.03]
        pruned: dict[Any, int] = {}
        for position, entry in enumerate(sampled):  # one branch of each request stays
            if entry == []:
                record = self.scheduler.flights[0].sequence(position).request
                pruned[record] = pruned.get(record, 0) + 1
                if pruned[record] > 1:
                    sampled[position] = 1
        self.scheduler.commit(plan, sampled, stopped)


@cache
def journal_of(world: str, seed: int = 1, steps: int = 120) -> tuple[str, ...]:
    """The journal of a run."""
    return tuple(Run(seed, steps, **WORLDS[world]).lines())


@cache
def log_of(
    world: str, seed: int = 1, steps: int = 120, *, checks: bool = True
) -> tuple[Header, tuple[dict[str, Any], ...]]:
    """The same run as an event log. The events are shared: copy one before you change it."""
    lines = journal_of(world, seed, steps)
    header, events = journal_events(lines, most_drafts(lines), checks=checks)
    return header, tuple(events)


def written(path: Path, header: Header, events: Any) -> str:
    """Writes a log of these events; its path."""
    with path.open("w") as file:
        write = Writer(file, header)
        for event in events:
            write(event)
    return str(path)
