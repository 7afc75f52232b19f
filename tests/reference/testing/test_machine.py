"""Every rule is seen to be broken by a scheduler that breaks it, and by no other."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
from broken_schedulers import (
    ONE,
    TWO,
    Again,
    Catches,
    EndsEarly,
    EndsSilently,
    EndsTwice,
    Forgets,
    FreesTwice,
    Idle,
    Jumps,
    KeepsAborted,
    Leaks,
    SamplesAlways,
    SamplesNever,
    SaysNothing,
    StartsLate,
    TakesAll,
    TooMany,
    Twice,
    WrongBlock,
)
from tiny_scheduler import TinyScheduler, make_broken, make_scheduler

from lineclear.testing import Failure, Row, random_runs, replay
from lineclear.testing.failure import RULES


class Raises(TinyScheduler):
    """Raises in a step."""

    def step(self, execute: Callable[[list[Row]], list[int]]) -> list[str]:
        raise KeyError("a")


PLANTED: list[tuple[Callable[[], TinyScheduler], list[Any], str]] = [
    (WrongBlock, ONE, "row.table"),
    (SamplesAlways, [("submit", "a", (1, 2, 0, 0, 1), 1)], "row.samples"),
    (SamplesNever, ONE, "row.samples"),
    (StartsLate, ONE, "read.own"),
    (Twice, ONE, "step.once"),
    (Raises, ONE, "raises"),
    (Catches, ONE, "row.table"),
    (SaysNothing, ONE, "raises"),
    (EndsEarly, ONE, "end.early"),
    (EndsSilently, ONE, "end.late"),
    (EndsTwice, ONE, "end.once"),
    (TakesAll, [("submit", "a", (0,) * 10, 2)], "refused"),
    (Leaks, ONE, "conservation.free"),
    (FreesTwice, ONE, "conservation.free"),
    (TooMany, [("submit", "a", (1,) * 8, 1)], "budget.tokens"),
    (Idle, ONE, "progress.moves"),
    (Again, [("submit", "a", (1, 2, 0, 0, 1), 3)], "progress.kept"),
    (Forgets, TWO, "queues.lists"),
    (Jumps, TWO, "queue_order.passed"),
    (KeepsAborted, [*ONE, ("step",), ("abort", "a")], "once.holds"),
]


@pytest.mark.parametrize(
    ("make", "actions", "rule"), PLANTED, ids=lambda v: getattr(v, "__name__", "")
)
def test_a_broken_rule_is_named(
    make: Callable[[], TinyScheduler], actions: Iterable[Any], rule: str
) -> None:
    replay(make_scheduler, actions)
    with pytest.raises(Failure) as caught:
        replay(make, actions)
    assert caught.value.rule == rule
    assert caught.value.meaning
    assert caught.value.code.startswith("LC")


def test_every_rule_of_the_model_and_the_machine_is_seen_to_be_broken() -> None:
    here = {rule for _, _, rule in PLANTED}
    elsewhere = {"row.live", "row.tokens", "read.own"}  # test_model.py
    assert set(RULES) <= here | elsewhere | {"returns"}  # below


def test_a_call_that_does_not_return_is_interrupted(monkeypatch: pytest.MonkeyPatch) -> None:
    class Loops(TinyScheduler):
        def step(self, execute: Callable[[list[Row]], list[int]]) -> list[str]:
            while True:
                pass

    monkeypatch.setattr("lineclear.testing.machine.PATIENCE", 0.2)
    with pytest.raises(Failure) as caught:
        replay(Loops, ONE)
    assert caught.value.key == ("returns", "returns")


def test_the_place_of_what_is_raised_is_a_line_of_the_scheduler() -> None:
    with pytest.raises(Failure) as caught:
        replay(Raises, ONE)
    file, _, line = caught.value.place.partition(":")
    assert file == "test_machine.py"
    assert 'raise KeyError("a")' in Path(__file__).read_text().splitlines()[int(line) - 1]


def test_an_invalid_action_does_nothing() -> None:
    machine = replay(
        make_scheduler, [("abort", "a"), *ONE, *ONE, ("submit", "b", (), 1), ("abort", "b")]
    )
    assert machine.accepted == 1
    assert machine.actions.count(ONE[0]) == 1


@pytest.mark.parametrize(
    "wrong",
    [
        (), ("schedule",), ("abort",), ("abort", ["a"]), ("submit", "a"), ("submit", "a", 3, 4),
        ("submit", "a", "text", 4), ("submit", ["a"], (1,), 4), ("submit", "a", (1,), 4.0), ("step", 1, 2),
    ],
)  # fmt: skip
def test_what_is_no_action_is_refused(wrong: Any) -> None:
    with pytest.raises(ValueError, match="is not an action: use"):
        replay(make_scheduler, [*ONE, wrong])


def test_a_failure_can_be_told_by_a_worker() -> None:
    import pickle

    with pytest.raises(Failure) as caught:
        replay(Raises, ONE)
    again = pickle.loads(pickle.dumps(caught.value))
    assert (again.key, again.state, again.actions) == (
        caught.value.key,
        caught.value.state,
        caught.value.actions,
    )


def test_the_scheduler_of_the_examples_breaks_no_rule_and_its_twin_does() -> None:
    found, tally = random_runs(make_scheduler, range(40))
    assert found is None
    assert tally.preempted > 20
    assert tally.hits > 50
    broken, _ = random_runs(make_broken, range(40))
    assert broken is not None
