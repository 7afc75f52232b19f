"""Multi-level feedback queue: who is let in again and again and gets nowhere is promoted too."""

from __future__ import annotations

import pytest
from drive import small
from faulty import review_of_waiting_in_a_row

from lineclear.policies.mlfq import MultiLevelFeedbackQueue
from lineclear.request import Request
from lineclear.scheduler import Scheduler

PROMOTE_AFTER = 8


def steps_to_the_end(calls: int = 400) -> int | None:
    """A prompt of three steps; each time that two of them are computed, a short request comes.

    The short one stands on an upper level and takes the place of the long one, which computes
    everything again: it never waits for more than one step in a row.
    """
    options = (("quantum", 2), ("promote_after", PROMOTE_AFTER))
    config = small(
        num_gpu_blocks=11,
        num_cpu_blocks=0,
        block_size=1,
        max_num_seqs=4,
        max_num_batched_tokens=4,
        max_model_len=12,
        scheduling_policy="mlfq",
        policy_options=options,
    )
    scheduler = Scheduler(config)
    scheduler.add(Request(request_id="long", prompt_tokens=10, max_tokens=2))
    ran = 0
    for call in range(calls):
        long = scheduler.entries.get("long")
        if long is None:
            return call
        ran = ran + 1 if long.record.phase.name == "RUNNING" else 0
        if ran == 2 and len(scheduler.entries) == 1:
            scheduler.add(Request(request_id=call, prompt_tokens=2, max_tokens=1))
        plan = scheduler.schedule()
        scheduler.commit(plan, [0] * len(plan.sampling))
    return None


def test_who_gets_nowhere_is_promoted_though_it_never_waits_for_long() -> None:
    ended = steps_to_the_end()
    assert ended is not None
    assert PROMOTE_AFTER < ended <= 2 * PROMOTE_AFTER


def test_counting_only_steps_of_waiting_in_a_row_starves_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(MultiLevelFeedbackQueue, "review", review_of_waiting_in_a_row)
    assert steps_to_the_end() is None


def test_who_has_ended_leaves_nothing_behind() -> None:
    policy = MultiLevelFeedbackQueue(quantum=1, promote_after=2)
    scheduler = Scheduler(small(max_num_seqs=1), policy)
    for k in range(3):
        scheduler.add(Request(request_id=k, prompt_tokens=2, max_tokens=5))
    promoted = 0
    while scheduler.entries:
        plan = scheduler.schedule()
        scheduler.commit(plan, [0] * len(plan.sampling))
        promoted = max(promoted, len(policy.promoted))
    assert promoted > 0
    assert not policy.promoted
    assert not policy.seen
