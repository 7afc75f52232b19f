"""Shares of prompts in a step, and which CPU copies are discarded to make room for another."""

from __future__ import annotations

from typing import Any

import pytest
from drive import Drive, rows

from lineclear.policies.view import View


class Portions:
    """First come, first served; each prompt gets its portion of a step's tokens."""

    name = "portions"

    def __init__(self, **portions: int) -> None:
        self.portions = portions
        self.asked: list[tuple[str, int, int]] = []

    def key(self, request: View) -> int:
        return 0

    def may_displace(self, waiting: View, running: View) -> bool:
        return False

    def share(self, request: View, budget: int, sharers: int) -> int:
        self.asked.append((str(request.request_id), budget, sharers))
        return self.portions[str(request.request_id)]


#: No prompt is cut but by its portion and the budget.
AMPLE: dict[str, Any] = {
    "max_num_batched_tokens": 16,
    "num_gpu_blocks": 16,
    "long_prefill_token_threshold": 0,
}


def with_ample_memory(**changes: Any) -> dict[str, Any]:
    """The same, with these changes."""
    return {**AMPLE, **changes}


# ---- shares -------------------------------------------------------------------------------------


def test_each_prompt_gets_its_portion_and_the_rest_goes_to_the_first_in_the_order() -> None:
    policy = Portions(a=3, b=5, c=2)
    drive = Drive(policy, **AMPLE)
    for name in policy.portions:
        drive.add(name, 14, 2)
    plan = drive.step()
    assert rows(plan) == {"a": 9, "b": 5, "c": 2}  # 6 tokens were left over
    assert policy.asked == [("a", 16, 3), ("b", 16, 3), ("c", 16, 3)]


def test_what_the_first_cannot_use_goes_to_the_next() -> None:
    policy = Portions(a=2, b=2, c=2)
    drive = Drive(policy, **AMPLE)
    drive.add("a", 5, 2)
    drive.add("b", 14, 2)
    drive.add("c", 14, 2)
    assert rows(drive.step()) == {"a": 5, "b": 9, "c": 2}


def test_a_portion_is_no_more_than_the_prompt_has_or_the_step_has_left() -> None:
    policy = Portions(a=100, b=100, c=100)
    drive = Drive(policy, **AMPLE)
    drive.add("a", 6, 2)
    drive.add("b", 14, 2)
    drive.add("c", 14, 2)
    assert rows(drive.step()) == {"a": 6, "b": 10}


def test_a_portion_is_no_more_than_the_most_of_a_prompt() -> None:
    policy = Portions(a=100, b=3, c=100)
    drive = Drive(policy, **with_ample_memory(long_prefill_token_threshold=5))
    for name in policy.portions:
        drive.add(name, 14, 2)
    assert rows(drive.step()) == {"a": 8, "b": 3, "c": 5}  # 5, 3 and 5, and 3 left over


def test_a_prompt_that_goes_on_gets_its_portion_and_decodes_come_first() -> None:
    policy = Portions(a=4, b=4)
    drive = Drive(policy, **with_ample_memory(max_num_batched_tokens=8))
    drive.add("a", 4, 4)
    drive.add("b", 20, 2)
    assert rows(drive.step()) == {"a": 4, "b": 4}
    assert rows(drive.step()) == {"a": 1, "b": 7}  # 3 of them are left over by everybody
    policy.portions["c"] = 3
    drive.add("c", 9, 2)
    # A prompt that runs may use what is left: no request enters.
    assert rows(drive.step()) == {"a": 1, "b": 7}
    assert [name for name, *_ in policy.asked[-1:]] == ["b"]


@pytest.mark.parametrize("chunked", [True, False])
def test_a_step_computes_no_more_tokens_than_its_budget(chunked: bool) -> None:
    names = {f"r{k}": 1 + k % 3 for k in range(7)}
    drive = Drive(
        Portions(**names),
        max_num_batched_tokens=16,
        num_gpu_blocks=32,
        enable_chunked_prefill=chunked,
    )
    for k, name in enumerate(names):
        drive.add(name, 3 + 2 * k, 2)
    for _ in range(40):
        plan = drive.step()
        assert plan.num_batched_tokens <= 16
    assert set(drive.finished) == set(names)


# ---- discards -----------------------------------------------------------------------------------


class Alphabet:
    """Every request stands where its name says: the later letter is the less important."""

    name = "alphabet"

    def key(self, request: View) -> int:
        return ord(str(request.request_id)[0])

    def may_displace(self, waiting: View, running: View) -> bool:
        return self.key(waiting) < self.key(running)


def with_cpu_blocks(blocks: int) -> Drive:
    """Nothing is live; every victim is swapped out if there is room."""
    return Drive(Alphabet(), num_gpu_blocks=12, num_cpu_blocks=blocks, preemption_mode="swap")


def preempt(drive: Drive, *names: str) -> None:
    """These are preempted by the scheduler, in this order, between two steps."""
    scheduler = drive.scheduler
    for name in names:
        scheduler.transitions.preempt(scheduler.entries[name])
    assert scheduler.policy_failures == []


@pytest.mark.parametrize("order", ["cde", "ced", "dce", "dec", "ecd", "edc"])
def test_the_least_important_copy_is_discarded_first_whatever_the_order_of_the_swaps(
    order: str,
) -> None:
    drive = with_cpu_blocks(6)
    for name in "ecbd":
        drive.add(name, 7, 4)
    drive.step()
    preempt(drive, *order)
    assert drive.ledger.cpu.free == 0
    preempt(drive, "b")
    assert drive.phases() == {"b": "SWAPPED", "c": "SWAPPED", "d": "SWAPPED", "e": "WAITING"}
    assert drive.scheduler.counters.discarded == 1


def test_as_many_copies_are_discarded_as_are_needed_and_no_more() -> None:
    drive = with_cpu_blocks(6)
    drive.add("a", 11, 4)  # three blocks, and so two copies make way for its own
    for name in "dec":
        drive.add(name, 7, 4)
    drive.step()
    preempt(drive, *"cde")
    assert drive.ledger.cpu.free == 0
    preempt(drive, "a")
    assert drive.phases() == {"a": "SWAPPED", "c": "SWAPPED", "d": "WAITING", "e": "WAITING"}
    assert drive.ledger.cpu.free == 1


def test_no_copy_is_discarded_if_all_that_may_be_are_not_enough() -> None:
    drive = with_cpu_blocks(4)
    for name in "acd":
        drive.add(name, 7, 4)
    drive.add("b", 11, 4)  # three blocks; behind it stands `d` with two, and none is free
    drive.step()
    preempt(drive, "a", "d")
    recomputed = drive.scheduler.counters.recomputed_tokens
    preempt(drive, "b")
    assert drive.phases() == {"a": "SWAPPED", "b": "WAITING", "c": "RUNNING", "d": "SWAPPED"}
    assert drive.scheduler.counters.discarded == 0
    assert drive.scheduler.counters.recomputed_tokens == recomputed + 11


def test_what_is_discarded_waits_at_its_place_and_keeps_its_tokens() -> None:
    drive = with_cpu_blocks(2)
    for name in "cb":
        drive.add(name, 7, 4)
    drive.step()
    known = drive.known("c")
    preempt(drive, "c", "b")
    assert drive.phases() == {"b": "SWAPPED", "c": "WAITING"}
    assert drive.known("c") == known
    assert [
        entry.request_id for entry in sorted(drive.scheduler.queue, key=lambda e: e.order)
    ] == [
        "b",
        "c",
    ]
