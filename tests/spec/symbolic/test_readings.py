# pyright: basic
"""What a guard may ask means the same on plain data and on formulas, in every state tried.

A state's plain data is given to the solver as facts; a query's formula must then have the value
that the plain ledger computes, and no other.
"""

from __future__ import annotations

from itertools import islice
from typing import Any

import pytest
import z3
from readings import ASKED, LOOSER, READ, Reading, questions, readings, traces_of

from lineclear_spec.actions import ACTIONS
from lineclear_spec.kernel import queries
from lineclear_spec.kernel.records import Broken
from lineclear_spec.modelcheck.explore import prepare, replay
from lineclear_spec.modelcheck.ghosts import GhostLedger
from lineclear_spec.modelcheck.snapshot import ConcreteView
from lineclear_spec.modelcheck.worlds import BOUNDS
from lineclear_spec.symbolic.state import (
    FIELDS,
    Request,
    Sequence,
)


def compare(most: int, states: int = 80) -> None:
    asked: set[str] = set()
    values: dict[str, set[str]] = {}
    for reading in readings(most, states):
        assert reading.solver.check() != z3.unsat
        every = questions(reading)
        if reading.any_differs(every):
            for name, formula, value in every:
                assert not reading.differs(formula, value), (name, value)
            raise AssertionError("one of them differs, and none of them alone")
        for name, _, value in every:
            asked.add(name)
            values.setdefault(name, set()).add(repr(value))
    assert asked == (ASKED | {*queries.__all__}) - LOOSER
    assert [
        n
        for n in ("writable", "divisible", "unscheduled", "runs", "all_complete", "due")
        if len(values[n]) < 2
    ] == []


def test_every_query_means_the_same_in_both_readings() -> None:
    compare(2)


@pytest.mark.deep
def test_every_query_means_the_same_in_many_states() -> None:
    compare(60, 600)


@pytest.mark.parametrize("name", ["need", "runs", "unscheduled", "all_complete"])
def test_a_query_that_is_read_otherwise_is_seen(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The plain ledger is made to answer something else in one reading."""
    original = getattr(GhostLedger, name)

    def other(self: Any, *arguments: Any) -> Any:
        value = original(self, *arguments)
        return value + 1 if name == "need" else not value

    found = list(readings(1, worlds=BOUNDS[:4]))
    assert len(found) == 4
    monkeypatch.setattr(GhostLedger, name, other)
    for reading in found:
        every = questions(reading)
        wrong = [
            reading.differs(formula, value) for asked, formula, value in every if asked == name
        ]
        assert wrong
        assert all(wrong)
        assert reading.any_differs(every)
        assert not reading.any_differs([row for row in every if row[0] != name])


# ---- effects -----------------------------------------------------------------------------------

#: Actions without a loop: a loop is its contract on formulas, which says less than one run does.
LOOPLESS = "schedule_tokens commit_step sample leave_batch join_batch dispatch_copies complete_copy".split()
WRITTEN = [
    name
    for name in READ
    if name not in ("table", "member", "held", "forward_of", "wait", "member_index")
]


def edges(most: int, states: int = 60) -> list[tuple[GhostLedger, Any, GhostLedger]]:
    """A few edges of each such action in each world: before, the step, after."""
    found: list[tuple[GhostLedger, Any, GhostLedger]] = []
    for bounds in BOUNDS:
        kept: dict[str, int] = {}
        for trace in traces_of(bounds, states):
            step = trace[-1] if trace else ("", ())
            if step[0] in LOOPLESS and kept.get(step[0], 0) < most:
                kept[step[0]] = kept.get(step[0], 0) + 1
                found.append((replay(bounds, trace[:-1]), step, replay(bounds, trace)))
    return found


def disagree(before: GhostLedger, step: Any, after: GhostLedger) -> bool:
    """Whether a field may have another value after the action on formulas than on plain data."""
    reading = Reading(before)
    own = [reading.record(a) if a in reading.names else a for a in prepare(before, step)]
    ACTIONS[step[0]].body(reading.symbolic, *own)
    reading.solver.add(*reading.assumed())
    assert reading.solver.check() != z3.unsat
    view = ConcreteView(after)
    twins: dict[Any, Any] = dict(zip(before.requests, after.requests, strict=True))
    twins |= dict(zip(before.sequences, after.sequences, strict=True))
    back = {new: old for old, new in twins.items()}
    apart: list[Any] = []
    for name in WRITTEN:
        arguments, result = FIELDS[name]
        now, then = reading.symbolic.state.fields[name], getattr(view, name)
        if not arguments:
            apart.append(now != reading.constant(then, result))
        elif arguments in ((Request,), (Sequence,)):
            for record in before.requests if arguments == (Request,) else before.sequences:
                value = then(twins[record])
                apart.append(
                    now(reading.names[record]) != reading.constant(back.get(value, value), result)
                )
        elif arguments == (z3.IntSort(),):
            for n in range(1, before.issued + 1):
                if n in after.operations or name == "open":
                    value = back.get(then(n), then(n))
                    apart.append(now(n) != reading.constant(value, result))
    reading.solver.add(z3.Or(*apart))
    answer = reading.solver.check()
    assert answer != z3.unknown
    return bool(answer == z3.sat)


def test_effects_without_loops_are_the_same_in_both_readings() -> None:
    found = edges(1)
    assert {step[0] for _, step, _ in found} == set(LOOPLESS)
    for before, step, after in found:
        assert not disagree(before, step, after), step


def test_an_effect_that_differs_is_seen() -> None:
    before, step, after = next(edge for edge in edges(1) if edge[1][0] == "sample")
    after.sequences[int(step[1][0][1:]) - 1].own_tokens += 1
    assert disagree(before, step, after)


@pytest.mark.deep
def test_effects_on_many_edges_are_the_same_in_both_readings() -> None:
    for before, step, after in edges(15, 400):
        assert not disagree(before, step, after), step


# ---- preconditions -----------------------------------------------------------------------------


def demanded(reading: Reading, ask: Any) -> bool:
    """Whether what a call demands on formulas holds of the state that was read.

    Raises:
        AssertionError: the state does not decide it.
    """
    asked = len(reading.symbolic.obligations)
    ask(reading.symbolic)
    goals = [goal for *_, goal in reading.symbolic.obligations[asked:]]
    assert goals, "the call demands nothing"
    answers: list[bool] = []
    for holds in (True, False):
        reading.solver.push()
        reading.solver.add(z3.And(*goals) if holds else z3.Not(z3.And(*goals)))
        answers.append(bool(reading.solver.check() == z3.sat))
        reading.solver.pop()
    assert answers[0] != answers[1]
    return answers[0]


def edges_of_calls(reading: Reading) -> list[tuple[str, Any, bool, Any]]:
    """Calls at and just past the edge of what they may be asked: label, the call on formulas, whether it
    may be made, and the call on plain data if it is refused there too.
    """
    v = reading.ledger
    found: list[tuple[str, Any, bool, Any]] = []
    for q in v.sequences:
        own = reading.record(q)
        for i in (-1, 0, len(q.table) - 1, len(q.table)):
            found.append(("table", lambda _, o=own, i=i: o.table[i], 0 <= i < len(q.table), None))
    for r in v.requests:
        own = reading.record(r)
        for i in (-1, 0, len(r.members) - 1, len(r.members)):
            may = 0 <= i < len(r.members)
            found.append(("members", lambda _, o=own, i=i: o.members[i], may, None))
        leads = (lambda s, o=own: s.leader(o), bool(r.members), lambda r=r: v.leader(r))
        found.append(("leader", *leads))
    for number in range(v.issued + 2):
        for name in ("wait_of", "is_copy"):

            def plainly(name: str = name, number: int = number) -> Any:
                return getattr(v, name)(number)

            def formally(s: Any, name: str = name, number: int = number) -> Any:
                return getattr(s, name)(number)

            found.append((name, formally, number in v.operations, plainly))
    for step in range(v.committed - 1, v.steps + 2):
        may = v.committed < step <= v.steps
        asked = (lambda s, k=step: s.forward_of(k), may, lambda k=step: v.forward_of(k))
        found.append(("forward_of", *asked))
    return found


def test_what_may_be_asked_is_the_same_in_both_readings() -> None:
    """An index check that is one too wide, or a question that is answered of nothing, shows here."""
    met: dict[str, set[bool]] = {}
    for reading in islice(readings(1, 40), 0, None, 3):
        for name, formally, may, plainly in edges_of_calls(reading):
            assert demanded(reading, formally) == may, name
            met.setdefault(name, set()).add(may)
            if plainly is not None and not may:
                with pytest.raises(Broken):
                    plainly()
            elif plainly is not None:
                plainly()
    calls = ("table", "members", "leader", "wait_of", "is_copy", "forward_of")
    assert met == {name: {True, False} for name in calls}
