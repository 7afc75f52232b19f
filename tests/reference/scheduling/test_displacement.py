# pyright: reportArgumentType=false
"""A waiting request displaces running ones; one that entered in this way keeps a token first."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from drive import Drive, rows

from lineclear.request import Request

# ---- a waiting request displaces running ones -----------------------------------------------------------


def test_a_more_important_head_displaces_for_blocks() -> None:
    drive = Drive(scheduling_policy="priority")
    drive.add("low", 20, 4, priority=0)
    drive.step()
    drive.add("high", 20, 4, priority=1)
    plan = drive.step()
    assert plan.preempted == (("low", "recompute"),)
    assert rows(plan) == {"high": 20}  # in the same step


def test_a_more_important_head_displaces_for_seats() -> None:
    drive = Drive(scheduling_policy="priority", max_num_seqs=2)
    drive.add("low", 2, priority=0)
    drive.add("middle", 2, priority=1)
    drive.step()
    drive.add("high", 2, priority=2)
    plan = drive.step()
    assert plan.preempted == (("low", "recompute"),)
    assert rows(plan) == {"high": 2, "middle": 1}


def test_a_more_important_head_displaces_for_tokens() -> None:
    drive = Drive(
        scheduling_policy="priority",
        enable_chunked_prefill=False,
        max_num_seqs=4,
        max_num_batched_tokens=8,
    )
    drive.add("low", 2, priority=0)
    drive.step()
    drive.add("high", 8, 1, priority=2)
    plan = drive.step()
    assert plan.preempted == (("low", "recompute"),)
    assert rows(plan) == {"high": 8}


def test_no_request_of_the_same_priority_is_displaced_and_none_at_all_under_fcfs() -> None:
    for policy, low, high in (("priority", 1, 1), ("fcfs", 0, 1)):
        drive = Drive(scheduling_policy=policy)
        drive.add("first", 20, 4, priority=low)
        drive.step()
        drive.add("second", 20, 4, priority=high)
        assert rows(drive.step()) == {"first": 1}
        assert drive.run()["first"].preemptions == 0


def test_no_request_is_displaced_if_all_candidates_together_would_not_suffice() -> None:
    drive = Drive(scheduling_policy="priority")
    drive.add("high", 16, 3, priority=2)  # 4 blocks, then 5
    drive.add("low", 4, 4, priority=0)  # 1 block, then 2
    drive.step()
    drive.add("middle", 16, 3, priority=1)  # 4 blocks; 3 would be there without `low`
    plan = drive.step()
    assert plan.preempted == ()
    assert rows(plan) == {"high": 1, "low": 1}
    assert drive.run()["low"].preemptions == 0


def test_a_chosen_victim_that_is_not_needed_is_spared() -> None:
    """The rule chooses the last one first, and then the one that suffices alone."""
    drive = Drive(scheduling_policy="priority", max_num_seqs=8)
    drive.add("large", 17, 3, priority=1)  # 5 blocks
    drive.add("small", 2, 4, priority=0)  # 1 block
    drive.step()
    drive.add("high", 20, 4, priority=2)  # 5 blocks of which 2 are free
    plan = drive.step()
    assert plan.preempted == (("large", "recompute"),)
    assert rows(plan) == {"high": 20, "small": 1}


def test_a_head_that_displaced_somebody_is_admitted_alone() -> None:
    drive = Drive(scheduling_policy="priority")
    drive.add("low", 28, 2, priority=0)
    drive.step()
    drive.add("high", 4, 4, priority=2)
    drive.add("next", 4, 4, priority=1)
    plan = drive.step()
    assert rows(plan) == {"high": 4}
    assert rows(drive.step()) == {"next": 4, "high": 1}


def test_a_head_that_fits_displaces_no_request() -> None:
    drive = Drive(scheduling_policy="priority")
    drive.add("low", 16, 4, priority=0)
    drive.step()
    drive.add("high", 8, 4, priority=2)
    plan = drive.step()
    assert plan.preempted == ()
    assert rows(plan) == {"high": 8, "low": 1}


def test_a_head_does_not_displace_in_a_step_that_preempted_for_growth() -> None:
    drive = Drive(num_gpu_blocks=5, scheduling_policy="priority", max_num_seqs=3)
    drive.add("a", 5, 4, priority=0)
    drive.add("b", 12, 8, priority=0)
    drive.step()
    drive.add("high", 17, 2, priority=1)
    plan = drive.step()
    assert plan.preempted == (("b", "recompute"),)
    assert rows(plan) == {"a": 1}
    plan = drive.step()
    assert plan.preempted == (("a", "recompute"),)
    assert rows(plan) == {"high": 17}


def test_the_watermark_is_waived_for_a_head_that_displaces_all_that_run() -> None:
    drive = Drive(scheduling_policy="priority", watermark=0.5)
    drive.add("low", 4, 4, priority=0)
    drive.step()
    drive.add("high", 29, 4, priority=1)  # the whole pool
    plan = drive.step()
    assert plan.preempted == (("low", "recompute"),)
    assert rows(plan) == {"high": 29}


def test_a_displaced_request_is_swapped_with_the_head_in_one_step() -> None:
    """The blocks that the victim gives up are allocated in the same plan, behind its copy."""
    drive = Drive(num_gpu_blocks=5, scheduling_policy="priority", preemption_mode="swap")
    drive.add("low", 16, 4, priority=0)
    drive.step()
    drive.add("high", 16, 4, priority=1)
    plan = drive.schedule()
    copy, forward = plan.operations
    assert (copy.kind, forward.kind, copy.request_id) == ("swap_out", "forward", "low")
    given_up = {source for source, _ in copy.blocks}
    assert given_up & set(drive.tables("high")[0])
    assert forward.wait == copy.number


# ---- who entered by displacing another keeps a token first ---------------------------------------


ASCENDING: dict[str, Callable[[int], dict[str, Any]]] = {
    "priority": lambda k: {"priority": k},
    "edf": lambda k: {"deadline": 1000.0 - k},
    "aging": lambda k: {"priority": 2 * k},
}


@pytest.mark.parametrize("policy", list(ASCENDING))
def test_arrivals_that_each_come_before_the_last_leave_time_for_a_token(policy: str) -> None:
    """Each takes two steps to its first token, and in each step one arrives that precedes it."""
    drive = Drive(
        num_gpu_blocks=4,
        num_cpu_blocks=0,
        max_num_seqs=4,
        max_num_batched_tokens=8,
        max_model_len=16,
        scheduling_policy=policy,
        policy_options=(("seconds_per_level", 10.0),) if policy == "aging" else (),
    )
    counters, kept = drive.scheduler.counters, 0
    for k in range(100):
        more = {"arrival_time": float(k), **ASCENDING[policy](k)}
        drive.scheduler.add(Request(request_id=k, prompt_tokens=12, max_tokens=4, **more))
        drive.step()
        if k and k % 2 == 0:
            assert counters.generated_tokens > kept
            kept = counters.generated_tokens
    assert counters.preemptions["recompute"] >= 40
    assert not drive.scheduler.policy_failures


def displacer(**changes: Any) -> Drive:
    """`middle` has displaced `low`, and 8 of its 20 tokens are computed."""
    settings: dict[str, Any] = {"max_num_batched_tokens": 8, "max_num_seqs": 3, **changes}
    drive = Drive(scheduling_policy="priority", **settings)
    drive.add("low", 20, 8, priority=0)
    drive.step()
    drive.add("middle", 20, 8, priority=1)
    assert drive.step().preempted == (("low", "recompute"),)
    return drive


def test_who_sheltered_is_not_displaced_before_it_has_kept_a_token() -> None:
    drive = displacer()
    drive.add("high", 20, 4, priority=2)
    assert rows(drive.step()) == {"middle": 8}
    assert rows(drive.step())["middle"] == 4  # and it samples
    plan = drive.step()
    assert plan.preempted == (("middle", "recompute"),)
    assert rows(plan) == {"high": 8}


def test_who_entered_without_displacing_is_displaced_at_once() -> None:
    drive = Drive(scheduling_policy="priority", max_num_batched_tokens=8, max_num_seqs=3)
    drive.add("middle", 20, 8, priority=1)
    drive.step()
    drive.add("high", 20, 4, priority=2)
    assert drive.step().preempted == (("middle", "recompute"),)


def test_a_steady_request_has_kept_a_token() -> None:
    """Tokens of one in the decode batch are counted by a clock, and no action says that it keeps them."""
    drive = displacer()
    drive.until(lambda plan: "middle" in rows(plan) and rows(plan)["middle"] == 1)
    (entry,) = drive.scheduler.running.entries.values()
    assert all(sequence.in_decode_batch for sequence in entry.record.members)
    assert entry.kept_a_token
    drive.add("high", 20, 4, priority=2)
    assert drive.step().preempted == (("middle", "recompute"),)


def test_who_sheltered_is_preempted_for_growth_and_then_is_like_any_other() -> None:
    drive = Drive(
        num_gpu_blocks=6, scheduling_policy="priority", max_num_batched_tokens=8, max_num_seqs=3
    )
    drive.add("top", 4, 6, priority=9)  # 1 block, 2 after its first token, 3 after 4 more
    drive.add("low", 4, 8, priority=0)
    drive.step()
    drive.step()
    drive.add("middle", 16, 4, priority=1)  # 4 blocks, of which 2 are free
    plan = drive.step()
    assert plan.preempted == (("low", "recompute"),)
    entry = drive.scheduler.entries["middle"]
    assert entry.sheltered
    assert not entry.kept_a_token
    plan = drive.until(lambda plan: bool(plan.preempted))
    assert plan.preempted == (("middle", "recompute"),)
    assert not entry.sheltered
    drive.until(lambda plan: "middle" in rows(plan))  # `top` has ended, and it fits
    assert not entry.sheltered


def test_a_token_of_an_earlier_stay_does_not_count() -> None:
    """`middle` keeps one, is displaced, enters again in the place of `low`, and is spared."""
    drive = Drive(
        num_gpu_blocks=7,
        scheduling_policy="priority",
        max_num_batched_tokens=8,
        max_num_seqs=3,
        max_bypasses=1,
    )
    drive.add("middle", 20, 8, priority=1)
    drive.until(lambda plan: bool(plan.sampling))
    drive.add("high", 16, 2, priority=2)
    assert drive.step().preempted == (("middle", "recompute"),)
    drive.add("low", 7, 8, priority=0)
    assert drive.until(lambda plan: bool(plan.preempted)).preempted == (("low", "recompute"),)
    drive.add("high again", 16, 1, priority=2)
    assert rows(drive.step()) == {"middle": 8}
