# pyright: basic
"""Which invariants an action may touch: those that read a field it writes.

Guarantees: reads and writes are recorded while the invariant and the action run on a symbolic
state, so they are those of the table that is proved. It asks no solver anything.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import z3

from lineclear_spec.actions import ACTIONS, Action
from lineclear_spec.invariants import INVARIANTS, Invariant
from lineclear_spec.state import Request, Sequence, State, quantify
from lineclear_spec.symbolic import SymbolicLedger
from lineclear_spec.terms import Term

__all__ = ["NOTE", "OBLIGATION", "UNTOUCHED", "footprint", "reads", "writes"]

OBLIGATION = "x"
UNTOUCHED = "."
NOTE = (
    f"{OBLIGATION} the action writes a field that the invariant reads, so there is something to "
    f"prove; {UNTOUCHED} it writes none"
)

SORTS = {"request": Request, "sequence": Sequence, "parent": Sequence}


def reads(invariant: Invariant) -> frozenset[str]:
    """The fields that decide whether the invariant holds."""
    state = State.arbitrary()
    for clause in invariant.clauses:
        quantify(clause.domains, partial(clause.predicate, state))
    return frozenset(state.reads)


def writes(action: Action) -> frozenset[str]:
    """The fields that the action may change."""
    state = State.arbitrary()
    before = dict(state.fields)
    ledger = SymbolicLedger(state)
    action.body(ledger, *(argument(ledger, name) for name in action.parameters))
    return frozenset(name for name, field in state.fields.items() if field is not before[name])


def argument(ledger: SymbolicLedger, name: str) -> Any:
    """An unknown argument: a record where the name says so, else a number."""
    if name in SORTS:
        return ledger.wrap(SORTS[name], z3.Const(name, SORTS[name]))
    return Term(z3.Int(name))


def footprint() -> dict[str, dict[str, str]]:
    """For each action and invariant whether there is something to prove."""
    read = {name: reads(invariant) for name, invariant in INVARIANTS.items()}
    return {
        name: {
            invariant: OBLIGATION if written & fields else UNTOUCHED
            for invariant, fields in read.items()
        }
        for name, written in ((name, writes(action)) for name, action in ACTIONS.items())
    }
