"""A policy that means harm: whatever it answers, raises or does, no invariant breaks and nothing is lost.

Hypothesis draws what each call of each method does. The failure is reported once, under the policy's
name, and from then on every step equals that of a scheduler that was first come, first served.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import pytest

pytest.importorskip("hypothesis")

from drive import dump
from hostile import ANSWERS, DEEDS, Everything, Hostile, Landlord, LyingFloat, LyingInt, Stop
from hypothesis import event, given, settings
from hypothesis import strategies as st
from surviving import CONFIG, asked, survive

from lineclear.config import Config
from lineclear.monitor.audit import audit
from lineclear.policies.view import View
from lineclear.request import Request, SchedulerError
from lineclear.scheduler import Scheduler

SCRIPTS = st.dictionaries(
    st.integers(1, 60), st.sampled_from([*ANSWERS, *DEEDS]), min_size=1, max_size=6
)
CONFIGS = st.builds(
    partial(replace, CONFIG),
    victim=st.sampled_from(["last", "lowest_priority", "longest", "newest"]),
    preemption_mode=st.sampled_from(["swap", "recompute", "by_length"]),
    max_steps_in_flight=st.sampled_from([1, 2]),
    max_bypasses=st.sampled_from([0, 0, 2]),
    swapped_first=st.booleans(),
    pause_after_preemption=st.booleans(),
)
KINDS = st.sampled_from([Hostile, Everything, Everything, Landlord])


@given(config=CONFIGS, kind=KINDS, script=SCRIPTS)
@settings(max_examples=120)
def test_no_answer_and_no_deed_breaks_anything(
    config: Config, kind: type[Hostile], script: dict[int, str]
) -> None:
    LyingInt.turns = 0
    policy = kind(dict(script))
    run = survive(config, policy)
    failures = run.scheduler.policy_failures
    event("failed" if failures else "went on")
    assert run.stops + (run.scheduler.adapter.interruption is not None) == policy.done.count(
        "stop"
    )
    assert "unpunished" not in policy.done
    for failure in failures:
        assert failure.startswith(f"{policy.name}: ")
        assert "\n" not in failure
        assert len(failure) < 400


EVERY = [*ANSWERS, *DEEDS]
#: What makes sense, or does no harm, for one method or another.
NO_FAILURE = {"inf", "huge", "minus", "lying", "lying inside", "lying float", "endless", "zero",
              "long", "force_request"}  # fmt: skip


@pytest.mark.parametrize("what", EVERY)
def test_each_failure_is_reported_under_the_policys_name(what: str) -> None:
    """As the answer to the tenth question of a policy with every method, whatever it is."""
    LyingInt.turns = 0
    output: set[str] = set()
    for call in (1, 2, 4, 10, 31):
        run = survive(CONFIG, Everything({call: what}))
        output |= set(run.scheduler.policy_failures)
    assert all(one.startswith("hostile: ") for one in output)
    assert output or what in NO_FAILURE


TENANT_CALLS = ["backlogged", "idle", "admitted", "sampled", "decode_batch_changed"]


@pytest.mark.parametrize(
    ("where", "what"),
    [
        *[("first", what) for what in ("no such tenant", "none", "error", "list")],
        *[(where, "error") for where in TENANT_CALLS],
    ],
)
def test_each_call_of_a_tenant_policy_may_fail_and_everybody_is_served(
    where: str, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its second call of this method fails."""
    policy = Landlord({})
    asked_before, plain = [0], getattr(policy, where)

    def failing(*arguments: Any) -> Any:
        asked_before[0] += 1
        policy.script = {policy.calls + 1: what} if asked_before[0] == 2 else {}
        return plain(*arguments)

    monkeypatch.setattr(policy, where, failing)
    (failure,) = survive(CONFIG, policy).scheduler.policy_failures
    assert policy.done == [what]
    assert failure.startswith("landlord: ")


# ---- one by one --------------------------------------------------------------------------------


def test_a_rank_that_fails_after_its_key_leaves_no_key_behind() -> None:
    """Everybody stands by arrival, also the one that was being asked about."""

    class HalfWay(Everything):
        def key(self, request: View) -> Any:
            return -100 - request.number

        def rank(self, request: View) -> Any:
            return None if request.number == 3 else 0

    scheduler = Scheduler(CONFIG, HalfWay({}))
    for number in range(5):
        scheduler.add(asked(number))
    assert [entry.order for entry in scheduler.entries.values()] == [(n,) for n in range(1, 6)]
    head = scheduler.queue.head()
    assert head is not None
    assert head.request_id == 0
    assert scheduler.policy_failures == [
        "hostile: TypeError: a rank is a number or a tuple of numbers, not None"
    ]


@pytest.mark.parametrize("number", [LyingInt, LyingFloat])
def test_a_comparison_of_its_own_is_never_made(number: Any) -> None:
    """The numbers are taken, what they do when they are compared is not: no heap is left torn."""

    class Compared(Hostile):
        def key(self, request: View) -> Any:
            return (number(-request.priority), number(request.number))

    LyingInt.turns = 0
    run = survive(CONFIG, Compared({}))
    assert LyingInt.turns == 0
    assert run.scheduler.policy_failures == []


def test_a_key_of_another_width_is_a_failure() -> None:
    class Wider(Hostile):
        def key(self, request: View) -> Any:
            return (1, 2) if request.number == 4 else 1

    run = survive(CONFIG, Wider({}))
    assert run.scheduler.policy_failures == [
        "hostile: TypeError: a key has as many parts as the first one, 1, not (1, 2)"
    ]


def test_a_share_is_made_plain_before_it_is_counted() -> None:
    class Sharing(Everything):
        def share(self, request: View, budget: int, sharers: int) -> Any:
            return LyingInt(3)

    LyingInt.turns = 0
    assert survive(CONFIG, Sharing({})).scheduler.policy_failures == []
    assert LyingInt.turns == 0


def test_who_asks_the_program_to_stop_while_a_request_arrives_leaves_nothing_behind() -> None:
    scheduler = Scheduler(CONFIG, Hostile({2: "stop"}))
    scheduler.add(asked(0))
    with pytest.raises(Stop):
        scheduler.add(asked(1))
    audit(scheduler)
    assert list(scheduler.entries) == [0]
    assert scheduler.add(asked(1))
    assert scheduler.policy_failures == ["hostile: Stop: stop"]


def test_who_asks_the_program_to_stop_in_a_step_is_heard_by_the_next_call() -> None:
    policy = Everything({})
    scheduler = Scheduler(CONFIG, policy)
    for number in range(4):
        scheduler.add(asked(number))
    policy.script = {policy.calls + 1: "stop"}
    plan = scheduler.schedule()  # the plan is not lost
    audit(scheduler)
    with pytest.raises(Stop):
        scheduler.commit(plan, [7] * len(plan.sampling))
    audit(scheduler)
    scheduler.commit(plan, [7] * len(plan.sampling))


def test_what_a_policy_is_called_cannot_hide_its_failure() -> None:
    class Nameless(Hostile):
        def __getattribute__(self, name: str) -> Any:
            if name == "name":
                raise ValueError("no name")
            return object.__getattribute__(self, name)

    scheduler = Scheduler(CONFIG, Nameless({1: "error"}))
    scheduler.add(asked(0))
    assert scheduler.policy_failures[0].startswith("Nameless: LookupError: two lines, and more ")


def test_a_method_that_appears_or_goes_later_does_no_harm() -> None:
    class Fickle(Everything):
        def __getattribute__(self, name: str) -> Any:
            if name == "share" and object.__getattribute__(self, "calls") > 8:
                raise OSError("share is away")
            return object.__getattribute__(self, name)

    run = survive(CONFIG, Fickle({}))
    assert run.scheduler.policy_failures == ["hostile: OSError: share is away"]


def test_looks_in_the_far_future_do_not_pile_up() -> None:
    class Far(Everything):
        def review(self, request: View) -> Any:
            return 10**18 + request.step

    scheduler = Scheduler(CONFIG, Far({}))
    for number in range(600):
        scheduler.add(Request(request_id=number, prompt_tokens=1, max_tokens=1))
        plan = scheduler.schedule()
        scheduler.commit(plan, [7] * len(plan.sampling))
    assert scheduler.live.reviews is not None
    assert sum(map(len, scheduler.live.reviews.values())) < 100


def test_a_call_of_the_scheduler_is_refused_and_told() -> None:
    policy = Hostile({3: "call_abort_quietly"})
    scheduler = policy.scheduler = Scheduler(CONFIG, policy)
    for number in range(4):
        scheduler.add(asked(number))
    assert policy.done == ["call_abort_quietly"]
    assert list(scheduler.entries) == [0, 1, 2, 3]
    assert scheduler.policy_failures == [
        "hostile: SchedulerError: a policy, or a function that a caller gave, may not call the scheduler meanwhile: "
        "call it afterwards"
    ]


def test_who_asks_itself_by_way_of_the_scheduler_is_still_being_asked() -> None:
    """What the inner question leaves behind does not open the scheduler to the outer one."""

    class Nested(Hostile):
        def key(self, request: View) -> Any:
            assert self.scheduler is not None
            if self.calls < 1:
                self.calls += 1
                try:
                    self.scheduler.adapter.key(request)
                except SchedulerError:
                    self.scheduler.drain()
            return 0

    policy = Nested({})
    scheduler = policy.scheduler = Scheduler(CONFIG, policy)
    scheduler.add(asked(0))
    assert not scheduler.live.draining
    assert len(scheduler.policy_failures) == 1


def test_a_failure_that_the_harness_must_see_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the order of a failed policy left as it was the twin differs."""
    from lineclear.scheduling.policy_adapter import PolicyAdapter

    def careless(self: PolicyAdapter, error: BaseException) -> None:
        self.failures.append(f"hostile: {error!r}")

    monkeypatch.setattr(PolicyAdapter, "fail", careless)
    with pytest.raises(AssertionError):
        survive(CONFIG, Hostile({12: "error"}))


@pytest.mark.parametrize("call", ["schedule", "commit"])
def test_a_clock_that_fails_changes_nothing(call: str) -> None:
    """The other thing of the caller's that is asked in a step: before anything changes."""
    times = iter([1.0] if call == "commit" else [])
    scheduler = Scheduler(CONFIG, clock=lambda: next(times))
    scheduler.add(asked(0))
    plan = scheduler.schedule() if call == "commit" else None
    before = dump(scheduler, without=("clock", "journal"))
    with pytest.raises(StopIteration):
        scheduler.schedule() if plan is None else scheduler.commit(plan, [7])
    audit(scheduler)
    assert dump(scheduler, without=("clock", "journal")) == before
    scheduler.clock = None
    plan = plan or scheduler.schedule()
    assert scheduler.commit(plan, [7]) == []
