"""Two observations become events that lead from one to the other, in an order that may be taken."""

from __future__ import annotations

from typing import Any

from lineclear.testing import Copy, Limits, Observation, Row
from lineclear.testing.difference import check_event, difference

LIMITS = Limits(blocks=6, block_size=2, max_seqs=4, max_tokens=8)
HOSTED = Limits(blocks=6, host_blocks=2, block_size=2, max_seqs=4, max_tokens=8)


def seen(
    cached: dict[int, Any] | None = None,
    waiting: list[str] | None = None,
    running: list[str] | None = None,
    **tables: tuple[int, ...],
) -> Observation:
    return Observation(tables, (), cached or {}, waiting, running)


def kinds(events: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    return [(e["e"], e.get("r"), tuple(e.get("blocks", ()))) for e in events]


def test_a_table_that_grows_is_an_allocation() -> None:
    events = difference(seen(a=(0,)), seen(a=(0, 1, 2)), LIMITS)
    assert events == [{"e": "alloc", "r": "a", "blocks": [1, 2]}]


def test_what_lies_before_the_row_was_found_and_not_allocated() -> None:
    rows = {"a": Row("a", 2, 2, (0, 1), True)}
    events = difference(seen({0: "k"}), seen({0: "k"}, a=(0, 1)), LIMITS, rows=rows)
    assert kinds(events) == [("hit", "a", (0,)), ("alloc", "a", (1,))]


def test_a_cached_block_that_is_granted_anew_is_withdrawn_first() -> None:
    rows = {"a": Row("a", 0, 2, (0,), True)}
    events = difference(seen({0: "k"}), seen(a=(0,)), LIMITS, rows=rows)
    assert kinds(events) == [("evict", None, (0,)), ("alloc", "a", (0,))]


def test_a_block_that_is_found_and_withdrawn_in_one_call_was_found_first() -> None:
    rows = {"a": Row("a", 2, 1, (0, 1), True)}
    events = difference(seen({0: "k"}), seen(a=(0, 1)), LIMITS, rows=rows)
    assert kinds(events) == [("hit", "a", (0,)), ("alloc", "a", (1,)), ("evict", None, (0,))]


def test_what_is_given_up_can_be_granted_in_the_same_call() -> None:
    before = seen(waiting=[], running=["a", "b"], a=(0, 1), b=(2,))
    after = seen(waiting=["a"], running=["b"], b=(2, 0))
    assert kinds(difference(before, after, LIMITS)) == [
        ("preempt", "a", ()),
        ("free", "a", (0, 1)),
        ("alloc", "b", (0,)),
    ]


def test_a_request_that_ended_was_not_preempted() -> None:
    events = difference(seen(a=(0,)), seen(), LIMITS, ended=["a"])
    assert kinds(events) == [("free", "a", (0,))]


def test_what_is_published_while_it_is_held_is_published_before_it_is_given_up() -> None:
    events = difference(seen(a=(0,)), seen({0: "k"}), LIMITS, ended=["a"])
    assert events[0] == {"e": "store", "blocks": [0], "keys": ["k"]}
    assert kinds(events)[1:] == [("free", "a", (0,))]


def test_a_key_that_changes_is_withdrawn_and_published_anew() -> None:
    events = difference(seen({0: "k"}, a=(0,)), seen({0: "l"}, a=(0,)), LIMITS)
    assert sorted(kinds(events)) == [("evict", None, (0,)), ("store", None, (0,))]


def test_who_finds_what_the_same_call_publishes_comes_after_it() -> None:
    rows = {"a": Row("a", 2, 2, (1, 2), True), "b": Row("b", 0, 4, (1, 3), True)}
    events = difference(seen(), seen({1: "k"}, a=(1, 2), b=(1, 3)), LIMITS, rows=rows)
    assert kinds(events) == [
        ("alloc", "b", (1, 3)),
        ("store", None, (1,)),
        ("hit", "a", (1,)),
        ("alloc", "a", (2,)),
    ]


def test_a_block_that_takes_the_place_of_another_is_put_in_at_its_entry() -> None:
    before = seen({3: "k"}, a=(0, 1), b=(3,))
    after = seen({3: "k"}, a=(3, 1), b=(3,))
    assert difference(before, after, LIMITS) == [
        {"e": "free", "r": "a", "at": 0, "blocks": [0]},
        {"e": "hit", "r": "a", "blocks": [3], "at": 0},
    ]


def test_a_swap_takes_the_target_copies_and_gives_up_the_source() -> None:
    before = seen(a=(0, 1), b=(2,))
    after = seen(a=(4, 5), b=(2, 0))
    copies = [Copy(0, 4), Copy(1, 5)]
    events = difference(before, after, HOSTED, copies=copies, number=7, after_step=3)
    assert kinds(events) == [
        ("preempt", "a", ()),
        ("alloc", "a", (4, 5)),
        ("copy", None, ()),
        ("done", None, ()),
        ("copy", None, ()),
        ("done", None, ()),
        ("free", "a", (0, 1)),
        ("alloc", "b", (0,)),
    ]
    first = events[2]
    assert first == {
        "e": "copy",
        "op": 7,
        "src": [["gpu", 0]],
        "dst": [["cpu", 4]],
        "after_step": 3,
    }
    back = difference(after, before, HOSTED, copies=[Copy(4, 0), Copy(5, 1)])
    assert ("resume", "a", ()) in kinds(back)


def test_a_swapped_request_that_is_computed_again_is_reported() -> None:
    events = difference(seen(a=(4,)), seen(), HOSTED)
    assert [e["e"] for e in events] == ["free", "resume", "preempt"]
    assert events[2]["how"] == "recompute"


def test_the_free_blocks_are_reported_by_pool() -> None:
    state = Observation({}, (0, 1, 5), {}, ["a"], [])
    assert check_event(state, HOSTED)["free"] == {"gpu": [0, 1], "cpu": [5]}
    assert check_event(state, LIMITS)["free"] == [0, 1, 5]
    assert check_event(state, LIMITS, ["b"])["running"] == ["b"]
    assert "waiting" not in check_event(seen(), LIMITS)


def test_a_copy_to_a_block_that_is_given_up_again_leaves_no_trace() -> None:
    events = difference(seen(a=(0,)), seen(), HOSTED, copies=[Copy(0, 4)])
    assert kinds(events) == [("preempt", "a", ()), ("free", "a", (0,))]
    there_and_back = [Copy(0, 4), Copy(4, 1)]
    events = difference(seen(a=(0,)), seen(a=(1,)), HOSTED, copies=there_and_back)
    assert [e for e in events if e["e"] == "copy"] == [
        {"e": "copy", "op": 0, "src": [["gpu", 0]], "dst": [["gpu", 1]]}
    ]
