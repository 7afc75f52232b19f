"""The oracle's own statement of each built-in policy, against the policy."""

from __future__ import annotations

import random

import pytest

from lineclear.config import POLICIES, Config
from lineclear.explore.covered import OPTIONS
from lineclear.oracle import Oracle, Undone
from lineclear.oracle.own_orders import own_order
from lineclear.policies import make
from lineclear.policies.priority import Priority
from lineclear.policies.view import View
from lineclear.request import Request
from lineclear.scheduler import Scheduler


def drawn(draw: random.Random, number: int) -> View:
    most = draw.randint(1, 9)
    request = Request(
        request_id=number,
        prompt_tokens=draw.randint(1, 9),
        max_tokens=most,
        priority=draw.randint(-1, 4),
        arrival_time=float(draw.randint(0, 5)),
        predicted_tokens=draw.choice((None, draw.randint(1, 12))),
        deadline=draw.choice((None, float(draw.randint(0, 9)))),
    )
    return View(request, number, draw.randint(0, most), 0, 0, draw.choice((None, 1)))


@pytest.mark.parametrize("name", POLICIES)
def test_it_answers_as_the_policy_does(name: str) -> None:
    policy = make(name, dict(OPTIONS.get(name, ())))
    own = own_order(make(name, dict(OPTIONS.get(name, ()))))
    draw = random.Random(name)
    views = [drawn(draw, number) for number in range(40)]
    for one in views:
        assert own.key(one) == policy.key(one)
        for other in views:
            assert own.may_displace(one, other) == policy.may_displace(one, other)
    assert hasattr(own, "rank") == hasattr(policy, "rank")
    assert hasattr(own, "share") == hasattr(policy, "share")
    assert hasattr(own, "review") == hasattr(policy, "review")


def test_a_policy_of_a_users_own_has_none() -> None:
    class Mine(Priority):
        pass

    assert own_order(Mine()) is None


def test_a_built_in_policy_that_fails_is_a_finding() -> None:
    scheduler = Scheduler(Config(num_gpu_blocks=4, block_size=2, max_num_seqs=2))
    oracle = Oracle(scheduler)
    scheduler.policy.key = lambda _: "first"  # type: ignore[assignment,method-assign,return-value]
    with pytest.raises(Undone, match="a built-in policy fails"):
        oracle.add(Request(request_id="a", prompt_tokens=1, max_tokens=1))
