"""A symbolic value refuses to be a truth value, a key, an index or a length."""

# pyright: basic

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import z3

from lineclear_spec.symbolic.ledger import SymbolicLedger
from lineclear_spec.symbolic.state import Sequence, State
from lineclear_spec.symbolic.terms import Misuse, Term

FORBIDDEN: dict[str, Callable[[Any], Any]] = {
    "if": lambda x: 1 if x else 0,
    "not": lambda x: not x,
    "and": lambda x: x and x,
    "in": lambda x: x in [1, 2],
    "hash": lambda x: {x: 1},
    "index": lambda x: [1, 2][x],
    "len": lambda x: len(x),
    "iterate": lambda x: list(x),
    "contains": lambda x: 1 in x,
    "int": lambda x: int(x),
}


@pytest.mark.parametrize("name", FORBIDDEN)
def test_a_term_is_no_value(name: str) -> None:
    with pytest.raises(Misuse):
        FORBIDDEN[name](Term(z3.Int("x")))


def test_a_record_is_no_value() -> None:
    ledger = SymbolicLedger(State.arbitrary())
    record = ledger.wrap(Sequence, z3.Const("q", Sequence))
    with pytest.raises(Misuse):
        bool(record)
    with pytest.raises(Misuse):
        _ = record == record


def test_a_guard_after_a_write_is_refused() -> None:
    ledger = SymbolicLedger(State.arbitrary())
    ledger.step_tokens = 0
    with pytest.raises(Misuse, match="guard after a write"):
        ledger.require(ledger.steps >= 0, "late")


def test_a_guard_after_a_write_by_a_ghost_is_refused() -> None:
    """A field is another object once it is written, by whatever statement: here by one that only proofs have."""
    ledger = SymbolicLedger(State.arbitrary())
    ledger.require(ledger.steps >= 0, "in time")
    ledger.note_good(ledger.issued)
    with pytest.raises(Misuse, match="guard after a write"):
        ledger.require(ledger.steps >= 0, "late")
