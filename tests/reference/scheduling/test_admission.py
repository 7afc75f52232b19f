"""Who is admitted, in which order, and whom a more important request displaces."""

from __future__ import annotations

from typing import Any

import pytest
from drive import Drive, rows

from lineclear_spec.kernel.lifecycle import Phase


def priorities(**settings: Any) -> Drive:
    return Drive(scheduling_policy="priority", **settings)


def add(drive: Drive, name: str, prompt: int, most: int = 20, **more: Any) -> None:
    assert drive.add(name, prompt, most, **more)


# ---- displacement by a waiting request ---------------------------------------------------------


def test_a_more_important_head_displaces_only_whom_it_needs_and_runs_at_once() -> None:
    # The decision tree of the lesson: 2 blocks free, 25 needed, one victim of 63 is enough.
    drive = priorities(
        num_gpu_blocks=110, max_num_batched_tokens=512, max_model_len=512, num_cpu_blocks=70
    )
    add(drive, "small", 13 * 4 - 1, priority=1)
    add(drive, "middle", 32 * 4 - 1, priority=3)
    add(drive, "large", 63 * 4 - 1, priority=2)
    drive.step()
    assert drive.ledger.gpu.free == 2
    add(drive, "urgent", 25 * 4 - 1, priority=9)
    add(drive, "urgent too", 1, priority=8)
    plan = drive.step()
    assert plan.preempted == (("large", "recompute"),)
    assert rows(plan) == {"urgent": 99, "small": 1, "middle": 1}  # alone: the next one waits
    assert drive.phases()["urgent too"] == "WAITING"


def test_no_request_is_preempted_when_all_together_would_not_make_room() -> None:
    drive = priorities(num_gpu_blocks=10)
    add(drive, "kept", 24, most=12, priority=5)
    add(drive, "low", 8, priority=1)
    drive.step()
    add(drive, "urgent", 20, priority=3)  # 5 blocks: 2 are free, low has 2
    plan = drive.step()
    assert plan.preempted == ()
    assert rows(plan) == {"kept": 1, "low": 1}


def test_equal_priority_displaces_no_request() -> None:
    drive = priorities(num_gpu_blocks=6)
    add(drive, "a", 20, most=4)
    drive.step()
    add(drive, "b", 8, most=4)
    assert drive.step().preempted == ()


def test_a_more_important_head_displaces_for_a_seat() -> None:
    drive = priorities(max_num_seqs=2)
    add(drive, "a", 2, priority=1)
    add(drive, "b", 2, priority=2)
    drive.step()
    add(drive, "c", 2, priority=3)
    assert drive.step().preempted == (("a", "recompute"),)
    assert drive.phases() == {"a": "WAITING", "b": "RUNNING", "c": "RUNNING"}


def test_a_more_important_head_displaces_for_tokens() -> None:
    drive = priorities(num_gpu_blocks=30, max_num_batched_tokens=8, long_prefill_token_threshold=0)
    add(drive, "a", 40, priority=1)
    drive.step()
    add(drive, "b", 6, priority=2)
    plan = drive.step()
    assert plan.preempted == (("a", "recompute"),)
    assert rows(plan) == {"b": 6}


def test_none_is_displaced_for_tokens_that_a_long_prompt_leaves() -> None:
    drive = priorities(num_gpu_blocks=30, max_num_batched_tokens=8, long_prefill_token_threshold=2)
    add(drive, "a", 40, priority=1)
    assert rows(drive.step()) == {"a": 8}
    add(drive, "b", 6, priority=2)
    plan = drive.step()
    assert plan.preempted == ()
    assert rows(plan) == {"a": 6, "b": 2}  # two for each, and what is left for the first
    assert rows(drive.step()) == {"b": 4, "a": 4}


def test_the_watermark_is_waived_for_one_that_displaces_everybody() -> None:
    drive = priorities(num_gpu_blocks=8, watermark=0.25)
    add(drive, "a", 20, most=4, priority=1)
    drive.step()
    add(drive, "b", 30, most=2, priority=2)
    plan = drive.step()
    assert plan.preempted == (("a", "recompute"),)
    assert rows(plan) == {"b": 30}


# ---- admission ---------------------------------------------------------------------------------


def test_the_watermark_is_kept_free_while_something_runs() -> None:
    drive = Drive(num_gpu_blocks=8, watermark=0.25)
    add(drive, "a", 16, most=1)
    add(drive, "b", 9, most=1)  # 3 of 4 free blocks, 2 are to stay free
    assert rows(drive.step()) == {"a": 16}
    assert rows(drive.step()) == {"b": 9}


@pytest.mark.parametrize("max_bypasses", [0, 1, 2])
def test_at_most_so_many_pass_one_that_does_not_fit(max_bypasses: int) -> None:
    drive = Drive(num_gpu_blocks=9, max_bypasses=max_bypasses)
    add(drive, "running", 17, most=16)
    drive.step()
    add(drive, "large", 20, most=4)
    for name in "abcd":
        add(drive, name, 1, most=2)
    entered: set[Any] = set()
    while drive.phases().get("large") == Phase.WAITING.name:
        plan = drive.step()
        if drive.phases()["large"] == Phase.WAITING.name:
            entered |= {row.request_id for row in plan.scheduled_seq_groups} - {"running"}
    assert len(entered) == max_bypasses


def test_swapped_requests_go_first_only_if_asked() -> None:
    for swapped_first in (False, True):
        drive = Drive(
            num_gpu_blocks=6, scheduling_policy="priority", preemption_mode="swap",
            swapped_first=swapped_first,
        )  # fmt: skip
        add(drive, "a", 12, most=8, priority=2)
        add(drive, "b", 12, most=8, priority=1)
        drive.step()
        assert drive.step().preempted == (("b", "swap"),)
        add(drive, "c", 4, most=2, priority=1)
        add(drive, "d", 4, most=2, priority=2)
        head = drive.scheduler.queue.head()
        assert head is not None
        assert head.user.request_id == ("b" if swapped_first else "d")


def test_branches_count_as_many_seats_as_they_may_become() -> None:
    drive = Drive(max_num_seqs=4, num_gpu_blocks=32)
    add(drive, "a", 2, n=3)
    add(drive, "b", 2, n=2)
    add(drive, "c", 2)
    assert rows(drive.step()) == {"a": 2}  # b comes first and has no seat
