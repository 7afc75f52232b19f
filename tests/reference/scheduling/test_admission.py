"""Who is admitted, in which order, and whom a more important request displaces."""

from __future__ import annotations

from typing import Any

import pytest

from lineclear.config import Config
from lineclear.monitor.audit import audit
from lineclear.plan import Plan
from lineclear.request import Request
from lineclear.scheduler import Scheduler
from lineclear_spec.kernel.lifecycle import Phase

SMALL: dict[str, Any] = {
    "num_gpu_blocks": 8,
    "num_cpu_blocks": 8,
    "block_size": 4,
    "max_num_seqs": 8,
    "max_num_batched_tokens": 64,
    "max_model_len": 64,
    "watermark": 0.0,
    "preemption_mode": "recompute",
}


def make(**settings: Any) -> Scheduler:
    return Scheduler(Config(**{**SMALL, **settings}))


def priorities(**settings: Any) -> Scheduler:
    return make(scheduling_policy="priority", **settings)


def add(scheduler: Scheduler, name: str, prompt: int, most: int = 20, **more: Any) -> None:
    assert scheduler.add(Request(request_id=name, prompt_tokens=prompt, max_tokens=most, **more))


def step(scheduler: Scheduler) -> Plan:
    """One step, and every copy is done at once."""
    plan = scheduler.schedule()
    scheduler.complete([o.number for o in plan.operations if o.kind.startswith("swap")])
    scheduler.commit(plan, [7] * len(plan.sampling))
    audit(scheduler)
    return plan


def phases(scheduler: Scheduler) -> dict[Any, str]:
    return {name: entry.record.phase.name for name, entry in scheduler.entries.items()}


def rows(plan: Plan) -> dict[Any, int]:
    return {row.request_id: row.tokens for row in plan.scheduled_seq_groups}


# ---- displacement by a waiting request ---------------------------------------------------------


def test_a_more_important_head_displaces_only_whom_it_needs_and_runs_at_once() -> None:
    # The decision tree of the lesson: 2 blocks free, 25 needed, one victim of 63 is enough.
    scheduler = priorities(
        num_gpu_blocks=110, max_num_batched_tokens=512, max_model_len=512, num_cpu_blocks=70
    )
    add(scheduler, "small", 13 * 4 - 1, priority=1)
    add(scheduler, "middle", 32 * 4 - 1, priority=3)
    add(scheduler, "large", 63 * 4 - 1, priority=2)
    step(scheduler)
    assert scheduler.ledger.gpu.free == 2
    add(scheduler, "urgent", 25 * 4 - 1, priority=9)
    add(scheduler, "urgent too", 1, priority=8)
    plan = step(scheduler)
    assert plan.preempted == (("large", "recompute"),)
    assert rows(plan) == {"urgent": 99, "small": 1, "middle": 1}  # alone: the next one waits
    assert phases(scheduler)["urgent too"] == "WAITING"


def test_no_request_is_preempted_when_all_together_would_not_make_room() -> None:
    scheduler = priorities(num_gpu_blocks=10)
    add(scheduler, "kept", 24, most=12, priority=5)
    add(scheduler, "low", 8, priority=1)
    step(scheduler)
    add(scheduler, "urgent", 20, priority=3)  # 5 blocks: 2 are free, low has 2
    plan = step(scheduler)
    assert plan.preempted == ()
    assert rows(plan) == {"kept": 1, "low": 1}


def test_equal_priority_displaces_no_request() -> None:
    scheduler = priorities(num_gpu_blocks=6)
    add(scheduler, "a", 20, most=4)
    step(scheduler)
    add(scheduler, "b", 8, most=4)
    assert step(scheduler).preempted == ()


def test_a_more_important_head_displaces_for_a_seat() -> None:
    scheduler = priorities(max_num_seqs=2)
    add(scheduler, "a", 2, priority=1)
    add(scheduler, "b", 2, priority=2)
    step(scheduler)
    add(scheduler, "c", 2, priority=3)
    assert step(scheduler).preempted == (("a", "recompute"),)
    assert phases(scheduler) == {"a": "WAITING", "b": "RUNNING", "c": "RUNNING"}


def test_a_more_important_head_displaces_for_tokens() -> None:
    scheduler = priorities(
        num_gpu_blocks=30, max_num_batched_tokens=8, long_prefill_token_threshold=0
    )
    add(scheduler, "a", 40, priority=1)
    step(scheduler)
    add(scheduler, "b", 6, priority=2)
    plan = step(scheduler)
    assert plan.preempted == (("a", "recompute"),)
    assert rows(plan) == {"b": 6}


def test_none_is_displaced_for_tokens_that_a_long_prompt_leaves() -> None:
    scheduler = priorities(
        num_gpu_blocks=30, max_num_batched_tokens=8, long_prefill_token_threshold=2
    )
    add(scheduler, "a", 40, priority=1)
    assert rows(step(scheduler)) == {"a": 8}
    add(scheduler, "b", 6, priority=2)
    plan = step(scheduler)
    assert plan.preempted == ()
    assert rows(plan) == {"a": 6, "b": 2}  # two for each, and what is left for the first
    assert rows(step(scheduler)) == {"b": 4, "a": 4}


def test_the_watermark_is_waived_for_one_that_displaces_everybody() -> None:
    scheduler = priorities(num_gpu_blocks=8, watermark=0.25)
    add(scheduler, "a", 20, most=4, priority=1)
    step(scheduler)
    add(scheduler, "b", 30, most=2, priority=2)
    plan = step(scheduler)
    assert plan.preempted == (("a", "recompute"),)
    assert rows(plan) == {"b": 30}


# ---- admission ---------------------------------------------------------------------------------


def test_the_watermark_is_kept_free_while_something_runs() -> None:
    scheduler = make(num_gpu_blocks=8, watermark=0.25)
    add(scheduler, "a", 16, most=1)
    add(scheduler, "b", 9, most=1)  # 3 of 4 free blocks, 2 are to stay free
    assert rows(step(scheduler)) == {"a": 16}
    assert rows(step(scheduler)) == {"b": 9}


@pytest.mark.parametrize("max_bypasses", [0, 1, 2])
def test_at_most_so_many_pass_one_that_does_not_fit(max_bypasses: int) -> None:
    scheduler = make(num_gpu_blocks=9, max_bypasses=max_bypasses)
    add(scheduler, "running", 17, most=16)
    step(scheduler)
    add(scheduler, "large", 20, most=4)
    for name in "abcd":
        add(scheduler, name, 1, most=2)
    entered: set[Any] = set()
    while phases(scheduler).get("large") == Phase.WAITING.name:
        plan = step(scheduler)
        if phases(scheduler)["large"] == Phase.WAITING.name:
            entered |= {row.request_id for row in plan.scheduled_seq_groups} - {"running"}
    assert len(entered) == max_bypasses


def test_swapped_requests_go_first_only_if_asked() -> None:
    for swapped_first in (False, True):
        scheduler = make(
            num_gpu_blocks=6, scheduling_policy="priority", preemption_mode="swap",
            swapped_first=swapped_first,
        )  # fmt: skip
        add(scheduler, "a", 12, most=8, priority=2)
        add(scheduler, "b", 12, most=8, priority=1)
        step(scheduler)
        assert step(scheduler).preempted == (("b", "swap"),)
        add(scheduler, "c", 4, most=2, priority=1)
        add(scheduler, "d", 4, most=2, priority=2)
        head = scheduler.queue.head()
        assert head is not None
        assert head.user.request_id == ("b" if swapped_first else "d")


def test_branches_count_as_many_seats_as_they_may_become() -> None:
    scheduler = make(max_num_seqs=4, num_gpu_blocks=32)
    add(scheduler, "a", 2, n=3)
    add(scheduler, "b", 2, n=2)
    add(scheduler, "c", 2)
    assert rows(step(scheduler)) == {"a": 2}  # b comes first and has no seat
