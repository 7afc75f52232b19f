"""Bounds of theorems: each is seen to be passed by a planted fault."""

from __future__ import annotations

from collections import Counter
from math import inf
from typing import Any

import pytest
from bounded import Driven, drawn
from drive import Drive, small
from faulty import ANY_FIT, LONGEST_VICTIM, TAIL_REQUEUE, review_of_waiting_in_a_row

import lineclear.scheduling.step as step_module
from lineclear.config import Config
from lineclear.plan import Plan
from lineclear.policies import turns, virtual_time
from lineclear.policies.aging import Aging
from lineclear.policies.ceiling import Ceiling
from lineclear.policies.drr import DeficitRoundRobin
from lineclear.policies.mlfq import MultiLevelFeedbackQueue
from lineclear.policies.sjf import AgingShortestJobFirst
from lineclear.policies.view import View
from lineclear.request import Request
from lineclear.simulation.simulate import Simulation
from lineclear.theorems.bound_checks import BoundCheck
from lineclear.theorems.bounds import cap
from lineclear.theorems.service import Service


def tiny(**changes: Any) -> Config:
    """One seat, blocks of one token."""
    sizes = {"num_gpu_blocks": 16, "num_cpu_blocks": 0, "block_size": 1, "max_num_seqs": 1}
    return small(**{**sizes, **changes})


def assert_passed(row: BoundCheck) -> None:
    assert row.guarantee.status == "holds"
    assert row.passed, (row.guarantee.bound, row.seen)


class Capped(Aging):
    """Age counts up to three steps only, so that a level of priority counts for ever."""

    def __init__(self, seconds_per_level: float = 5.0) -> None:
        super().__init__(seconds_per_level)
        self.born: dict[int, int] = {}

    def key(self, request: View) -> float:
        age = min(3, request.step - self.born.setdefault(request.number, request.step))
        return -self.seconds_per_level * request.priority - age

    def review(self, request: View) -> int:
        return 1


class Twice(AgingShortestJobFirst):
    """A token counts for twice the seconds that it is said to."""

    def key(self, request: View) -> float:
        return request.arrival_time + 2 * self.seconds_per_token * self.length(request)


class TwoMore(Ceiling):
    """The head start of a level is two arrivals too long; one is hidden, as ties go to who is first."""

    def key(self, request: View) -> float:
        return request.number - (self.ceiling + 2) * self.level(request)


def stream(config: Config, policy: Any = None, turns: int = 60) -> dict[str, BoundCheck]:
    """One that is less important and longer, and then one of the others in every step."""
    driven = Driven(config, policy)
    driven.add(1, 2, priority=1)  # it holds the seat
    driven.turn()
    driven.add(1, 10, priority=0)
    for _ in range(turns):
        driven.add(1, 1, priority=1)
        driven.turn()
    return driven.rows()


@pytest.mark.parametrize(
    ("policy", "options", "planted", "label"),
    [
        ("aging", (("seconds_per_level", 5.0),), Capped, "P9"),
        ("sjf_aging", (("seconds_per_token", 1.0),), Twice, "P9"),
        ("ceiling", (("ceiling", 4),), TwoMore, "bypass"),
    ],
)
def test_head_starts_that_are_longer_than_said_are_seen(
    policy: str, options: Any, planted: Any, label: str
) -> None:
    config = tiny(scheduling_policy=policy, policy_options=options)
    whole = stream(config)[label]
    assert not whole.passed
    assert whole.guarantee.bound is not None
    assert whole.guarantee.bound.number is not None
    # who is level goes first if it was first
    assert whole.seen == whole.guarantee.bound.number - 1
    assert_passed(stream(config, planted(**dict(options)))[label])


def test_a_priority_that_a_float_does_not_hold_has_another_head_start() -> None:
    """Why A5 is a premise: 10**17 + 7 counts as 10**17, and 10**17 + 9 as 10**17 + 16."""
    config = tiny(scheduling_policy="aging", policy_options=(("seconds_per_level", 1.0),))

    def run(least: int) -> BoundCheck:
        driven = Driven(config)
        driven.add(1, 12, priority=least + 9)  # it holds the seat
        driven.turn()
        driven.add(1, 2, priority=least + 7)
        for turn in range(30):
            if turn == 6:
                driven.add(1, 2, priority=least + 9)
            driven.turn()
        return driven.rows()["P9"]

    small_ones, large = run(0), run(10**17)
    assert small_ones.guarantee.bound is not None
    assert small_ones.guarantee.bound.number == 2
    assert (small_ones.seen, small_ones.passed) == (0, False)
    assert large.seen == 6
    assert "A5 (the workload: " in large.guarantee.why


def test_a_request_whose_deadline_is_infinite_waits_for_ever() -> None:
    """Why A3 asks for a finite one: however late others arrive, theirs is earlier."""

    def run(last: float) -> BoundCheck:
        driven = Driven(tiny(scheduling_policy="edf"))
        driven.add(1, 2, deadline=1.0)  # it holds the seat
        driven.turn()
        waits = driven.add(1, 2, deadline=last)
        for turn in range(40):
            driven.add(1, 1, deadline=turn + 3.0)
            driven.turn()
        assert (waits in driven.scheduler.entries) is (last == inf)
        return driven.rows()["P7"]

    early, never = run(20.0), run(inf)
    assert early.guarantee.status == "holds"
    assert not early.passed
    assert "A3 (the workload: 1 of 42 requests have no deadline" in never.guarantee.why


idle = DeficitRoundRobin.idle


def lose_the_turn(self: DeficitRoundRobin, tenant: Any, step: int) -> None:
    """As it was once: when the head leaves, the one behind it has no turn of its own."""
    begun = self.turn.begun or next(iter(self.round)) == tenant
    idle(self, tenant, step)
    self.turn = self.turn._replace(begun=begun)


def come_and_go(turns: int = 200) -> BoundCheck:
    """Two tenants that always ask; a third asks once each time that the second is served."""
    options = (("quantum", 3.0),)
    driven = Driven(tiny(scheduling_policy="drr", policy_options=options))
    for _ in range(turns):
        waiting = [wait.arrival.client for wait in driven.holding.waits.waiting.values()]
        for tenant in "ab":
            for _ in range(2 - waiting.count(tenant)):
                driven.add(1, 1, client=tenant)
        if any(name.startswith("b") for name in driven.turn()) and "c" not in waiting:
            driven.add(1, 1, client="c")
    return driven.rows()["P13"]


def test_a_turn_that_is_lost_when_the_head_leaves_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = come_and_go()
    assert not whole.passed
    monkeypatch.setattr(DeficitRoundRobin, "idle", lose_the_turn)
    assert_passed(come_and_go())


def in_debt() -> BoundCheck:
    """One tenant's request costs six quanta; then it asks again beside two that ask for little."""
    driven = Driven(tiny(scheduling_policy="drr", policy_options=(("quantum", 3.0),)))
    for _ in range(4):
        driven.add(1, 8, client="a")
    for _ in range(60):
        driven.add(1, 1, client="b")
        driven.add(1, 1, client="c")
    for _ in range(120):
        driven.turn()
    return driven.rows()["P7"]


def test_turns_that_pay_back_less_than_a_quantum_are_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = in_debt()
    assert not whole.passed
    assert (whole.seen or 0) > 3

    def slower(credit: Any, quantum: Any) -> Any:
        """Deep in debt a turn earns an eighth."""
        return credit + quantum // 8 if credit < -quantum else min(quantum, credit + quantum)

    monkeypatch.setattr(turns, "refilled", slower)
    assert_passed(in_debt())


def after_an_absence() -> dict[str, BoundCheck]:
    """One tenant is served alone for long, then another comes, and both always ask."""
    driven = Driven(tiny(scheduling_policy="vtc"))
    for turn in range(120):
        waiting = [wait.arrival.client for wait in driven.holding.waits.waiting.values()]
        for tenant in "ab" if turn > 40 else "a":
            for _ in range(2 - waiting.count(tenant)):
                driven.add(1, 1, client=tenant)
        driven.turn()
    return driven.rows()


def test_coming_back_without_a_lift_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not any(row.passed for row in after_an_absence().values())

    def not_lifted(counter: Any, virtual: Any) -> Any:
        return counter

    monkeypatch.setattr(virtual_time, "lifted", not_lifted)
    for label in ("P7", "P12"):
        assert_passed(after_an_absence()[label])


def test_a_token_is_charged_twice_with_two_steps_in_flight_and_swaps() -> None:
    """Why F10 is lost there: it is sampled, its copy in is freed, and it is sampled again."""
    changes: dict[str, Any] = {
        "scheduling_policy": "vtc",
        "policy_options": (),
        "max_steps_in_flight": 2,
    }
    changes |= {"num_lookahead_slots": 0, "long_prefill_token_threshold": 0}
    config, workload = drawn(
        1199, max_bypasses=0, num_cpu_blocks=24, preemption_mode="swap", **changes
    )
    charged: Counter[Any] = Counter()

    class Counting(Service):
        def step(self, plan: Plan, now: float) -> None:
            charged.update(row.request_id for row in plan.sampling)

    assert not Simulation(workload, config, service=Counting([])).run().stalled
    most = {one.request_id: cap(config, one) for one in workload.requests}
    assert [(name, n, most[name]) for name, n in charged.items() if n > most[name]] == [
        ("35", 5, 4)
    ]


def test_a_request_that_may_fork_later_is_charged_for_more_than_n_times_its_tokens() -> None:
    """Why F10 is lost there: the first branch is ahead after a recompute, and ends; the other forks in its place."""
    sizes: dict[str, Any] = {"block_size": 1, "num_gpu_blocks": 160, "max_num_seqs": 2}
    drive = Drive(
        scheduling_policy="vtc",
        max_num_batched_tokens=3,
        long_prefill_token_threshold=0,
        **sizes,
    )
    scheduler, most = drive.scheduler, 30
    scheduler.add(
        Request(request_id="a", prompt_tokens=4, max_tokens=most, n=2, may_fork_later=True)
    )
    drive.step()
    drive.step({"a": [[0], [0]]})
    for _ in range(20):
        drive.step()
    scheduler.transitions.preempt(scheduler.entries["a"])
    while "a" in scheduler.entries:
        plan = drive.schedule()
        alone = len(scheduler.entries["a"].record.members) == 1
        names = [(row.request_id, row.branch) if row.branch else "a" for row in plan.sampling]
        drive.commit(plan, {names[0]: [[0], [0]]} if alone else {})
    policy: Any = scheduler.adapter.policy
    assert policy.charged(None, drive.ledger.steps) > policy.most_charged(4, most, 2)


def endless(broken: Config, promised: Config, first: Any, then: Any, every: int) -> Any:
    """One request, and then one of another size every so many steps."""
    driven = Driven(broken, promised=promised)
    driven.add(*first)
    for turn in range(300):
        if turn % every == 0 and len(driven.scheduler.entries) < broken.max_num_seqs + 3:
            driven.add(*then)
        driven.turn()
    return driven.rows()


SENT_BACK: dict[str, Any] = {
    "num_gpu_blocks": 5,
    "max_num_seqs": 4,
    "max_num_batched_tokens": 4,
    "victim": "newest",
}
SKIPPED: dict[str, Any] = {
    "num_gpu_blocks": 7,
    "max_num_seqs": 2,
    "max_num_batched_tokens": 6,
    "victim": "newest",
    "pause_after_preemption": False,
}


@pytest.mark.parametrize(
    ("broken", "sizes", "requests", "labels"),
    [
        (TAIL_REQUEUE, SENT_BACK, ((3, 3), (2, 3), 2), ("P5", "P6b", "P7")),
        (ANY_FIT, SKIPPED, ((1, 4), (2, 4), 1), ("P5", "P6b", "P7")),
    ],
)
@pytest.mark.parametrize("policy", ["fcfs", "fair"])
def test_a_rule_of_progress_that_is_off_is_seen(
    policy: str, broken: str, sizes: dict[str, Any], requests: Any, labels: tuple[str, ...]
) -> None:
    whole = tiny(scheduling_policy=policy, **sizes)
    assert not any(row.passed for row in endless(whole, whole, *requests).values())
    rows = endless(tiny(scheduling_policy=policy, rules=broken, **sizes), whole, *requests)
    for label in labels:
        assert_passed(rows[label])


def test_preempting_the_longest_is_seen() -> None:
    """The first in the order is the longest: it is preempted for those that come after it."""
    sizes: dict[str, Any] = {
        "num_gpu_blocks": 8,
        "max_num_seqs": 2,
        "max_num_batched_tokens": 12,
        "long_prefill_token_threshold": 0,
        "victim": "longest",
        "pause_after_preemption": False,
    }
    whole, broken = tiny(**sizes), tiny(rules=LONGEST_VICTIM, **sizes)
    assert not any(row.passed for row in endless(whole, whole, (1, 2), (2, 5), 3).values())
    assert_passed(endless(broken, whole, (1, 2), (2, 5), 3)["P6b"])


def test_passes_that_are_not_counted_are_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    config = tiny(**{**SKIPPED, "max_bypasses": 1})
    assert not endless(config, config, (1, 4), (2, 4), 1)["P5"].passed

    def always(bypassed: int, most: int) -> bool:
        return True

    monkeypatch.setattr(step_module, "may_be_passed", always)
    assert_passed(endless(config, config, (1, 4), (2, 4), 1)["P5"])


def interrupted() -> BoundCheck:
    """A prompt of three steps; each time that two are computed, a short request comes."""
    config = tiny(
        num_gpu_blocks=11,
        max_num_seqs=4,
        max_num_batched_tokens=4,
        max_model_len=12,
        scheduling_policy="mlfq",
        policy_options=(("quantum", 2), ("promote_after", 8)),
    )
    driven = Driven(config)
    long = driven.add(10, 2)
    ran = 0
    for _ in range(200):
        if long not in driven.scheduler.entries:
            break
        ran = 0 if long in driven.holding.waits.waiting else ran + 1
        if ran == 2 and len(driven.scheduler.entries) == 1:
            driven.add(2, 1)
        driven.turn()
    return driven.rows()["P7"]


def test_steps_of_waiting_in_a_row_are_seen_not_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not interrupted().passed
    monkeypatch.setattr(MultiLevelFeedbackQueue, "review", review_of_waiting_in_a_row)
    assert_passed(interrupted())
