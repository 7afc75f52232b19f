"""Tokens and copies that arrive after their request has ended or was preempted."""

from __future__ import annotations

import pytest
from drive import Drive, rows

from lineclear.plan import Plan

# ---- two steps in flight --------------------------------------------------------------------------------


def test_a_second_step_decodes_what_the_first_has_not_sampled_yet() -> None:
    drive = Drive(max_steps_in_flight=2)
    drive.add("a", 5, 4)
    first, second = drive.schedule(), drive.schedule()
    assert (rows(first), rows(second)) == ({"a": 5}, {"a": 1})
    assert drive.known("a") == [5]
    drive.commit(first)
    third = drive.schedule()
    drive.commit(second)
    assert drive.known("a") == [7]
    drive.commit(third)
    assert drive.run()["a"].outputs[0].generated_tokens == 4


def test_no_step_is_issued_for_tokens_beyond_the_limit() -> None:
    drive = Drive(max_steps_in_flight=2)
    drive.add("a", 5, 2)
    first, second = drive.schedule(), drive.schedule()
    drive.commit(first)
    assert drive.schedule().is_empty  # both tokens are on their way
    assert [f.reason for f in drive.commit(second)] == ["length"]


def test_a_token_sampled_after_a_stop_is_dropped() -> None:
    drive = Drive(max_steps_in_flight=2)
    drive.add("a", 5, 9)
    first, second = drive.schedule(), drive.schedule()
    (finished,) = drive.commit(first, stop=["a"])
    assert (finished.reason, finished.outputs[0].generated_tokens) == ("stop", 1)
    assert drive.scheduler.dropped(second) == [0]
    assert drive.commit(second) == []


def test_a_token_for_an_earlier_request_of_the_same_id_does_not_reach_the_later_one() -> None:
    drive = Drive(max_steps_in_flight=2)
    drive.add("a", 5, 9)
    first = drive.schedule()
    drive.abort("a")
    drive.add("a", 3, 9)
    second = drive.schedule()
    assert drive.commit(first) == []
    assert drive.known("a") == [3]
    drive.commit(second, stop=["a"])
    assert drive.finished["a"].outputs[0].generated_tokens == 1


def test_a_group_that_may_fork_takes_one_step_at_a_time() -> None:
    drive = Drive(max_steps_in_flight=2)
    drive.add("group", 3, 6, n=2)
    drive.add("alone", 3, 6)
    first, second = drive.schedule(), drive.schedule()
    assert rows(first) == {"group": 3, "alone": 3}
    assert rows(second) == {"alone": 1}
    drive.commit(first, {"group": [[0], [0]]})
    third = drive.schedule()
    assert rows(third) == {"group": 1, ("group", 1): 1, "alone": 1}


# ---- late tokens ------------------------------------------------------------------------------------------


def preempted_in_flight(mode: str, most: int, failing: bool = False) -> tuple[Drive, Plan, Plan]:
    """`b` is preempted for `a` while its token is being computed: the two plans in flight."""
    drive = Drive(num_gpu_blocks=5, max_steps_in_flight=2, preemption_mode=mode)
    drive.add("a", 11, 9)
    drive.add("b", 6, most)
    drive.step()
    first = drive.schedule()
    assert rows(first) == {"a": 1, "b": 1}
    second = drive.schedule()
    assert second.preempted == (("b", mode),)
    assert rows(second) == {"a": 1}
    assert drive.known("b") == [7]
    return drive, first, second


@pytest.mark.parametrize("mode", ["swap", "recompute"])
def test_the_late_token_of_a_preempted_request_is_kept(mode: str) -> None:
    drive, first, second = preempted_in_flight(mode, most=3)
    assert drive.scheduler.dropped(first) == []
    assert drive.commit(first) == []
    assert drive.known("b") == [8]
    assert drive.phase("b") == ("SWAPPED" if mode == "swap" else "WAITING")
    drive.complete(second)
    drive.commit(second)
    plan = drive.until(lambda plan: "b" in rows(plan))
    assert rows(plan)["b"] == (1 if mode == "swap" else 8)
    assert drive.run()["b"].outputs[0].generated_tokens == 3


@pytest.mark.parametrize("mode", ["swap", "recompute"])
@pytest.mark.parametrize(("most", "stop", "reason"), [(2, [], "length"), (3, ["b"], "stop")])
def test_the_late_token_of_a_preempted_request_may_be_its_last(
    mode: str, most: int, stop: list[str], reason: str
) -> None:
    drive, first, second = preempted_in_flight(mode, most)
    (finished,) = drive.commit(first, stop=stop)
    assert (finished.request_id, finished.reason) == ("b", reason)
    assert finished.outputs[0].generated_tokens == 2
    assert finished.preemptions == 1
    drive.complete(second)
    drive.commit(second)
    assert (drive.blocks("a"), drive.ledger.gpu.free) == (4, 1)
    assert drive.ledger.cpu.free == 8
    assert "b" not in {name for _ in range(5) for name in rows(drive.step())}


@pytest.mark.parametrize("mode", ["swap", "recompute"])
def test_the_late_token_of_an_aborted_request_is_dropped(mode: str) -> None:
    drive, first, second = preempted_in_flight(mode, most=3)
    drive.abort("b")
    assert drive.scheduler.dropped(first) == [1]
    generated = drive.scheduler.stats()["generation_tokens_total"]
    assert drive.commit(first) == []
    assert drive.scheduler.stats()["generation_tokens_total"] == generated + 1  # of a
    drive.complete(second)
    drive.commit(second)
    assert list(drive.run()) == ["a"]


# ---- failed copies ------------------------------------------------------------------------------------------


def test_a_failed_copy_out_is_a_recompute_with_all_tokens_kept() -> None:
    drive, first, second = preempted_in_flight("swap", most=5)
    assert drive.fail(second, "swap_out") == ["b"]
    assert drive.phase("b") == "WAITING"
    assert drive.ledger.cpu.free == 8
    assert drive.known("b") == [7]
    drive.commit(first)  # it computed on KV that was good
    assert drive.known("b") == [8]
    drive.commit(second)
    plan = drive.until(lambda plan: "b" in rows(plan))
    assert rows(plan)["b"] == 8
    assert drive.run()["b"].outputs[0].generated_tokens == 5
    assert drive.scheduler.stats()["failed_copies_total"] == 1


def test_what_was_sampled_on_a_failed_copy_in_is_dropped_and_what_came_before_is_kept() -> None:
    drive = Drive(num_gpu_blocks=5, preemption_mode="swap")
    drive.add("a", 11, 4)
    drive.add("b", 6, 6)
    while "b" not in drive.scheduler.entries or drive.phase("b") != "SWAPPED":
        drive.step()
    known = drive.known("b")
    while True:
        plan = drive.schedule()
        if plan.blocks_to_swap_in:
            break
        drive.commit(plan)
    assert "b" in rows(plan)
    assert drive.fail(plan, "swap_in") == ["b"]
    assert drive.phase("b") == "WAITING"
    position = [row.request_id for row in plan.sampling].index("b")
    assert drive.scheduler.dropped(plan) == [position]
    assert drive.commit(plan, stop=["b"]) == []  # not even a stop counts
    assert drive.known("b") == known
    plan = drive.until(lambda plan: "b" in rows(plan))
    assert rows(plan)["b"] == known[0]
    assert drive.run()["b"].outputs[0].generated_tokens == 6


def test_with_two_steps_in_flight_everything_sampled_on_a_failed_copy_in_is_dropped() -> None:
    drive = Drive(num_gpu_blocks=5, preemption_mode="swap", max_steps_in_flight=2)
    drive.add("a", 11, 4)
    drive.add("b", 6, 6)
    drive.until(lambda plan: bool(plan.preempted))
    drive.until(lambda _: "a" not in drive.scheduler.entries)
    if drive.phase("b") != "SWAPPED":
        raise AssertionError("b is back already")
    known = drive.known("b")
    first, second = drive.schedule(), drive.schedule()
    assert first.blocks_to_swap_in
    assert rows(second) == {"b": 1}
    assert drive.fail(first, "swap_in") == ["b"]
    assert drive.scheduler.dropped(first) == drive.scheduler.dropped(second) == [0]
    drive.commit(first)
    drive.commit(second)
    assert drive.known("b") == known
    assert drive.run()["b"].outputs[0].generated_tokens == 6


def test_a_request_recomputed_while_its_copy_in_is_open_drops_what_was_sampled_on_it() -> None:
    """Its KV was freed before it was known to be good."""
    drive = Drive(
        num_gpu_blocks=5,
        preemption_mode="swap",
        max_steps_in_flight=2,
        scheduling_policy="priority",
    )
    drive.add("b", 6, 6)
    drive.step()
    drive.add("a", 13, 1, priority=1)
    assert drive.step().preempted == (("b", "swap"),)
    known = drive.known("b")
    first = drive.schedule()
    assert first.blocks_to_swap_in
    drive.add("c", 17, 1, priority=2)
    second = drive.schedule()
    assert second.preempted == (("b", "recompute"),)  # an open copy can't be swapped out again
    assert drive.scheduler.dropped(first) == [0]
    drive.commit(first)
    assert drive.known("b") == known
    drive.commit(second)
    assert drive.run()["b"].outputs[0].generated_tokens == 6


def test_a_failed_copy_of_a_request_that_was_preempted_meanwhile_changes_nothing() -> None:
    drive = Drive(
        num_gpu_blocks=5,
        preemption_mode="swap",
        max_steps_in_flight=2,
        scheduling_policy="priority",
    )
    drive.add("b", 6, 6)
    drive.step()
    drive.add("a", 13, 1, priority=1)
    drive.step()
    first = drive.schedule()
    assert first.blocks_to_swap_in
    drive.add("c", 17, 1, priority=2)
    second = drive.schedule()
    assert second.preempted == (("b", "recompute"),)
    assert drive.fail(first, "swap_in") == []
    drive.commit(first)
    drive.commit(second)
    assert sorted(map(str, drive.run())) == ["a", "b", "c"]
