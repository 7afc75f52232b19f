"""What a host calls beside `schedule` and `commit`: codes, ends, pauses, figures."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from drive import Drive, rows

from lineclear.plan import Plan
from lineclear.request import Rejected, SchedulerError

SMALL: dict[str, Any] = {"num_gpu_blocks": 8, "max_num_seqs": 4, "max_num_batched_tokens": 16}


def busy(**changes: Any) -> Drive:
    """Two requests that run, and one that waits for a seat."""
    settings: dict[str, Any] = {**SMALL, "max_num_seqs": 2, **changes}
    drive = Drive(**settings)
    for name in "abc":
        drive.add(name, 4, 6)
    drive.step()
    drive.step()
    assert drive.phases() == {"a": "RUNNING", "b": "RUNNING", "c": "WAITING"}
    return drive


@pytest.mark.parametrize(
    ("changes", "prompt", "most", "n", "code"),
    [
        ({}, 60, 60, 1, "max_model_len"),
        ({}, 4, 4, 5, "max_num_seqs"),
        ({"enable_chunked_prefill": False}, 20, 4, 1, "max_num_batched_tokens"),
        ({}, 30, 4, 1, "num_gpu_blocks"),
        ({"max_waiting": 0}, 4, 4, 1, "max_waiting"),
        ({"max_waiting_tokens": 0}, 4, 4, 1, "max_waiting_tokens"),
    ],
)
def test_a_rejection_names_the_setting(
    changes: dict[str, Any], prompt: int, most: int, n: int, code: str
) -> None:
    answer = Drive(**SMALL | changes).add("r", prompt, most, n)
    assert isinstance(answer, Rejected)
    assert answer.code == code
    assert not answer


def test_a_draining_scheduler_says_so() -> None:
    drive = Drive()
    drive.scheduler.drain()
    answer = drive.add("r", 4)
    assert isinstance(answer, Rejected)
    assert answer.code == "draining"


def test_a_plan_names_each_request_that_ended_once() -> None:
    drive = busy()
    ended: list[Any] = []
    drive.abort("c")
    drive.abort("b")
    while drive.scheduler.has_unfinished():
        plan = drive.step()
        ended += plan.ended
    assert ended == ["c", "b"]
    assert drive.schedule().ended == ("a",)
    assert drive.schedule().ended == ()


def test_every_request_of_a_long_run_is_named_once() -> None:
    drive = Drive(**SMALL)
    seen: Counter[Any] = Counter()
    for number in range(40):
        drive.add(number, 2 + number % 5, 1 + number % 6)
        if number % 7 == 3:
            drive.abort(number)
        seen.update(drive.step().ended)
    while drive.scheduler.has_unfinished():
        seen.update(drive.step().ended)
    seen.update(drive.schedule().ended)
    assert seen == Counter(range(40))


@pytest.mark.parametrize("depth", [1, 2])
def test_a_plan_says_where_each_of_its_rows_begins(depth: int) -> None:
    settings: dict[str, Any] = {
        **SMALL,
        "max_steps_in_flight": depth,
        "long_prefill_token_threshold": 3,
    }
    drive = Drive(**settings)
    for number in range(12):
        drive.add(number, 3 + number, 1 + 3 * (number % 4))
    checked, flights = 0, list[Plan]()
    while drive.scheduler.has_unfinished():
        reach = {
            s: drive.ledger.num_dispatched_tokens(s)
            for e in drive.ledger.running
            for s in e.members
        }
        plan = drive.schedule()
        drive.complete(plan)
        for row in plan.scheduled_seq_groups:
            entry = drive.scheduler.entries[row.request_id]
            (sequence,) = entry.record.members
            assert drive.ledger.num_dispatched_tokens(sequence) == plan.start_of(row) + row.tokens
            if sequence in reach and row.request_id not in dict(plan.preempted):
                assert plan.start_of(row) == reach[sequence]
                checked += row.start is None
        flights.append(plan)
        if len(flights) == depth or plan.step is None:
            for one in flights:
                drive.commit(one)
            flights = []
    assert checked > 10


def test_a_pause_that_keeps_everything_issues_nothing() -> None:
    drive = busy()
    before = drive.phases(), drive.tables("a"), drive.tables("b"), drive.known("a")
    drive.scheduler.pause()
    drive.add("d", 2)
    for _ in range(3):
        assert drive.step().step is None
    assert (drive.phases() | {"d": "WAITING"}) == drive.phases()
    assert (drive.tables("a"), drive.tables("b"), drive.known("a")) == before[1:]
    held = {one.request_id: one.guard for one in drive.scheduler.stall_report().held}
    assert held["c"] in ("seats", "paused")
    drive.scheduler.resume()
    assert set(drive.run()) == set("abcd")


def test_a_step_in_flight_is_committed_while_the_scheduler_is_paused() -> None:
    drive = busy(max_steps_in_flight=2)
    flying = drive.schedule()
    drive.scheduler.pause("recompute")
    assert drive.phases() == dict.fromkeys("abc", "WAITING")
    assert drive.schedule().step is None
    drive.complete(flying)
    drive.commit(flying)
    assert drive.ledger.gpu.free == 8
    drive.scheduler.resume()
    assert set(drive.run()) == set("abc")


def test_those_that_run_go_on_to_their_end_and_none_is_let_in() -> None:
    drive = busy()
    drive.scheduler.pause("wait")
    for _ in range(10):
        assert "c" not in rows(drive.step())
    assert set(drive.finished) == set("ab")
    assert drive.scheduler.stall_report().held[0].guard == "paused"
    drive.scheduler.resume()
    assert set(drive.run()) == set("abc")


def test_all_blocks_are_given_up_also_those_on_the_cpu() -> None:
    drive = Drive(num_gpu_blocks=6, num_cpu_blocks=8, preemption_mode="swap", max_num_seqs=4)
    for name in "abc":
        drive.add(name, 7, 9)
    drive.until(lambda plan: bool(plan.preempted))
    assert "SWAPPED" in drive.phases().values()
    known = {name: drive.known(name) for name in drive.scheduler.entries}
    drive.scheduler.pause("recompute")
    drive.schedule()
    assert set(drive.phases().values()) == {"WAITING"}
    assert (drive.ledger.gpu.free, drive.ledger.cpu.free) == (6, 8)
    assert {name: drive.known(name) for name in drive.scheduler.entries} == known
    drive.scheduler.resume()
    assert set(drive.run()) == set("abc")


def test_pauses_that_can_not_be_are_refused() -> None:
    drive = busy()
    with pytest.raises(SchedulerError, match="mode must be one of keep, wait, recompute"):
        drive.scheduler.pause("sleep")
    drive.scheduler.resume()  # nothing to end
    drive.scheduler.pause("wait")
    with pytest.raises(SchedulerError, match=r"is paused \(mode wait\); resume it first"):
        drive.scheduler.pause("keep")


def test_figures_have_vllms_names_if_that_is_asked_for() -> None:
    plain, named = busy().scheduler.stats(), busy().scheduler.stats(prefix="vllm:")
    assert plain["num_requests_running"] == named["vllm:num_requests_running"] == 2
    assert plain["steps_total"] == named["lineclear:steps_total"] == 2
    assert len(plain) == len(named)
    assert not any(":" in name for name in plain)
