"""Logs of lineclear's own replay through the proved table; what it does not allow is named."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from conforming import WORLDS, log_of
from named_requests import ask, config
from stories import BASES, change

from lineclear.conform import Checker, Header
from lineclear.conform.journal_log import journal_events
from lineclear.conform.table_level import TableError, TableReplay, replay_events
from lineclear.conform.translator import Translator
from lineclear.journal.file import JournalFile
from lineclear.monitor.audit import audit
from lineclear.scheduler import Scheduler
from lineclear_spec.actions import ACTIONS

Log = list[dict[str, Any]]


def refused(header: Header, events: Any) -> list[str]:
    return replay_events(header, events, lambda: 0)


@pytest.mark.parametrize("world", WORLDS)
@pytest.mark.parametrize("seed", [1, 2])
def test_the_table_allows_the_runs_of_the_scheduler(world: str, seed: int) -> None:
    assert refused(*log_of(world, seed, 120)) == []


SMALL = Header(6, 2, max_seqs=2, max_tokens=8)
RUN: Log = [
    {"e": "submit", "r": "a", "prompt": 5, "max": 3},
    {"e": "alloc", "r": "a", "blocks": [3, 1, 4]},
    {"e": "step", "n": 1, "rows": [["a", 0, 5, 1]]},
    {"e": "settle", "n": 1},
    {"e": "step", "n": 2, "rows": [["a", 5, 1, 1]]},
    {"e": "settle", "n": 2},
    {"e": "alloc", "r": "a", "blocks": [0]},
    {"e": "step", "n": 3, "rows": [["a", 6, 1, 1]]},
    {"e": "settle", "n": 3},
    {"e": "free", "r": "a", "at": 0, "blocks": [3, 1, 4, 0]},
    {"e": "finish", "r": "a"},
    {"e": "check", "free": [0, 1, 2, 3, 4, 5]},
]


def test_the_table_allows_whichever_free_blocks_an_engine_grants() -> None:
    assert refused(SMALL, RUN) == []


def by_chunks(log: Log) -> Log:
    """The request is admitted with blocks for a part of its prompt."""
    return [log[0], {**log[1], "blocks": [3]}, {**log[2], "rows": [["a", 0, 2, 0]]}]


@pytest.mark.parametrize(
    ("edit", "why"),
    [
        (change(0, max=9), "a guard is false: its worst case fits into the GPU pool"),
        (by_chunks,
         "'a' runs with 1 blocks, but admit allocates 3, for every token that it knows"),
        (change(2, rows=[["a", 0, 5, 0]]), "'a' samples 0, but 1 in the table"),
        (change(4, rows=[["a", 4, 2, 1]]), "'a' starts at 4, but in the table at 5"),
    ],
)  # fmt: skip
def test_what_the_table_does_not_allow_though_every_rule_is_kept(
    edit: Callable[[Log], Log], why: str
) -> None:
    lines = refused(SMALL, edit(RUN))
    assert lines
    assert why in lines[0]


def test_a_wait_that_the_table_demands_and_the_log_lacks() -> None:
    header, events = log_of("two_in_flight", 1, 120)
    seen: list[str] = []
    for at, event in enumerate(events):
        if event["e"] == "copy" and event.get("after_step"):
            less = {name: value for name, value in event.items() if name != "after_step"}
            log = [*events[:at], less, *events[at + 1 :]]
            if not Checker(header).run(log):
                seen += refused(header, log)[:1]
    assert seen
    assert all("the table does not allow copy: it does not wait for step" in line for line in seen)


def test_every_action_of_the_table_is_translated() -> None:
    assert [name for name in ACTIONS if not hasattr(Translator, f"_on_{name}")] == []


@pytest.mark.parametrize("base", ["main", "fork", "published", "swap"])
def test_the_table_allows_the_logs_that_were_written_by_hand(base: str) -> None:
    assert refused(*BASES[base]) == []


CACHED: Log = [
    {"e": "submit", "r": "a", "prompt": 5, "max": 3},
    {"e": "alloc", "r": "a", "blocks": [0, 1, 2]},
    {"e": "step", "n": 1, "rows": [["a", 0, 5, 1]]},
    {"e": "settle", "n": 1},
    {"e": "store", "blocks": [0, 1], "keys": ["x", "y"]},
    {"e": "submit", "r": "b", "prompt": 4, "max": 3},
    {"e": "hit", "r": "b", "blocks": [0], "keys": ["x"]},
    {"e": "alloc", "r": "b", "blocks": [3]},
    {"e": "step", "n": 2, "rows": [["b", 2, 2, 1], ["a", 5, 1, 1]]},
    {"e": "settle", "n": 2},
    {"e": "free", "r": "a", "at": 0, "blocks": [0, 1, 2]},
    {"e": "abort", "r": "a"},
    {"e": "evict", "blocks": [1]},
    {"e": "check", "free": [1, 2, 4, 5]},
    {"e": "evict", "blocks": [0], "keys": ["x"]},  # b reads it on
]
AGAIN: Log = [
    {"e": "preempt", "r": "b", "how": "recompute"},
    {"e": "free", "r": "b", "at": 0, "blocks": [0, 3]},
]


def test_the_table_allows_blocks_that_are_found_by_their_content() -> None:
    assert refused(SMALL, CACHED) == []


@pytest.mark.parametrize(
    ("events", "why"),
    [
        ([*CACHED[:10], {"e": "store", "blocks": [3], "keys": ["y"]}],
         "the content 'y' is published already, by another block"),
        ([*CACHED[:14], *AGAIN, {"e": "hit", "r": "b", "blocks": [0]},
          {"e": "alloc", "r": "b", "blocks": [4, 5]}, {"e": "step", "n": 3, "rows": [["b", 2, 3, 1]]}],
         ""),
        ([*CACHED[:4], {"e": "store", "blocks": [1], "keys": ["y"]}, *CACHED[5:6],
          {"e": "hit", "r": "b", "blocks": [0]}, *CACHED[7:9]],
         "block 0 is found, but it is not published"),
    ],
)  # fmt: skip
def test_what_the_table_says_of_cached_blocks(events: Log, why: str) -> None:
    lines = refused(SMALL, events)
    assert (why in lines[0]) if why else lines == []


def test_the_table_allows_a_request_that_is_admitted_before_it_has_a_row() -> None:
    """It holds its blocks while the step has no tokens left for it; so may a request that runs, for its next row."""
    waits = [{**RUN[0], "r": "b", "prompt": 3}, {**RUN[1], "r": "b", "blocks": [0, 5]}]
    check = {"e": "check", "free": [2]}
    row = {"e": "step", "n": 2, "rows": [["b", 0, 3, 1], ["a", 5, 1, 1]]}
    assert refused(SMALL, [RUN[0], *waits, *RUN[1:4], check, row]) == []
    over = [
        {"e": "preempt", "r": "b", "how": "recompute"},
        {"e": "free", "r": "b", "at": 0, "blocks": [0, 5]},
        {"e": "check", "free": [0, 2, 5]},
    ]
    assert refused(SMALL, [RUN[0], *waits, *RUN[1:4], *over, RUN[4]]) == []
    assert refused(SMALL, [*RUN[:4], RUN[6], {"e": "check", "free": [2, 5]}, *RUN[4:6]]) == []
    part = [{**waits[1], "blocks": [0]}, {"e": "check", "free": [1, 2, 3, 4, 5]}]
    assert "runs with 1 blocks, but admit allocates 2" in refused(SMALL, [waits[0], *part])[0]


def test_an_id_of_a_request_that_ended_in_flight_may_be_used_again() -> None:
    over = [{"e": "free", "r": "a", "at": 0, "blocks": [3, 1, 4]}, {"e": "abort", "r": "a"}]
    again = [{**event, "n": 2} if event["e"] in ("step", "settle") else event for event in RUN[:4]]
    assert refused(SMALL, [*RUN[:3], *over, RUN[3], *again]) == []
    assert (
        refused(
            replace(SMALL, max_steps_in_flight=2), [*RUN[:3], *over, *again[:3], RUN[3], again[3]]
        )
        == []
    )


def test_what_the_replay_keeps_and_looks_through_does_not_grow_with_the_log() -> None:
    class Unscanned(dict[Any, Any]):
        def items(self) -> Any:
            raise AssertionError("every cached block is looked at")

    replay = TableReplay(SMALL)
    replay.ledger.cached = Unscanned()
    for event in CACHED:
        replay(event)
    assert list(replay.sequences) == list(replay.requests) == ["b"]
    assert replay.allocated == {}


def test_words_that_the_table_does_not_have() -> None:
    restart = {"e": "preempt", "r": "a", "how": "restart"}
    with pytest.raises(TableError, match="has no action for it"):
        refused(SMALL, [*RUN[:4], restart])
    late = {"e": "hit", "r": "b", "blocks": [1], "keys": ["y"]}
    with pytest.raises(TableError, match="event 11 hits blocks for a request that runs"):
        refused(SMALL, [*CACHED[:10], late])


def test_engines_that_the_table_does_not_have() -> None:
    with pytest.raises(TableError, match="one group of layers"):
        refused(replace(SMALL, first_id=2), [])
    with pytest.raises(TableError, match="submit without max"):
        refused(SMALL, [{"e": "submit", "r": "a", "prompt": 1}])


def test_the_table_allows_forks_beside_blocks_that_are_published_and_branches_that_end() -> None:
    file = io.StringIO()
    settings = config(num_gpu_blocks=40)
    scheduler = Scheduler(settings, journal=JournalFile(file, settings.limits()))
    ask(scheduler, "a", (1, 2), most=9, n=3)
    steps: list[list[Any]] = [[[[7], [8]]], [[[7], [8]], []], [7, []]]
    for samples in steps:
        plan = scheduler.schedule()
        assert len(plan.sampling) == len(samples)
        scheduler.commit(plan, samples)
        audit(scheduler)
    header, events = journal_events(file.getvalue().splitlines())
    log = list(events)
    kinds = [event["e"] for event in log]
    assert kinds.index("store") < kinds.index("fork")
    assert kinds.index("prune") < len(kinds) - kinds[::-1].index("fork")
    assert refused(header, log) == []
