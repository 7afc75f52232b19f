"""False block steps and uses of operators that were once proved, each beside what it does to plain data.

A *plant* is a function of the table with a piece of its text replaced. The first half of each test runs it on plain
data, where a rule breaks; the second half asks for its proof, which has to be refused or to fail.
"""

# pyright: basic

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import z3
from edits import planted
from plants import installed, red, running

from lineclear_spec.actions import commit_step, finish, issue_step, schedule_tokens, submit
from lineclear_spec.kernel import blocks, primitives
from lineclear_spec.kernel.ledger import Ledger
from lineclear_spec.kernel.records import Broken, Limits
from lineclear_spec.proof.obligations import build
from lineclear_spec.symbolic.ledger import SymbolicLedger
from lineclear_spec.symbolic.state import Sequence, State
from lineclear_spec.symbolic.terms import Misuse, Record

# ---- block steps: where plain data looks ---------------------------------------------------------


HELD = "    ledger.pools[tier].put(ledger.held_at(tier, request), ledger.issued)  # see *Fences* above\n"
FORGET = "    ledger.each(request.members, lambda sequence: forget_computed(ledger, sequence))\n"
EMPTY = "    ledger.empty(request)\n    let_go(ledger, ledger.drop_sealed(request))\n"


@pytest.mark.parametrize("new", [FORGET + HELD + EMPTY, HELD + FORGET + EMPTY])
def test_tables_are_emptied_before_their_blocks_are_looked_for(new: str) -> None:
    """Formulas keep what is held, and who names a block, apart from the tables: plain data finds it there."""
    plant = planted(blocks.clear_tables, HELD + EMPTY + FORGET, new)
    with pytest.raises(Misuse, match="group_local, which may not hold here"):
        installed("clear_tables", plant, lambda: build("clear_tables"))


def test_blocks_are_lost_once_their_tables_are_empty() -> None:
    plant = planted(blocks.clear_tables, HELD + EMPTY + FORGET, FORGET + HELD + EMPTY)
    made, request = running()
    request.block_ids = None  # as after a swap
    plant(made, request)
    assert made.gpu.free == 10


AGAIN = """    sequence.table.extend(blocks)
    again = ledger.new_blocks(ledger.always(sequence), block_ids)
    ledger.hold(sequence.request, again, block_ids)
    ledger.count_down(sequence, blocks)
    sequence.table[sequence.length - num_blocks : sequence.length] = again
    ledger.remove_all(sequence.request, blocks)
    ledger.grew("""


def test_a_record_is_made_again_where_one_lives() -> None:
    """Plain data has one record for each GPU block: the new block is the old one, which loses a ref."""
    old = "    sequence.table.extend(blocks)\n    ledger.grew("
    plant = planted(blocks.take_blocks, old, AGAIN)
    made, request = running(parallel=2)
    plant(made, request.members[0], 1)
    assert request.members[0].table[-1].ref == 0
    found = installed("take_blocks", plant, lambda: red("take_blocks"))
    assert found == ["take_blocks/defined/no block is at the block ids (2)"]


def test_what_is_done_for_each_reads_the_list_of_no_other() -> None:
    made = SymbolicLedger(State.arbitrary())
    one, other = (Record(made, z3.Const(name, Sequence)) for name in ("one", "other"))
    table = other.table
    made.generic = one.z
    with pytest.raises(Misuse, match="another one"):
        made.all_of(lambda block: block.ref == 1, table)


# ---- what operators of plain data do beyond their domain -----------------------------------------


def owed(run: Callable[[SymbolicLedger], Any]) -> list[str]:
    """The preconditions that are false of a run on formulas, whatever the state is."""
    made = SymbolicLedger(State.arbitrary())
    run(made)
    goals = [
        (what, z3.simplify(z3.And(z3.BoolVal(True), g))) for _, what, _, g in made.obligations
    ]
    return [what for what, goal in goals if z3.is_false(goal)]


def test_nothing_is_listed_under_the_step_that_stands_for_none() -> None:
    made, request = running()
    made.boundaries.mark(-1, request.members[0])
    assert made.boundaries.bucket(-1).count == 1
    q = z3.Const("q", Sequence)
    assert owed(lambda s: s.endings.mark(-1, Record(s, q))) == ["it is a step"]
    assert owed(lambda s: s.endings.unmark(-1, Record(s, q))) == ["it is a step"]
    assert owed(lambda s: s.boundaries.postpone(-3, 2)) == ["it is a step"]


def test_names_are_not_counted_from_the_end() -> None:
    made, request = running(parallel=2)
    first = request.members[0]
    child = made.add_member(request)
    first.block_names = (7, 8, 9)
    made.inherit(first, child, -1)
    assert child.block_names == (7, 8)
    one, other = (z3.Const(name, Sequence) for name in ("one", "other"))
    found = owed(lambda s: s.inherit(Record(s, one), Record(s, other), -1))
    assert found == ["the number of names is not negative"]


def test_no_block_is_taken_for_a_request_without_a_sequence() -> None:
    """It does nothing; plain data looked for the table of a first sequence that there is not."""
    old = "    ledger.clear_tables(request)\n    ledger.remove_members(request)\n"
    new = f"    leader = ledger.leader(request)\n{old}    ledger.take_blocks(leader, 0)\n"
    plant = planted(finish, old, new)
    made, request = running()
    plant(made, request)
    assert request.phase == 4
    with pytest.raises(Misuse, match="take_blocks is found through the members"):
        build("finish", plant)


def test_the_forward_of_a_step_in_flight_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of two steps in flight the newest was forgotten, and the proof did not see it: formulas forget none."""
    old = """    oldest = ledger.step_operations.pop(ledger.committed + 1)
    ledger.demand(oldest == number, "a forward is that of the oldest step in flight")
"""
    new = "    ledger.step_operations.pop(ledger.steps)\n"
    monkeypatch.setattr(primitives, "close_step", planted(primitives.close_step, old, new))
    made, request = running()
    for _ in range(2):
        schedule_tokens(made, request.members[0], 1, 0)
        issue_step(made)
    commit_step(made)
    with pytest.raises(Broken, match="step 2 is not in flight"):
        commit_step(made)
    assert "commit_step/defined/the forward is complete" in red("commit_step")


def test_fences_are_those_of_the_pool(monkeypatch: pytest.MonkeyPatch) -> None:
    old = "    ledger.barrier = ledger.gpu.latest(block_ids, ledger.barrier)\n"
    new = old + '    ledger.demand(ledger.cpu.latest(block_ids, 0) >= 0, "a fence")\n'
    allocate = planted(blocks.allocate_gpu, old, new)
    monkeypatch.setattr(blocks, "allocate_gpu", allocate)
    plant = blocks.take_blocks
    made = Ledger(Limits(block_size=2, gpu_blocks=6, max_model_len=16))  # without a CPU block
    request = made.new_request(3, 8, 1)
    submit(made, request)
    with pytest.raises(IndexError):
        plant(made, request.members[0], 1)
    found = installed("take_blocks", plant, lambda: red("take_blocks"))
    assert "take_blocks/defined/the block ids are of the pool (2)" in found
