"""What a scheduler is made of: each part is used as it is given, or refused by name."""

from __future__ import annotations

from typing import Any

import pytest
from small_scheduler import SMALL, make

from lineclear.config import Config
from lineclear.policies.sjf import ShortestJobFirst
from lineclear.request import SchedulerError
from lineclear.scheduler import Scheduler


class Empty:
    """A part that is false, as a policy with an empty queue of its own."""

    def __len__(self) -> int:
        """Nothing is in it."""
        return 0

    def __call__(self, *_: Any) -> float:
        """As a clock, a journal or a key is called."""
        return 0.0


class EmptyPolicy(Empty, ShortestJobFirst):
    """A policy that is false."""


def test_a_policy_that_is_false_is_the_policy() -> None:
    policy = EmptyPolicy()
    assert Scheduler(Config(**SMALL), policy).policy is policy


@pytest.mark.parametrize("part", ["clock", "journal", "eviction"])
def test_a_function_that_is_false_is_the_function(part: str) -> None:
    given: Any = Empty()
    scheduler = Scheduler(Config(**SMALL), **{part: given})
    used: dict[str, object] = {"clock": scheduler.clock, "journal": scheduler.journal}
    order = scheduler.cache.order
    used["eviction"] = order and getattr(order.key, "key", None)  # behind what asks it
    assert used[part] is given


@pytest.mark.parametrize("wrong", [{}, [], "lesson", 0, Config])
def test_a_config_is_a_config(wrong: Any) -> None:
    with pytest.raises(SchedulerError, match=r"^config must be a Config, .* Config.from_mapping"):
        Scheduler(wrong)


@pytest.mark.parametrize("wrong", ["fcfs", "", 0, object, ShortestJobFirst, Empty()])
def test_a_policy_is_an_object_with_the_methods_of_one(wrong: Any) -> None:
    with pytest.raises(
        SchedulerError, match=r"^policy must be an object with the methods key and"
    ):
        Scheduler(Config(**SMALL), wrong)


@pytest.mark.parametrize("part", ["clock", "journal", "eviction", "step_factory"])
@pytest.mark.parametrize("wrong", [3, "", []])
def test_what_is_called_can_be_called(part: str, wrong: Any) -> None:
    with pytest.raises(SchedulerError, match=f"^{part} must be a "):
        Scheduler(Config(**SMALL), **{part: wrong})


@pytest.mark.parametrize("call", ["ask_for_names", "watch_prefix_cache"])
def test_a_receiver_can_be_called(call: str) -> None:
    with pytest.raises(SchedulerError, match="must be a function, not 3"):
        getattr(make(prefix_caching="all"), call)(3)
