"""What formulas answer where Python would answer by identity, by a name, or by a rounded number.

Each case here was proved once although an execution shows that it is wrong.
"""

# pyright: basic

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

z3 = pytest.importorskip("z3")

from lineclear_spec.obligations import build, record
from lineclear_spec.state import State
from lineclear_spec.symbolic import SymbolicLedger
from lineclear_spec.terms import Misuse

# ---- lists and other parts of the ledger -------------------------------------------------------

PARTS: dict[str, Callable[[Any], Any]] = {
    "the ledger": lambda s: s,
    "limits": lambda s: s.limits,
    "a pool": lambda s: s.gpu,
    "the fences of a pool": lambda s: s.gpu.until,
    "what is due": lambda s: s.due(),
    "the blocks of a request": lambda s: s.blocks(record(s, "request")),
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


@pytest.mark.parametrize("answer", ANSWERS)
@pytest.mark.parametrize("part", PARTS)
def test_a_part_of_the_ledger_does_not_answer_by_identity(part: str, answer: str) -> None:
    found = PARTS[part](SymbolicLedger(State.arbitrary()))
    with pytest.raises(Misuse):
        ANSWERS[answer](found)


def finish_that_compares_lists(ledger: Any, request: Any) -> None:
    """On values the lists are equal and nothing is removed, on formulas they were not."""
    ledger.branch(request.members != request.members, lambda: ledger.remove_members(request))


def finish_that_compares_fences(ledger: Any, request: Any) -> None:
    """The same by what a pool has."""
    ledger.branch(ledger.gpu.until != ledger.gpu.until, lambda: ledger.remove_members(request))


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
        (finish_that_compares_fences, "a comparison of `ledger.gpu.until`"),
        (finish_that_compares_calls, r"a comparison of `ledger.due\(\)`"),
        (finish_that_compares_names, "a Table has no truth value"),
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
