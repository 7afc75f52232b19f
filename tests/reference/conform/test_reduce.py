"""A violation at the end of a long run is shown by the few events that matter."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
from conforming import WORLDS, log_of
from mutations import mutants
from stories import e

from lineclear.conform import Checker, Header
from lineclear.conform.picture import draw, draw_state
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


A = [
    e("submit", r="a", prompt=3, max=9),
    e("alloc", r="a", blocks=[0, 1]),
    e("step", n=1, rows=[["a", 0, 3, 1]]),
    e("settle", n=1),
]


@pytest.mark.parametrize(
    ("last", "message", "events"),
    [
        (e("free", r="a", at=0, blocks=[0, 2]), "its table in gpu names [0, 1] there", 3),
        (e("store", blocks=[1], keys=["k"]), "1 of 2 positions are computed", 4),
        (e("step", n=2, rows=[["a", 3, 9, 1]]), "has room for 4 (2 blocks of 2)", 5),
    ],
)
def test_a_short_log_breaks_the_rule_with_the_same_values(
    last: dict[str, Any], message: str, events: int
) -> None:
    """Without the values each of these is also broken by a request that never held a block."""
    header, log = Header(4, 2), [*A, last]
    found = Checker(header).run(log)
    reduced = reduce_log(header, lambda: log, found)
    assert any(message in violation.message for violation in found)
    assert message in "".join(v.message for v in Checker(header).run(reduced.events))
    assert len(reduced.events) == events


def test_a_log_that_stays_long_with_the_same_values_is_reduced_without_them() -> None:
    header = Header(64, 1)
    log = A[:1]
    for at in range(60):
        log = [*log, e("alloc", r="a", blocks=[at])]
    log = [{**log[0], "max": 99}, *log[1:], e("step", n=1, rows=[["a", 0, 61, 1]])]
    (*_, found) = (violations := Checker(header).run(log))
    assert {violation.rule for violation in violations} == {"capacity", "length"}
    assert found.rule == "capacity"
    reduced = reduce_log(header, lambda: log, violations)
    assert len(reduced.events) == 2


def test_a_lost_block_is_shown_with_its_life() -> None:
    header = Header(4, 2)
    log = [
        *A,
        e("free", r="a", at=0, blocks=[0, 1]),
        e("abort", r="a"),
        e("check", free=[0, 2, 3]),
    ]
    reduced = reduce_log(header, lambda: log, Checker(header).run(log))
    assert [event["e"] for event in reduced.events] == ["submit", "alloc", "free", "check"]


def test_the_picture_of_a_large_pool_shows_the_block_that_the_violation_names() -> None:
    header = Header(200, 2)
    log = [e("submit", r="a", prompt=300), e("alloc", r="a", blocks=list(range(150)))]
    log += [e("submit", r="b", prompt=2), e("alloc", r="b", blocks=[149])]
    checker = Checker(header)
    reduced = reduce_log(header, lambda: log, checker.run(log))
    for lines in (draw(reduced), draw_state(checker.state, reduced.violation)):
        assert "149" in lines[0].split()
        assert any("blocks are not shown" in line for line in lines)


@pytest.mark.parametrize("world", ["swap", "two_in_flight", "drafts"])
def test_every_mutant_of_a_run_is_reduced_to_one_that_breaks_the_same(world: str) -> None:
    """Every 47th mutant of 25 calls."""
    header, events = log_of(world, 2, 25)
    shorter = late = tried = 0
    for number, (_, _, _, mutant) in enumerate(mutants(list(events), header.blocks)):
        log: list[dict[str, Any]] = mutant
        checker = Checker(header)
        if number % 47 or not checker.run(log):
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
