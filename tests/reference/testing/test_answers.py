"""What a scheduler returns or raises against the protocol is a finding with a sentence, not an error."""

from __future__ import annotations

import queue
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from broken_schedulers import ONE
from tiny_scheduler import TinyScheduler

from lineclear.testing import Failure, Observation, Row, replay
from lineclear.testing.target import TargetError, load, make_of

Change = Callable[[Any], Any]


def failure_of(
    *, answer: Change | None = None, seen: Change | None = None, rows: Change | None = None
) -> Failure:
    """The failure of a scheduler that changes what it returns or passes on."""

    class Changed(TinyScheduler):
        def step(self, execute: Callable[[list[Row]], list[int]]) -> list[str]:
            ended = super().step(lambda given: execute(given if rows is None else rows(given)))
            return ended if answer is None else answer(ended)

        def observe(self) -> Observation:
            found = super().observe()
            return found if seen is None else seen(found)

    with pytest.raises(Failure) as caught:
        replay(Changed, ONE)
    return caught.value


@pytest.mark.parametrize("answer", [None, 3, "r0", [["r0"]], [0]])
def test_a_step_returns_the_ids_of_what_ended(answer: Any) -> None:
    failure = failure_of(answer=lambda _: answer)
    assert failure.rule == "raises"
    assert failure.message.startswith(f"step returned {answer!r}; it must return the ids")


OBSERVED: list[tuple[Change, str]] = [
    (lambda _: None, "None; it must return a lineclear.testing.Observation"),
    (lambda o: replace(o, tables=[]), "tables = []; it must be block ids (int) by request id"),
    (lambda o: replace(o, tables={"a": None}), "tables = {'a': None}"),
    (lambda o: replace(o, tables={"a": ["0"]}), "tables = {'a': ['0']}"),
    (lambda o: replace(o, tables={"a": [0.0]}), "tables = {'a': [0.0]}"),
    (lambda o: replace(o, free=None), "free = None; it must be block ids"),
    (lambda o: replace(o, free=iter(o.free)), "free = <"),
    (lambda o: replace(o, tables={"a": iter([0])}), "tables = {'a': <"),
    (lambda o: replace(o, free="123"), "free = '123'; it must be block ids"),
    (lambda o: replace(o, cached=[0]), "cached = [0]; it must be keys by block id"),
    (lambda o: replace(o, cached={0: [1]}), "cached = {0: [1]}"),
    (lambda o: replace(o, waiting="a"), "waiting = 'a'; it must be request ids, or None"),
    (lambda o: replace(o, running=[1]), "running = [1]; it must be request ids, or None"),
    (lambda o: replace(o, extra={"x": [1]}), "extra = {'x': [1]}; it must be hashable values"),
]


@pytest.mark.parametrize(("seen", "message"), OBSERVED, ids=[row[1][:20] for row in OBSERVED])
def test_an_observation_has_the_types_of_the_protocol(seen: Change, message: str) -> None:
    failure = failure_of(seen=seen)
    assert failure.rule == "raises"
    assert failure.message.startswith(f"observe returned {message}")


@pytest.mark.parametrize("given", [None, [("a", 0)], [None]])
def test_execute_is_called_with_rows(given: Any) -> None:
    failure = failure_of(rows=lambda _: given)
    assert failure.rule == "raises"
    assert "a row must be a lineclear.testing.Row" in failure.message


def test_a_scheduler_that_exits_has_not_passed() -> None:
    """The process would end with its code, 0 for example."""

    def leave(_: Any) -> Any:
        raise SystemExit(0)

    assert failure_of(answer=leave).message == "SystemExit: 0"


def test_a_module_that_exits_is_no_scheduler(tmp_path: Path) -> None:
    (tmp_path / "leaves.py").write_text("raise SystemExit(0)\n")
    with pytest.raises(TargetError, match="raises SystemExit: 0"):
        load(f"{tmp_path}/leaves.py:make")
    (tmp_path / "later.py").write_text("def make():\n    raise SystemExit(0)\n")
    with pytest.raises(TargetError, match="raises SystemExit: 0"):
        make_of(f"{tmp_path}/later.py:make")


def test_a_file_named_like_a_module_of_the_library_does_not_replace_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", list(sys.path))  # other processes of the suite are handed it
    (tmp_path / "queue.py").write_text("def make():\n    return 1\n")
    made: Any = load(f"{tmp_path}/queue.py:make")()
    assert made == 1
    assert sys.modules["queue"] is queue
