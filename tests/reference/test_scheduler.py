"""What a caller of the scheduler sees, and what it costs."""

from __future__ import annotations

import gc
import sys
import tracemalloc
from typing import Any

import numpy as np
from small_scheduler import SMALL, finish_all, make, request, step

from lineclear.config import Config
from lineclear.request import (
    Accepted,
    Request,
)
from lineclear.scheduler import Scheduler

# ---- one request -------------------------------------------------------------------------------


def test_one_request_from_its_prompt_to_its_last_token() -> None:
    scheduler = make()
    assert scheduler.add(request("a")) == Accepted("a")
    first = scheduler.schedule()
    (row,) = first.scheduled_seq_groups
    assert (row.request_id, row.tokens, row.start, row.samples, row.prefill) == (
        "a",
        5,
        0,
        True,
        True,
    )
    assert (first.step, first.num_batched_tokens, first.num_prefill_groups) == (1, 5, 1)
    assert first.tables == (("a", 0, (0, 1)),)
    assert first.operations[-1].kind == "forward"
    assert scheduler.commit(first, [7]) == []

    # The 6th, 7th and 8th position fall into the second block.
    for number in (2, 3):
        plan = scheduler.schedule()
        (row,) = plan.scheduled_seq_groups
        assert (plan.step, row.tokens, row.prefill, plan.new_blocks) == (number, 1, False, ())
        assert scheduler.commit(plan, np.array([7])) == []
    last = scheduler.schedule()
    (finished,) = scheduler.commit(last, [7])
    assert (finished.request_id, finished.reason, finished.preemptions) == ("a", "length", 0)
    assert [(o.branch, o.generated_tokens, o.reason) for o in finished.outputs] == [
        (0, 4, "length")
    ]
    last = scheduler.schedule()
    assert (last.step, last.ended, last.is_empty) == (None, ("a",), False)  # an executor drops it
    assert scheduler.schedule().is_empty
    assert scheduler.stats()["gpu_cache_usage_perc"] == 0


def test_a_stop_token_ends_a_request_early_and_its_id_is_free_again() -> None:
    scheduler = make()
    scheduler.add(request("a", most=40))
    step(scheduler)
    plan = scheduler.schedule()
    (finished,) = scheduler.commit(plan, [7], [0])
    assert (finished.reason, finished.outputs[0].generated_tokens) == ("stop", 2)
    assert isinstance(scheduler.add(request("a")), Accepted)


def test_the_plan_of_a_sequence_that_reaches_its_boundary_names_its_block() -> None:
    scheduler = make()
    scheduler.add(request("a", prompt=4))
    step(scheduler)
    assert scheduler.schedule().new_blocks == (("a", 0, 1),)


def test_who_is_scheduled_is_the_same_view_until_somebody_joins_or_leaves() -> None:
    scheduler = make()
    for name in "abc":
        scheduler.add(request(name, most=20))
    step(scheduler)
    second, third = step(scheduler), step(scheduler)
    assert second.scheduled_seq_groups.second is third.scheduled_seq_groups.second
    assert third.sampling.second is third.scheduled_seq_groups.second
    output = [row.request_id for row in third.sampling]
    scheduler.abort("b")
    assert [row.request_id for row in third.sampling] == output == ["a", "b", "c"]
    assert [row.request_id for row in step(scheduler).sampling] == ["a", "c"]


def test_a_prompt_longer_than_the_budget_is_computed_in_chunks() -> None:
    scheduler = make()
    scheduler.add(request("a", prompt=40, most=2))
    plan = step(scheduler)
    assert [(row.start, row.tokens, row.samples) for row in plan.scheduled_seq_groups] == [
        (0, 32, False)
    ]
    assert len(plan.sampling) == 0
    plan = step(scheduler)
    assert [(row.start, row.tokens, row.samples) for row in plan.sampling] == [(32, 8, True)]


def test_time_stamps_come_from_the_injected_clock() -> None:
    times = iter(range(100))
    scheduler = Scheduler(Config(**SMALL), clock=lambda: float(next(times)))
    scheduler.add(request("a", most=1))
    plan = scheduler.schedule()
    (finished,) = scheduler.commit(plan, [7])
    assert (plan.time, finished.time) == (0.0, 1.0)


def test_a_plan_may_move_blocks_and_compute_nothing() -> None:
    scheduler = make(
        num_gpu_blocks=3,
        max_steps_in_flight=2,
        num_lookahead_slots=1,
        preemption_mode="swap",
        max_model_len=12,
    )
    scheduler.add(request("a", prompt=4))
    first = scheduler.schedule()
    scheduler.add(request("b", prompt=4))
    second = scheduler.schedule()
    scheduler.commit(first, [7])
    third = scheduler.schedule()  # a verifies a draft and takes the last block
    scheduler.commit(second, [7])
    # b needs a block and is preempted for a, which waits to hear of its draft.
    moving = scheduler.schedule()
    assert moving.step is None
    assert not moving.is_empty
    assert moving.preempted == (("b", "swap"),)
    assert len(moving.blocks_to_swap_out) == 1
    scheduler.complete([moving.operations[0].number])
    scheduler.commit(third, [[[7, 7]]])
    finish_all(scheduler)


# ---- costs -------------------------------------------------------------------------------------


def calls_of_a_quiet_step(running: int) -> int:
    """Python functions called by one step that only decodes."""
    scheduler = make(
        num_gpu_blocks=3 * running, max_num_seqs=running, max_num_batched_tokens=24 * running
    )
    for name in range(running):
        scheduler.add(request(name, most=7))
    step(scheduler)
    step(scheduler)
    calls = 0

    def count(_: Any, event: str, __: Any) -> None:
        nonlocal calls
        calls += event in ("call", "c_call")

    tokens = np.zeros(running, dtype=np.int64)
    sys.setprofile(count)
    plan = scheduler.schedule()
    scheduler.commit(plan, tokens)
    sys.setprofile(None)
    assert len(plan.sampling) == running
    assert plan.new_blocks == ()
    return calls


def test_a_quiet_step_makes_as_many_calls_for_16_sequences_as_for_400() -> None:
    assert calls_of_a_quiet_step(16) == calls_of_a_quiet_step(400)


def test_a_waiting_request_costs_at_most_two_kibibytes() -> None:
    scheduler = make()
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    for name in range(5000):
        scheduler.add(request(name))
    held = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    assert held / 5000 <= 2048


def test_nothing_grows_with_requests_that_have_ended() -> None:
    scheduler = make(preemption_mode="swap")

    def serve(first: int, count: int) -> int:
        for name in range(first, first + count):
            scheduler.add(request(name, most=6))
            scheduler.add(request(-name - 1, most=6))
            scheduler.abort(-name - 1)
            if name % 4 == 3:
                finish_all(scheduler)
        finish_all(scheduler)
        gc.collect()
        return sum(type(o) not in (tuple, float) for o in gc.get_objects())

    serve(0, 1100)  # the ring of the journal is full by now
    once = serve(2000, 40)
    assert abs(serve(3000, 400) - once) < 40
    assert len(scheduler.queue.heap) < 200


def test_aborted_requests_behind_a_blocked_one_are_forgotten() -> None:
    scheduler = make()
    scheduler.add(request("running", prompt=40, most=8))
    step(scheduler)
    scheduler.add(request("blocked", prompt=40, most=8))
    for name in range(2000):
        scheduler.add(request(name))
        scheduler.abort(name)
    assert len(scheduler.queue.heap) < 200
    finish_all(scheduler)


def test_a_table_is_sent_with_a_step_and_not_with_a_plan_that_may_be_passed_over() -> None:
    scheduler = make()
    scheduler.add(Request(request_id="a", prompt_tokens=4, max_tokens=4, n=2))
    scheduler.commit(scheduler.schedule(), [[[17], [18]]])
    scheduler.pause("keep")
    assert scheduler.schedule().is_empty
    scheduler.resume()
    plan = scheduler.schedule()
    assert plan.step == 2
    assert [(name, branch) for name, branch, _ in plan.tables] == [("a", 1)]
