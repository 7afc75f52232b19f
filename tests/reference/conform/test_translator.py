"""The translator takes actions alone, all that a scheduler does, and keeps nothing of a request that has ended."""

from __future__ import annotations

import io
from typing import Any

import pytest
from conforming import Run
from named_requests import ask, config

from lineclear.conform import Checker
from lineclear.conform.journal_log import journal_events
from lineclear.journal.file import JournalError, JournalFile
from lineclear.scheduler import Scheduler


@pytest.mark.parametrize("name", ["", "emit", "of", "nothing", "rows", "check"])
def test_what_is_no_action_is_refused(name: str) -> None:
    run = Run(0, 0)
    with pytest.raises(JournalError, match=f"'{name}' is no action"):
        run.translate(name, ())


def test_nothing_is_kept_of_a_request_that_has_ended() -> None:
    events: list[dict[str, Any]] = []
    run = Run(1, 300, events.append, preemption_mode="swap")
    for name in list(run.scheduler.entries):
        run.scheduler.abort(name)
    assert any(event["e"] == "copy" for event in events)
    kept = vars(run.translate)
    assert {name: kept[name] for name in ("_open", "_made", "_members", "_numbers", "_tables")} == {
        "_open": {}, "_made": {}, "_members": {}, "_numbers": {}, "_tables": {},
    }  # fmt: skip


def test_drafts_are_accepted_beside_blocks_that_the_same_commit_publishes() -> None:
    file = io.StringIO()
    settings = config(num_lookahead_slots=2)
    scheduler = Scheduler(settings, journal=JournalFile(file, settings.limits()))
    scheduler.ask_for_names(lambda request_id, _, names: [ord(str(request_id)) + 200 * len(names)])
    ask(scheduler, "a", (1, 2), most=9)
    for number in range(8):
        if number == 2:
            ask(
                scheduler, "b", (3, 4), most=9
            )  # published by a commit in which "a" accepts drafts
        plan = scheduler.schedule()
        scheduler.commit(plan, [[[0] * (1 + row.drafts)] for row in plan.sampling])
    lines = file.getvalue().splitlines()
    kept = False
    header, events = journal_events(lines, drafts=2)
    checker = Checker(header)
    for event in events:
        assert not checker.feed(event)
        kept = kept or ("kept" in event and bool(checker.counts["store"]))
    assert kept
    assert checker.counts["finish"] == 2
