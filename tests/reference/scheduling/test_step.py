"""How a step is built when no request is preempted: who is admitted, and who computes how much."""

from __future__ import annotations

from typing import Any

import pytest
from drive import Drive, rows

# ---- admission ------------------------------------------------------------------------------------


def test_requests_are_admitted_in_order_until_one_does_not_fit() -> None:
    drive = Drive()
    for name, prompt in (("a", 10), ("b", 10), ("c", 10), ("d", 1)):
        drive.add(name, prompt)
    plan = drive.step()
    assert rows(plan) == {"a": 10, "b": 10}  # 3 blocks each; c needs 3 and 2 are left
    assert drive.phases()["d"] == "WAITING"  # it would fit, and does not pass c


def test_with_bypass_so_many_pass_a_request_that_does_not_fit_and_no_more() -> None:
    drive = Drive(max_bypasses=2)
    drive.add("runs", 16, 16)
    drive.step()
    drive.add("large", 28)
    for name in "pqrs":
        drive.add(name, 2, 2)
    assert rows(drive.step()) == {"runs": 1, "p": 2, "q": 2}
    drive.until(lambda _: not drive.scheduler.entries.keys() & {"p", "q"})
    assert "runs" in drive.scheduler.entries
    assert {name: drive.phase(name) for name in ("large", "r", "s")} == {
        "large": "WAITING",
        "r": "WAITING",
        "s": "WAITING",
    }
    drive.step()
    assert drive.phase("r") == "WAITING"  # not in a later step either
    order: list[object] = []
    while drive.scheduler.entries:
        order += [n for n in rows(drive.step()) if n not in order]
    assert order[-3:] == ["large", "r", "s"]


def test_bypass_is_counted_for_each_request_that_is_passed() -> None:
    drive = Drive(max_bypasses=1)
    drive.add("runs", 16, 16)
    drive.step()
    drive.add("large", 28)
    drive.add("too", 28)  # a second one that does not fit stops the search
    drive.add("p", 2)
    assert rows(drive.step()) == {"runs": 1}


@pytest.mark.parametrize(("watermark", "admitted"), [(0.0, True), (0.5, False)])
def test_admission_leaves_the_watermark_free_while_anything_runs(
    watermark: float, admitted: bool
) -> None:
    drive = Drive(watermark=watermark)
    drive.add("a", 3, 5)
    drive.step()
    drive.add("b", 16, 1)  # 4 of 7 free blocks, and 4 are to be kept
    assert rows(drive.step()) == ({"a": 1, "b": 16} if admitted else {"a": 1})


def test_the_watermark_is_waived_when_nothing_runs() -> None:
    drive = Drive(watermark=0.9)
    drive.add("a", 29, 4)
    assert rows(drive.step()) == {"a": 29}  # all 8 blocks
    assert drive.run()["a"].preemptions == 0


def test_growth_of_what_runs_may_use_the_watermark() -> None:
    drive = Drive(watermark=0.9)
    drive.add("a", 4, 20)
    assert drive.run()["a"].preemptions == 0


def test_seats_are_for_every_sequence_that_a_request_may_have() -> None:
    drive = Drive(max_num_seqs=3)
    drive.add("a", 2, 4, n=2)
    drive.add("b", 2, 4)
    drive.add("c", 2, 2)
    assert rows(drive.step()) == {"a": 2, "b": 2}  # a has one sequence yet, and seats for two
    drive.abort("b")
    assert "c" in rows(drive.step())


def test_a_request_that_did_not_fit_is_admitted_as_soon_as_there_is_room() -> None:
    drive = Drive()
    drive.add("a", 20, 2)
    drive.add("b", 20, 2)
    assert rows(drive.step()) == {"a": 20}
    assert rows(drive.step()) == {"a": 1}
    assert rows(drive.step()) == {"b": 20}


# ---- one order for waiting and swapped requests -----------------------------------------------------


def swapped_and_waiting(**changes: Any) -> Drive:
    """A less important request is swapped out, and a more important one waits; nothing runs."""
    drive = Drive(
        num_gpu_blocks=4, scheduling_policy="priority", preemption_mode="swap", **changes
    )
    drive.add("swapped", 8, 6, priority=0)
    drive.step()
    drive.add("important", 13, 3, priority=2)
    assert drive.step().preempted == (("swapped", "swap"),)
    drive.add("waiting", 13, 3, priority=1)
    drive.until(lambda _: "important" not in drive.scheduler.entries)
    assert drive.phases() == {"swapped": "SWAPPED", "waiting": "WAITING"}
    return drive


def test_swapped_and_waiting_requests_stand_in_one_queue_by_the_policys_order() -> None:
    drive = swapped_and_waiting()
    assert rows(drive.step()) == {"waiting": 13}
    assert drive.phase("swapped") == "SWAPPED"


def test_swapped_first_lets_every_swapped_request_go_before_any_waiting_one() -> None:
    drive = swapped_and_waiting(swapped_first=True)
    assert rows(drive.step()) == {"swapped": 1}
    assert drive.phase("waiting") == "WAITING"


def test_a_swapped_request_comes_back_when_its_copy_out_is_complete_and_not_before() -> None:
    drive = Drive(
        num_gpu_blocks=4,
        scheduling_policy="priority",
        preemption_mode="swap",
        max_steps_in_flight=2,
    )
    drive.add("a", 8, 6)
    drive.step()
    drive.add("b", 13, 3, priority=1)
    moving = drive.schedule()
    assert moving.preempted == (("a", "swap"),)
    drive.abort("b")
    assert drive.ledger.gpu.free == 4
    assert drive.schedule().ended == ("b",)
    assert drive.schedule().is_empty
    drive.complete(moving)
    plan = drive.schedule()
    assert rows(plan) == {"a": 1}
    assert [o.kind for o in plan.operations] == ["swap_in", "forward"]


def test_a_swapped_request_needs_room_for_its_next_token_too() -> None:
    drive = Drive(num_gpu_blocks=4, scheduling_policy="priority", preemption_mode="swap")
    drive.add("a", 8, 6, priority=0)  # 2 full blocks, so the next token needs a third one
    drive.step()
    drive.add("b", 7, 6, priority=1)  # 2 blocks
    drive.add("c", 4, 1, priority=1)
    plan = drive.step()
    assert plan.preempted == (("a", "swap"),)
    drive.until(lambda _: "c" not in drive.scheduler.entries)
    assert drive.phases() == {"a": "SWAPPED", "b": "RUNNING"}
    free = drive.ledger.gpu.free
    assert free == drive.blocks("a") == 2  # enough for its copies and not for what comes next
    assert rows(drive.step()) == {"b": 1}
    assert drive.phase("a") == "SWAPPED"


# ---- tokens -----------------------------------------------------------------------------------------


def test_decodes_come_first_and_prefills_share_what_is_left_of_the_budget() -> None:
    drive = Drive(
        max_num_seqs=4,
        max_num_batched_tokens=8,
        num_gpu_blocks=32,
        long_prefill_token_threshold=0,
    )
    drive.add("decodes", 3, 20)
    drive.step()
    drive.add("p", 10)
    drive.add("q", 10)
    assert rows(drive.step()) == {"decodes": 1, "p": 7}
    plan = drive.step()
    assert rows(plan) == {"p": 3, "q": 4, "decodes": 1}
    assert [row.samples for row in plan.scheduled_seq_groups] == [True, False, True]
    assert (plan.num_batched_tokens, plan.num_prefill_groups) == (8, 2)
    assert rows(drive.step()) == {"q": 6, "p": 1, "decodes": 1}


def test_none_is_admitted_past_a_prefill_that_did_not_get_its_share() -> None:
    drive = Drive(
        max_num_seqs=8,
        max_num_batched_tokens=8,
        num_gpu_blocks=32,
        long_prefill_token_threshold=0,
    )
    drive.add("p", 20)
    drive.add("q", 1)
    for tokens in (8, 8):
        assert rows(drive.step()) == {"p": tokens}
    assert rows(drive.step()) == {"p": 4, "q": 1}


def test_short_prompts_do_not_wait_for_a_long_one() -> None:
    drive = Drive(
        max_num_seqs=8,
        max_num_batched_tokens=8,
        num_gpu_blocks=32,
        long_prefill_token_threshold=3,
    )
    drive.add("p", 40)
    assert rows(drive.step()) == {"p": 8}  # no other can use them
    for name in "qr":
        drive.add(name, 2)
    drive.add("s", 6)
    assert rows(drive.step()) == {"p": 3, "q": 2, "r": 2, "s": 1}
    assert rows(drive.step()) == {"p": 3, "s": 3, "q": 1, "r": 1}


def test_prompts_behind_one_that_lacks_tokens_of_its_share_wait() -> None:
    drive = Drive(
        max_num_seqs=6,
        max_num_batched_tokens=6,
        num_gpu_blocks=32,
        long_prefill_token_threshold=4,
    )
    drive.add("p", 30)
    drive.add("q", 30)
    assert rows(drive.step()) == {"p": 4, "q": 2}
    drive.add("r", 1)
    assert rows(drive.step()) == {"p": 4, "q": 2}  # q lacks two tokens of its share
    assert drive.phase("r") == "WAITING"


def test_admission_takes_room_for_the_whole_prompt_whatever_the_chunk() -> None:
    drive = Drive(max_num_seqs=4, max_num_batched_tokens=8)
    drive.add("p", 20)
    plan = drive.step()
    assert rows(plan) == {"p": 8}
    assert drive.blocks("p") == 5
    assert plan.tables == (("p", 0, tuple(drive.tables("p")[0])),)


def test_only_a_chunk_that_reaches_the_newest_token_samples() -> None:
    drive = Drive(max_num_seqs=4, max_num_batched_tokens=8)
    drive.add("p", 20)
    seen: list[tuple[object, ...]] = []
    for _ in range(4):
        plan = drive.step()
        (row,) = plan.scheduled_seq_groups
        seen.append((row.start, row.tokens, row.samples, row.prefill, len(plan.sampling)))
    assert seen == [
        (0, 8, False, True, 0),
        (8, 8, False, True, 0),
        (16, 4, True, True, 1),
        (None, 1, True, False, 1),  # from now on one token in every step
    ]


def test_without_chunking_a_prompt_is_computed_at_once_or_not_yet() -> None:
    drive = Drive(
        enable_chunked_prefill=False, max_num_seqs=4, max_num_batched_tokens=12, num_gpu_blocks=32
    )
    drive.add("p", 9)
    drive.add("q", 9)
    assert rows(drive.step()) == {"p": 9}
    assert rows(drive.step()) == {"q": 9, "p": 1}


def test_without_chunking_a_prompt_as_large_as_the_budget_waits_for_the_decodes_to_end() -> None:
    drive = Drive(
        enable_chunked_prefill=False, max_num_seqs=4, max_num_batched_tokens=12, num_gpu_blocks=32
    )
    drive.add("p", 4, 3)
    drive.step()
    drive.add("q", 12, 1)
    assert rows(drive.step()) == {"p": 1}
    assert rows(drive.step()) == {"p": 1}
    assert rows(drive.step()) == {"q": 12}


# ---- blocks -----------------------------------------------------------------------------------------


def test_a_sequence_takes_a_block_for_each_block_size_of_positions_and_none_for_its_last_token() -> (
    None
):
    drive = Drive()
    drive.add("a", 3, 6)
    held: list[int] = []
    while drive.scheduler.entries:
        plan = drive.schedule()
        held.append(drive.blocks("a"))
        drive.commit(plan)
    assert held == [1, 1, 2, 2, 2, 2]  # 3 to 8 positions; the 9th token needs none


# ---- what a step costs --------------------------------------------------------------------------------


class Shy(dict[Any, Any]):
    """A dict that must not be iterated over."""

    def _refuse(self) -> Any:
        raise AssertionError("a quiet step goes through everything that runs")

    def __iter__(self) -> Any:
        return self._refuse()

    def keys(self) -> Any:
        return self._refuse()

    def values(self) -> Any:
        return self._refuse()

    def items(self) -> Any:
        return self._refuse()


def test_a_quiet_step_goes_through_no_list_of_running_requests() -> None:
    drive = Drive(num_gpu_blocks=64, max_num_seqs=32, block_size=16)
    for name in range(30):
        drive.add(name, 2, 12)
    drive.step()
    drive.step()
    scheduler, ledger = drive.scheduler, drive.ledger
    before = dict(ledger.decode_batch)
    assert len(before) == 30
    shy: Any = Shy(before)
    shy.changes = ledger.decode_batch.changes
    ledger.decode_batch = shy
    ledger.running = Shy(ledger.running)
    batch, live = scheduler.batch, scheduler.live
    batch.members = Shy(batch.members)
    batch.joined = Shy(batch.joined)
    live.entries = Shy(live.entries)
    live.of = Shy(live.of)
    live.running.entries = Shy(live.running.entries)
    for _ in range(3):
        plan = scheduler.schedule()
        assert len(plan.sampling) == 30
        assert scheduler.commit(plan, [0] * 30) == []
    assert [ledger.num_tokens(sequence) for sequence in before] == [2 + 5] * 30
    with pytest.raises(AssertionError, match="goes through everything"):
        list(ledger.decode_batch)
