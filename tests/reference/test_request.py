# pyright: reportArgumentType=false
"""A request of invalid sizes does not come to exist; every error has its type."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

from lineclear.request import (
    Accepted,
    InvalidRequest,
    PlanError,
    Rejected,
    Request,
    SampledError,
    SchedulerError,
)

SIZES: dict[str, Any] = {"request_id": "r", "prompt_tokens": 3, "max_tokens": 2}


@pytest.mark.parametrize("name", ["prompt_tokens", "max_tokens", "n"])
@pytest.mark.parametrize("wrong", [0, -1, 1.0, 2.5, True, "3", None, np.int64(3), [1]])
def test_a_size_is_a_whole_number_of_at_least_one(name: str, wrong: object) -> None:
    with pytest.raises(InvalidRequest, match=rf"^{name} must be a whole number of at least 1"):
        Request(**{**SIZES, name: wrong})


@pytest.mark.parametrize("wrong", [0.5, True, "1", None])
def test_a_priority_is_a_whole_number(wrong: Any) -> None:
    with pytest.raises(InvalidRequest, match=r"^priority must be a whole number"):
        Request(**SIZES, priority=wrong)


@pytest.mark.parametrize("name", ["prompt_tokens", "max_tokens", "n", "priority"])
def test_an_integer_of_numpy_is_refused_with_a_remedy(name: str) -> None:
    with pytest.raises(InvalidRequest, match=rf"^{name} must .* make a Python int of it$"):
        Request(**{**SIZES, name: np.int64(6)})


@pytest.mark.parametrize("wrong", [None, 3, np.array([1, 2]), np.array([0]), [1.0], "ab"])
def test_names_of_blocks_are_whole_numbers(wrong: Any) -> None:
    with pytest.raises(InvalidRequest, match="name"):
        Request(**SIZES, prefix_names=wrong)


@pytest.mark.parametrize("none", [(), [], np.array([])])
def test_a_request_may_have_no_names_however_they_are_given(none: Any) -> None:
    assert Request(**SIZES, prefix_names=none).prefix_names == ()


@pytest.mark.parametrize("priority", [-3, 0, 10**20])
def test_any_whole_number_is_a_priority(priority: int) -> None:
    assert Request(**SIZES, priority=priority).priority == priority


@pytest.mark.parametrize(
    ("name", "wrong", "complaint"),
    [
        ("priority", 10**301, "must be between"),
        ("arrival_time", float("nan"), "must be seconds between"),
        ("arrival_time", float("inf"), "must be seconds between"),
        ("arrival_time", "now", "must be seconds between"),
        ("deadline", float("nan"), "must be seconds between"),
        ("deadline", "soon", "must be seconds between"),
        ("deadline", 10**400, "must be seconds between"),
        ("tenant", ["a"], "must be hashable"),
        ("tenant", float("nan"), "must equal itself"),
        ("deadline", np.array([1.0, 2.0]), "must be seconds between"),
        ("deadline", np.array([]), "must be seconds between"),
    ],
)
def test_what_would_put_an_end_to_a_policy_is_refused(
    name: str, wrong: Any, complaint: str
) -> None:
    """One caller's value must not make a key that is no number, or a tenant that cannot be found."""
    with pytest.raises(InvalidRequest, match=f"^{name} {complaint}"):
        Request(**SIZES, **{name: wrong})


@pytest.mark.parametrize("policy", ["aging", "edf", "sjf_aging", "lpl", "ceiling", "vtc", "drr"])
def test_no_request_that_exists_puts_an_end_to_a_built_in_policy(policy: str) -> None:
    from lineclear.config import Config
    from lineclear.scheduler import Scheduler

    scheduler = Scheduler(Config(scheduling_policy=policy))
    for k, priority in enumerate((10**300, -(10**300), 0)):
        for arrival in (-1e300, 0, 1e300):
            for deadline in (None, float("inf"), -1e299, 7):
                request = Request(
                    request_id=(k, arrival, deadline), prompt_tokens=1, max_tokens=1, tenant=(k,),
                    priority=priority, arrival_time=arrival, deadline=deadline,
                    predicted_tokens=10**400,
                )  # fmt: skip
                assert scheduler.add(request)
    while scheduler.entries:
        plan = scheduler.schedule()
        scheduler.commit(plan, [0] * len(plan.sampling))
    assert scheduler.policy_failures == []


def test_the_smallest_request_has_one_token_and_generates_one() -> None:
    request = Request(request_id=0, prompt_tokens=1, max_tokens=1)
    assert (request.n, request.priority, request.arrival_time) == (1, 0, 0.0)


def test_a_request_does_not_change() -> None:
    request: Any = Request(**SIZES)
    with pytest.raises(dataclasses.FrozenInstanceError):
        request.max_tokens = 100


def test_an_answer_is_true_if_the_request_was_taken_in() -> None:
    assert Accepted("r")
    assert not Rejected("r", "no room")


@pytest.mark.parametrize("kind", [InvalidRequest, PlanError, SampledError])
def test_every_error_is_a_scheduler_error_and_a_value_error(kind: type[Exception]) -> None:
    assert issubclass(kind, SchedulerError)
    assert issubclass(kind, ValueError)
