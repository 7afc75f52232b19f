"""Decisions that progress rests on, as the running scheduler takes them."""

from __future__ import annotations

from dataclasses import replace

from drive import Drive


def group_swapped_out_before_its_branches_came_back() -> Drive:
    """Four branches of 16 tokens, of which only the leader has KV when the group is swapped out."""
    drive = Drive(
        num_gpu_blocks=16,
        num_cpu_blocks=16,
        max_num_seqs=4,
        max_num_batched_tokens=19,
        max_model_len=20,
        enable_chunked_prefill=False,
        scheduling_policy="priority",
    )
    drive.add("group", 8, most=12, n=4)
    drive.step({"group": [[0]] * 4})
    for _ in range(7):
        drive.step()
    drive.add("first", 8, most=2, n=4, priority=1)
    drive.until(lambda plan: ("group", "recompute") in plan.preempted)
    drive.abort("first")
    drive.step()  # the leader computes all that it knows; its branches have nothing yet
    scheduler = drive.scheduler
    transitions = scheduler.transitions
    transitions.config = replace(transitions.config, preemption_mode="swap")
    drive.add("second", 8, most=2, n=4, priority=1)
    drive.until(lambda plan: ("group", "swap") in plan.preempted)
    drive.abort("second")
    assert drive.phase("group") == "SWAPPED"
    return drive


def test_a_group_that_lacks_more_than_a_step_of_tokens_comes_back() -> None:
    """Its branches lack 25 tokens together, a step has 19: they come one after the other."""
    drive = group_swapped_out_before_its_branches_came_back()
    finished = drive.run(40)
    assert [output.generated_tokens for output in finished["group"].outputs] == [12] * 4


def test_a_prompt_that_may_not_be_cut_has_no_share() -> None:
    """The fair policy would let each prompt of a step compute a part."""
    drive = Drive(
        scheduling_policy="fair",
        enable_chunked_prefill=False,
        max_num_batched_tokens=16,
        max_model_len=16,
    )
    for name in range(4):
        drive.add(name, 7, most=2)
    assert len(drive.run()) == 4
