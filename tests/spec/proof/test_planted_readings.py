"""False actions and block steps that formulas accepted, as an operator says less there than it does to plain data.

Each plant is beside what it does to plain data, as in `test_plants.py`.
"""

# pyright: basic

from __future__ import annotations

from typing import Any

import pytest
from edits import planted
from plants import installed, red, running

from lineclear_spec.actions import (
    append_slots,
    dispatch_copies,
    finish,
    fork,
    issue_step,
    rejoin,
    schedule_tokens,
    submit,
    swap_out,
)
from lineclear_spec.contracts.contract import part
from lineclear_spec.kernel import blocks
from lineclear_spec.kernel.ledger import Ledger
from lineclear_spec.kernel.records import Broken, Limits
from lineclear_spec.postconditions.frames import POSTCONDITIONS
from lineclear_spec.proof.obligations import build
from lineclear_spec.symbolic.ledger import SymbolicLedger
from lineclear_spec.symbolic.state import State
from lineclear_spec.symbolic.terms import Misuse

# ---- blocks that are gone --------------------------------------------------------------------------


def test_the_ref_of_a_block_that_is_gone() -> None:
    """It is 0 on formulas; on plain data no table leads to the block any more, so it stays."""
    guard = """    leader = ledger.leader(request)
    ledger.require(leader.length >= 1, "it has a block")
    block = leader.table[ledger.block_of(0)]
    ledger.require(block.name == 0, "the block is private")
    # EFFECT
"""
    asked = '    ledger.clear_tables(request)\n    ledger.demand(block.ref == 0, "no entry refers to it")\n'
    plant = planted(
        planted(finish, "    # EFFECT\n", guard), "    ledger.clear_tables(request)\n", asked
    )
    with pytest.raises(Broken, match="no entry refers to it"):
        plant(*running())
    with pytest.raises(Misuse, match="a ref is read after blocks were freed"):
        build("finish", plant)


PUT = "    ledger.pools[tier].put(ledger.held_at(tier, request), ledger.issued)  # see *Fences* above\n"
EMPTY = "    ledger.empty(request)\n"
BY_REF = """    held = ledger.listed(request.held)
    ledger.empty(request)
    gone = ledger.select(lambda block: block.ref == 0, held)
    ledger.pools[tier].put(ledger.block_ids(tier, gone), ledger.issued)
"""
#: `request.held` is read before the blocks are given up, and used after it.
LATE = """    held = request.held
    ledger.pools[tier].put(ledger.held_at(tier, request), ledger.issued)
    ledger.empty(request)
    ledger.pools[tier].put(ledger.block_ids(tier, ledger.listed(held)), ledger.issued)
"""


def test_blocks_that_are_gone_are_not_chosen_by_their_ref() -> None:
    plant = planted(blocks.clear_tables, PUT + EMPTY, BY_REF)
    made, request = running()
    plant(made, request)
    assert made.gpu.free == 10  # two are lost
    with pytest.raises(Misuse, match="a ref is read after blocks were freed"):
        installed("clear_tables", plant, lambda: build("clear_tables"))


def test_what_a_request_held_is_used_before_it_is_written() -> None:
    """Formulas looked again; where a request may have one sequence only, plain data has a copy."""
    plant = planted(blocks.clear_tables, PUT + EMPTY, LATE)
    with pytest.raises(Broken, match="is free already"):
        plant(*running())
    with pytest.raises(Misuse, match="used after it was written"):
        installed("clear_tables", plant, lambda: build("clear_tables"))


def test_refs_to_sealed_blocks_are_dropped_once() -> None:
    """Formulas keep which sequences refer to a block, and drop each once; plain data counted the entries again."""
    drop = "    let_go(ledger, ledger.drop_sealed(request))\n"
    plant = planted(blocks.clear_tables, drop, drop + drop)
    made, request = running()
    made.name_blocks(request.members[0], (7,))
    block = request.members[0].table[0]
    blocks.seal_entries(made, request.members[0], 0, 1)
    plant(made, request)
    assert block.ref == -1
    with pytest.raises(Misuse, match="refs were counted before"):
        installed("clear_tables", plant, lambda: build("clear_tables"))


def test_a_request_without_members_takes_no_block() -> None:
    new = """    ledger.require(ledger.allowed("admit", request), "the request waits")
    ledger.require(ledger.gpu.free >= 1, "a block is free")
    leader = ledger.leader(request)
    # EFFECT
    barrier = ledger.barrier
    ledger.move(request, "swap_in")
    ledger.remove_members(request)
    ledger.take_blocks(leader, 1)
    ledger.clear_table(leader)
    ledger.barrier = barrier
"""
    old = "    # EFFECT\n    ledger.clear_tables(request)\n    ledger.remove_members(request)\n"
    plant = planted(finish, old, new)
    made = Ledger(Limits(block_size=2, gpu_blocks=6, max_model_len=16))
    request = made.new_request(3, 8, 1)
    submit(made, request)
    with pytest.raises(IndexError):
        plant(made, request)
    with pytest.raises(Misuse, match="take_blocks is found through the members of a request"):
        build("finish", plant)


# ---- what is sent to a device ----------------------------------------------------------------------


def test_what_waits_is_sent_by_the_plan_of_a_step() -> None:
    """Formulas took it for heard; a plan without a step has no tables, and the next step's forgets what was sent."""
    plant = planted(dispatch_copies, "    # EFFECT\n", "    # EFFECT\n    ledger.send()\n")
    made, request = running(parallel=2)
    other = made.new_request(1, 4, 1)
    submit(made, other)
    swap_out(made, request)
    made.send_whole(other.members[0])
    plant(made)
    assert not made.whole
    lost = "what waits is sent where a step is issued, as only its plan has it"
    assert red("dispatch_copies", plant) == [f"dispatch_copies/defined/{lost}"]


def test_what_waits_is_sent_once() -> None:
    plant = planted(issue_step, "    ledger.send()\n", "    ledger.send()\n    ledger.send()\n")
    made, request = running()
    schedule_tokens(made, request.members[0], 3, 0)
    plant(made)
    assert (made.appended, made.sent_whole) == ([], [])  # two entries are in no plan
    with pytest.raises(Misuse, match="what waits is sent twice"):
        build("issue_step", plant)


def test_what_waits_is_not_sent_in_a_branch() -> None:
    made = SymbolicLedger(State.arbitrary())
    with pytest.raises(Misuse, match="or in a branch"):
        made.branch(made.issued >= 1, made.send)


def test_an_operation_has_one_source_for_a_target() -> None:
    """Formulas kept the last one; a device gets both pairs, and may do them in any order."""
    old = "    ledger.record_copies(source, sources, tier, targets)\n"
    turned = "ledger.block_ids(source, ledger.backwards(blocks))"
    plant = planted(blocks.move_blocks, old, old.replace("sources", turned, 1) + old)
    made, request = running()
    number = made.decide("swap_out", request)
    plant(made, request, 1)
    assert made.operations[number].blocks == [(1, 0), (0, 1), (0, 0), (1, 1)]
    with pytest.raises(Misuse, match="copies are recorded twice for one operation"):
        installed("move_blocks", plant, lambda: build("move_blocks_out"))


def test_no_copy_is_recorded_for_an_operation_of_an_earlier_action() -> None:
    """A plan may have dispatched it: a device would never do the copy."""
    more = "    # EFFECT\n    ledger.replace_entry(sequence, ledger.block_of(0))\n"
    with pytest.raises(Misuse, match="an operation that a plan may have dispatched"):
        build("append_slots", planted(append_slots, "    # EFFECT\n", more))


# ---- what is a dict on plain data, or lost there -----------------------------------------------------


def test_blocks_by_name_are_no_list() -> None:
    """On plain data the names of the blocks were looked for in the set."""
    old = "    ledger.drop_each(unnamed)\n    ledger.seal_each(unnamed)\n"
    new = "    ledger.seal_each(unnamed)\n    ledger.remove_all(sequence.request, unnamed)\n"
    plant = planted(blocks.seal_entries, old, new)
    made, request = running(parallel=2)
    made.name_blocks(request.members[0], (7,))
    with pytest.raises(KeyError):
        plant(made, request.members[0], 0, 1)
    with pytest.raises(Misuse, match="a dict on plain data: only drop_each and seal_each take it"):
        installed("seal_entries", plant, lambda: build("publish_run"))


def test_no_list_is_blocks_by_name() -> None:
    plant = planted(
        blocks.seal_entries, "drop_each(unnamed)", "drop_each(ledger.listed(sequence.table))"
    )
    made, request = running(parallel=2)
    with pytest.raises(AttributeError):
        plant(made, request.members[0], 0, 1)
    with pytest.raises(Misuse, match="take what unnamed gave"):
        installed("seal_entries", plant, lambda: build("publish_run"))


def test_a_bucket_is_turned_round() -> None:
    """On plain data it had no end to begin with: TypeError in the middle of a step."""
    old = "    ledger.append_new_each(due, block_ids)\n    ledger.grew(due, block_ids)\n"
    plant = planted(blocks.give_each, old, f"    due = ledger.backwards(due)\n{old}")
    made, request = running()
    made.boundaries.mark(3, request.members[0])
    plant(made, made.boundaries.bucket(3))
    assert request.members[0].length == 3


#: Of a fork, names for fewer blocks than before; of a branch that has names, the first ones again.
INHERITED: dict[str, tuple[Any, str, str]] = {
    "twice": (
        fork,
        "    ledger.note_fork(",
        "    ledger.inherit(parent, child, 0)\n    ledger.note_fork(",
    ),
    "fewer": (fork, "block_of(parent.own_tokens))", "block_of(parent.own_dispatched))"),
    "again": (
        rejoin,
        "    # EFFECT\n",
        "    # EFFECT\n    ledger.inherit(leader, sequence, ledger.need(shared))\n",
    ),
}


@pytest.mark.parametrize("how", INHERITED)
def test_names_that_a_sequence_has_are_not_lost(how: str) -> None:
    """All of these are proved, as formulas keep the other names; plain data forgot those of the prompt, and gave the
    next ones to other branches as if they were its.
    """
    function, old, new = INHERITED[how]
    assert red(function.__name__, planted(function, old, new)) == []
    made, request = running(parallel=2, prompt=4)
    first = request.members[0]
    child = made.add_member(request)
    made.name_blocks(first, (7, 8))
    child.block_names = (7, 8, 9)
    for count in range(4):
        made.inherit(first, child, count)
        assert child.block_names == (7, 8, 9)
    made.inherit(child, first, 3)
    assert first.block_names == (7, 8, 9)


def test_a_postcondition_that_says_nothing() -> None:
    """`None` stood for a frame, which is proved without being asked."""
    right = POSTCONDITIONS["dispatch_copies"]

    def said(*states: Any) -> list[Any]:
        return [*right(*states), part("silent", lambda: None)]

    POSTCONDITIONS["dispatch_copies"] = said
    try:
        with pytest.raises(Misuse, match="contract silent says nothing"):
            build("dispatch_copies")
    finally:
        POSTCONDITIONS["dispatch_copies"] = right
