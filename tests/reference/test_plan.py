"""A plan never changes, and equals itself alone."""

from __future__ import annotations

from operator import eq, ne

import pytest

from lineclear.config import Config
from lineclear.plan import Joined, Plan, Scheduled
from lineclear.scheduler import Scheduler


def idle() -> Plan:
    """A plan of a scheduler without requests."""
    return Scheduler(Config()).schedule()


def test_a_plan_equals_itself_alone_whatever_it_says() -> None:
    first, second = idle(), idle()
    assert (eq(first, first), ne(first, first)) == (True, False)
    for other in (second, tuple(first), None):
        assert (eq(first, other), ne(first, other)) == (False, True)
    assert len({first, second, first}) == 2


def test_a_plan_never_changes() -> None:
    plan = idle()
    with pytest.raises(AttributeError):
        plan.step = 1  # type: ignore[misc]
    with pytest.raises(AttributeError):
        plan.extra = 1  # type: ignore[attr-defined]


def test_two_tuples_are_read_as_one() -> None:
    rows = [Scheduled(name, 0, 1, 0, 0, True, False) for name in "abc"]
    joined = Joined(tuple(rows[:1]), tuple(rows[1:]))
    assert (list(joined), repr(joined)) == (rows, repr(rows))
    assert [joined[k] for k in range(-3, 3)] == rows * 2
    for wrong in (3, -4):
        with pytest.raises(IndexError, match=f"there are 3 rows, none at {wrong}"):
            joined[wrong]
