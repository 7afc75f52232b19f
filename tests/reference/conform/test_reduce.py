"""A violation at the end of a long run is shown by the few events that matter."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
from conforming import WORLDS, log_of
from mutations import mutants

from lineclear.conform import Checker
from lineclear.conform.picture import draw
from lineclear.conform.reduce import reduce_log

LATE: list[dict[str, Any]] = [
    {"e": "submit", "r": "late", "prompt": 3, "max": 2},
    {"e": "finish", "r": "late"},
    {"e": "finish", "r": "late"},
]


@pytest.mark.parametrize("world", WORLDS)
def test_requests_that_have_no_part_in_it_are_dropped(world: str) -> None:
    header, events = log_of(world, 1, 120)
    log = [*events, *LATE]
    checker = Checker(header)
    found = checker.run(log)
    assert [violation.clause for violation in found] == ["live"]
    reduced = reduce_log(header, lambda: log, found)
    assert reduced.before == len(log)
    assert reduced.events == LATE  # without the submit the first finish would break the rule
    assert reduced.violation.message.startswith("finish of 'late'")


@pytest.mark.parametrize("world", ["swap", "two_in_flight", "drafts"])
def test_every_mutant_of_a_run_is_reduced_to_one_that_breaks_the_same(world: str) -> None:
    """Every 61st mutant of 25 calls."""
    header, events = log_of(world, 2, 25)
    shorter = late = tried = 0
    for number, (_, _, _, mutant) in enumerate(mutants(list(events), header.blocks)):
        log: list[dict[str, Any]] = mutant
        checker = Checker(header)
        if number % 61 or not checker.run(log):
            continue
        found = checker.found
        reduced = reduce_log(header, partial(iter, log), found)
        again = Checker(header)
        assert again.run(reduced.events[:-1]) == []
        now = again.feed(reduced.events[-1])
        assert {violation.key for violation in now} == {violation.key for violation in found}
        assert draw(reduced)
        tried += 1
        late += checker.number > 30
        shorter += checker.number > 30 and len(reduced.events) < checker.number / 2
    assert tried > 10
    assert shorter > late * 0.8
