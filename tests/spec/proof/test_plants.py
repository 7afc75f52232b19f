"""False actions that were once proved, each beside what it does to plain data.

A *plant* is a function of the table with a piece of its text replaced. The first half of each test runs it on plain
data, where a rule breaks; the second half asks for its proof, which has to be refused or to fail.
"""

# pyright: basic

from __future__ import annotations

from typing import Any

import pytest
import z3
from edits import planted
from plants import red, running

from lineclear_spec.actions import (
    commit_step,
    complete_copy,
    copy_on_write,
    dispatch_copies,
    fork,
    issue_step,
    schedule_tokens,
    swap_in,
    swap_out,
)
from lineclear_spec.actions.table import ACTIONS, action
from lineclear_spec.contracts.contract import CONTRACTS, contract
from lineclear_spec.crosscheck.second_solver import crosscheck_unit
from lineclear_spec.invariants.clause import declare, declare_kv
from lineclear_spec.kernel.ledger import Ledger
from lineclear_spec.kernel.records import CPU, Request
from lineclear_spec.language.dialect import Forbidden, check_action
from lineclear_spec.postconditions.frames import POSTCONDITIONS, ensures
from lineclear_spec.proof.obligations import Goal, build
from lineclear_spec.symbolic.ledger import SymbolicLedger
from lineclear_spec.symbolic.state import State
from lineclear_spec.symbolic.terms import Misuse

FIELDS_OF_CONTRACTS = "name count modifies requirements ensures exact".split()


# ---- what a plan tells the device ----------------------------------------------------------------


def test_an_operation_of_the_wrong_kind() -> None:
    """On formulas a swap-in and a swap-out were alike; a device copies in the direction of the kind."""
    plant = planted(swap_in, "SWAP_IN", "SWAP_OUT")
    made, request = running()
    swap_out(made, request)
    dispatch_copies(made)
    complete_copy(made, 1)
    plant(made, request)
    assert made.operations[2].kind == "swap_out"
    assert all(block.tier == 0 for block in request.held)
    assert "swap_in/defined/move_blocks: kind" in red("swap_in", plant)


def test_a_copy_of_no_request() -> None:
    """On formulas its request was any; plain data has none to ask once the copy is complete."""
    plant = planted(copy_on_write, "COPY_BLOCK, sequence.request", "COPY_BLOCK, None")
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


def dispatching(asked: str, done: str = "pass") -> Any:
    """`dispatch_copies` that asks something else first, and does something else at last."""
    guard = "    ledger.require(ledger.dispatched < ledger.issued"
    first = planted(dispatch_copies, guard, f"    {asked}\n{guard}")
    effect = "    ledger.dispatched = ledger.issued\n"
    return planted(first, effect, f"{effect}    {done}\n")


def run_and_look(plant: Any, made: Ledger, request: Request) -> None:
    plant(made, request)
    assert all(block.tier == CPU for block in request.held)


@pytest.mark.parametrize("tier", ["7", "request.open_swap"])
def test_a_tier_that_no_unit_proves(tier: str) -> None:
    """The contract took it for the CPU: z3 says of `tier == GPU` that it is false, as it is written otherwise."""
    plant = planted(swap_out, "move_blocks(request, CPU)", f"move_blocks(request, {tier})")
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
def test_what_both_ledgers_have_and_means_two_things(asked: str) -> None:
    plant = dispatching(asked)
    made, request = running()
    swap_out(made, request)
    if ASKED[asked]:
        plant(made)
    else:
        with pytest.raises(Exception, match=r"plain data alone|a method"):
            plant(made)
    with pytest.raises(AttributeError):
        build("dispatch_copies", plant)


def test_a_contract_is_used_of_what_it_is_proved_of() -> None:
    """The step reads `count`, which a list on plain data does not have as a number; the contract reads none."""
    asked = 'ledger.require(ledger.one_ends_alone() == False, "none")'
    plant = dispatching(asked, "ledger.give_each_one(ledger.ended_alone())")
    made, request = running()
    swap_out(made, request)
    with pytest.raises(TypeError):
        plant(made)
    with pytest.raises(Misuse, match="proved of a bucket"):
        build("dispatch_copies", plant)


def test_a_keyword_that_one_ledger_knows() -> None:
    asked = 'ledger.demand(ledger.issued >= 0, "it counts", keep=False)'
    plant = dispatching(asked)
    with pytest.raises(TypeError):
        plant(running()[0])
    with pytest.raises(Forbidden, match="a keyword"):
        check_action(plant)


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
