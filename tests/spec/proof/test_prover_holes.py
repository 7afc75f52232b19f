"""What the prover must refuse or notice: broken actions that were once proved.

Each action here stands in for one of the table's, and is wrong in a way that an execution would show.
"""

# pyright: basic

from __future__ import annotations

import importlib
from typing import Any

import pytest
import z3

from lineclear_spec.actions.operations import complete_copy
from lineclear_spec.actions.steps import commit_step
from lineclear_spec.contracts import CONTRACTS
from lineclear_spec.crosscheck.smtlib import write
from lineclear_spec.kernel.lifecycle import Phase
from lineclear_spec.kernel.records import Broken, Limits, Refused
from lineclear_spec.modelcheck.ghosts import GhostLedger
from lineclear_spec.mutation.judge import noticed
from lineclear_spec.mutation.mutants import generate
from lineclear_spec.proof import obligations
from lineclear_spec.proof.obligations import build
from lineclear_spec.proof.prove import prove_unit
from lineclear_spec.symbolic.device import SymbolicDevice
from lineclear_spec.symbolic.goals import EMPTY, Goal, Unit
from lineclear_spec.symbolic.ledger import SymbolicLedger, query
from lineclear_spec.symbolic.state import FIELDS, Request, Sequence, State
from lineclear_spec.symbolic.terms import Misuse, Record, Term


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


# ---- what only asks ------------------------------------------------------------------------------


def forgets(sequence: Any) -> Any:
    """Writes on plain data; on formulas it wrote into a copy of the state."""
    sequence.own_tokens = 0
    return sequence.alive


def guards(ledger: Any, sequence: Any) -> Any:
    """On plain data it guards once for each element, of none never; on formulas always."""
    ledger.require(sequence.own_tokens < 0, "never the case")
    return sequence.alive


def demands(ledger: Any, sequence: Any) -> Any:
    ledger.demand(sequence.own_tokens >= 0, "its tokens are not negative")
    return sequence.alive


def alike(ledger: Any, members: Any, sequence: Any) -> Any:
    """Of all, whether they are as far as the sequence; on formulas the sequence was the inner one, too."""
    return ledger.all_of(lambda other: other.last_step == sequence.last_step, members)


CONDITIONS: list[Any] = [
    (lambda _, __, q: forgets(q), "a query or a condition writes"),
    (lambda ledger, _, q: guards(ledger, q), "a condition a guard"),
    (lambda ledger, _, q: demands(ledger, q), "a precondition"),
    (alike, "x is bound twice"),
]


@pytest.mark.parametrize("operator", ["select", "all_of"])
@pytest.mark.parametrize(("condition", "said"), CONDITIONS)
def test_a_condition_only_asks(operator: str, condition: Any, said: str) -> None:
    state = ledger()
    members = state.listed(Record(state, z3.Const("request", Request)).members)
    with pytest.raises(Misuse, match=said):
        getattr(state, operator)(lambda q: condition(state, members, q), members)


def seldom_guards(ledger: Any, sequence: Any) -> Any:
    """On formulas both values are worked out, on plain data the one that is chosen."""
    return guards(ledger, sequence) if sequence.own_tokens >= 64 else sequence.alive


def seldom_writes(_: Any, sequence: Any) -> Any:
    return forgets(sequence) if sequence.own_tokens >= 64 else sequence.alive


@pytest.mark.parametrize(
    ("function", "said"),
    [(seldom_guards, "a query has a guard"), (seldom_writes, "a query or a condition writes")],
)
def test_a_query_only_asks(function: Any, said: str) -> None:
    state = ledger()
    with pytest.raises(Misuse, match=said):
        query(function)(state, Record(state, z3.Const("sequence", Sequence)))


def test_what_is_done_for_each_asks_the_phase_of_no_other() -> None:
    state = ledger()
    one, other = (Record(state, z3.Const(name, Request)) for name in ("one", "other"))
    state.generic = one.z
    state.allowed("finish", one)
    with pytest.raises(Misuse, match="another one"):
        state.allowed("finish", other)
    with pytest.raises(Misuse, match="another one"):
        state.enqueue(other, Phase.WAITING)


def test_the_devices_action_demands_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """What it demands would be assumed, and no unit would ask it."""
    execute = SymbolicDevice.execute

    def careful(self: Any, number: Any) -> Any:
        self.demand(number >= 0, "no device fails")
        return execute(self, number)

    monkeypatch.setattr(SymbolicDevice, "execute", careful)
    with pytest.raises(Misuse, match="kv_run demands 'no device fails', which no unit asks"):
        build("kv_run")


def test_goals_that_are_not_sorted_by_depth_are_refused() -> None:
    a = z3.Int("a")
    goals = [Goal("step", "late", 1, a == 1), Goal("step", "early", 0, a == 1)]
    unit = Unit("unsorted", [], [a == 1], goals)
    with pytest.raises(Misuse, match="not sorted by depth"):
        prove_unit(unit)
    with pytest.raises(Misuse, match="not sorted by depth"):
        write(unit)


def test_a_contract_that_no_unit_proves_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(CONTRACTS, "seal_entries", CONTRACTS["take_blocks"])
    with pytest.raises(Misuse, match="seal_entries is used by its contract, which no unit proves"):
        importlib.reload(obligations)


def test_selected_elements_are_distinct() -> None:
    """Of an element that is there twice formulas would select one, where plain data selects both."""
    state = ledger()
    members = state.listed(Record(state, z3.Const("request", Request)).members)
    state.select(lambda q: q.alive, members)
    assert [what for _, what, *_ in state.obligations] == ["no element is there twice"]
