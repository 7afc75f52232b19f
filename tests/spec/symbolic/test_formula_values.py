"""A value on formulas does not answer by identity, by a name, or by a rounded number.

Each case here was proved once although an execution shows that it is wrong.
"""

# pyright: basic

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import z3

from lineclear_spec.proof.obligations import build
from lineclear_spec.symbolic.goals import record
from lineclear_spec.symbolic.ledger import SymbolicLedger
from lineclear_spec.symbolic.state import Block, State
from lineclear_spec.symbolic.terms import Misuse

PARTS: dict[str, Callable[[Any], Any]] = {
    "the ledger": lambda s: s,
    "limits": lambda s: s.limits,
    "a pool": lambda s: s.gpu,
    "both pools": lambda s: s.pools,
    "what is due": lambda s: s.due(),
    "the blocks of a request": lambda s: record(s, "request").held,
    "block ids that were taken": lambda s: s.gpu.take(1),
    "members": lambda s: record(s, "request").members,
    "a table": lambda s: record(s, "sequence").table,
}
ANSWERS: dict[str, Callable[[Any], Any]] = {
    "==": lambda x: x == x,
    "!=": lambda x: x != x,
    "<": lambda x: x < x,
    "a truth value": bool,
    "a hash": hash,
    "a length": len,
    "entries": list,
    "in": lambda x: 1 in x,
}


def watched() -> SymbolicLedger:
    """A ledger of any state in which every invariant holds."""
    ledger = SymbolicLedger(State.arbitrary())
    ledger.start_watching()
    return ledger


@pytest.mark.parametrize("answer", ANSWERS)
@pytest.mark.parametrize("part", PARTS)
def test_a_part_of_the_ledger_does_not_answer_by_identity(part: str, answer: str) -> None:
    found = PARTS[part](watched())
    with pytest.raises(Misuse):
        ANSWERS[answer](found)


def finish_that_compares_lists(ledger: Any, request: Any) -> None:
    """On values the lists are equal and nothing is removed, on formulas they were not."""
    ledger.branch(request.members != request.members, lambda: ledger.remove_members(request))


def finish_that_compares_pools(ledger: Any, request: Any) -> None:
    """The same by a pool."""
    ledger.branch(ledger.gpu != ledger.gpu, lambda: ledger.remove_members(request))


def finish_that_compares_calls(ledger: Any, request: Any) -> None:
    """The same by what a question answers."""
    ledger.branch(ledger.due() != ledger.due(), lambda: ledger.remove_members(request))


def finish_that_compares_names(ledger: Any, request: Any) -> None:
    """The same by local names."""
    first = request.members
    ledger.branch(first != first, lambda: ledger.remove_members(request))


@pytest.mark.parametrize(
    ("body", "what"),
    [
        (finish_that_compares_lists, "a comparison of `request.members`"),
        (finish_that_compares_pools, "a comparison of `ledger.gpu`"),
        (finish_that_compares_calls, r"a comparison of `ledger.due\(\)`"),
        (finish_that_compares_names, "a Members has no truth value"),
    ],
)
def test_an_action_that_compares_lists_is_refused(body: Any, what: str) -> None:
    with pytest.raises(Misuse, match=what):
        build("finish", body)


def test_a_text_is_no_number() -> None:
    made = SymbolicLedger(State.arbitrary())
    with pytest.raises(Misuse, match="the text '1' as a number"):
        _ = made.steps == "1"


def test_a_field_of_another_record_is_not_written() -> None:
    made = SymbolicLedger(State.arbitrary())
    with pytest.raises(Misuse, match="has no field done"):
        record(made, "sequence").done = 1
    with pytest.raises(Misuse, match="has no field drafts"):
        made.drafts = 1


HALF = 0.5


def dispatch_by_rounded_numbers(ledger: Any) -> None:
    """On values 0.1 + 0.2 is above 0.3, on formulas it is not."""
    ledger.require(ledger.issued * 0.1 > 0, "rounded")


def dispatch_by_a_rounded_constant(ledger: Any) -> None:
    """The same by a name."""
    ledger.require(ledger.issued * HALF > 0, "rounded")


def dispatch_that_writes_to_limits(ledger: Any) -> None:
    """What is written to is no record."""
    ledger.limits.dispatched = 1


def dispatch_that_writes_to_an_entry(ledger: Any) -> None:
    """What is written to is not named."""
    ledger.due()[ledger.issued].drafts = 1


@pytest.mark.parametrize(
    ("body", "what"),
    [
        (dispatch_by_rounded_numbers, "the constant 0.1"),
        (dispatch_by_a_rounded_constant, "`HALF`, which is rounded"),
        (dispatch_that_writes_to_limits, "a write to `ledger.limits.dispatched`"),
        (dispatch_that_writes_to_an_entry, r"a write to `ledger.due\(\)"),
    ],
)
def test_the_kernel_neither_rounds_nor_writes_to_what_is_no_record(body: Any, what: str) -> None:
    with pytest.raises(Misuse, match=what):
        build("dispatch_copies", body)


@pytest.mark.parametrize("part", ["limits", "a pool", "a table", "what is due"])
def test_a_part_of_the_ledger_has_no_counters(part: str) -> None:
    found = PARTS[part](watched())
    with pytest.raises(AttributeError):
        found.drafts = 1


def test_the_blocks_of_a_request_are_those_of_the_moment_when_they_were_asked_for() -> None:
    made = SymbolicLedger(State.arbitrary())
    request = record(made, "request")
    blocks = request.held
    held = made.listed(blocks)
    first = held.at(z3.IntVal(0))
    made.state.put("held", (request.z, z3.IntVal(0)), z3.Const("other", Block))
    assert held.at(z3.IntVal(0)).eq(first)
    with pytest.raises(Misuse, match="used after it was written"):
        made.listed(blocks)
