"""What the prover must refuse or notice: broken actions that were once proved.

Each action here stands in for one of the table's, and is wrong in a way that an execution would show.
"""

# pyright: basic

from __future__ import annotations

from typing import Any

import pytest
import z3

from lineclear_spec.actions.operations import complete_copy
from lineclear_spec.actions.steps import commit_step
from lineclear_spec.kernel.records import Broken, Limits, Refused
from lineclear_spec.modelcheck.ghosts import GhostLedger
from lineclear_spec.mutation.judge import noticed
from lineclear_spec.mutation.mutants import generate
from lineclear_spec.proof.obligations import build
from lineclear_spec.proof.prove import prove_unit
from lineclear_spec.symbolic.goals import EMPTY
from lineclear_spec.symbolic.ledger import SymbolicLedger
from lineclear_spec.symbolic.state import FIELDS, State
from lineclear_spec.symbolic.terms import Misuse, Term


def ledger() -> SymbolicLedger:
    return SymbolicLedger(State.arbitrary())


def plain() -> GhostLedger:
    return GhostLedger(Limits(block_size=2, gpu_blocks=4, max_model_len=16))


def unproved(name: str, body: Any = None) -> list[str]:
    return [r.key for r in prove_unit(build(name, body)) if r.status != "proved"]


# ---- guards and loops inside branches ----------------------------------------------------------


def finish_that_leaks(ledger: Any, request: Any) -> None:
    """Nothing is freed; a guard in a branch made the proof presume that nothing is held."""
    ledger.require(ledger.allowed("finish", request), "the request is live")
    ledger.require(
        ledger.unscheduled(request),
        "no sequence of it is in the decode batch or in the step being built",
    )
    ledger.branch(
        request.parallel >= 100, lambda: ledger.require(request.open_swap < 0, "never the case")
    )
    ledger.remove_members(request)
    ledger.move(request, "finish")


def test_a_guard_inside_a_branch_is_refused() -> None:
    with pytest.raises(Misuse, match="guard inside a branch: never the case"):
        build("finish", finish_that_leaks)


def test_a_guard_inside_a_branch_is_refused_by_the_ledger_that_runs() -> None:
    broken = plain()
    with pytest.raises(Broken, match="guard inside a branch: late"):
        broken.branch(True, lambda: broken.require(True, "late"))
    broken.require(True, "after the branch a guard is allowed again")


def test_a_loop_inside_a_branch_is_refused() -> None:
    def finish(ledger: Any, request: Any) -> None:
        ledger.require(ledger.allowed("finish", request), "the request is live")
        ledger.branch(request.parallel >= 2, lambda: ledger.clear_tables(request))

    with pytest.raises(Misuse, match="the step clear_tables runs inside a branch"):
        build("finish", finish)


def test_nested_branches_write_where_both_conditions_hold() -> None:
    for outer, inner, expected in ((1, 1, 7), (1, 0, 5), (0, 1, 5), (0, 0, 5)):
        made = ledger()
        a, b = Term(z3.Int("a") == 1), Term(z3.Int("b") == 1)
        made.step_tokens = 5

        def write(made: Any = made) -> None:
            made.step_tokens = 7

        def nested(made: Any = made, b: Any = b, write: Any = write) -> None:
            made.branch(b, write)

        made.branch(a, nested)
        value = z3.substitute(
            made.state.step_tokens,
            (z3.Int("a"), z3.IntVal(outer)),
            (z3.Int("b"), z3.IntVal(inner)),
        )
        assert z3.simplify(value).eq(z3.IntVal(expected))


# ---- questions have preconditions --------------------------------------------------------------


def complete_copy_asked_in_the_wrong_order(ledger: Any, number: Any) -> None:
    """The first two guards are exchanged: what is not open is asked whether it is a copy."""
    ledger.require(ledger.is_copy(number), "the operation is a copy")
    ledger.require(ledger.is_open(number), "the operation is decided and not complete")
    ledger.require(number <= ledger.dispatched, "a plan has dispatched it")
    ledger.forget_copy(number)
    ledger.close(number)


def test_a_question_before_its_guard_is_not_proved() -> None:
    found = unproved("complete_copy", complete_copy_asked_in_the_wrong_order)
    assert found == ["complete_copy/defined/the operation is open"]


def test_the_ledger_that_runs_raises_where_a_question_has_no_answer() -> None:
    with pytest.raises(Broken, match="operation 7 is not open"):
        complete_copy_asked_in_the_wrong_order(plain(), 7)
    with pytest.raises(Refused):
        complete_copy(plain(), 7)
    with pytest.raises(Refused):
        commit_step(plain())
    for question in (plain().wait_of, plain().is_copy):
        with pytest.raises(Broken, match="operation 7 is not open"):
            question(7)
    with pytest.raises(Broken, match="step 1 is not in flight"):
        plain().forward_of(1)
    request = plain().new_request(1, 2, 1)
    with pytest.raises(Broken, match="the request has a sequence"):
        plain().leader(request)


@pytest.mark.parametrize(
    ("asked", "what"),
    [
        (lambda s: s.wait_of(3), "the operation is open"),
        (lambda s: s.is_copy(3), "the operation is open"),
        (lambda s: s.forward_of(3), "the step asked about is in flight"),
        (lambda s: s.gpu.take(3), "as many free blocks as are allocated"),
        (lambda s: s.cpu.put(s.cpu.take(3), 0), "the block ids to be freed are in use"),
        (lambda s: s.cpu.put(s.cpu.take(3), 0), "no element is there twice"),
        (lambda s: s.leader(request_of(s)), "the request has a sequence"),
        (lambda s: request_of(s).members[3], "member has the entry that is read"),
        (lambda s: s.leader(request_of(s)).table[3], "table has the entry that is read"),
        (
            lambda s: s.leader(request_of(s)).table[1:3],
            "table has the entries that are read",
        ),
        (
            lambda s: s.writable(s.leader(request_of(s))),
            "what the sequence has computed is not negative",
        ),
    ],
)
def test_every_question_that_looks_something_up_owes_a_precondition(asked: Any, what: str) -> None:
    made = ledger()
    asked(made)
    assert what in [label for kind, label, *_ in made.obligations if kind == "defined"]


def request_of(made: SymbolicLedger) -> Any:
    from lineclear_spec.symbolic.goals import record

    return record(made, "request")


def test_exchanged_guards_are_noticed_where_a_question_comes_before_its_guard() -> None:
    exchanged = {m.name: m for m in generate(("guards exchanged",))}
    assert len(exchanged) >= 70
    asked = [
        noticed(exchanged[f"{name}.exchanged_with_the_next"])
        for name in ("complete_copy.guard.1", "copy_on_write.guard.3", "complete_copy.guard.2")
    ]
    assert asked == [
        "complete_copy/defined/the operation is open",
        "copy_on_write/defined/table has the entry that is read",
        None,
    ]


# ---- the start state ---------------------------------------------------------------------------


def test_the_start_state_leaves_open_what_callers_decide() -> None:
    unit = build("start")
    text = "\n".join(goal.formula.sexpr() for goal in unit.goals)
    assert "start_parallel" in text
    assert not {"prompt", "limit", "parallel"} & EMPTY
    assert set(FIELDS) >= EMPTY
    assert unproved("start") == []


@pytest.mark.parametrize("name", sorted(EMPTY))
def test_what_the_start_state_fixes_it_has_to_fix(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lineclear_spec.symbolic.goals.EMPTY", EMPTY - {name})
    found = [r for unit in ("start", "kv_start") for r in prove_unit(build(unit), budget=400_000)]
    assert any(r.status != "proved" for r in found)
