"""Sharing among tenants: who goes next, what each is charged, and what a policy cannot spoil."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Hashable
from dataclasses import replace
from typing import Any

import pytest

from lineclear.config import Config
from lineclear.monitor.audit import audit
from lineclear.policies import drr, virtual_time
from lineclear.policies.drr import DeficitRoundRobin
from lineclear.policies.tenants import TenantPolicy
from lineclear.policies.vtc import VirtualTokenCounter
from lineclear.request import Request
from lineclear.scheduler import Scheduler

CONFIG = Config(
    num_gpu_blocks=24,
    num_cpu_blocks=12,
    block_size=4,
    max_num_seqs=4,
    max_num_batched_tokens=32,
    max_model_len=48,
    watermark=0.0,
)


class Oracle:
    """What each tenant was scheduled, counted row by row from the plans.

    Attributes:
        prompts: prompt tokens of requests that were admitted.
        sampled: tokens that were sampled.
    """

    def __init__(self) -> None:
        self.prompts: Counter[Hashable] = Counter()
        self.sampled: Counter[Hashable] = Counter()
        self.seen: set[Hashable] = set()

    def look(self, scheduler: Scheduler, plan: Any) -> None:
        for row in plan.scheduled_seq_groups:
            entry = scheduler.entries[row.request_id]
            if row.request_id not in self.seen:
                self.seen.add(row.request_id)
                self.prompts[entry.tenant] += entry.record.prompt
            self.sampled[entry.tenant] += row.samples


#: Most requests of one tenant that wait: ten times what a step takes. More are only looked at in every step.
FLOOD = 40


def waiting(scheduler: Scheduler) -> Counter[Any]:
    return Counter(entry.tenant for entry in scheduler.queue)


def run(policy: TenantPolicy | None, seed: int, steps: int = 400) -> tuple[Any, Oracle]:
    """Three tenants who always have requests waiting, one of them up to ten times as many."""
    rng = random.Random(seed)
    scheduler = Scheduler(CONFIG, policy)
    oracle, made = Oracle(), 0
    for _ in range(steps):
        while min(Counter("abc", **waiting(scheduler)).values()) < 4:
            made += 1
            tenant = "aaaabc"[made % 6]
            if waiting(scheduler)[tenant] < FLOOD:
                prompt, most = rng.randint(1, 20), rng.randint(1, 20)
                scheduler.add(
                    Request(request_id=made, prompt_tokens=prompt, max_tokens=most, tenant=tenant)
                )
        plan = scheduler.schedule()
        oracle.look(scheduler, plan)
        scheduler.complete([o.number for o in plan.operations if o.kind.startswith("swap")])
        scheduler.commit(plan, [0] * len(plan.sampling))
        audit(scheduler)
    return scheduler, oracle


@pytest.mark.parametrize("make", [VirtualTokenCounter, DeficitRoundRobin])
@pytest.mark.parametrize("seed", range(3))
def test_accounts_say_what_the_plans_said(make: Any, seed: int) -> None:
    policy = make(prompt_price=1.0, output_price=2.0)
    lifts: Counter[Hashable] = Counter()
    if isinstance(policy, VirtualTokenCounter):
        plain = policy.backlogged

        def counted(tenant: Hashable, step: int) -> None:
            before = policy.charged(tenant, step)
            plain(tenant, step)
            lifts[tenant] += policy.charged(tenant, step) - before

        setattr(policy, "backlogged", counted)  # noqa: B010
    scheduler, oracle = run(policy, seed)
    assert scheduler.counters.preemptions
    for tenant in "abc":
        charged = policy.unit * (policy.charged(tenant, scheduler.ledger.steps) - lifts[tenant])
        assert charged == oracle.prompts[tenant] + 2 * oracle.sampled[tenant]
        assert charged > 500


@pytest.mark.parametrize("make", [VirtualTokenCounter, DeficitRoundRobin])
def test_service_of_tenants_that_wait_differs_by_less_than_the_bound(make: Any) -> None:
    policy = make()
    _, oracle = run(policy, 7, steps=1500)
    served = {t: oracle.prompts[t] + 2 * oracle.sampled[t] for t in "abc"}
    assert max(served.values()) - min(served.values()) <= policy.bound(20, 20, 4)
    _, first = run(None, 7, 1500)
    unfair = {t: first.prompts[t] + 2 * first.sampled[t] for t in "abc"}
    assert max(unfair.values()) - min(unfair.values()) > policy.bound(20, 20, 4)


def test_weights_divide_the_charge() -> None:
    policy = VirtualTokenCounter(weights={"a": 2.0})
    _, oracle = run(policy, 3, steps=1500)
    served = {t: oracle.prompts[t] + 2 * oracle.sampled[t] for t in "abc"}
    assert served["a"] / served["b"] == pytest.approx(2.0, rel=0.1)
    assert served["b"] / served["c"] == pytest.approx(1.0, rel=0.1)


def test_who_comes_back_is_owed_nothing_for_its_absence() -> None:
    policy = VirtualTokenCounter(1.0, 1.0)
    policy.backlogged("a", 0)
    assert policy.first(0) == "a"
    policy.admitted("a", 100, 0)
    policy.decode_batch_changed("a", 3, 0)
    policy.backlogged("b", 50)
    assert policy.account("b").charged == 0  # the virtual time is a's counter when it was chosen
    assert policy.first(50) == "b"
    assert policy.charged("a", 50) == 250
    policy.idle("b", 50)
    assert policy.first(50) == "a"
    policy.admitted("a", 10, 50)
    policy.backlogged("b", 60)
    assert policy.account("b").charged == 250


def test_a_tenant_in_debt_sits_out_until_it_has_earned_it_back() -> None:
    policy = DeficitRoundRobin(quantum=10.0, prompt_price=1.0, output_price=1.0)
    policy.backlogged("a", 0)
    policy.backlogged("b", 0)
    first = policy.first(0)
    other = "b" if first == "a" else "a"
    policy.admitted(first, 35, 0)
    turns: list[Hashable] = []
    for _ in range(4):
        turns.append(policy.first(0))
        policy.admitted(policy.first(0), 10, 0)
    assert turns == [other, other, other, first]


def test_a_turn_is_not_lost_when_the_one_before_leaves() -> None:
    """Two tenants that come and go one request at a time, and one that waits all the time."""
    policy = DeficitRoundRobin(quantum=10.0, prompt_price=1.0, output_price=1.0)
    for name in "xby":
        policy.backlogged(name, 0)
    turns: list[Hashable] = []
    for k in range(30):
        tenant = policy.first(k)
        turns.append(tenant)
        if tenant == "b":
            policy.admitted(tenant, 10, k)
        else:
            policy.idle(tenant, k)
            policy.admitted(tenant, 10, k)
            policy.backlogged(tenant, k)
    # A tenant that left in debt pays back while others have their turns.
    assert min(Counter(turns)[t] for t in "xby") >= 5
    assert turns[0] == "x"


@pytest.mark.parametrize("seed", range(5))
def test_turns_of_tenants_that_wait_differ_by_one(seed: int) -> None:
    """b and c always wait; the others come and go as they like."""
    rng = random.Random(seed)
    policy = DeficitRoundRobin(quantum=5.0, prompt_price=1.0, output_price=1.0)
    begun: Counter[Hashable] = Counter()
    always: set[Hashable] = {"b", "c"}
    present = set(always)
    for name in "bc":
        policy.backlogged(name, 0)
    for step in range(400):
        for name in "adefg":
            if name not in present and rng.random() < 0.3:
                present.add(name)
                policy.backlogged(name, step)
        before = dict(policy.earned)
        tenant = policy.first(step)
        for name in "bc":
            turns, rest = divmod(policy.earned[name] - before[name], policy.quantum)
            assert rest == 0
            begun[name] += turns
        assert policy.credit(tenant, step) > 0
        leaves = tenant not in always and rng.random() < 0.7
        if leaves:
            present.discard(tenant)
            policy.idle(tenant, step)
        policy.admitted(tenant, rng.randint(1, 12), step)
        assert abs(begun["b"] - begun["c"]) <= 1
    assert min(begun["b"], begun["c"]) > 20


def test_weights_below_1_widen_the_bound() -> None:
    for make in (VirtualTokenCounter, DeficitRoundRobin):
        plain, light = make(), make(weights={"a": 0.5, "b": 3.0})
        assert light.bound(20, 20, 4) > plain.bound(20, 20, 4)
        assert make(weights={"b": 3.0}).bound(20, 20, 4) == plain.bound(20, 20, 4)
    _, oracle = run(VirtualTokenCounter(weights={"a": 0.5}), 3, steps=600)
    served = {t: oracle.prompts[t] + 2 * oracle.sampled[t] for t in "abc"}
    assert served["a"] / served["b"] == pytest.approx(0.5, rel=0.15)


def test_tenants_who_left_leave_nothing_behind() -> None:
    for policy in (VirtualTokenCounter(), DeficitRoundRobin()):
        scheduler = Scheduler(CONFIG, policy)
        for k in range(2000):
            scheduler.add(Request(request_id=k, prompt_tokens=3, max_tokens=1, tenant=f"t{k}"))
            plan = scheduler.schedule()
            scheduler.commit(plan, [0] * len(plan.sampling))
        assert len(scheduler.entries) == 0
        assert len(policy.accounts) < 200


def test_tenants_who_left_while_their_requests_ran_leave_nothing_behind(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(drr, "MOST_AWAY", 100)
    # Drafts keep sequences out of the decode batch: nothing but its samples is charged to a tenant of which no request
    # waits, so that it may be forgotten while it is served, and charged again.
    config = replace(
        CONFIG,
        num_gpu_blocks=4096,
        max_num_seqs=128,
        num_lookahead_slots=1,
        max_num_batched_tokens=512,
        max_model_len=128,
    )
    for policy in (VirtualTokenCounter(), DeficitRoundRobin()):
        scheduler = Scheduler(config, policy)
        for k in range(800):
            request = Request(request_id=k, prompt_tokens=30, max_tokens=90, tenant=f"t{k}")
            scheduler.add(request)
            plan = scheduler.schedule()
            scheduler.commit(plan, [0] * len(plan.sampling))
        assert len(policy.accounts) < 300


def test_debts_of_tenants_who_left_are_forgotten_once_they_are_too_many(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(drr, "MOST_AWAY", 200)
    policy = DeficitRoundRobin(quantum=1.0)
    for k in range(2000):  # none comes while another waits, so that no debt is earned back
        policy.backlogged(k, k)
        assert policy.first(k) == k
        policy.idle(k, k)
        policy.admitted(k, 100, k)
        if k % 100 == 0:
            policy.decode_batch_changed(k, 1, k)
    assert len(policy.accounts) == len(policy.left) <= 201
    assert all(k in policy.left for k in range(0, 2000, 100))  # they are charged still


def test_who_is_served_pays_also_if_accounts_are_looked_through_at_its_last_request() -> None:
    # 70 tenants whose requests run have accounts that cannot be forgotten, so each event looks for one that can.
    for others in (10, 70):
        policy = VirtualTokenCounter()
        for other in range(others):
            policy.backlogged(other, 0)
            policy.idle(other, 0)
            policy.admitted(other, 5, 0)
            policy.decode_batch_changed(other, 1, 0)
        policy.backlogged("b", 1)
        policy.admitted("b", 100, 1)
        served: list[Hashable] = []
        while "b" not in served:
            for tenant in ("x", "y"):  # each has one request at a time, and the next one at once
                if tenant not in policy.turn:
                    policy.backlogged(tenant, 2)
            served.append(policy.first(2))
            if served[-1] != "b":
                policy.idle(served[-1], 2)
            policy.admitted(served[-1], 10, 2)
            assert len(served) < 25, "b waits for ever"


def test_accounts_that_cannot_be_forgotten_are_not_looked_through_each_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    looked = 0
    plain = virtual_time.forgotten

    def counted(*arguments: Any) -> Any:
        nonlocal looked
        looked += 1
        return plain(*arguments)

    monkeypatch.setattr(virtual_time, "forgotten", counted)
    policy = VirtualTokenCounter()
    for k in range(2000):
        policy.backlogged(k, 0)
        policy.idle(k, 0)
        policy.admitted(k, 5, 0)
        policy.decode_batch_changed(k, 1, 0)
    assert len(policy.accounts) == 2000
    assert looked < 3 * 2000


def test_tenants_who_only_come_and_go_leave_nothing_behind() -> None:
    for policy in (VirtualTokenCounter(), DeficitRoundRobin()):
        scheduler = Scheduler(replace(CONFIG, max_num_seqs=1), policy)
        for name in ("runs", "waits"):
            scheduler.add(Request(request_id=name, prompt_tokens=3, max_tokens=40, tenant=name))
            if name == "runs":
                scheduler.commit(scheduler.schedule(), [0])
        for k in range(2000):
            scheduler.add(Request(request_id=k, prompt_tokens=3, max_tokens=1, tenant=f"t{k}"))
            scheduler.abort(k)
        for name, kept in vars(policy).items():
            assert not isinstance(kept, dict | list) or len(kept) < 200, name  # pyright: ignore[reportUnknownArgumentType]
