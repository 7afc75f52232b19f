# pyright: basic, reportOperatorIssue=false, reportAttributeAccessIssue=false
# pyright: reportArgumentType=false, reportAssignmentType=false, reportOptionalMemberAccess=false
"""What a guard may ask, on formulas.

Guarantees: each method means what the method of the same name of `ledger.Ledger` computes; tests
hold the two against each other. It knows nothing about writing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import z3

from lineclear_spec.lifecycle import EVENTS
from lineclear_spec.state import (
    BLOCK_OF,
    NEED,
    Block,
    Int,
    Sequence,
    State,
    unique,
)
from lineclear_spec.terms import NoValue, SequenceRecord, Table, Term, raw

__all__ = ["Due", "Queries"]


class Due(NoValue):
    """The steady sequences whose table is full, in some order."""

    __slots__ = ("count", "is_due", "ledger", "seat", "z")

    def __init__(self, ledger: Any) -> None:
        state = ledger.state.snapshot()
        self.ledger = ledger
        self.z = z3.Function(unique("due"), Int, Sequence)
        self.seat = z3.Function(unique("due_seat"), Sequence, Int)
        size = z3.Int(unique("due_count"))
        self.count = Term(size)

        def is_due(q: Any) -> Any:
            return z3.And(state.steady(q), NEED(state.reach(q) + 1) > state.length(q))

        self.is_due = is_due
        j, q = z3.Const("j", Int), z3.Const("q", Sequence)
        ledger.assume(size >= 0)
        ledger.assume(
            z3.ForAll(
                [j],
                z3.Implies(
                    z3.And(0 <= j, j < size), z3.And(is_due(self.z(j)), self.seat(self.z(j)) == j)
                ),
            )
        )
        ledger.assume(
            z3.ForAll(
                [q],
                z3.Implies(
                    is_due(q),
                    z3.And(0 <= self.seat(q), self.seat(q) < size, self.z(self.seat(q)) == q),
                ),
            )
        )

    def __getitem__(self, k: Any) -> Any:
        at = raw(k)
        self.ledger.demand(Term(z3.And(0 <= at, at < self.count.z)), "that many sequences are due")
        return SequenceRecord(self.ledger, self.z(at))


class Queries:
    """The questions of a symbolic ledger."""

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

    def _of_sequence(self, name: str, sequence: Any) -> Term:
        return Term(getattr(self.state, name)(sequence.z))

    def reach(self, sequence: Any) -> Term:
        """Positions computed or being computed."""
        return self._of_sequence("reach", sequence)

    def in_flight(self, sequence: Any) -> Term:
        """Positions that steps in flight compute."""
        return self._of_sequence("in_flight", sequence)

    def computed(self, sequence: Any) -> Term:
        """Positions whose KV is valid."""
        return self._of_sequence("computed", sequence)

    def known(self, sequence: Any) -> Term:
        """Prompt and generated tokens."""
        return self._of_sequence("known", sequence)

    def promised(self, sequence: Any) -> Term:
        """Samples that steps in flight will bring."""
        return self._of_sequence("promised", sequence)

    def owed(self, sequence: Any) -> Term:
        """Samples of committed steps that are still to come."""
        return self._of_sequence("owed", sequence)

    def slots(self, sequence: Any) -> Term:
        """Positions the table has room for."""
        return self._of_sequence("slots", sequence)

    def runs(self, sequence: Any) -> Term:
        """Whether the sequence is alive and its request runs."""
        return self._of_sequence("runs", sequence)

    def due(self) -> Due:
        """The steady sequences whose table is full."""
        return Due(self)

    def ended(self) -> Term:
        """Whether a steady sequence is at its limit."""
        s, q = self.state, z3.Const("q", Sequence)
        return Term(z3.Exists([q], z3.And(s.steady(q), s.reach(q) >= s.limit(s.request(q)) - 1)))

    def writable(self, sequence: Any) -> Term:
        """Whether nobody else names a block that the sequence's next positions fall into."""
        s, q, i = self.state, sequence.z, z3.Int("i")
        self.demand(Term(s.computed(q) >= 0), "what the sequence has computed is not negative")
        span = z3.And(BLOCK_OF(s.computed(q)) <= i, i < s.length(q))
        return Term(z3.ForAll([i], z3.Implies(span, s.ref(s.table(q, i)) == 1)))

    def allowed(self, event: str, request: Any) -> Term:
        """Whether the lifecycle has a transition for the event from the request's phase."""
        phase = self.state.phase(request.z)
        return Term(z3.Or(*[phase == int(source) for source in sorted(EVENTS[event][0])]))

    def on_gpu(self, request: Any) -> Term:
        """Whether the request runs."""
        return Term(self.state.phase(request.z) == 2)

    def idle(self, request: Any) -> Term:
        """Whether no sequence of the request is steady or in the step being built."""
        s, q = self.state, z3.Const("q", Sequence)
        mine = z3.And(s.alive(q), s.request(q) == request.z)
        return Term(
            z3.ForAll(
                [q], z3.Implies(mine, z3.And(z3.Not(s.steady(q)), s.last_step(q) <= s.steps))
            )
        )

    def leader(self, request: Any) -> Any:
        """The first sequence."""
        self.demand(Term(self.state.width(request.z) >= 1), "the request has a sequence")
        return SequenceRecord(self, self.state.member(request.z, 0))

    def blocks(self, request: Any) -> Table:
        """The distinct blocks of the request, as they are now."""
        return Table(self, "held", request.z, Block, self.state.snapshot())

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
