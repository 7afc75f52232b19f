"""Journals of runs with prefix caching."""

from __future__ import annotations

import io
import json
from typing import Any

from named_requests import ask, config, step

from lineclear.journal.file import JournalFile, replay
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
