"""Runs with prefix caching: journals, and requests at random, audited after every call."""

from __future__ import annotations

import io
import json
import random
from itertools import count
from typing import Any

import pytest
from named_requests import ask, config, step

from lineclear.config import EVICTION
from lineclear.journal.file import JournalFile, replay
from lineclear.monitor.audit import audit
from lineclear.monitor.observer import Observer
from lineclear.plan import Plan
from lineclear.request import Request
from lineclear.scheduler import Scheduler


def test_off_writes_the_journal_of_a_scheduler_without_names() -> None:
    def run(names: bool, caching: str) -> str:
        scheduler = Scheduler(config(prefix_caching=caching, num_gpu_blocks=8))
        file = io.StringIO()
        scheduler.ledger.journal = journal = JournalFile(file, scheduler.ledger.limits)
        for k in range(4):
            request = Request(
                request_id=k,
                prompt_tokens=5,
                max_tokens=4,
                prefix_names=(1, 2 + k) if names else (),
            )
            scheduler.add(request)
        while scheduler.entries:
            step(scheduler)
        journal.end(scheduler.ledger)
        return file.getvalue()

    assert run(True, "off") == run(False, "off") == run(False, "all")
    assert run(True, "all") != run(False, "all")


def test_a_run_is_replayed_from_its_journal() -> None:
    scheduler = Scheduler(config(num_gpu_blocks=7))
    file = io.StringIO()
    scheduler.ledger.journal = journal = JournalFile(file, scheduler.ledger.limits)
    for k, names in enumerate(((1, 2, 3), (1, 2, 4), (1, 5), (1, 2, 3))):
        ask(scheduler, str(k), names, most=4)
        step(scheduler)
    scheduler.name_blocks("3", 3, [6])
    while scheduler.entries:
        step(scheduler)
    journal.end(scheduler.ledger)
    lines = file.getvalue().splitlines()
    done: set[Any] = {json.loads(line)[0] for line in lines[1:-1]}
    assert done >= {"publish", "admit_cached", "evict", "name_blocks"}
    again = replay(lines)
    assert again.complete
    assert {n: b.block_id for n, b in again.ledger.cached.items()} == {
        n: b.block_id for n, b in scheduler.ledger.cached.items()
    }


def test_the_journal_in_memory_is_replayed_too() -> None:
    scheduler = Scheduler(config())
    for name in ("first", "second"):
        ask(scheduler, name, (1, 2))
        step(scheduler)
    lines = list(scheduler.journal.lines(scheduler.ledger.limits))  # type: ignore[attr-defined]
    assert {*replay(lines).ledger.cached} == {*scheduler.ledger.cached}


FAMILIES = [[1000 * family + k + 1 for k in range(32)] for family in range(3)]


def drive(seed: int, steps: int = 150) -> Scheduler:
    """A run at random, audited after every call."""
    draw = random.Random(seed)
    settings = config(
        num_gpu_blocks=draw.choice([12, 20, 40]),
        num_cpu_blocks=draw.choice([0, 8]),
        block_size=draw.choice([1, 2, 4]),
        max_num_seqs=8,
        max_num_batched_tokens=draw.choice([16, 32]),
        max_model_len=48,
        prefix_caching=draw.choice(["prompt", "all"]),
        preemption_mode=draw.choice(["swap", "recompute", "auto"]),
        max_steps_in_flight=draw.choice([1, 2]),
        victim=draw.choice(["last", "longest", "newest"]),
        scheduling_policy=draw.choice(["fcfs", "priority", "fair", "vtc"]),
        prefix_eviction=draw.choice(EVICTION),
        wait_for_prefix=draw.random() < 0.5,
        max_bypasses=draw.choice([0, 0, 2]),
    )
    scheduler = Scheduler(settings)
    observer, ring = Observer(scheduler.ledger), scheduler.journal

    def journal(name: str, arguments: tuple[Any, ...]) -> None:
        ring(name, arguments)
        observer(name, arguments)

    scheduler.ledger.journal = journal
    plans: list[Plan] = []
    made, own = 0, 1_000_000
    asked = count(2_000_000)

    def following(name: Any, branch: int, names: tuple[int, ...]) -> list[int]:
        """Names that no other request has, for all full blocks."""
        entry = scheduler.entries[name]
        (sequence,) = [each for each in entry.record.members if entry.branch(each) == branch]
        lacking = scheduler.ledger.num_tokens(sequence) // settings.block_size - len(names)
        return [next(asked) for _ in range(lacking)] if names else []

    if seed % 2:
        scheduler.ask_for_names(following)
    for _ in range(steps):
        while len(scheduler.entries) < draw.randint(1, 8) and made < 60:
            made += 1
            prompt = draw.randint(1, 20)
            full = prompt // settings.block_size
            names = draw.choice(FAMILIES)[: min(draw.randrange(10), full)]
            names += range(own, own + full - len(names))
            own += full
            request = Request(
                request_id=made,
                prompt_tokens=prompt,
                max_tokens=draw.randint(1, 12),
                n=draw.choice([1, 1, 1, 2]),
                priority=draw.randint(0, 2),
                prefix_names=names if draw.random() < 0.9 else (),
            )
            scheduler.add(request)
        if not scheduler.entries:
            break
        if draw.random() < 0.03:
            scheduler.reset_prefix_cache()
        if draw.random() < 0.05:
            scheduler.abort(draw.choice(list(scheduler.entries)))
        if len(plans) < settings.max_steps_in_flight:
            plan = scheduler.schedule()
            if plan.step is not None:
                plans.append(plan)
            for operation in plan.operations:
                if operation.kind in ("swap_in", "swap_out"):
                    failed = [operation.number] if draw.random() < 0.1 else []
                    if operation.number in scheduler.ledger.operations:
                        scheduler.complete([operation.number], failed)
        elif plans:
            plan = plans.pop(0)
            sampled: list[Any] = []
            for row in plan.sampling:
                entry = scheduler.entries.get(row.request_id)
                forks = entry is not None and entry.record.width < entry.seats and row.branch == 0
                sampled.append([[0], [0]] if forks and draw.random() < 0.5 else 0)
            scheduler.commit(plan, sampled)
            for entry in scheduler.entries.values():
                for sequence in entry.record.members:
                    full = scheduler.ledger.num_tokens(sequence) // settings.block_size
                    lacking = full - len(sequence.block_names)
                    if sequence.block_names and lacking > 0 and not seed % 2:
                        given = range(own, own + lacking)
                        own += lacking
                        first = len(sequence.block_names)
                        scheduler.name_blocks(
                            entry.request_id, first, given, entry.branch(sequence)
                        )
        audit(scheduler)
        observer.check()
    return scheduler


@pytest.mark.parametrize("seeds", [range(8)])
def test_random_runs_keep_every_invariant(seeds: range) -> None:
    runs = [drive(seed).counters for seed in seeds]
    assert sum([run.prefix_hits for run in runs]) > 100
    assert sum([run.evicted for run in runs]) > 100
    assert sum([sum(run.preemptions.values()) for run in runs]) > 10
    assert not any(run.preempted_alone for run in runs)


@pytest.mark.deep
def test_many_random_runs_keep_every_invariant() -> None:
    assert not any(drive(seed, 400).counters.preempted_alone for seed in range(300))
