# pyright: basic, reportOperatorIssue=false, reportAttributeAccessIssue=false
# pyright: reportArgumentType=false, reportAssignmentType=false, reportOptionalMemberAccess=false
"""What is looked up in a calendar, a container or a list of phases, on formulas.

Guarantees: each method means what the method of the same name of `ledger.Ledger` computes; tests
hold the two against each other.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import z3

from lineclear_spec.lifecycle import EVENTS
from lineclear_spec.state import (
    BLOCK_OF,
    NEED,
    Int,
    Sequence,
    State,
    unique,
)
from lineclear_spec.terms import Record, Term, raw
from lineclear_spec.vectors import Vector, selected

__all__ = ["Due", "Lookups"]


class Due(Vector):
    """The steady sequences whose table is full, in some order: finitely many, since all that are
    steady are listed (invariant `steady`).
    """

    __slots__ = ("is_due",)

    def __init__(self, ledger: Any) -> None:
        state = ledger.state.snapshot()
        name = unique("due")
        at, seat = z3.Function(name, Int, Sequence), z3.Function(f"{name}_seat", Sequence, Int)
        super().__init__(
            ledger, Sequence, z3.Int(f"{name}_count"), lambda k: at(k), lambda q: seat(q)
        )

        def is_due(q: Any) -> Any:
            return z3.And(state.steady(q), NEED(state.reach(q) + 1) > state.length(q))

        self.is_due = is_due
        for fact in selected(Sequence, self.size, at, seat, is_due):
            ledger.assume(fact)


class Lookups:
    """The operators of a symbolic ledger that only read."""

    state: State
    assume: Callable[[Any], None]
    demand: Callable[[Any, str], None]

    def need(self, tokens: Any) -> Term:
        """ceil(tokens / block_size)."""
        return Term(NEED(raw(tokens)))

    def block_of(self, position: Any) -> Term:
        """floor(position / block_size)."""
        return Term(BLOCK_OF(raw(position)))

    def worst_case(self, request: Any) -> Term:
        """Blocks that the request holds at most."""
        return Term(self.state.worst_case(request.z))

    def due(self) -> Due:
        """The steady sequences whose table is full."""
        return Due(self)

    def ended(self) -> Term:
        """Whether a steady sequence is at its limit."""
        s, q = self.state, z3.Const("q", Sequence)
        return Term(z3.Exists([q], z3.And(s.steady(q), s.reach(q) >= s.limit(s.request(q)) - 1)))

    def all_of(self, condition: Callable[[Any], Any], records: Any) -> Term:
        """Whether the condition holds of every record."""
        v = records.vector()
        return Term(v.every(lambda x: raw(condition(Record(self, x)))))

    def all_from(self, condition: Callable[[Any], Any], table: Any, first: Any) -> Term:
        """Whether the condition holds of the block of every entry from the first one on."""
        s, q, i = self.state, table.owner, z3.Int("i")
        span = z3.And(raw(first) <= i, i < s.length(q))
        self.demand(Term(raw(first) >= 0), "the first entry is not before the table")
        return Term(z3.ForAll([i], z3.Implies(span, raw(condition(Record(self, s.table(q, i)))))))

    def allowed(self, event: str, request: Any) -> Term:
        """Whether the lifecycle has a transition for the event from the request's phase."""
        phase = self.state.phase(request.z)
        return Term(z3.Or(*[phase == int(source) for source in sorted(EVENTS[event][0])]))

    def is_open(self, number: Any) -> Term:
        """Whether the operation is not complete."""
        return Term(self.state.open(raw(number)))

    def complete(self, number: Any) -> Term:
        """Whether every operation up to this number is complete."""
        s, o, n = self.state, z3.Int("o"), raw(number)
        return Term(z3.ForAll([o], z3.Implies(z3.And(1 <= o, o <= n), z3.Not(s.open(o)))))

    def wait_of(self, number: Any) -> Term:
        """What an open operation waits for."""
        self.demand(self.is_open(number), "the operation asked about is open")
        return Term(self.state.wait(raw(number)))

    def is_copy(self, number: Any) -> Term:
        """Whether an open operation is a copy."""
        self.demand(self.is_open(number), "the operation asked about is open")
        return Term(z3.Not(self.state.is_forward(raw(number))))

    def forward_of(self, step: Any) -> Term:
        """The forward of a step in flight."""
        s, k = self.state, raw(step)
        self.demand(Term(z3.And(s.settled < k, k <= s.steps)), "the step asked about is in flight")
        return Term(self.state.forward_of(raw(step)))

    def retired(self) -> Term:
        """A number up to which every operation is complete."""
        s, number, o = self.state, z3.Int(unique("retired")), z3.Int("o")
        self.assume(z3.And(s.done <= number, number <= s.issued))
        self.assume(z3.ForAll([o], z3.Implies(z3.And(s.done < o, o <= number), z3.Not(s.open(o)))))
        return Term(number)
