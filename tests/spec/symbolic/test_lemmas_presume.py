"""What the lemma of an operator presumes is asked wherever the operator is used."""

# pyright: basic, reportOperatorIssue=false, reportAttributeAccessIssue=false
# pyright: reportArgumentType=false

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import z3

from lineclear_spec.kernel.records import GPU
from lineclear_spec.symbolic.ledger import SymbolicLedger
from lineclear_spec.symbolic.state import Block, Int, Request, Sequence, State, quantify
from lineclear_spec.symbolic.terms import Misuse, Record
from lineclear_spec.symbolic.vectors import Unnamed, Vector

Case = tuple[SymbolicLedger, list[Any]]


def one(ledger: SymbolicLedger, sort: Any, element: Any) -> Vector:
    return Vector(ledger, sort, z3.IntVal(1), lambda _k: element, lambda _x: z3.IntVal(0))


def a_set_that_lists_a_block_twice() -> Case:
    ledger, s = SymbolicLedger(State.arbitrary().snapshot()), State.arbitrary()
    r, b = z3.Const("r", Request), z3.Const("b", Block)
    ledger.remove_all(Record(ledger, r), one(ledger, Block, b))
    twice = [s.held(r, k) == b for k in range(3)]
    return ledger, [s.blocks(r) == 3, *twice, s.held_index(b) == 0, s.ref(b) == 0]


def a_set_of_negative_size() -> Case:
    ledger, s = SymbolicLedger(State.arbitrary().snapshot()), State.arbitrary()
    none = Vector(
        ledger, Block, z3.IntVal(0), lambda _k: z3.Const("b", Block), lambda _x: z3.IntVal(0)
    )
    ledger.drop_each(Unnamed(none))
    return ledger, [s.blocks(z3.Const("r", Request)) == -1]


def a_pool_whose_order_is_none() -> Case:
    ledger, s = SymbolicLedger(State.arbitrary().snapshot()), State.arbitrary()
    ledger.gpu.put(one(ledger, Int, z3.IntVal(0)), 0)
    return ledger, [s.total(GPU) == 1, s.free(GPU) == 0, s.position(GPU, z3.IntVal(0)) == 5]


def a_block_with_a_holder_twice() -> Case:
    ledger, s = SymbolicLedger(State.arbitrary().snapshot()), State.arbitrary()
    r, q, b = z3.Const("r", Request), z3.Const("q", Sequence), z3.Const("b", Block)
    ledger.start_watching()
    ledger.drop_sealed(Record(ledger, r))
    other = z3.Const("other", Request)
    return ledger, [
        s.ref(b) == 2,
        s.holder(b, z3.IntVal(0)) == q,
        s.holder(b, z3.IntVal(1)) == q,
        s.request(q) == other,
        other != r,
    ]


@pytest.mark.parametrize(
    "case",
    [
        a_set_that_lists_a_block_twice,
        a_set_of_negative_size,
        a_pool_whose_order_is_none,
        a_block_with_a_holder_twice,
    ],
)
def test_where_a_lemma_does_not_hold_the_operator_is_refused(case: Callable[[], Case]) -> None:
    ledger, state = case()
    failing = []
    for kind, label, _, goal in ledger.obligations:
        solver = z3.Solver()
        solver.add(*state, goal)
        if solver.check() == z3.unsat:
            failing.append((kind, label))
    assert failing, "every precondition may be true of this state"


def test_a_body_that_is_run_for_each_may_not_assume() -> None:
    ledger = SymbolicLedger(State.arbitrary().snapshot())
    members: Any = Record(ledger, z3.Const("r", Request)).members
    with pytest.raises(Misuse, match="assumes something of one of them"):
        ledger.each(members, lambda _: ledger.assume(ledger.state.issued >= 0))


def test_a_variable_is_not_bound_twice() -> None:
    with pytest.raises(Misuse, match="o_block_id is bound twice"):
        quantify(("block_id",), lambda p: State.every("block_id", lambda x: x == p))
    quantify(("block_id",), lambda p: State.some("block_id", lambda x: x == p))
    quantify(("block_id",), lambda p: p == p)


def test_what_is_listed_is_finite_only_where_an_invariant_says_so() -> None:
    """The members of a request, and a calendar: where nothing is known of them, they may be without end."""
    ledger = SymbolicLedger(State.arbitrary().snapshot())
    request: Any = Record(ledger, z3.Const("r", Request))
    with pytest.raises(Misuse, match="a lemma needs group_local"):
        ledger.drop_sealed(request)  # nothing was assumed of the state
    ledger.start_watching()
    request.members.clear()
    with pytest.raises(Misuse, match="a lemma needs members"):
        ledger.drop_sealed(request)
    ledger.given -= {"decode_batch.size"}
    with pytest.raises(
        Misuse, match=r"a lemma needs decode_batch\.size, which is no hypothesis here"
    ):
        ledger.boundaries.bucket(1)


def test_a_block_step_knows_no_boundary_invariant_but_what_it_requires() -> None:
    ledger = SymbolicLedger(State.arbitrary())
    ledger.prove("clear_tables", Record(ledger, z3.Const("r", Request)))
    assert {"members.alive", "references.first"} <= ledger.given
    assert not {"decode_batch.size", "residency.tier"} & ledger.given
