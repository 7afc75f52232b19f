"""Policies that answer, and policies that fail: a step goes on either way."""

from __future__ import annotations

import math
from typing import Any

import pytest

from lineclear.config import Config
from lineclear.monitor.audit import audit
from lineclear.policies import FirstComeFirstServed, Priority, make
from lineclear.policies.view import View
from lineclear.request import Request
from lineclear.scheduler import Scheduler

CONFIG = Config(
    num_gpu_blocks=12,
    num_cpu_blocks=4,
    block_size=4,
    max_num_seqs=4,
    max_num_batched_tokens=32,
    max_model_len=40,
    watermark=0.0,
)


class ShortestPrompt:
    """The shortest prompt first, and then the fewest tokens."""

    name = "shortest prompt"

    def key(self, request: View) -> Any:
        return (request.prompt_tokens, request.max_tokens)

    def may_displace(self, waiting: View, running: View) -> Any:
        return False


def requests(count: int) -> list[Request]:
    return [
        Request(
            request_id=n, prompt_tokens=1 + 5 * n % 11, max_tokens=5 + n % 6, priority=n * 7 % 3
        )
        for n in range(count)
    ]


def serve(scheduler: Scheduler, count: int = 12) -> list[Any]:
    """Serves them all; ids in the order in which they were first scheduled."""
    for request in requests(count):
        scheduler.add(request)
    seen: dict[Any, None] = {}
    for _ in range(400):
        if not scheduler.entries:
            return list(seen)
        plan = scheduler.schedule()
        seen.update(dict.fromkeys(r.request_id for r in plan.scheduled_seq_groups if r.prefill))
        scheduler.complete([o.number for o in plan.operations if o.kind.startswith("swap")])
        scheduler.commit(plan, [7] * len(plan.sampling))
        audit(scheduler)
    raise AssertionError("it never ends")


def test_each_policy_serves_in_its_order() -> None:
    assert serve(Scheduler(CONFIG, FirstComeFirstServed())) == list(range(12))
    by_priority = serve(Scheduler(CONFIG, Priority()))
    assert by_priority == sorted(range(12), key=lambda n: (-(n * 7 % 3), n))
    shortest = serve(Scheduler(CONFIG, ShortestPrompt()))
    assert shortest == sorted(range(12), key=lambda n: (1 + 5 * n % 11, 5 + n % 6, n))
    assert make("priority").name == "priority"


@pytest.mark.parametrize(
    "answer", [math.nan, "first", None, True, (), (1, "a"), (1, math.nan), []]
)
def test_a_key_that_is_no_number_is_reported_and_the_order_is_that_of_arrival(answer: Any) -> None:
    class Nonsense(ShortestPrompt):
        def key(self, request: View) -> Any:
            return answer if request.request_id == 3 else super().key(request)

    scheduler = Scheduler(CONFIG, Nonsense())
    assert serve(scheduler) == list(range(12))
    (failure,) = scheduler.policy_failures
    assert failure.startswith("shortest prompt: TypeError: a key is a number")
    assert scheduler.stats()["policy_failures_total"] == 1


def test_a_key_that_raises_is_reported_and_the_order_is_that_of_arrival() -> None:
    class Raises(ShortestPrompt):
        def key(self, request: View) -> Any:
            return (10 // (request.request_id != 5), 0)  # type: ignore[comparison-overlap, unused-ignore]

    scheduler = Scheduler(CONFIG, Raises())
    assert serve(scheduler) == list(range(12))
    assert scheduler.policy_failures == [
        "shortest prompt: ZeroDivisionError: integer division or modulo by zero"
    ]


@pytest.mark.parametrize("answer", ["yes", 2, None])
def test_a_displacement_that_is_no_answer_displaces_no_request(answer: Any) -> None:
    class Nonsense(ShortestPrompt):
        def may_displace(self, waiting: View, running: View) -> Any:
            if answer is None:
                raise LookupError("no such tenant")
            return answer

    scheduler = Scheduler(CONFIG, Nonsense())
    for request in sorted(requests(12), key=lambda r: -r.prompt_tokens):
        scheduler.add(request)
    plan = scheduler.schedule()
    scheduler.commit(plan, [7] * len(plan.sampling))
    while not scheduler.policy_failures:
        scheduler.add(Request(request_id=object(), prompt_tokens=1, max_tokens=2))
        plan = scheduler.schedule()
        assert plan.preempted == ()
        scheduler.commit(plan, [7] * len(plan.sampling))
        audit(scheduler)
    assert scheduler.policy_failures[0].startswith("shortest prompt: ")
    while scheduler.entries:
        plan = scheduler.schedule()
        scheduler.complete([o.number for o in plan.operations if o.kind.startswith("swap")])
        scheduler.commit(plan, [7] * len(plan.sampling))
        audit(scheduler)


def test_a_policy_that_asks_to_be_stopped_is_stopped() -> None:
    class Interrupted(ShortestPrompt):
        def key(self, request: View) -> Any:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Scheduler(CONFIG, Interrupted()).add(requests(1)[0])
