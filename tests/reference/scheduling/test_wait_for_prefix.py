"""With `wait_for_prefix` a request waits for the block that one before it computes, and for nothing else."""

# pyright: basic

from __future__ import annotations

from typing import Any

import pytest
from named_requests import ask, computed, config, step

from lineclear.config import Config, ConfigError
from lineclear.monitor.stall_report import stall_report
from lineclear.request import Request
from lineclear.scheduler import Scheduler
from lineclear.theorems.guarantees import guarantees
from lineclear_spec.kernel.lifecycle import Phase

SAME = (1, 2, 3)


def waiting(**changed: Any) -> Scheduler:
    """A small scheduler with the setting."""
    return Scheduler(config(**{"wait_for_prefix": True, **changed}))


def runs(scheduler: Scheduler, name: str) -> bool:
    return scheduler.entries[name].record.phase == Phase.RUNNING


def test_of_two_equal_prompts_in_one_step_one_is_computed() -> None:
    for wait, tokens in ((False, 7), (True, 1)):
        scheduler = waiting(wait_for_prefix=wait)
        ask(scheduler, "first", SAME)
        ask(scheduler, "second", SAME)
        plan = step(scheduler)
        assert computed(plan, "second") == (0 if wait else 7)
        if wait:
            assert scheduler.admission_blocked_by == "prefix"
            plan = step(scheduler)
        assert computed(plan, "second") == tokens


def test_it_waits_as_long_as_the_beginning_that_both_have_is_computed() -> None:
    scheduler = waiting(max_num_batched_tokens=4)
    ask(scheduler, "first", (1, 2, 3, 4))
    ask(scheduler, "second", (1, 2, 3, 7))
    assert [computed(step(scheduler), "second") for _ in range(3)] == [0, 0, 3]
    assert scheduler.counters.prefix_hits == 6


@pytest.mark.parametrize("most", [0, 1, 2])
def test_others_enter_meanwhile_at_most_so_often_as_bypass_says(most: int) -> None:
    scheduler = waiting(
        max_bypasses=most,
        long_prefill_token_threshold=2,
        max_num_batched_tokens=4,
        num_gpu_blocks=30,
    )
    ask(scheduler, "first", (1, 2, 3, 4, 5), most=1)
    ask(scheduler, "second", (1, 2, 3, 4, 5))
    for name in "abc":
        scheduler.add(Request(request_id=name, prompt_tokens=1, max_tokens=8))
    plan = step(scheduler)
    while not runs(scheduler, "second"):
        assert sum(runs(scheduler, name) for name in "abc") == most
        assert scheduler.entries["second"].bypassed == most
        plan = step(scheduler)
    assert computed(plan, "second") == 1


@pytest.mark.parametrize("priority", [0, 5])
def test_it_waits_for_none_behind_it(priority: int) -> None:
    scheduler = waiting(scheduling_policy="priority", max_steps_in_flight=2)
    ask(scheduler, "plain", SAME)
    scheduler.schedule()  # in flight
    scheduler.add(
        Request(
            request_id="urgent",
            prompt_tokens=7,
            max_tokens=2,
            priority=priority,
            prefix_names=SAME,
        )
    )
    assert computed(scheduler.schedule(), "urgent") == (7 if priority else 0)
    assert runs(scheduler, "plain")


def test_it_waits_no_longer_when_that_one_has_gone() -> None:
    scheduler = waiting(max_num_batched_tokens=4)
    ask(scheduler, "first", (1, 2, 3, 4))
    ask(scheduler, "second", (1, 2, 3, 4))
    assert computed(step(scheduler), "second") == 0
    assert scheduler.abort("first")
    assert computed(step(scheduler), "second") == 4  # behind the two blocks that are found


@pytest.mark.parametrize(("caching", "tokens"), [("prompt", 3), ("all", 0)])
def test_it_does_not_wait_for_what_is_not_published(caching: str, tokens: int) -> None:
    """A block of output, whose last token the next step computes."""
    scheduler = waiting(prefix_caching=caching)
    ask(scheduler, "first", (1,), prompt=3, most=6)
    step(scheduler)
    scheduler.name_blocks("first", 1, [2])
    ask(scheduler, "second", (1, 2))
    assert computed(step(scheduler), "second") == tokens


def test_it_does_not_wait_for_a_block_that_was_computed_and_cannot_be_published_yet() -> None:
    """The one that has it was swapped in, and its copy is open."""
    scheduler = waiting(preemption_mode="swap", num_cpu_blocks=12, max_steps_in_flight=2)
    ask(scheduler, "other", (), prompt=7, most=9)
    step(scheduler)
    scheduler.name_blocks("other", 0, [11, 12, 13])
    entry = scheduler.entries["other"]
    scheduler.transitions.preempt(entry)
    assert entry.record.phase == Phase.SWAPPED
    scheduler.complete([o.number for o in scheduler.schedule().operations])
    scheduler.schedule()  # in flight
    assert runs(scheduler, "other")
    assert entry.record.open_swap
    ask(scheduler, "third", (11, 12, 13), most=1)
    assert computed(scheduler.schedule(), "third") == 7


def test_the_first_in_the_order_never_waits() -> None:
    """Whatever runs comes behind it, so progress of the first is what it was."""
    scheduler = waiting(max_num_batched_tokens=4)
    for name in ("a", "b", "c", "d"):
        ask(scheduler, name, (1, 2, 3))
    while scheduler.entries:
        first = min(scheduler.entries.values(), key=lambda entry: entry.rank)
        step(scheduler)
        assert first.request_id not in scheduler.entries or runs(scheduler, str(first.request_id))


def test_a_report_says_why() -> None:
    scheduler = waiting(long_prefill_token_threshold=2)
    ask(scheduler, "first", (1, 2, 3, 4))
    ask(scheduler, "second", (1, 2, 3, 4))
    step(scheduler)
    held = {row.request_id: row.guard for row in stall_report(scheduler).held}
    assert held["second"] == "prefix"


def test_the_setting_asks_for_prefix_caching() -> None:
    with pytest.raises(ConfigError, match="wait_for_prefix is true and prefix_caching is off"):
        Config(wait_for_prefix=True)


@pytest.mark.parametrize("max_bypasses", [0, 3])
def test_the_premises_that_are_lost_are_named(max_bypasses: int) -> None:
    plain = Config(prefix_caching="all", max_bypasses=max_bypasses)
    setting = Config(prefix_caching="all", max_bypasses=max_bypasses, wait_for_prefix=True)
    before = {row.theorem: row for row in guarantees(plain)}
    after = {row.theorem: row for row in guarantees(setting)}
    changed = [name for name in before if before[name] != after[name]]
    assert changed == ["fcfs.P2"]
    assert "F14 (wait_for_prefix" in after["fcfs.P2"].why
    bound = after["fcfs.P5"].bound
    assert bound is not None
    assert bound.number == max_bypasses
