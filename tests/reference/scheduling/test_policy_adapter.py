"""The policy is asked by the adapter alone, and what it does wrong ends there."""

from __future__ import annotations

from typing import Any

import pytest

from lineclear.policies.view import View
from lineclear.request import Request, SchedulerError
from lineclear.scheduling.policy_adapter import PolicyAdapter

VIEW = View(Request(request_id="a", prompt_tokens=3, max_tokens=2), 1)


class Scripted:
    """Answers what it is given, one after the other; an exception is raised."""

    name = "scripted"

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)
        self.asked = 0

    def key(self, request: View) -> Any:
        self.asked += 1
        answer = self.answers.pop(0)
        if isinstance(answer, BaseException):
            raise answer
        return answer() if callable(answer) else answer

    def may_displace(self, waiting: View, running: View) -> Any:
        return self.key(waiting)


def adapter_of(*answers: Any) -> tuple[PolicyAdapter, Scripted, list[int]]:
    """An adapter, its policy, and how often the owner of the orders was called."""
    policy, calls = Scripted(*answers), list[int]()
    adapter = PolicyAdapter(policy)
    adapter.on_failure = lambda: calls.append(len(adapter.failures))
    return adapter, policy, calls


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (ValueError("why"), "scripted: ValueError: why"),
        ("first", "scripted: TypeError"),
        ((1, 2), "scripted: TypeError: a key has as many parts as the first one, 1"),
        (float("nan"), "scripted: TypeError"),
    ],
)
def test_the_first_failure_is_reported_once_and_nothing_is_asked_after_it(
    answer: Any, said: str
) -> None:
    adapter, policy, calls = adapter_of(1, answer, 2)
    assert adapter.places(VIEW) == ((1,), None)
    assert adapter.places(VIEW) == ((), None)
    assert adapter.places(VIEW) == ((), None)
    assert adapter.may_displace(VIEW, VIEW) is False
    assert policy.asked == 2
    assert len(adapter.failures) == 1
    assert adapter.failures[0].startswith(said)
    assert calls == [1]  # the failure is on record when the orders are made again


def test_a_call_back_into_the_scheduler_is_refused_and_is_a_failure() -> None:
    adapter, _, calls = adapter_of()
    seen: list[bool] = []

    def calls_back() -> int:
        seen.append(adapter.asking)
        try:
            adapter.check_caller()
        except SchedulerError:
            seen.append(True)
        return 1

    adapter.policy.answers = [calls_back]  # type: ignore[attr-defined] # pyright: ignore
    assert adapter.key(VIEW) == ()
    assert seen == [True, True]
    assert not adapter.asking
    assert "may not call the scheduler" in adapter.failures[0]
    assert calls == [1]
    adapter.check_caller()  # the next call of anyone else goes through


def test_what_ends_the_program_is_raised_by_the_next_call_and_only_once() -> None:
    adapter, _, calls = adapter_of(KeyboardInterrupt())
    assert adapter.key(VIEW) == ()
    assert calls == [1]
    with pytest.raises(KeyboardInterrupt):
        adapter.check_caller()
    adapter.check_caller()
