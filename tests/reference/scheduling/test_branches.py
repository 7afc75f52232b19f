"""Requests with several sequences, and decodes that verify drafts."""

from __future__ import annotations

import pytest
from drive import Drive, dump, rows

from lineclear.request import Request, SampledError

# ---- fork, prune ------------------------------------------------------------------------------------------


def forked(prompt: int = 6, most: int = 8, n: int = 2) -> Drive:
    """A request with n branches after its prompt."""
    drive = Drive()
    drive.add("g", prompt, most, n=n)
    drive.step({"g": [[k] for k in range(n)]})
    return drive


def test_each_continuation_but_the_first_becomes_a_branch_that_shares_all_blocks() -> None:
    drive = forked(prompt=6, most=6, n=3)
    assert drive.known("g") == [7, 7, 7]
    first, second, third = drive.tables("g")
    assert first == second == third
    assert drive.blocks("g") == 2  # no block was taken


def test_a_shared_block_is_copied_before_a_write_and_its_last_holder_writes_in_place() -> None:
    drive = forked(prompt=6, most=6, n=3)
    shared = drive.tables("g")[0]
    plan = drive.step()
    assert rows(plan) == {"g": 1, ("g", 1): 1, ("g", 2): 1}
    assert len(plan.blocks_to_copy) == 2
    assert {source for source, _ in plan.blocks_to_copy} == {shared[1]}
    tables = drive.tables("g")
    assert [table[0] for table in tables] == [shared[0]] * 3  # the full block stays shared
    assert len({table[1] for table in tables}) == 3
    assert shared[1] in {table[1] for table in tables}
    assert drive.step().blocks_to_copy == ()


def test_nothing_is_copied_at_a_block_boundary() -> None:
    drive = forked(prompt=8, n=2)
    plan = drive.step()
    assert plan.blocks_to_copy == ()
    assert drive.blocks("g") == 4
    first, second = drive.tables("g")
    assert first[:2] == second[:2]
    assert first[2] != second[2]


def test_the_forward_waits_for_the_copies_of_its_own_plan() -> None:
    drive = forked()
    plan = drive.schedule()
    *copies, forward = plan.operations
    assert [o.kind for o in copies] == ["copy_block"]
    # Both run on the compute stream, where operations run in the order of their numbers.
    assert copies[0].number < forward.number
    drive.commit(plan)
    assert copies[0].number not in drive.ledger.operations  # done when its forward is


def test_branches_of_one_request_end_one_by_one_and_the_request_with_the_last() -> None:
    drive = forked(most=6, n=3)
    assert drive.scheduler.commit(drive.schedule(), [0, 0, 0], [1]) == []
    assert len(drive.known("g")) == 2
    drive.step({("g", 2): []})
    assert drive.known("g") == [9]
    finished = drive.run()["g"]
    assert finished.reason == "length"
    assert [(o.branch, o.generated_tokens, o.reason) for o in finished.outputs] == [
        (1, 2, "stop"),
        (2, 2, "pruned"),
        (0, 6, "length"),
    ]
    assert drive.ledger.gpu.free == 8


def test_a_pruned_branch_gives_up_only_what_it_alone_holds() -> None:
    drive = forked(prompt=6, n=2)
    drive.step()
    assert drive.blocks("g") == 3
    drive.step({("g", 1): []})
    assert drive.blocks("g") == 2


def test_to_prune_the_only_branch_ends_the_request() -> None:
    drive = Drive()
    drive.add("a", 6)
    plan = drive.schedule()
    (finished,) = drive.commit(plan, {"a": []})
    assert (finished.reason, finished.outputs[0].generated_tokens) == ("pruned", 0)


def test_a_beam_drops_one_branch_and_forks_another_in_one_commit_at_full_width() -> None:
    drive = forked(prompt=6, most=8, n=2)
    drive.step()
    drive.step({"g": [], ("g", 1): [[0], [0]]})
    assert drive.known("g") == [9, 9]
    plan = drive.step()
    assert set(rows(plan)) == {("g", 1), ("g", 2)}
    finished = drive.run()["g"]
    assert [(o.branch, o.generated_tokens, o.reason) for o in finished.outputs] == [
        (0, 2, "pruned"),
        (1, 8, "length"),
        (2, 8, "length"),
    ]


def test_more_branches_than_the_request_asked_for_are_refused() -> None:
    drive = forked(n=2)
    plan = drive.schedule()
    with pytest.raises(SampledError, match=r"may have 2 sequences at once, .* would make it 3"):
        drive.scheduler.commit(plan, [[[0], [0]], 0])
    drive.commit(plan)


def test_a_stop_may_end_one_continuation_of_several() -> None:
    drive = Drive()
    drive.add("g", 6, 6, n=3)
    plan = drive.schedule()
    assert drive.scheduler.commit(plan, [[[0], [0], [0]]], [(0, 0), (0, 2)]) == []
    assert drive.known("g") == [7]
    assert set(rows(drive.step())) == {("g", 1)}
    finished = drive.run()["g"]
    assert sorted((o.branch, o.reason, o.generated_tokens) for o in finished.outputs) == [
        (0, "stop", 1),
        (1, "length", 6),
        (2, "stop", 1),
    ]


def test_swap_keeps_what_branches_share_with_one_copy_for_each_block() -> None:
    drive = Drive(scheduling_policy="priority", preemption_mode="swap")
    drive.add("g", 10, 8, n=2)
    drive.step({"g": [[0], [0]]})
    drive.step()
    assert drive.blocks("g") == 4  # 2 shared, 2 own
    before = drive.tables("g")
    drive.add("high", 20, 1, priority=1)
    plan = drive.step()
    assert plan.preempted == (("g", "swap"),)
    assert len(plan.blocks_to_swap_out) == len(set(plan.blocks_to_swap_out)) == 4
    plan = drive.until(lambda plan: bool(plan.blocks_to_swap_in))
    assert len(plan.blocks_to_swap_in) == 4
    first, second = drive.tables("g")
    assert first[:2] == second[:2]
    assert first[2] != second[2]
    assert len(before[0]) == len(first)
    assert [o.generated_tokens for o in drive.run()["g"].outputs] == [8, 8]


# ---- recompute of a group ---------------------------------------------------------------------------------


def test_a_recomputed_group_computes_its_prompt_once_and_then_each_branchs_own_tokens() -> None:
    drive = Drive(scheduling_policy="priority")
    drive.add("g", 10, 8, n=2)
    drive.step({"g": [[0], [0]]})
    drive.step()
    drive.step()
    assert drive.known("g") == [13, 13]
    drive.add("high", 24, 1, priority=1)
    assert drive.step().preempted == (("g", "recompute"),)
    assert drive.known("g") == [13, 13]
    assert drive.blocks("g") == 0

    plan = drive.step()  # the leader computes everything it knows, and samples
    assert rows(plan) == {"g": 13}
    assert drive.known("g") == [14, 13]
    assert {branch: table for _, branch, table in plan.tables}[1] == ()
    assert drive.actions["rejoin"] == 0

    plan = drive.step()  # the other takes part in the 2 full blocks of the prompt
    assert drive.actions["rejoin"] == 1
    assert rows(plan) == {"g": 1, ("g", 1): 13 - 8}
    (row,) = [row for row in plan.scheduled_seq_groups if row.branch == 1]
    assert (row.start, row.prefill, row.samples) == (8, True, True)
    first, second = drive.tables("g")
    assert first[:2] == second[:2]
    assert not set(first[2:]) & set(second[2:])
    assert drive.known("g") == [15, 14]
    assert sorted(o.generated_tokens for o in drive.run()["g"].outputs) == [8, 8]


def test_a_recomputed_group_with_a_prompt_shorter_than_a_block_shares_nothing() -> None:
    drive = Drive(scheduling_policy="priority")
    drive.add("g", 3, 8, n=2)
    drive.step({"g": [[0], [0]]})
    drive.step()
    drive.add("high", 28, 1, priority=1)
    assert drive.step().preempted == (("g", "recompute"),)
    plan = drive.step()
    assert rows(plan) == {"g": 5, ("g", 1): 5}
    first, second = drive.tables("g")
    assert not set(first) & set(second)
    assert drive.actions["rejoin"] == 0
    assert sorted(o.generated_tokens for o in drive.run()["g"].outputs) == [8, 8]


def test_a_recomputed_group_whose_leader_has_ended_goes_on_with_the_next_branch() -> None:
    drive = Drive(scheduling_policy="priority")
    drive.add("g", 10, 7, n=3)
    drive.step({"g": [[0], [0], [0]]})
    drive.step(stop=["g"])
    drive.add("high", 28, 1, priority=1)
    assert drive.step().preempted == (("g", "recompute"),)
    assert rows(drive.step()) == {("g", 1): 12}
    assert rows(drive.step()) == {("g", 1): 1, ("g", 2): 4}
    assert sorted(o.generated_tokens for o in drive.run()["g"].outputs) == [2, 7, 7]


# ---- lookahead ----------------------------------------------------------------------------------------------


def drafting(most: int = 9, prompt: int = 3) -> Drive:
    """A request that decodes with 2 drafts."""
    drive = Drive(num_lookahead_slots=2)
    drive.add("a", prompt, most)
    assert rows(drive.step()) == {"a": prompt}  # a prefill has no drafts
    return drive


@pytest.mark.parametrize("accepted", [1, 2, 3])
def test_a_decode_verifies_its_drafts_and_learns_those_accepted_and_one_more(
    accepted: int,
) -> None:
    drive = drafting()
    plan = drive.schedule()
    (row,) = plan.scheduled_seq_groups
    assert (row.tokens, row.drafts, row.start) == (3, 2, 3)
    assert drive.commit(plan, {"a": [[0] * accepted]}) == []
    assert drive.known("a") == [4 + accepted]
    # What was rejected is computed again; the next decode starts right behind what is known.
    (row,) = drive.step().scheduled_seq_groups
    assert (row.start, row.tokens) == (3 + accepted, 3)


def test_one_token_alone_rejects_every_draft() -> None:
    drive = drafting()
    drive.step()
    assert drive.known("a") == [5]


def test_no_more_tokens_than_drafts_and_one_are_accepted() -> None:
    drive = drafting()
    plan = drive.schedule()
    with pytest.raises(SampledError, match="a continuation has 1 to 3 tokens here, not 4"):
        drive.scheduler.commit(plan, [[[0] * 4]])
    drive.commit(plan)


def test_nothing_is_drafted_beyond_the_limit() -> None:
    drive = drafting(most=4)
    plan = drive.schedule()
    (row,) = plan.scheduled_seq_groups
    assert (row.tokens, row.drafts) == (3, 2)
    assert drive.commit(plan, {"a": [[0]]}) == []
    plan = drive.schedule()  # 2 tokens are left
    (row,) = plan.scheduled_seq_groups
    assert (row.tokens, row.drafts) == (2, 1)
    (finished,) = drive.commit(plan, {"a": [[0, 0]]})
    assert (finished.reason, finished.outputs[0].generated_tokens) == ("length", 4)


def test_slots_of_rejected_drafts_are_used_again() -> None:
    drive = drafting(prompt=3, most=9)
    blocks: list[int] = []
    while drive.scheduler.entries:
        plan = drive.schedule()
        blocks.append(drive.blocks("a"))
        drive.commit(plan)  # every draft is rejected
    assert blocks == sorted(blocks)
    assert blocks[0] == 2  # positions 4 to 6
    assert max(blocks) == 3  # 11 positions


def test_a_group_takes_no_drafts() -> None:
    drive = Drive(num_lookahead_slots=2)
    drive.add("g", 3, 9, n=2)
    drive.step()
    assert rows(drive.step()) == {"g": 1}


def test_with_drafts_a_second_step_waits_for_the_first() -> None:
    drive = Drive(num_lookahead_slots=2, max_steps_in_flight=2)
    drive.add("a", 3, 9)
    first = drive.schedule()
    assert drive.schedule().is_empty  # how many tokens it will know is not known
    drive.commit(first)
    assert rows(drive.schedule()) == {"a": 3}


# ---- seats ------------------------------------------------------------------------------------------------


def seated(later: bool = False) -> Drive:
    """Three branches of a request with all three seats, and one request that waits for a seat."""
    drive = Drive(max_num_seqs=3)
    request = Request(request_id="g", prompt_tokens=2, max_tokens=6, n=3, may_fork_later=later)
    assert drive.scheduler.add(request)
    drive.add("a", 2, 2)
    assert rows(drive.step({"g": [[0], [0], [0]]})) == {"g": 2}
    return drive


def test_a_branch_that_ends_gives_its_seat_to_a_request_that_waits() -> None:
    drive = seated()
    assert drive.scheduler.seats == 3
    drive.step(stop=[("g", 1)])
    assert drive.scheduler.seats == 2
    assert rows(drive.step()) == {"g": 1, ("g", 2): 1, "a": 2}
    assert drive.scheduler.seats == 3


def test_a_request_that_may_fork_later_keeps_its_seats() -> None:
    drive = seated(later=True)
    drive.step(stop=[("g", 1)])
    assert drive.scheduler.seats == 3
    assert rows(drive.step({"g": [[0], [0]]})) == {"g": 1, ("g", 2): 1}
    assert rows(drive.step()) == {"g": 1, ("g", 2): 1, ("g", 3): 1}


def test_a_request_has_seats_for_branches_that_it_has_not_made_yet() -> None:
    drive = Drive(max_num_seqs=3)
    drive.add("g", 2, 6, n=3)
    drive.step({"g": [[0], [0]]})
    assert drive.scheduler.seats == 3
    drive.step(stop=["g"])  # one of two ends, and a third is still to come
    assert drive.scheduler.seats == 2
    drive.step({("g", 1): [[0], [0]]})
    assert drive.scheduler.seats == 2


def test_to_fork_into_a_seat_that_was_given_back_is_refused_and_nothing_changes() -> None:
    drive = seated()
    drive.step(stop=[("g", 1)])
    drive.step()  # the seat is another's
    plan = drive.schedule()
    # listed now: to list them is no change
    assert len(drive.scheduler.flights[0].decode_batch) == 3
    before = dump(drive.scheduler)
    with pytest.raises(SampledError, match=r"given 1 seats? back.*may_fork_later"):
        drive.scheduler.commit(plan, {("g", 0): [[0], [0]], ("g", 2): 0, ("a", 0): 0})
    assert dump(drive.scheduler) == before
    drive.commit(plan)


def test_a_preempted_group_comes_back_with_the_seats_of_its_branches() -> None:
    drive = Drive(max_num_seqs=4, scheduling_policy="priority")
    drive.add("g", 2, 6, n=3)
    drive.step({"g": [[0], [0], [0]]})
    drive.step(stop=[("g", 1), ("g", 2)])
    drive.add("high", 29, 2, priority=1)  # needs all blocks
    assert drive.step().preempted == (("g", "recompute"),)
    assert drive.scheduler.seats == 1
    drive.until(lambda plan: "g" in rows(plan))
    assert drive.scheduler.seats == 1
