"""A finding of the scheduler as a test: it fails while the error is there, and passes once it is mended."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from faulty import BROKEN_WORLDS

from lineclear.checks.again import bounds_of
from lineclear.checks.behaviours import look
from lineclear.checks.counterexample import Counterexample, CounterexampleError
from lineclear.checks.itf import dumps, emit_test, read
from lineclear.checks.stage import Finding
from lineclear.explore.bounds import RequestShape, SearchBounds
from lineclear.explore.policy_worlds import of_policy
from lineclear.explore.small import small
from lineclear.scheduling.step import Step

Patch = pytest.MonkeyPatch


def as_test(finding: Finding) -> Callable[[], None]:
    """The test that a finding becomes, by way of its file."""
    saved = read(dumps(Counterexample.from_dict(json.loads(json.dumps(dict(finding.content))))))
    assert saved is not None
    scope: dict[str, Any] = {}
    exec(emit_test(saved), scope)
    (test,) = [value for name, value in scope.items() if name.startswith("test_")]
    return test  # type: ignore[no-any-return]


def first(bounds: SearchBounds, code: str) -> Finding:
    """The first finding with a code in a world."""
    found = look(bounds)[4]
    return next(finding for finding in found if finding.code == code)


def test_a_file_that_says_nothing_of_the_limit_on_a_prompt_means_that_there_was_none() -> None:
    bounds = SearchBounds("two", small(), (RequestShape(1, 3), RequestShape(2, 2)))
    saved = json.loads(json.dumps(bounds.as_dict()))
    assert saved["config"]["long_prefill_token_threshold"] is None
    assert bounds_of(saved) == bounds
    none = replace(bounds, config=replace(bounds.config, long_prefill_token_threshold=0))
    assert "long_prefill_token_threshold" not in none.as_dict()["config"]
    del saved["config"]["long_prefill_token_threshold"]
    assert bounds_of(saved) == none


def test_a_starvation_fails_until_its_rule_is_back(monkeypatch: Patch) -> None:
    test = as_test(first(BROKEN_WORLDS["broken_tail_requeue"], "LC503"))
    with pytest.raises(AssertionError, match="is never served while others come and go"):
        test()
    from lineclear.evidence.faults import TailRequeue

    def at_its_place(self: TailRequeue, before: int) -> None:
        """What was preempted stays where it stands."""

    monkeypatch.setattr(TailRequeue, "_send_back", at_its_place)
    test()


def test_a_step_that_leaves_something_undone_fails_until_it_is_mended(monkeypatch: Patch) -> None:
    bounds = replace(of_policy("fcfs", "last", "recompute", chunked=True, live=3), max_states=200)
    assert look(bounds)[4] == []

    def everything(watermark: int, running: int) -> int:
        return 1000 if running else 0

    with monkeypatch.context() as planted:
        planted.setattr("lineclear.scheduling.room.kept_free", everything)
        finding = first(bounds, "LC405")
        assert "work_conservation" in finding.title
        test = as_test(finding)
        with pytest.raises(AssertionError, match="work_conservation"):
            test()
    test()


def test_a_violation_and_a_crash_fail_until_they_are_mended(monkeypatch: Patch) -> None:
    from lineclear.scheduling.live_requests import LiveRequests

    bounds = SearchBounds("two", small(), (RequestShape(1, 3), RequestShape(2, 2)), max_states=300)
    right = LiveRequests.run

    def wrong(self: LiveRequests, entry: Any) -> None:
        right(self, entry)
        self.seats += 1

    with monkeypatch.context() as planted:
        planted.setattr(LiveRequests, "run", wrong)
        test = as_test(look(bounds)[4][0])
        with pytest.raises(AssertionError, match="seats"):
            test()
    test()

    def fails(self: Step) -> None:
        raise ZeroDivisionError("in the midst of a step")

    with monkeypatch.context() as planted:
        planted.setattr(Step, "_share_out", fails)
        test = as_test(look(bounds)[4][0])
        with pytest.raises(AssertionError, match="ZeroDivisionError: in the midst of a step"):
            test()
    test()


def test_what_the_environment_did_must_be_known() -> None:
    saved = Counterexample("scheduler", "progress", "nothing moves", {})
    with pytest.raises(CounterexampleError, match="lacks the environment's moves"):
        emit_test(saved)
