"""Multi-level feedback queue: who is let in again and again and gets nowhere is promoted too."""

from __future__ import annotations

import pytest
from drive import Drive, small
from faulty import review_of_waiting_in_a_row

from lineclear.policies.mlfq import MultiLevelFeedbackQueue
from lineclear.request import Request
from lineclear.scheduler import Scheduler
from lineclear.theorems.guarantees import guarantees
from lineclear.workload.workload import Arrival, Workload

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


def test_a_group_whose_first_sequence_ends_stands_below_its_level_until_it_is_looked_at() -> None:
    """Why F13 is off for groups: after a recompute the first sequence is ahead of the second."""
    drive = Drive(
        scheduling_policy="mlfq",
        policy_options=(("quantum", 2),),
        block_size=1,
        num_gpu_blocks=60,
        max_num_seqs=2,
        max_num_batched_tokens=3,
        long_prefill_token_threshold=0,
    )
    drive.add("group", 4, most=20, n=2)
    entry, policy = drive.scheduler.entries["group"], drive.scheduler.adapter.policy
    drive.step()
    drive.step({"group": [[0], [0]]})
    for _ in range(5):
        drive.step()
    drive.scheduler.transitions.preempt(entry)
    drive.until(lambda _: drive.known("group")[0] == 4 + 11)
    assert drive.known("group") == [4 + 11, 4 + 9]
    drive.step(stop=["group"])
    assert drive.known("group") == [4 + 10]
    assert entry.order[0] == 3
    assert policy.key(entry.view(drive.ledger)) == 2
    pair = Arrival("pair", 0.0, 4, (2, 2), 2)
    rows = guarantees(drive.scheduler.config, Workload("one", "test", (pair,)))
    lost = {row.theorem: row.why for row in rows if row.lost}
    assert set(lost) == {"mlfq.P4", "mlfq.P4'"}
    assert "F13 (the workload: 1 of 1 requests have several sequences" in lost["mlfq.P4"]


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
