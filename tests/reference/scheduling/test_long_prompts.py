"""Progress under any order, with a limit on the tokens of one prompt."""

from __future__ import annotations

from dataclasses import replace

import pytest

from lineclear.config import Config
from lineclear.monitor.stall_report import stall_report
from lineclear.plan import Plan
from lineclear.policies.view import View
from lineclear.request import Request, Sample
from lineclear.scheduler import Scheduler
from lineclear.scheduling import step as step_module
from lineclear.theorems.guarantees import Guarantee, guarantees


class TurnsRound:
    """A request that waits comes before all that run; each may be displaced."""

    name = "turns_round"

    def key(self, request: View) -> int:
        return 0 if request.waiting is not None else 1

    def may_displace(self, waiting: View, running: View) -> bool:
        return True

    def review(self, request: View) -> int:
        return 1


def unfinished(threshold: int) -> tuple[int, int]:
    """Requests that are live after 200 steps, and tokens that were kept in the last 150 of these."""
    config = Config(
        num_gpu_blocks=8,
        num_cpu_blocks=0,
        block_size=4,
        max_num_seqs=4,
        max_num_batched_tokens=8,
        max_model_len=28,
        watermark=0.0,
        preemption_mode="recompute",
        max_steps_in_flight=2,
        long_prefill_token_threshold=threshold,
    )
    scheduler = Scheduler(config, TurnsRound())
    for number, (prompt, most, n) in enumerate(((4, 9, 1), (10, 11, 2), (12, 8, 2))):
        request = Request(request_id=number, prompt_tokens=prompt, max_tokens=most, n=n)
        assert scheduler.add(request)
    flights: list[Plan] = []
    kept = 0
    for step in range(200):
        if step == 50:
            kept = scheduler.counters.generated_tokens
        plan = scheduler.schedule()
        if plan.step is not None:
            flights.append(plan)
        if len(flights) == 2 or (plan.step is None and flights):
            oldest = flights.pop(0)
            answers: list[Sample] = []
            for row in oldest.sampling:
                entry = scheduler.entries.get(row.request_id)
                rows = sum(other.request_id == row.request_id for other in oldest.sampling)
                forks = entry is not None and rows == 1 and len(entry.record.members) < entry.seats
                answers.append([[0], [0]] if forks else 0)
            scheduler.commit(oldest, answers)
    return len(scheduler.entries), scheduler.counters.generated_tokens - kept


@pytest.mark.parametrize("threshold", [0, 1, 2, 3, 4, 6])
def test_an_order_that_turns_round_is_no_livelock(threshold: int) -> None:
    assert unfinished(threshold)[0] == 0


def test_requests_that_enter_beside_a_prompt_displace_each_other_unless_they_are_sheltered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def sheltered(displacing: bool, lacking: bool) -> bool:
        return displacing

    monkeypatch.setattr(step_module, "is_sheltered", sheltered)
    assert unfinished(2) == (3, 0)


@pytest.mark.parametrize("label", ["P6a", "P6b", "P7"])
def test_with_a_limit_progress_is_claimed_within_other_bounds(label: str) -> None:
    def found(threshold: int) -> Guarantee:
        config = Config(long_prefill_token_threshold=threshold, max_num_seqs=8)
        (row,) = [row for row in guarantees(config) if row.theorem == f"fcfs.{label}"]
        return row

    off, on = found(0), found(512)
    assert off.status == on.status == "holds"
    assert off.bound is not None
    assert off.bound.number is not None
    assert on.bound is not None
    assert on.bound.number is not None
    assert off.bound.number < on.bound.number


def waits_for_long_prompts(
    max_bypasses: int, shorts: int = 6
) -> tuple[list[object], list[object]]:
    """Who enters while a long prompt runs and another is the head, and who enters in all.

    Short ones arrive behind the second long one, one in each step.
    """
    config = Config(
        num_gpu_blocks=200,
        num_cpu_blocks=0,
        block_size=1,
        max_num_seqs=12,
        max_num_batched_tokens=12,
        max_model_len=60,
        long_prefill_token_threshold=2,
        max_long_partial_prefills=1,
        max_bypasses=max_bypasses,
    )
    scheduler = Scheduler(config)
    for name in ("long", "head"):
        assert scheduler.add(Request(request_id=name, prompt_tokens=40, max_tokens=2))
    entered: list[object] = []
    beside: list[object] = []
    for step in range(60):
        if step < shorts:
            assert scheduler.add(Request(request_id=step, prompt_tokens=2, max_tokens=1))
        plan = scheduler.schedule()
        for row in plan.scheduled_seq_groups:
            if row.request_id not in entered:
                entered.append(row.request_id)
        if "head" not in entered:
            beside = entered[1:]
        scheduler.commit(plan, [0] * len(plan.sampling))
    assert not scheduler.entries
    return beside, entered


@pytest.mark.parametrize("max_bypasses", [0, 1, 3])
def test_short_prompts_pass_a_long_head_that_waits_for_another_so_often(max_bypasses: int) -> None:
    beside, entered = waits_for_long_prompts(max_bypasses)
    assert beside == list(range(max_bypasses))
    assert entered == ["long", *range(max_bypasses), "head", *range(max_bypasses, 6)]


def test_a_head_that_waits_for_long_prompts_says_so() -> None:
    scheduler = Scheduler(Config(max_num_batched_tokens=512, max_long_partial_prefills=1))
    for name in ("long", "head"):
        assert scheduler.add(Request(request_id=name, prompt_tokens=8000, max_tokens=2))
    scheduler.commit(scheduler.schedule(), [])
    (blocked,) = [one for one in stall_report(scheduler).held if one.request_id == "head"]
    assert (blocked.guard, blocked.figures) == ("long_prefills", {"of": 1})


def test_an_urgent_long_prompt_takes_the_place_of_another() -> None:
    config = Config(
        num_gpu_blocks=100,
        block_size=1,
        max_num_seqs=8,
        max_num_batched_tokens=8,
        max_model_len=60,
        scheduling_policy="priority",
        preemption_mode="recompute",
        long_prefill_token_threshold=2,
        max_long_partial_prefills=1,
    )
    scheduler = Scheduler(config)
    assert scheduler.add(Request(request_id="long", prompt_tokens=40, max_tokens=2))
    scheduler.commit(scheduler.schedule(), [])
    assert scheduler.add(Request(request_id="same", prompt_tokens=40, max_tokens=2))
    plan = scheduler.schedule()
    assert plan.preempted == ()
    scheduler.commit(plan, [])
    assert scheduler.add(Request(request_id="urgent", prompt_tokens=40, max_tokens=2, priority=1))
    plan = scheduler.schedule()
    assert [name for name, _ in plan.preempted] == ["long"]
    assert {row.request_id for row in plan.scheduled_seq_groups} == {"urgent"}


def test_with_passes_the_theorems_about_the_head_are_lost_by_name() -> None:
    kept = Config(max_long_partial_prefills=1)
    assert all(row.status != "no guarantee" for row in guarantees(kept))
    lost = {row.theorem: row.why for row in guarantees(replace(kept, max_bypasses=2))}
    assert lost["fcfs.P4"] == "no guarantee: F2 (max_bypasses 2)"
    assert lost["fcfs.P5"] == "holds"
