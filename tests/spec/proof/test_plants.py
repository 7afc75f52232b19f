"""False actions and block steps that were once proved, each beside what it does to plain data.

A *plant* is a function of the dialect that both ledgers run. The first half of each test runs it on plain data, where a
rule breaks; the second half asks for its proof, which has to be refused or to fail.
"""

# pyright: basic

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import z3
from scripts import module_of

from lineclear_spec.actions import (
    admit,
    commit_step,
    complete_copy,
    dispatch_copies,
    fork,
    issue_step,
    schedule_tokens,
    submit,
    swap_out,
)
from lineclear_spec.actions.table import ACTIONS, action
from lineclear_spec.contracts.contract import CONTRACTS, contract
from lineclear_spec.crosscheck.second_solver import crosscheck_unit
from lineclear_spec.invariants.clause import declare, declare_kv
from lineclear_spec.kernel import blocks, primitives
from lineclear_spec.kernel.ledger import Ledger
from lineclear_spec.kernel.methods import Kernel
from lineclear_spec.kernel.records import CPU, Broken, Limits, Request
from lineclear_spec.language.dialect import Forbidden, check_action
from lineclear_spec.mutation.mutants import put_step
from lineclear_spec.postconditions.frames import POSTCONDITIONS, ensures
from lineclear_spec.proof.obligations import Goal, build
from lineclear_spec.proof.prove import prove_unit
from lineclear_spec.symbolic.ledger import SymbolicLedger
from lineclear_spec.symbolic.state import Sequence, State
from lineclear_spec.symbolic.terms import Misuse, Record

FIELDS_OF_CONTRACTS = "name count modifies requirements ensures exact".split()
HEAD = """
from lineclear_spec.kernel.records import COPY_BLOCK, CPU, GPU, SWAP_OUT
from lineclear_spec.logic import and_, if_else, larger, not_
"""
SWAP_IN = """
def swap_in(ledger, request):
    ledger.require(ledger.allowed("swap_in", request), "the request is swapped out")
    ledger.require(request.open_swap == 0, "its swap-out is complete")
    ledger.require(request.blocks <= ledger.gpu.free, "the GPU has a free block for every private block")
    number = ledger.decide(SWAP_OUT, request)
    ledger.move_blocks(request, GPU)
    ledger.note_swap(number, GPU)
    ledger.order(number, larger(ledger.barrier, request.last_swap))
    ledger.barrier = number
    request.open_swap = number
    request.last_swap = number
    ledger.move(request, "swap_in")
    ledger.send_tables(request)
"""
COPY = """
def copy_on_write(ledger, sequence):
    ledger.require(ledger.runs(sequence), "the sequence is alive and its request runs")
    ledger.require(not_(sequence.in_decode_batch), "the sequence is not in the decode batch")
    index = ledger.block_of(sequence.own_dispatched)
    ledger.require(index < sequence.length, "the next position falls into a block of the table")
    ledger.require(sequence.table[index].ref >= 2, "another table entry refers to that block too")
    ledger.require(ledger.gpu.free >= 1, "the GPU has a free block")
    number = ledger.decide(COPY_BLOCK, None)
    ledger.replace_entry(sequence, index)
    ledger.send_whole(sequence)
    ledger.note_twin(number, sequence, index)
    ledger.order(number, ledger.barrier)
"""
SWAP_TO = """
def swap_out(ledger, request):
    ledger.require(ledger.allowed("swap_out", request), "the request runs")
    ledger.require(ledger.unscheduled(request), "no sequence of it is in a step")
    ledger.require(request.open_swap == 0, "it waits for no swap")
    ledger.require(request.blocks <= ledger.cpu.free, "the CPU has a free block for every private block")
    number = ledger.decide(SWAP_OUT, request)
    ledger.move_blocks(request, {tier})
    ledger.note_swap(number, CPU)
    ledger.order(number, number - 1)
    request.open_swap = number
    request.last_swap = number
    ledger.move(request, "swap_out")
"""
DISPATCH = """
def dispatch_copies(ledger):
    {asked}
    ledger.require(ledger.dispatched < ledger.issued, "an operation is not in a plan yet")
    ledger.dispatched = ledger.issued
"""


def planted(folder: Path, text: str, name: str) -> Any:
    path = folder / "planted.py"
    path.write_text(HEAD + text)
    return getattr(module_of(path), name)


def red(unit: str, body: Any = None) -> list[str]:
    return [r.key for r in prove_unit(build(unit, body), budget=400_000) if r.status != "proved"]


def running(parallel: int = 1, prompt: int = 3) -> tuple[Ledger, Request]:
    made = Ledger(Limits(block_size=2, gpu_blocks=12, cpu_blocks=12, max_model_len=16))
    request = made.new_request(prompt, 8, parallel)
    submit(made, request)
    admit(made, request)
    return made, request


# ---- what a plan tells the device ----------------------------------------------------------------


def test_an_operation_of_the_wrong_kind(tmp_path: Path) -> None:
    """On formulas nothing told a swap-in from a swap-out; a device copies in the direction of the kind."""
    plant = planted(tmp_path, SWAP_IN, "swap_in")
    made, request = running()
    swap_out(made, request)
    dispatch_copies(made)
    complete_copy(made, 1)
    plant(made, request)
    assert made.operations[2].kind == "swap_out"
    assert all(block.tier == 0 for block in request.held)
    assert "swap_in/defined/move_blocks: kind" in red("swap_in", plant)


def test_a_copy_of_no_request(tmp_path: Path) -> None:
    """On formulas its request was any; plain data has none to ask once the copy is complete."""
    plant = planted(tmp_path, COPY, "copy_on_write")
    made, request = running(parallel=2, prompt=1)
    first = request.members[0]
    schedule_tokens(made, first, 1, 0)
    issue_step(made)
    commit_step(made)
    plant(made, fork(made, first, 1))
    dispatch_copies(made)
    with pytest.raises(AttributeError):
        complete_copy(made, 2)
    with pytest.raises(Misuse, match="a copy has a request"):
        build("copy_on_write", plant)


def test_the_request_of_a_forward_is_owed() -> None:
    made = SymbolicLedger(State.arbitrary())
    _ = made.operations[3].request
    assert "it is no forward" in [what for _, what, *_ in made.obligations]


# ---- what is no formula ----------------------------------------------------------------------------


def run_and_look(plant: Any, made: Ledger, request: Request) -> None:
    plant(made, request)
    assert all(block.tier == CPU for block in request.held)


@pytest.mark.parametrize("tier", ["7", "request.open_swap"])
def test_a_tier_that_no_unit_proves(tier: str, tmp_path: Path) -> None:
    """The contract took it for the CPU: z3 says of `tier == GPU` that it is false, as it is written otherwise."""
    plant = planted(tmp_path, SWAP_TO.format(tier=tier), "swap_out")
    made, request = running()
    with pytest.raises((IndexError, AttributeError, AssertionError)):
        run_and_look(plant, made, request)
    with pytest.raises((Misuse, KeyError)):
        build("swap_out", plant)


def test_a_formula_has_no_truth_value_for_a_clause_either() -> None:
    a = z3.Int("a")
    for asked in (lambda: bool(a == 1), lambda: (a == 1) or a, lambda: a in (1, 2)):
        with pytest.raises(Misuse, match="has no truth value"):
            asked()


#: What is asked -> what it is on plain data.
ASKED: dict[str, bool] = {
    'ledger.require(ledger.gpu.name == "gpu", "false on plain data alone")': False,
    'ledger.require(ledger.gpu.name == "GPU", "false on formulas alone, which then prove everything")': True,
    'ledger.require(ledger.ended_alone().count == 0, "of a list, a method")': False,
}


@pytest.mark.parametrize("asked", ASKED)
def test_what_both_ledgers_have_and_means_two_things(asked: str, tmp_path: Path) -> None:
    plant = planted(tmp_path, DISPATCH.format(asked=asked), "dispatch_copies")
    made, request = running()
    swap_out(made, request)
    if ASKED[asked]:
        plant(made)
    else:
        with pytest.raises(Exception, match=r"plain data alone|a method"):
            plant(made)
    with pytest.raises(AttributeError):
        build("dispatch_copies", plant)


def test_a_contract_is_used_of_what_it_is_proved_of(tmp_path: Path) -> None:
    """The step reads `count`, which a list on plain data does not have as a number; the contract reads none."""
    asked = 'ledger.require(not_(ledger.one_ends_alone()), "none")'
    text = DISPATCH.format(asked=asked) + "    ledger.give_each_one(ledger.ended_alone())\n"
    plant = planted(tmp_path, text, "dispatch_copies")
    made, request = running()
    swap_out(made, request)
    with pytest.raises(TypeError):
        plant(made)
    with pytest.raises(Misuse, match="proved of a bucket"):
        build("dispatch_copies", plant)


def test_a_keyword_that_one_ledger_knows(tmp_path: Path) -> None:
    asked = 'ledger.demand(ledger.issued >= 0, "it counts", keep=False)'
    plant = planted(tmp_path, DISPATCH.format(asked=asked), "dispatch_copies")
    with pytest.raises(TypeError):
        plant(running()[0])
    with pytest.raises(Forbidden, match="a keyword"):
        check_action(plant)


# ---- block steps: where plain data looks ---------------------------------------------------------


def step(folder: Path, name: str, old: str, new: str) -> Any:
    """A block step of which a piece is replaced, among the others of its module."""
    text = Path(blocks.__file__).read_text()
    assert text.count(old) == 1
    path = folder / "steps.py"
    path.write_text(text.replace(old, new))
    return getattr(module_of(path, blocks.__name__), name)


def installed(name: str, body: Any, run: Callable[[], Any]) -> Any:
    right = getattr(blocks, name)
    put_step(name, body)
    try:
        return run()
    finally:
        put_step(name, right)


HELD = "    ledger.pools[tier].put(ledger.held_at(tier, request), ledger.issued)  # see *Fences* above\n"
FORGET = "    ledger.each(request.members, lambda sequence: forget_computed(ledger, sequence))\n"
EMPTY = "    ledger.empty(request)\n    let_go(ledger, ledger.drop_sealed(request))\n"


@pytest.mark.parametrize("new", [FORGET + HELD + EMPTY, HELD + FORGET + EMPTY])
def test_tables_are_emptied_before_their_blocks_are_looked_for(new: str, tmp_path: Path) -> None:
    """Formulas keep what is held, and who names a block, apart from the tables: plain data finds it there."""
    plant = step(tmp_path, "clear_tables", HELD + EMPTY + FORGET, new)
    with pytest.raises(Misuse, match="group_local, which may not hold here"):
        installed("clear_tables", plant, lambda: build("clear_tables"))


def test_blocks_are_lost_once_their_tables_are_empty(tmp_path: Path) -> None:
    plant = step(tmp_path, "clear_tables", HELD + EMPTY + FORGET, FORGET + HELD + EMPTY)
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


def test_a_record_is_made_again_where_one_lives(tmp_path: Path) -> None:
    """Plain data has one record for each GPU block: the new block is the old one, which loses a ref."""
    old = "    sequence.table.extend(blocks)\n    ledger.grew("
    plant = step(tmp_path, "take_blocks", old, AGAIN)
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


NOTHING = """
def finish(ledger, request):
    ledger.require(ledger.allowed("finish", request), "the request is live")
    ledger.require(ledger.unscheduled(request), "no sequence of it is in a step")
    leader = ledger.leader(request)
    ledger.clear_tables(request)
    ledger.remove_members(request)
    ledger.take_blocks(leader, 0)
    ledger.move(request, "finish")
"""


def test_no_block_is_taken_for_a_request_without_a_sequence(tmp_path: Path) -> None:
    """Proved, as it does nothing; plain data looked for the table of a first sequence that there is not."""
    plant = planted(tmp_path, NOTHING, "finish")
    made, request = running()
    plant(made, request)
    assert request.phase == 4
    assert red("finish", plant) == []


def primitive(folder: Path, old: str, new: str, name: str) -> Any:
    text = Path(primitives.__file__).read_text()
    assert text.count(old) == 1
    path = folder / "planted_primitives.py"
    path.write_text(text.replace(old, new))
    return getattr(module_of(path, primitives.__name__), name)


def test_the_forward_of_a_step_in_flight_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of two steps in flight the newest was forgotten, and the proof did not see it: formulas forget none."""
    old = """    oldest = ledger.step_operations.pop(ledger.committed + 1)
    ledger.demand(oldest == number, "a forward is that of the oldest step in flight")
"""
    new = "    ledger.step_operations.pop(ledger.steps)\n"
    monkeypatch.setattr(Kernel, "close", primitive(tmp_path, old, new, "close"))
    made, request = running()
    for _ in range(2):
        schedule_tokens(made, request.members[0], 1, 0)
        issue_step(made)
    commit_step(made)
    with pytest.raises(Broken, match="step 2 is not in flight"):
        commit_step(made)
    assert "commit_step/defined/the forward is complete" in red("commit_step")


def test_fences_are_those_of_the_pool(tmp_path: Path) -> None:
    old = "    ledger.barrier = ledger.gpu.latest(block_ids, ledger.barrier)\n"
    new = old + '    ledger.demand(ledger.cpu.latest(block_ids, 0) >= 0, "a fence")\n'
    plant = step(tmp_path, "take_blocks", old, new)
    made = Ledger(Limits(block_size=2, gpu_blocks=6, max_model_len=16))  # without a CPU block
    request = made.new_request(3, 8, 1)
    submit(made, request)
    with pytest.raises(IndexError):
        plant(made, request.members[0], 1)
    found = installed("take_blocks", plant, lambda: red("take_blocks"))
    assert "take_blocks/defined/the block ids are of the pool (2)" in found


# ---- two of one name ---------------------------------------------------------------------------------


def test_a_second_row_of_one_name_is_refused() -> None:
    """Who imports the first would run it, and the second would be proved."""

    def clause(v: Any, r: Any) -> Any:
        return v.blocks(r) >= 0

    for again in (
        lambda: action("submit")(ACTIONS["submit"].body),
        lambda: ensures(POSTCONDITIONS["submit"]),
        lambda: declare("holdings", "step", "each holds something", ("", clause)),
        lambda: declare_kv("plan", "nothing", ("", clause, lambda *_: [])),
        lambda: contract(**{f: getattr(CONTRACTS["take_blocks"], f) for f in FIELDS_OF_CONTRACTS}),
    ):
        with pytest.raises(Misuse, match="there are two rows named"):
            again()


def test_a_label_is_no_command() -> None:
    unit = build("dispatch_copies")
    wrong = Goal("contract", "nothing\n(assert false)", 0, z3.BoolVal(False))
    unit.goals = [wrong]
    assert crosscheck_unit(unit)[0].status != "proved"
