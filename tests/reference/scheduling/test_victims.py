# pyright: reportArgumentType=false
"""Which request is preempted for growth, how, and which never is."""

from __future__ import annotations

from typing import Any

import pytest
from drive import Drive, rows

from lineclear.config import MODES, VICTIMS

# ---- growth -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("victim", VICTIMS)
@pytest.mark.parametrize("policy", ["fcfs", "priority"])
def test_the_first_in_order_is_never_a_victim(policy: str, victim: str, mode: str) -> None:
    """Whatever the rule: the longest, oldest, newest or least important of all is the first here."""
    for first in ({"prompt": 12, "most": 9}, {"prompt": 2, "most": 18}):
        drive = Drive(
            num_gpu_blocks=6, scheduling_policy=policy, victim=victim, preemption_mode=mode
        )
        drive.add("b", 7, 12)
        drive.add("a", **first, priority=1)
        drive.add("c", 7, 12)
        head = "a" if policy == "priority" else "b"
        finished = drive.run()
        assert finished[head].preemptions == 0
        assert sum(one.preemptions for one in finished.values()) > 0
        assert {name: one.outputs[0].generated_tokens for name, one in finished.items()} == {
            "a": first["most"],
            "b": 12,
            "c": 12,
        }


def three(policy: str, victim: str) -> Drive:
    """The first in order needs a fourth block in the next step, and no block is free."""
    drive = Drive(num_gpu_blocks=7, scheduling_policy=policy, victim=victim, max_model_len=28)
    if policy == "fcfs":  # in order: first, long, important
        drive.add("first", 11, 9, priority=0)
        drive.add("long", 6, 3, priority=0)
        drive.add("important", 5, 3, priority=5)
    else:  # in order: first, newest, oldest
        drive.add("oldest", 5, 3, priority=0)
        drive.add("newest", 6, 3, priority=1)
        drive.add("first", 11, 9, priority=2)
    drive.step()
    drive.step()
    assert drive.ledger.gpu.free == 0
    return drive


@pytest.mark.parametrize(
    ("policy", "victim", "expected"),
    [
        ("fcfs", "last", "important"),
        ("fcfs", "newest", "important"),
        ("fcfs", "lowest_priority", "long"),
        ("fcfs", "longest", "long"),
        ("priority", "last", "oldest"),
        ("priority", "lowest_priority", "oldest"),
        ("priority", "newest", "newest"),
        ("priority", "longest", "newest"),
    ],
)
def test_the_victim_rule_chooses_among_those_behind_the_one_that_grows(
    policy: str, victim: str, expected: str
) -> None:
    plan = three(policy, victim).step()
    assert plan.preempted == ((expected, "recompute"),)
    assert len(rows(plan)) == 2
    assert rows(plan)["first"] == 1


def test_the_longest_is_the_one_with_most_tokens_now() -> None:
    """`b` started shorter than `c` and has outgrown it while both were in the decode batch."""
    drive = Drive(num_gpu_blocks=10, victim="longest")
    drive.add("a", 12, 12)
    drive.add("b", 2, 20)
    for _ in range(7):
        drive.step()
    drive.add("c", 5, 14)
    plan = drive.until(lambda plan: bool(plan.preempted))
    assert plan.preempted == (("b", "recompute"),)
    assert drive.known("b") > drive.known("c")


def test_a_request_that_cannot_grow_and_is_the_last_is_preempted_itself() -> None:
    drive = Drive(num_gpu_blocks=5)
    drive.add("a", 5, 4)
    drive.add("b", 12, 8)
    drive.step()
    plan = drive.step()  # a has room for three more tokens, b for none
    assert plan.preempted == (("b", "recompute"),)
    assert rows(plan) == {"a": 1}
    assert drive.known("b") == [13]


def test_one_request_is_preempted_for_all_that_grow_if_that_is_enough() -> None:
    drive = Drive(num_gpu_blocks=6)
    for name in ("a", "b"):
        drive.add(name, 4, 6)
    drive.add("c", 10, 6)
    drive.step()
    plan = drive.step()  # a and b need a block each, one is free, and c holds three
    assert plan.preempted == (("c", "recompute"),)
    assert rows(plan) == {"a": 1, "b": 1}


@pytest.mark.parametrize("pause", [True, False])
def test_a_step_that_preempted_for_growth_admits_no_request(pause: bool) -> None:
    drive = Drive(num_gpu_blocks=7, max_bypasses=1, pause_after_preemption=pause)
    drive.add("a", 12, 12)
    drive.add("b", 16, 6)
    drive.step()
    drive.add("c", 3, 4)
    plan = drive.step()
    assert plan.preempted == (("b", "recompute"),)
    assert rows(plan) == ({"a": 1} if pause else {"a": 1, "c": 3})
    assert rows(drive.step()) == ({"a": 1, "c": 3} if pause else {"a": 1, "c": 1})


def test_a_preempted_request_goes_back_by_its_key() -> None:
    drive = Drive(num_gpu_blocks=5)
    drive.add("a", 5, 3)
    drive.add("b", 12, 8)
    drive.step()
    drive.add("c", 9, 2)
    assert drive.step().preempted == (("b", "recompute"),)
    plan = drive.until(lambda plan: len(rows(plan)) > 0 and "a" not in rows(plan))
    assert rows(plan) == {"b": 13}  # before c, which came later
    assert list(drive.run()) == ["a", "b", "c"]
    assert drive.finished["b"].outputs[0].generated_tokens == 8


# ---- how ----------------------------------------------------------------------------------------------


def outgrown(**changes: Any) -> Drive:
    """`b` is about to be preempted for `a`, with 8 tokens in 2 blocks."""
    drive = Drive(**{"num_gpu_blocks": 5, **changes})
    drive.add("a", 11, 9)
    drive.add("b", 6, 3)
    drive.step()
    drive.step()
    assert (drive.known("b"), drive.blocks("b")) == ([8], 2)
    return drive


@pytest.mark.parametrize(
    ("changes", "mode"),
    [
        ({"preemption_mode": "swap"}, "swap"),
        ({"preemption_mode": "recompute"}, "recompute"),
        ({"preemption_mode": "by_length", "swap_threshold": 8}, "swap"),
        ({"preemption_mode": "by_length", "swap_threshold": 9}, "recompute"),
        ({"preemption_mode": "auto", "swap_token_cost": 0.87}, "swap"),  # 8 slots, 7 computed
        ({"preemption_mode": "auto", "swap_token_cost": 0.88}, "recompute"),
        ({"preemption_mode": "swap", "num_cpu_blocks": 2}, "swap"),
        ({"preemption_mode": "swap", "num_cpu_blocks": 1}, "recompute"),
        ({"preemption_mode": "swap", "num_cpu_blocks": 0}, "recompute"),
    ],
)
def test_the_mode_says_how_and_swap_falls_back_to_recompute_without_room(
    changes: dict[str, Any], mode: str
) -> None:
    drive = outgrown(**changes)
    plan = drive.step()
    assert plan.preempted == (("b", mode),)
    assert len(plan.blocks_to_swap_out) == (2 if mode == "swap" else 0)
    assert drive.phase("b") == ("SWAPPED" if mode == "swap" else "WAITING")
    assert drive.run()["b"].outputs[0].generated_tokens == 3


def test_a_swapped_request_computes_nothing_again_and_a_recomputed_one_everything() -> None:
    for mode, tokens in (("swap", 1), ("recompute", 8)):
        drive = outgrown(preemption_mode=mode)
        drive.step()
        plan = drive.until(lambda plan: "b" in rows(plan))
        assert rows(plan)["b"] == tokens
        assert len(plan.blocks_to_swap_in) == (2 if mode == "swap" else 0)


def crowded_cpu(**changes: Any) -> Drive:
    """`middle` fills the CPU pool, `top` and `later` fill the GPU pool; `later` is about to go."""
    drive = Drive(
        num_gpu_blocks=6,
        num_cpu_blocks=3,
        scheduling_policy="priority",
        preemption_mode="swap",
        max_bypasses=1,
    )
    drive.add("middle", 9, 6, priority=2)
    drive.step()
    drive.add("top", 13, 4, priority=5)
    assert drive.step().preempted == (("middle", "swap"),)
    drive.add("later", 5, 6, **changes)
    assert "later" in rows(drive.step())
    drive.add("greatest", 5, 1, priority=6)
    return drive


def test_a_swapped_request_is_discarded_for_a_more_important_victim() -> None:
    drive = crowded_cpu(priority=3)
    assert drive.step().preempted == (("later", "swap"),)
    assert drive.phases() == {"middle": "WAITING", "top": "RUNNING", "later": "SWAPPED"}
    assert drive.known("middle") == [10]  # what it had generated is kept
    order = [name for name in drive.journal if name in ("swap_out", "discard_swapped")]
    assert order == ["swap_out", "discard_swapped", "swap_out"]
    assert drive.scheduler.stats()["swapped_discarded_total"] == 1
    assert {n: f.outputs[0].generated_tokens for n, f in drive.run().items()} == {
        "greatest": 1,
        "top": 4,
        "later": 6,
        "middle": 6,
    }


def test_a_swapped_request_is_not_discarded_for_a_less_important_victim() -> None:
    drive = crowded_cpu(priority=1)
    assert drive.step().preempted == (("later", "recompute"),)
    assert drive.phases() == {"middle": "SWAPPED", "top": "RUNNING", "later": "WAITING"}
    assert drive.actions["discard_swapped"] == 0


def test_of_several_displaced_requests_the_more_important_get_the_room_in_the_cpu_pool() -> None:
    drive = Drive(
        num_gpu_blocks=6, num_cpu_blocks=3, scheduling_policy="priority", preemption_mode="swap"
    )
    drive.add("low", 9, 6, priority=1)
    drive.add("middle", 9, 6, priority=2)
    drive.step()
    drive.add("high", 13, 6, priority=5)
    plan = drive.step()
    assert plan.preempted == (("middle", "swap"), ("low", "recompute"))
    assert len(plan.blocks_to_swap_out) == 3  # nothing is copied only to be discarded
    assert drive.phases() == {"low": "WAITING", "middle": "SWAPPED", "high": "RUNNING"}
