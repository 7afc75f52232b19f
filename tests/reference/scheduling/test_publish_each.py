"""Blocks of output that are named in one call are published in one action."""

from __future__ import annotations

import io
from typing import Any

import pytest

from lineclear.config import Config
from lineclear.conform.journal_log import journal_events
from lineclear.journal.file import JournalFile, replay
from lineclear.kv_events import Stored
from lineclear.monitor.audit import audit
from lineclear.request import InvalidRequest, Request, SchedulerError
from lineclear.scheduler import Scheduler

SIZE = 4


def made(file: io.StringIO | None = None, **changes: Any) -> Scheduler:
    """Three requests with prompts of one block and a half, and a journal in the file if one is given."""
    settings: dict[str, Any] = {
        "num_gpu_blocks": 40, "block_size": SIZE, "prefix_caching": "all", "preemption_mode": "recompute",
    }  # fmt: skip
    scheduler = Scheduler(Config(**(settings | changes)))
    if file is not None:
        scheduler.ledger.journal = JournalFile(file, scheduler.ledger.limits)
    for name in range(3):
        scheduler.add(
            Request(request_id=name, prompt_tokens=6, max_tokens=20, prefix_names=(10 + name,))
        )
    return scheduler


def run(scheduler: Scheduler, steps: int) -> None:
    """Steps, each committed before the next one."""
    for _ in range(steps):
        plan = scheduler.schedule()
        scheduler.commit(plan, [0] * len(plan.sampling))
        audit(scheduler)


def published(scheduler: Scheduler) -> list[str]:
    """The actions that publish."""
    return [name for name, _ in scheduler.journal if name.startswith("publish")]  # type: ignore[attr-defined]


def test_one_action_publishes_the_blocks_of_a_commit() -> None:
    scheduler = made()
    run(scheduler, 2)  # 8 tokens are known
    stored: list[Any] = []
    scheduler.watch_prefix_cache(stored.append)
    scheduler.name_each([0, 1, 2], [1, 1, 1], [20, 21, 22])
    assert {*scheduler.ledger.cached} == {10, 11, 12}  # their last token is not computed yet
    run(scheduler, 1)
    assert {*scheduler.ledger.cached} == {10, 11, 12, 20, 21, 22}
    assert published(scheduler) == ["publish"] * 3 + ["publish_each"]
    assert stored == [Stored((20 + k,), 10 + k) for k in range(3)]
    assert not scheduler.cache.filling
    run(scheduler, 3)
    assert published(scheduler) == ["publish"] * 3 + ["publish_each"]


def test_of_two_blocks_with_one_name_the_first_is_published() -> None:
    scheduler = made()
    run(scheduler, 2)
    scheduler.name_each([0, 1, 2], [1, 1, 1], [20, 20, 22])
    run(scheduler, 1)
    tables = [scheduler.entries[k].first.table for k in range(3)]
    assert [table[1].name for table in tables] == [20, 0, 22]
    assert scheduler.ledger.cached[20] is tables[0][1]
    assert not scheduler.cache.pending


def test_one_that_is_preempted_before_it_has_computed_the_block_publishes_it_later() -> None:
    scheduler = made()
    run(scheduler, 2)
    scheduler.name_each([0, 1], [1, 1], [20, 21])
    scheduler.transitions.preempt(scheduler.entries[1])
    run(scheduler, 3)
    assert {*scheduler.ledger.cached} == {10, 11, 12, 20, 21}


def test_outputs_are_not_published_with_prompts_alone() -> None:
    scheduler = made(prefix_caching="prompt")
    run(scheduler, 2)
    scheduler.name_each([0], [1], [20])
    run(scheduler, 3)
    assert {*scheduler.ledger.cached} == {10, 11, 12}
    assert scheduler.entries[0].first.words == (10, 20)


def test_without_caching_nothing_is_looked_at() -> None:
    scheduler = made(prefix_caching="off")
    run(scheduler, 2)
    scheduler.name_each([7], [1], [0])
    assert scheduler.entries[0].first.words == ()


@pytest.mark.parametrize(
    ("ids", "blocks", "names", "error", "text"),
    [
        ([0, 9], [1, 1], [20, 21], SchedulerError, "9 is not live"),
        ([0, 1], [1, 2], [20, 21], SchedulerError, "has names for 1 blocks"),
        ([0, 1], [1, 1], [20, 0], InvalidRequest, "name"),
        ([0, 1], [1, 1], [20, True], InvalidRequest, "name"),
        ([0, 0], [1, 1], [20, 21], SchedulerError, "twice"),
        (
            [0, 1],
            [1, 1],
            [20],
            SchedulerError,
            "2 request_ids, 2 first and 1 names: give one each",
        ),
    ],
)
def test_what_is_refused_names_nothing(
    ids: list[int], blocks: list[int], names: list[int], error: type[Exception], text: str
) -> None:
    scheduler = made()
    run(scheduler, 2)
    with pytest.raises(error, match=text):
        scheduler.name_each(ids, blocks, names)
    assert [scheduler.entries[k].first.words for k in range(3)] == [(10,), (11,), (12,)]


def test_a_journal_tells_names_that_were_given_in_one_call() -> None:
    file = io.StringIO()
    scheduler = made(file)
    run(scheduler, 2)
    scheduler.name_each([0, 1, 2], [1, 1, 1], [20, 21, 22])
    run(scheduler, 2)
    assert isinstance(scheduler.ledger.journal, JournalFile)
    scheduler.ledger.journal.end(scheduler.ledger)
    lines = file.getvalue().splitlines()
    assert '["name_each",["s1","s2","s3"],[20,21,22]]' in lines
    again = replay(lines)
    assert again.complete
    assert {*again.ledger.cached} == {10, 11, 12, 20, 21, 22}


def test_the_journal_in_memory_tells_them_too() -> None:
    scheduler = made()
    run(scheduler, 2)
    scheduler.name_each([0, 1, 2], [1, 1, 1], [20, 21, 22])
    run(scheduler, 2)
    lines = list(scheduler.journal.lines(scheduler.ledger.limits))  # type: ignore[attr-defined]
    assert {*replay(lines).ledger.cached} == {10, 11, 12, 20, 21, 22}
    _, events = journal_events(lines)
    stored = [key for event in events if event["e"] == "store" for key in event["keys"]]
    assert stored == [10, 11, 12, 20, 21, 22]
