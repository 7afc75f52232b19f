"""What is counted of waits: plans and arrivals given by hand, and the orders written a second time."""

from __future__ import annotations

from typing import Any

import pytest
from bounded import OPTIONS, drawn
from drive import small

from lineclear.config import POLICIES
from lineclear.plan import Joined, Plan, Scheduled
from lineclear.policies import make
from lineclear.policies.view import View
from lineclear.request import Request
from lineclear.theorems.bounds import cap
from lineclear.theorems.guarantees import claims_of
from lineclear.theorems.order_oracle import ORDERS, TENANTS
from lineclear.theorems.wait_times import Waits
from lineclear.workload.workload import Arrival


def plan(*enter: str, gone: tuple[str, ...] = (), samples: tuple[str, ...] = ()) -> Plan:
    """A step that lets some in, after it preempted others; `samples` generate a token."""
    rows = Joined(tuple(Scheduled(name, 0, 1, 0, 0, True, False) for name in samples), ())
    tables = tuple((name, 0, (0,)) for name in enter)
    return Plan(1, rows, rows, 1, 0, (), (), tables, tuple((name, "swap") for name in gone))


def waits(policy: str, **options: Any) -> Waits:
    return Waits(small(scheduling_policy=policy), policy, make(policy, options))


def arrival(name: str, time: float = 0.0, **rest: Any) -> Arrival:
    return Arrival(name, time, 3, (5,), 5, **rest)


def test_passes_count_while_one_waits_and_anew_after_it_was_let_in() -> None:
    seen = waits("fcfs")
    for name in "abcd":
        seen.arrive(arrival(name))
    seen.step(plan("b"), 0.0)
    seen.step(plan("c"), 1.0)
    assert seen.most.passes == 2  # a, by both
    seen.step(plan("a"), 2.0)
    seen.step(plan(gone=("a", "c")), 3.0)
    seen.step(plan("d"), 4.0)
    assert seen.waiting["a"].passed == seen.waiting["c"].passed == 1
    assert seen.most.passes == 2


def test_steps_count_from_when_one_is_the_first_to_its_end() -> None:
    seen = waits("fcfs")
    seen.arrive(arrival("a"))
    seen.step(plan("a"), 0.0)
    seen.arrive(arrival("b"))
    for now in range(4):
        seen.step(plan(), float(now))
    seen.end("a")
    assert (seen.most.first, seen.most.each) == (5, 5.0)
    seen.step(plan("b"), 5.0)
    for now in range(9):
        seen.step(plan(), float(now))
    found = seen.seen()
    assert found.first == 10  # b lives, and counts up to now
    assert found.each == 14 / 2  # b has waited for 14 steps, behind one


def test_who_is_overtaken_is_first_anew_and_counts_from_the_last_before_it() -> None:
    seen = waits("aging", seconds_per_level=10.0)
    seen.arrive(arrival("low", 0.0))
    for now in range(6):
        seen.step(plan(), float(now))
    seen.arrive(arrival("high", 6.0, priority=1))
    assert seen.live["low"].since == 6
    assert seen.live["low"].before == 1
    seen.step(plan("high"), 6.0)
    found = seen.seen()
    assert (found.later, found.lateness, found.excess) == (1, 6.0, -4.0)
    assert found.first == 6
    seen.arrive(arrival("late", 11.0, priority=1))
    assert seen.live["low"].since == 6  # it comes too late to go before it
    seen.step(plan("late"), 11.0)
    assert (found.passes, found.excess) == (1, 1.0)


def test_turns_count_while_a_tenant_waits() -> None:
    seen = waits("drr")
    for number, client in enumerate("aabbbcc"):
        seen.arrive(arrival(f"{client}{number}", client=client))
    for entered in (("b2", "b3"), ("b4",), ("c5",), ("c6",)):
        seen.step(plan(*entered), 0.0)
    assert seen.most.turns == 1  # one of b and one of c
    seen.arrive(arrival("b7", client="b"))
    seen.step(plan("b7"), 1.0)
    assert seen.most.turns == 2
    seen.step(plan("a0"), 2.0)
    seen.arrive(arrival("c8", client="c"))
    seen.step(plan("c8"), 3.0)
    assert seen.others["a"] == {"c": 1}
    assert seen.most.begun == 4  # of b, while a waited
    seen.step(plan(gone=("b2",)), 4.0)
    seen.step(plan("b2"), 5.0)
    assert seen.begun["a"] == {"c": 1}  # it had begun before
    assert seen.others["a"] == {"c": 1, "b": 1}


def test_steps_without_a_token_are_those_of_the_earliest_arrival() -> None:
    seen = waits("mlfq")
    for name in "ab":
        seen.arrive(arrival(name))
    for samples in (("b",), ("b",), ("a",), ("b",)):
        seen.step(plan(samples=samples), 0.0)
    assert seen.most.dry == 1
    seen.end("a")
    seen.step(plan(samples=("a",)), 0.0)
    assert seen.fruitless == 0  # it has only just become the earliest


@pytest.mark.parametrize("policy", sorted({*POLICIES} - {"mlfq"}))
def test_the_second_writing_of_an_order_agrees_with_the_first(policy: str) -> None:
    for options in ((), OPTIONS.get(policy, ())):
        config, workload = drawn(1, scheduling_policy=policy, policy_options=options)
        made = make(policy, dict(options))
        name = claims_of(config)
        assert name is not None
        first: list[Any] = []
        second: list[Any] = []
        for number, one in enumerate(workload.requests, start=1):
            asked = Request(
                request_id=one.request_id,
                prompt_tokens=one.prompt_tokens,
                max_tokens=cap(config, one),
                priority=one.priority,
                arrival_time=one.arrival_time,
                predicted_tokens=one.predicted_tokens,
                deadline=one.deadline,
            )
            first.append((made.key(View(asked, number)), number))
            second.append((ORDERS[name](one, number, config, made), number))
        assert first == second


def test_every_policy_with_an_order_that_stays_has_one_here() -> None:
    assert {*POLICIES, "lpl_aging"} - {*ORDERS} == {"mlfq"}
    assert set(TENANTS) <= {*ORDERS}
