"""An argument of an action is unknown on formulas, whatever its parameter is called.

Each case here was proved once although an execution shows that it is wrong.
"""

# pyright: basic

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import z3

from lineclear_spec.actions import ACTIONS
from lineclear_spec.crosscheck.smtlib import write
from lineclear_spec.logic import not_
from lineclear_spec.proof.obligations import build
from lineclear_spec.proof.prove import prove_unit
from lineclear_spec.symbolic import goals
from lineclear_spec.symbolic.goals import record
from lineclear_spec.symbolic.ledger import SymbolicLedger
from lineclear_spec.symbolic.state import State
from lineclear_spec.symbolic.terms import Misuse


def complete_copy_of_a_field(ledger: Any, dispatched: Any) -> None:
    """The guard `number <= ledger.dispatched` is missing; the argument was the field of that name."""
    ledger.require(ledger.is_open(dispatched), "the operation is decided and not complete")
    ledger.require(ledger.is_copy(dispatched), "the operation is a copy")
    ledger.forget_copy(dispatched)
    ledger.close(dispatched)


def append_slots_of_a_field(ledger: Any, sequence: Any, free_gpu: Any) -> None:
    """The guard compares with the argument; that was the number of free blocks."""
    ledger.require(ledger.runs(sequence), "the sequence is alive and its request runs")
    ledger.require(not_(sequence.in_decode_batch), "the sequence is not in the decode batch")
    ledger.require(free_gpu >= 1, "there is something to append")
    ledger.require(
        sequence.own_slots + free_gpu < sequence.request.limit, "it stays below its limit"
    )
    blocks = ledger.need(sequence.own_slots + free_gpu) - sequence.length
    ledger.require(blocks <= free_gpu, "the GPU has a free block for every block needed")
    ledger.take_blocks(sequence, blocks)
    sequence.own_slots = sequence.own_slots + free_gpu


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("complete_copy", complete_copy_of_a_field),
        ("append_slots", append_slots_of_a_field),
    ],
)
def test_an_argument_is_unknown_whatever_it_is_called(
    name: str, body: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = body.__code__
    named = code.co_varnames[1 : code.co_argcount]
    monkeypatch.setitem(ACTIONS, name, replace(ACTIONS[name], body=body, parameters=named))
    with pytest.raises(Misuse, match=f"the parameter {named[-1]} is in no list"):
        build(name)
    monkeypatch.setattr(goals, "NUMBERS", goals.NUMBERS | set(named))
    assert {r.status for r in prove_unit(build(name))} > {"proved"}


def test_arguments_have_names_of_their_own_in_the_exported_text() -> None:
    text = write(build("append_slots")).text()
    assert "(declare-fun argument.sequence () Sequence)" in text
    assert "(declare-fun argument.num_slots () Int)" in text


def test_an_argument_is_not_captured_by_a_bound_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    """`all_complete(o)` said that no operation at all is open."""
    monkeypatch.setattr(goals, "NUMBERS", goals.NUMBERS | {"o"})
    made = SymbolicLedger(State.arbitrary())
    number = record(made, "o")
    solver = z3.Solver()
    solver.add(made.all_complete(number).z, number.z == 3, made.is_open(z3.IntVal(5)).z)
    assert solver.check() != z3.unsat


def test_the_name_of_every_parameter_tells_one_sort() -> None:
    used = {name for row in ACTIONS.values() for name in row.parameters}
    lists = (goals.REQUESTS, goals.SEQUENCES, goals.NUMBERS)
    assert used <= goals.REQUESTS | goals.SEQUENCES | goals.NUMBERS
    assert sum(map(len, lists)) == len(frozenset.union(*lists))
