# pyright: basic, reportOperatorIssue=false, reportAttributeAccessIssue=false
# pyright: reportArgumentType=false, reportAssignmentType=false, reportOptionalMemberAccess=false
"""The operators on formulas by which several requests end at once, each of one sequence.

Guarantees: each method means on any state what the method of the same name of `ledger_ends.EndedRequests` does to
plain data. What is not a definition is the statement of a lemma (`lemmas.py`). A request is in a vector of requests
if its first sequence is in the vector of sequences that it was made of.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import z3

from lineclear_spec.invariants.clause import NEVER
from lineclear_spec.lifecycle import Phase
from lineclear_spec.records import GPU
from lineclear_spec.state import CAP, Block, Int, Request, Sequence, State, unique
from lineclear_spec.symbolic_holdings import facts_of_remove_all, its_request_holds
from lineclear_spec.symbolic_pool import SymbolicPool
from lineclear_spec.terms import Term
from lineclear_spec.vectors import Vector, selected

__all__ = ["Ends"]


class Ends:
    """The operators of a symbolic ledger over requests that end at once."""

    state: State
    wrote: bool
    assume: Callable[[Any], None]
    demand: Callable[..., None]
    demand_of_lemma: Callable[[Any, str], None]
    gpu: SymbolicPool
    issued: Any
    places: Callable[[Any, Vector], Vector]

    def requests_of(self, sequences: Vector) -> Vector:
        """The requests of the sequences, each of which is the only one of its request."""
        s = self.state.snapshot()
        alone = sequences.every(
            lambda q: z3.And(s.width(s.request(q)) == 1, s.member(s.request(q), 0) == q)
        )
        self.demand(Term(alone), "each sequence is the only one of its request")
        requests = Vector(
            self,
            Request,
            sequences.size,
            lambda k: s.request(sequences.at(k)),
            lambda r: sequences.seat(s.member(r, 0)),
        )
        q = z3.Const("q", Sequence)
        theirs = z3.Implies(z3.And(s.alive(q), requests.has(s.request(q))), sequences.has(q))
        self.demand(Term(z3.ForAll([q], theirs)), "no other sequence of the requests lives")
        return requests

    def give_up_each(self, requests: Vector) -> None:
        """The requests hold nothing, and the places of their private blocks, GPU blocks, are put back."""
        blocks = self._private_of(requests)
        self.gpu.put(self.places(GPU, blocks), self.issued)
        self._empty_each(requests)

    def _private_of(self, requests: Vector) -> Vector:
        """The private blocks of the requests, in some order."""
        s = self.state.snapshot()
        name = unique("private")
        at, seat = z3.Function(name, Int, Block), z3.Function(f"{name}_seat", Block, Int)
        size = z3.Int(f"{name}_count")
        # They are finitely many: each request lists its own.
        for fact in selected(
            Block,
            size,
            at,
            seat,
            lambda b: z3.And(requests.has(s.group(b)), its_request_holds(s, b)),
        ):
            self.assume(fact)
        return Vector(self, Block, size, lambda k: at(k), lambda b: seat(b))

    def _empty_each(self, requests: Vector) -> None:
        """Each request holds nothing, and no entry names its private blocks any more: their `ref` is 0 (see
        `Holdings.empty`).
        """
        s = self.state
        old = s.snapshot()
        s.fields["ref"] = lambda b: z3.If(
            z3.And(requests.has(old.group(b)), its_request_holds(old, b)), 0, old.ref(b)
        )
        s.fields["blocks"] = lambda r: z3.If(requests.has(r), 0, old.blocks(r))
        self.wrote = True

    def unlist_each(self, sequences: Vector) -> None:
        """The sequences leave the batch, in which the order of the others is open, and both calendars."""
        s = self.state
        old = s.snapshot()
        before = Vector(
            self, Sequence, old.batch_size, lambda k: old.batch(k), lambda q: old.batch_seat(q)
        )
        sequences.demand_distinct()
        self.demand(Term(sequences.every(before.has)), "the batch has each of the sequences")
        listed = sequences.every(
            lambda q: z3.And(
                old.boundary(q) == CAP(old.length(q)) - old.offset(q),
                old.ending(q) == old.limit(old.request(q)) - 1 - old.offset(q),
            )
        )
        self.demand(Term(listed), "each is listed under the steps of its block and of its end")
        self.demand_of_lemma(before.distinct(), "the batch has each sequence once")
        self.demand_of_lemma(
            z3.And(before.size >= 0, sequences.size >= 0), "no set has a negative size"
        )
        name = unique("steady")
        at = z3.Function(name, Int, Sequence)
        seat = z3.Function(f"{name}_seat", Sequence, Int)
        after = Vector(self, Sequence, before.size - sequences.size, at, seat)
        for fact in facts_of_remove_all(before, sequences, after):
            self.assume(fact)
        s.fields["batch"] = lambda k: at(k)
        s.fields["batch_seat"] = lambda q: z3.If(before.has(q), seat(q), old.batch_seat(q))
        s.put("batch_size", (), after.size)
        for calendar in ("boundary", "ending"):
            day = getattr(old, calendar)
            s.fields[calendar] = lambda q, day=day: z3.If(sequences.has(q), NEVER, day(q))
        self.wrote = True

    def enqueue_each(self, requests: Vector, phase: Phase) -> None:
        """Each request leaves the queue of its phase and enters that of another one."""
        s = self.state
        old = s.snapshot()
        self.demand(
            Term(requests.every(lambda r: old.queue(r) == old.phase(r))),
            "each request is in the queue of its phase",
        )
        s.fields["queue"] = lambda r: z3.If(requests.has(r), z3.IntVal(int(phase)), old.queue(r))
        self.wrote = True
