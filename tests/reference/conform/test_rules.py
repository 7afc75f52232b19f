"""Each clause of each rule is broken by one edit, alone, and is not asked where its evidence lacks."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from stories import BASES, BREAKS, Break

from lineclear.conform import RULES, Checker, EventError
from lineclear.conform.header import FORMAT, Header, PoolSize
from lineclear.conform.picture import draw
from lineclear.conform.reduce import fixed, reduce_log
from lineclear.conform.rules import CLAUSES
from lineclear.conform.schema import KINDS

NAMES = [each.clause for each in BREAKS]


def clauses(checker: Checker) -> set[str]:
    return {f"{found.rule}.{found.clause}" for found in checker.found}


def test_every_clause_has_an_edit_that_breaks_it() -> None:
    assert sorted(NAMES) == sorted(CLAUSES)


@pytest.mark.parametrize("base", BASES)
def test_the_logs_that_are_edited_conform(base: str) -> None:
    header, events = BASES[base]
    checker = Checker(header)
    assert checker.run(events) == []
    assert checker.number == len(events)


@pytest.mark.parametrize("each", BREAKS, ids=NAMES)
def test_one_edit_breaks_one_clause_alone(each: Break) -> None:
    header, events = each.log()
    checker = Checker(header)
    checker.run(events)
    assert clauses(checker) == {each.clause}
    (violation,) = {found.rule: found for found in checker.found}.values()
    assert violation.code == RULES[violation.rule].code
    assert violation.event == events[checker.number - 1]


@pytest.mark.parametrize("each", BREAKS, ids=NAMES)
def test_the_reduced_log_breaks_the_same_clause_with_its_last_event(each: Break) -> None:
    header, events = each.log()
    checker = Checker(header)
    checker.run(events)
    reduced = reduce_log(header, lambda: events, checker.found)
    assert len(reduced.events) <= checker.number
    again = Checker(header)
    assert again.run(reduced.events[:-1]) == []
    again.feed(reduced.events[-1])
    assert clauses(again) == {each.clause}
    assert again.found[0].event["e"] == checker.found[0].event["e"]
    assert fixed(again.found[0].values) == fixed(checker.found[0].values)
    picture = "\n".join(draw(reduced))
    assert "letters: table entries of a sequence" in picture
    assert f"  x {len(reduced.events):>4}" in picture


def left_out(events: list[dict[str, Any]], what: str) -> list[dict[str, Any]]:
    """The log without a kind of event or a part of events."""
    if what in KINDS:
        return [event for event in events if event["e"] != what]
    if what == "samples":
        return [
            {**event, "rows": [[*row[:3], 0, *row[4:]] for row in event["rows"]]}
            if event["e"] == "step"
            else event
            for event in events
        ]
    field = {"keys": "keys", "free_ids": "free", "lengths": "max", "waits": "after"}[what]
    return [{name: v for name, v in event.items() if name != field} for event in events]


@pytest.mark.parametrize("each", BREAKS, ids=NAMES)
def test_a_clause_is_not_asked_where_the_log_omits_what_it_needs(each: Break) -> None:
    header, events = each.log()
    rule, _, clause = each.clause.partition(".")
    for need in CLAUSES[each.clause]:
        partial = replace(header, omits=(need,))
        checker = Checker(partial)
        checker.run(left_out(events, need))
        assert each.clause not in clauses(checker)
        standing = next(row for row in checker.standings() if row.rule == rule)
        assert standing.status in ("partly", "unchecked")
        assert any(lack.startswith(f"{clause}: the log omits") for lack in standing.lacks)


@pytest.mark.parametrize("base", BASES)
@pytest.mark.parametrize("what", [*KINDS, "keys", "samples", "waits", "free_ids", "lengths"])
def test_a_log_that_conforms_does_so_with_any_part_left_out(base: str, what: str) -> None:
    header, events = BASES[base]
    checker = Checker(replace(header, omits=(what,)))
    assert checker.run(left_out(list(events), what)) == []


def test_an_event_that_the_header_omits_is_malformed() -> None:
    checker = Checker(Header(4, 2, omits=("check",)))
    with pytest.raises(EventError, match="omits lists check"):
        checker.feed({"e": "check", "free": []})


def test_a_rule_without_a_single_check_event_is_not_reported_as_checked() -> None:
    checker = Checker(Header(4, 2))
    checker.run([{"e": "submit", "r": "a", "prompt": 1}])
    open_ = {row.rule: row.lacks for row in checker.standings() if row.status == "unchecked"}
    assert open_ == {
        "conservation": ("the log has no check event with the free blocks of every pool",),
        "queues": ("the log has no check event with both queues",),
    }


@pytest.mark.parametrize(
    ("check", "unchecked"),
    [
        ({}, {"conservation", "queues"}),
        ({"free": [0, 1, 2, 3], "waiting": ["a"]}, {"conservation", "queues"}),
        ({"free": {"gpu": [0, 1, 2, 3]}, "waiting": ["a"], "running": []}, {"conservation"}),
        ({"free": {"gpu": [0, 1, 2, 3], "cpu": [0]}, "running": ["a"]}, {"queues"}),
        ({"free": {"gpu": [0, 1, 2, 3], "cpu": [0]}, "waiting": ["a"], "running": []}, set[str]()),
    ],
)
def test_a_check_event_counts_for_a_rule_only_if_it_has_all_that_the_rule_compares(
    check: dict[str, Any], unchecked: set[str]
) -> None:
    checker = Checker(Header(4, 2, pools={"cpu": PoolSize(1)}))
    assert checker.run([{"e": "submit", "r": "a", "prompt": 1}, {"e": "check", **check}]) == []
    assert {row.rule for row in checker.standings() if row.status == "unchecked"} == unchecked


def test_after_a_violation_nothing_more_is_taken() -> None:
    checker = Checker(Header(4, 2))
    assert checker.feed({"e": "finish", "r": "a"})
    with pytest.raises(ValueError, match="start again with a new Checker"):
        checker.feed({"e": "idle"})


def test_a_header_of_an_earlier_version_is_read() -> None:
    header = {"e": "engine", "log": FORMAT, "blocks": 4, "block_size": 2, "depth": 2}
    assert Header.parse(header).max_steps_in_flight == 2
