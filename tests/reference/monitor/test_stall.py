"""A stall report names the guard that keeps each request, with the figures that it compares."""

from __future__ import annotations

from typing import Any

import pytest
from conforming import Run
from drive import Drive, dump
from named_requests import ask, config, step

from lineclear.monitor.relief import CANNOT_HELP, HELPS, NOTHING
from lineclear.monitor.stall import GUARDS
from lineclear.scheduler import Scheduler
from lineclear_spec.kernel.lifecycle import Phase


def guards(drive: Drive) -> dict[Any, str]:
    return {held.request_id: held.guard for held in drive.scheduler.stall_report().held}


def figures(drive: Drive, name: Any) -> dict[str, Any]:
    (held,) = [h for h in drive.scheduler.stall_report().held if h.request_id == name]
    return held.figures


def test_blocks_and_head_of_line() -> None:
    drive = Drive(watermark=0.25)
    drive.add("a", 14, most=8)
    drive.step()
    drive.add("large", 12)
    drive.add("small", 1)
    assert guards(drive) == {"a": "none", "large": "blocks", "small": "head_of_line"}
    assert figures(drive, "large") == {"wants": 3, "free": 4, "growth": 0, "watermark": 2}
    assert figures(drive, "small") == {"behind": "large", "place": 2}
    drive.step()
    assert drive.phase("large") == drive.phase("small") == "WAITING"


def test_blocks_count_the_growth_of_those_that_run() -> None:
    drive = Drive()
    drive.add("a", 16, most=8)
    drive.step()
    drive.add("b", 16)
    assert figures(drive, "b") == {"wants": 4, "free": 4, "growth": 1, "watermark": 0}


def test_seats() -> None:
    drive = Drive(max_num_seqs=2)
    drive.add("a", 2, n=2)
    drive.step()
    drive.add("b", 2)
    assert guards(drive)["b"] == "seats"
    assert figures(drive, "b") == {"wants": 1, "taken": 2, "of": 2}


def test_tokens_of_a_prompt_that_is_not_chunked() -> None:
    drive = Drive(max_num_batched_tokens=20, enable_chunked_prefill=False)
    drive.add("a", 4, most=8)
    drive.step()
    drive.add("b", 17, most=3)
    assert guards(drive)["b"] == "none"
    drive.add("c", 1)
    drive.step()
    drive.abort("b")
    drive.add("d", 19, most=1)
    assert guards(drive)["d"] == "tokens"
    assert figures(drive, "d") == {"wants": 19, "left": 18, "of": 20}


def test_a_prompt_that_runs_goes_first() -> None:
    drive = Drive(max_num_batched_tokens=8, long_prefill_token_threshold=0)
    drive.add("a", 20)
    drive.step()
    drive.add("b", 4)
    drive.step()
    assert drive.phase("b") == "WAITING"
    assert guards(drive) == {"a": "none", "b": "prefill_first"}


def test_a_group_waits_beside_a_prompt_that_could_use_more_than_its_share() -> None:
    """That prompt has its share, so it is not what the group waits for."""
    drive = Drive(num_gpu_blocks=32, max_num_batched_tokens=16, long_prefill_token_threshold=4)
    drive.add("group", 4, n=2)
    drive.step()
    drive.step({"group": [[0], [0]]})
    drive.add("long", 40)
    drive.step()
    drive.scheduler.transitions.preempt(drive.scheduler.entries["group"])
    drive.step()
    (held,) = [h for h in drive.scheduler.stall_report().held if h.request_id == "group"]
    assert (held.guard, held.phase) == ("beside_a_prompt", "waiting")
    assert "it has several sequences" in held.sentence()
    assert held.relief.sentence() == "the prompt needs no more than its share"


def test_who_may_pass_the_head_has_a_guard_of_its_own() -> None:
    """With `max_bypasses` an end of the head does not help a request that lacks blocks itself."""
    drive = Drive(max_bypasses=1, num_gpu_blocks=8)
    drive.add("runs", 20, most=8)
    drive.step()
    for name in ("head", "second", "third"):
        drive.add(name, 16)
    assert guards(drive) == {
        "runs": "none", "head": "blocks", "second": "blocks", "third": "head_of_line",
    }  # fmt: skip
    drive.add("small", 1)
    drive.abort("second")
    drive.abort("third")
    drive.step()  # small has passed the head, once
    drive.add("fourth", 16)
    assert guards(drive)["fourth"] == "head_of_line"


def test_the_pause_after_a_preemption() -> None:
    drive = Drive()
    drive.add("a", 15, most=12)
    drive.add("b", 15, most=12)
    drive.until(lambda plan: bool(plan.preempted))
    assert guards(drive)["b"] in ("blocks", "pause_after_preemption")
    drive.abort("a")
    assert guards(drive)["b"] == "pause_after_preemption"
    drive.step()
    assert guards(drive)["b"] == "none"


def test_a_step_that_displaced_admits_no_other_request() -> None:
    drive = Drive(scheduling_policy="priority")
    drive.add("a", 30, most=2)
    drive.step()
    drive.add("b", 4, priority=1)
    drive.add("c", 4, priority=0)
    drive.step()
    assert drive.phase("b") == "RUNNING"
    assert guards(drive)["a"] == "blocks"
    drive.abort("b")
    assert guards(drive)["a"] == "displaced"


def test_branches_wait_for_the_prompt_that_their_leader_computes_again() -> None:
    drive = Drive(max_num_batched_tokens=8)
    drive.add("a", 12, n=2)
    drive.step()
    drive.step({"a": [[0], [0]]})
    drive.scheduler.transitions.preempt(drive.scheduler.entries["a"])
    drive.step()
    assert guards(drive) == {"a": "leader"}


def test_holders_tell_where_blocks_are() -> None:
    drive = Drive(preemption_mode="swap")
    drive.add("a", 15, most=12)
    drive.add("b", 15, most=12)
    plan = drive.until(lambda plan: ("b", "swap") in plan.preempted)
    assert plan.step is not None
    report = drive.scheduler.stall_report()
    first, second = report.holders
    assert (first.request_id, first.phase, first.cpu_blocks) == ("a", "running", 0)
    assert (second.request_id, second.phase, second.gpu_blocks) == ("b", "swapped", 0)
    assert first.gpu_blocks + report.gpu_free == report.gpu_total
    assert second.cpu_blocks + report.cpu_free == report.cpu_total
    assert second.num_tokens == second.num_computed_tokens + 1
    assert f"holds {second.cpu_blocks} CPU blocks" in report.text()


def test_a_report_changes_nothing() -> None:
    drive = Drive(scheduling_policy="priority", preemption_mode="swap", max_steps_in_flight=2)
    for k in range(6):
        drive.add(k, 9, most=9, n=1 + k % 2, priority=k % 3)
        drive.step()
        before = dump(drive.scheduler)
        report = drive.scheduler.stall_report()
        assert dump(drive.scheduler) == before
        assert {held.guard for held in report.held} <= set(GUARDS)
        assert len(report.held) == len(drive.scheduler.entries)
        assert report.json()["held"][0]["because"]


def test_long_reports_say_how_many_are_left_out() -> None:
    drive = Drive(max_num_seqs=1)
    for k in range(30):
        drive.add(k, 4)
    assert "... and 18 more" in drive.scheduler.stall_report().text()
    assert "... and" not in drive.scheduler.stall_report().text(most=30)


def test_tenants_wait_for_their_turn_each_in_a_line_of_its_own() -> None:
    from lineclear.request import Request

    drive = Drive(scheduling_policy="vtc", max_num_seqs=1)
    for k in range(4):
        drive.scheduler.add(
            Request(request_id=k, prompt_tokens=4, max_tokens=4, tenant=f"t{k % 2}")
        )
    assert guards(drive) == {0: "turn", 1: "turn", 2: "head_of_line", 3: "head_of_line"}


def change(drive: Drive, name: Any) -> tuple[Any, int, str, int | None]:
    """Whom to abort, how much is missing, whether waiting helps, and since when it is in no step."""
    (held,) = [h for h in drive.scheduler.stall_report().held if h.request_id == name]
    return held.relief.abort, held.relief.missing, held.waiting, held.still


def test_the_smallest_change_for_blocks_frees_enough_and_no_more_requests() -> None:
    drive = Drive(watermark=0.0)
    for name, prompt in (("a", 3), ("b", 11), ("c", 3)):
        drive.add(name, prompt, most=2)
    drive.step()
    drive.add("large", 24, most=2)  # 6 blocks, and 3 of 8 are free
    assert change(drive, "large") == (("b",), 3, HELPS, None)
    drive.abort("b")
    assert guards(drive)["large"] == "none"


def test_two_are_named_if_one_is_not_enough() -> None:
    drive = Drive(watermark=0.0)
    for name in "abcd":
        drive.add(name, 6, most=2)
    drive.step()
    drive.add("large", 13, most=2)
    assert change(drive, "large") == (("a", "b"), 4, HELPS, None)
    drive.abort("a")
    assert guards(drive)["large"] == "blocks"
    drive.abort("b")
    assert guards(drive)["large"] == "none"


def test_growth_that_comes_first_is_missing_and_is_given_up_by_who_is_aborted() -> None:
    drive = Drive(num_gpu_blocks=4, watermark=0.0)
    for name in "abc":
        drive.add(name, 7, most=5)
    drive.step()
    drive.step()
    assert figures(drive, "c") == {"wants": 2, "free": 0, "growth": 2, "watermark": 0}
    assert change(drive, "c")[:2] == (("a", "b"), 4)
    drive.abort("a")
    assert guards(drive)["c"] == "blocks"
    drive.abort("b")
    assert guards(drive)["c"] == "none"


def test_the_smallest_change_for_seats_and_tokens() -> None:
    drive = Drive(max_num_seqs=2)
    drive.add("a", 2, n=2)
    drive.step()
    drive.add("b", 2)
    assert change(drive, "b") == (("a",), 1, HELPS, None)
    drive = Drive(max_num_batched_tokens=20, enable_chunked_prefill=False)
    drive.add("a", 4, most=8)
    drive.add("c", 1, most=8)
    drive.step()
    drive.add("d", 19, most=1)
    assert change(drive, "d") == (("a",), 1, HELPS, None)


def test_a_request_behind_another_is_freed_by_the_one_before_it() -> None:
    drive = Drive(watermark=0.25)
    drive.add("a", 14, most=8)
    drive.step()
    drive.add("large", 12)
    drive.add("small", 1)
    (held,) = [h for h in drive.scheduler.stall_report().held if h.request_id == "small"]
    assert held.relief.sentence() == "the request before it is admitted or aborted"
    assert "never in a step; smallest change: the request before it" in (
        drive.scheduler.stall_report().text()
    )


def test_how_long_a_request_is_in_no_step() -> None:
    drive = Drive()
    drive.add("a", 15, most=12)
    drive.add("b", 15, most=12)
    drive.until(lambda plan: bool(plan.preempted))
    before = change(drive, "b")[3]
    assert before is not None
    drive.step()
    if drive.phase("b") == "WAITING":
        assert change(drive, "b")[3] == before + 1
    assert change(drive, "a")[3] == 0


def test_waiting_cannot_help_where_the_preset_keeps_its_watermark_free_for_ever() -> None:
    drive = Drive(
        rules="vllm_v0",
        enable_chunked_prefill=False,
        swapped_first=True,
        preemption_mode="swap",
        num_gpu_blocks=100,
        num_cpu_blocks=200,
        block_size=16,
        max_model_len=2048,
        max_num_batched_tokens=4096,
        watermark=0.01,
    )
    drive.add("long", 1583, most=18)
    drive.add("short", 16)
    before = {h.request_id: h.waiting for h in drive.scheduler.stall_report().held}
    assert before["long"] == NOTHING  # no other request holds anything, and the next step takes it
    drive.until(lambda _: drive.ledger.gpu.free == drive.ledger.gpu.total)
    drive.step()
    held = {h.request_id: (h.guard, h.waiting) for h in drive.scheduler.stall_report().held}
    assert held["long"] == ("rules", CANNOT_HELP)
    assert held["short"][0] == "head_of_line"


@pytest.mark.parametrize("rules", ["lineclear", "vllm_v0", "nano_vllm"])
def test_a_request_that_waiting_cannot_help_never_runs_again(rules: str) -> None:
    """150 calls under pressure: what is said after each call, against what comes of it."""
    settings: dict[str, Any] = {"rules": rules, "watermark": 0.12, "preemption_mode": "recompute"}
    if rules != "lineclear":
        settings |= {"enable_chunked_prefill": False, "swapped_first": True}
        settings |= {
            "max_num_batched_tokens": 40,
            "watermark": 0.12 if rules == "vllm_v0" else 0.0,
            # as V0 does: it recomputes no request of several sequences
            "preemption_mode": "groups" if rules == "vllm_v0" else "recompute",
        }
    run = Run(3, 0, **settings)
    hopeless: dict[Any, Any] = {}
    helped = 0
    for _ in range(150):
        run.step()
        for held in run.scheduler.stall_report().held:
            entry = run.scheduler.entries[held.request_id]
            if held.waiting == CANNOT_HELP:
                hopeless[held.request_id] = entry
            helped += held.waiting == HELPS
        for name, entry in hopeless.items():
            live = run.scheduler.entries.get(name)
            assert live is not entry or entry.record.phase != Phase.RUNNING
    assert helped > 150


def test_blocks_that_go_with_who_is_aborted_are_no_gain_for_who_shares_them() -> None:
    scheduler = Scheduler(config(num_gpu_blocks=9))
    ask(scheduler, "a", (1, 2), most=9)
    step(scheduler)
    ask(scheduler, "b", (5, 6, 7), most=9)
    step(scheduler)
    ask(scheduler, "w", (1, 2, 3, 4, 8), most=2)
    step(scheduler)
    (held,) = [row for row in scheduler.stall_report().held if row.request_id == "w"]
    assert held.guard == "blocks"
    assert held.relief.abort == ("b",)  # "a" gives up enough, and with it what "w" would find
    scheduler.abort("b")
    (held,) = [row for row in scheduler.stall_report().held if row.request_id == "w"]
    assert held.guard == "none"
    assert any(row.request_id == "w" for row in step(scheduler).scheduled_seq_groups)
