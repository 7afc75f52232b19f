# pyright: basic
"""What each action has to be proved to keep: by itself, by its block steps, or nothing.

Guarantees: the marks are those of the obligations that are proved, recorded while actions and
invariants run on a symbolic state. It asks no solver anything itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache, partial

from lineclear_spec.actions import ACTIONS
from lineclear_spec.invariants import INVARIANTS, Invariant
from lineclear_spec.proof.obligations import build
from lineclear_spec.symbolic.state import State, quantify

ASKED = "x"
STEPWISE = "o"
UNTOUCHED = "."
NOTE = (
    f"{ASKED} the solver is asked of the whole action; "
    f"{STEPWISE} only block steps write what the invariant reads, and it is asked of each; "
    f"{UNTOUCHED} nothing that the invariant reads is written"
)


def reads(invariant: Invariant) -> frozenset[str]:
    """The fields that decide whether the invariant holds."""
    state = State.arbitrary()
    for clause in invariant.clauses:
        quantify(clause.domains, partial(clause.predicate, state))
    return frozenset(state.reads)


@cache
def footprint() -> Mapping[str, Mapping[str, str]]:
    """For each action and invariant what there is to prove."""
    read = {name: reads(invariant) for name, invariant in INVARIANTS.items()}
    return {action: row(action, read) for action in ACTIONS}


def row(action: str, read: Mapping[str, frozenset[str]]) -> dict[str, str]:
    """One action's marks, in the order of the invariants."""
    unit = build(action)
    if unit.before is None or unit.after is None:
        raise ValueError(f"{action} has no state before and after")
    before, after = unit.before.fields, unit.after.fields
    written = {name for name, field in after.items() if field is not before[name]}
    asked = {
        goal.label.partition(".")[0]
        for goal in unit.goals
        if goal.kind == "preserved" and goal.formula is not None
    }
    return {
        name: ASKED if name in asked else STEPWISE if written & fields else UNTOUCHED
        for name, fields in read.items()
    }
