"""The translator takes actions alone, and keeps nothing of a request that has ended."""

from __future__ import annotations

from typing import Any

import pytest
from conforming import Run

from lineclear.journal.file import JournalError


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
