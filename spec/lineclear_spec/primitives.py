# pyright: basic, reportOperatorIssue=false, reportAttributeAccessIssue=false
# pyright: reportArgumentType=false, reportAssignmentType=false, reportOptionalMemberAccess=false
"""The primitives on formulas: what changes, and what must hold before.

Guarantees: each method does to the fields what the method of the same name of `ledger.Ledger` does
to plain data, and keeps the ghost fields, which plain data does not have.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import z3

from lineclear_spec.invariants import is_free
from lineclear_spec.invariants.clause import NEVER
from lineclear_spec.lifecycle import EVENTS
from lineclear_spec.records import COMPUTE, FORWARD, GPU
from lineclear_spec.state import (
    BLOCK_SIZE,
    CAP,
    NEED,
    Sequence,
    State,
    room_of_blocks,
    room_of_one_more,
    unique,
)
from lineclear_spec.terms import Record, Term, raw

__all__ = ["Primitives"]


class Primitives:
    """The writes of a symbolic ledger."""

    state: State
    wrote: bool
    assume: Callable[[Any], None]
    demand: Callable[[Any, str], None]
    branch: Callable[[Any, Callable[[], None]], None]

    def move(self, request: Any, event: str) -> None:
        """Take the lifecycle's transition, and change queues with it."""
        s, r, target = self.state, request.z, int(EVENTS[event][1])
        s.put("phase", (r,), z3.IntVal(target))
        s.put("queue", (r,), z3.IntVal(target))
        if event == "admit":
            s.put("born", (r,), s.issued)
        if target == 4:
            s.put("releases", (r,), s.releases(r) + 1)
        self.wrote = True

    def add_member(self, request: Any) -> Any:
        """A new sequence of the request, with every counter 0."""
        s, r = self.state, request.z
        q = z3.Const(unique("child"), Sequence)
        zero = (
            "length known_tokens reach_tokens slot_tokens promised_samples "
            "last_step last_tokens previous_tokens drafts void last_samples previous_samples late_drafts kv"
        )
        for name in ("boundary", "ending"):
            s.put(name, (q,), z3.IntVal(NEVER))
        self.assume(z3.And(z3.Not(s.alive(q)), z3.Not(s.steady(q)), s.length(q) == 0))
        for name in zero.split():
            if name != "length":
                s.put(name, (q,), z3.IntVal(0))
        s.put("alive", (q,), z3.BoolVal(True))
        s.put("request", (q,), r)
        s.put("seat", (q,), s.width(r))
        s.put("member", (r, s.width(r)), q)
        s.put("width", (r,), s.width(r) + 1)
        self.wrote = True
        return Record(self, q)

    def remove_member(self, sequence: Any) -> None:
        """The sequence leaves its request; the others keep their order."""
        self.demand(Term(self.state.alive(sequence.z)), "the sequence is alive")
        s, q = self.state, sequence.z
        r, at = s.request(q), s.seat(q)
        old = s.snapshot()
        s.fields["member"] = lambda x, j: z3.If(
            z3.And(x == r, j >= at), old.member(x, j + 1), old.member(x, j)
        )
        s.fields["seat"] = lambda x: z3.If(
            z3.And(old.alive(x), old.request(x) == r, old.seat(x) > at),
            old.seat(x) - 1,
            old.seat(x),
        )
        s.put("alive", (q,), z3.BoolVal(False))
        s.put("width", (r,), old.width(r) - 1)
        self.wrote = True

    def remove_members(self, request: Any) -> None:
        """The request has no sequence any more."""
        s, r = self.state, request.z
        old = s.snapshot()
        s.fields["alive"] = lambda q: z3.And(old.alive(q), old.request(q) != r)
        s.put("width", (r,), z3.IntVal(0))
        self.wrote = True

    def join(self, sequence: Any, offset: Any) -> None:
        """The sequence becomes steady."""
        self.demand(Term(z3.Not(self.state.steady(sequence.z))), "the sequence is not steady")
        s, q = self.state, sequence.z
        s.put("offset", (q,), raw(offset))
        s.put("steady", (q,), z3.BoolVal(True))
        s.put("boundary", (q,), CAP(s.length(q)) - raw(offset))
        s.put("ending", (q,), s.limit(s.request(q)) - 1 - raw(offset))
        s.put("batch", (s.batch_size,), q)
        s.put("batch_seat", (q,), s.batch_size)
        s.put("batch_size", (), s.batch_size + 1)
        self.wrote = True

    def leave(self, sequence: Any) -> None:
        """The sequence is no longer steady."""
        self.demand(Term(self.state.steady(sequence.z)), "the sequence is steady")
        s, q = self.state, sequence.z
        at, last = s.batch_seat(q), s.batch(s.batch_size - 1)
        s.put("batch", (at,), last)
        s.put("batch_seat", (last,), at)
        s.put("batch_size", (), s.batch_size - 1)
        s.put("steady", (q,), z3.BoolVal(False))
        s.put("boundary", (q,), z3.IntVal(NEVER))
        s.put("ending", (q,), z3.IntVal(NEVER))
        self.wrote = True

    def decide(self, kind: str, request: Any) -> Term:
        """Number a new operation."""
        s = self.state
        number = s.issued + 1
        s.put("issued", (), number)
        s.put("open", (number,), z3.BoolVal(True))
        s.put("is_forward", (number,), z3.BoolVal(kind == FORWARD))
        s.put("compute", (number,), z3.BoolVal(kind in COMPUTE))
        s.put("wait", (number,), z3.IntVal(0))
        if request is not None:
            s.put("request_of", (number,), request.z)
        self.wrote = True
        return Term(number)

    def order(self, number: Any, wait: Any) -> None:
        """The operation starts after every operation up to `wait`."""
        self.demand(Term(self.state.open(raw(number))), "the operation is open")
        self.demand(Term(z3.And(0 <= raw(wait), raw(wait) < raw(number))), "it waits for the past")
        self.state.put("wait", (raw(number),), raw(wait))

    def advance(self, number: Any) -> None:
        """The clock of issued steps moves; the forward touches every block held."""
        s, o = self.state, raw(number)
        old = s.snapshot()
        step = old.steps + 1
        s.fields["touch_gpu"] = lambda x, p: z3.Or(
            old.touch(GPU, x, p),
            z3.And(x == o, 0 <= p, p < old.total(GPU), z3.Not(is_free(old, GPU, p))),
        )
        s.fields["kv"] = lambda q: z3.If(
            z3.And(old.steady(q), old.kv(q) >= old.reach(q)), old.kv(q) + 1, old.kv(q)
        )
        self.assume(room_of_blocks())
        self.assume(room_of_one_more())
        s.fields["boundary"] = lambda q: z3.If(
            old.boundary(q) == old.steps, old.steps + BLOCK_SIZE, old.boundary(q)
        )
        s.put("tokens_of", (step,), old.step_tokens + old.batch_size)
        s.put("sequences_of", (step,), old.step_sequences + old.batch_size)
        s.put("forward_of", (step,), o)
        s.put("step_of", (o,), step)
        s.put("steps", (), step)
        self.wrote = True

    def close(self, number: Any) -> None:
        """The operation is complete; of forwards, that of the oldest step in flight."""
        s, o = self.state, raw(number)
        self.demand(Term(s.open(o)), "the operation is open")
        self.demand(
            Term(z3.Implies(s.is_forward(o), s.forward_of(s.settled + 1) == o)),
            "a forward is that of the oldest step in flight",
        )
        self.state.put("open", (o,), z3.BoolVal(False))
        self.wrote = True

    def forget_copy(self, number: Any) -> None:
        """The request that a copy moved waits for it no longer."""
        self.demand(Term(self.state.open(raw(number))), "the operation is open")
        s, o = self.state, raw(number)
        r = s.request_of(o)
        s.put("copy", (r,), z3.If(s.copy(r) == o, 0, s.copy(r)))
        self.wrote = True

    def void_samples(self, request: Any) -> None:
        """What steps issued so far sample for the request is worthless."""
        s, r = self.state, request.z
        old = s.snapshot()

        def mine(q: Any) -> Any:
            return z3.And(old.alive(q), old.request(q) == r)

        s.fields["void"] = lambda q: z3.If(mine(q), old.steps, old.void(q))
        s.fields["promised_samples"] = lambda q: z3.If(mine(q), 0, old.promised_samples(q))
        for name in ("drafts", "last_samples", "previous_samples", "late_drafts"):
            s.fields[name] = lambda q, field=old.fields[name]: z3.If(mine(q), 0, field(q))
        self.wrote = True

    def write_kv(self, sequence: Any, tokens: Any) -> None:
        """The step being built writes the KV of the next positions."""
        s, q = self.state, sequence.z
        kv, end = s.kv(q), s.reach_tokens(q) + raw(tokens)
        s.put("kv", (q,), z3.If(z3.And(kv >= s.reach_tokens(q), end > kv), end, kv))

    def share_kv(self, parent: Any, child: Any, count: Any) -> None:
        """The child has the KV of the parent's first blocks."""
        s = self.state
        size, x = z3.Int(unique("shared_kv")), z3.Int("x")
        whole = s.kv(parent.z)
        self.assume(0 <= size)
        self.assume(
            z3.ForAll(
                [x],
                z3.Implies(z3.And(0 <= x, x <= whole, NEED(x) <= raw(count)), x <= size),
                patterns=[NEED(x)],
            )
        )
        s.put("kv", (child.z,), size)

    def lose_kv(self, sequence: Any) -> None:
        """The sequence has no KV."""
        self.state.put("kv", (sequence.z,), z3.IntVal(0))
