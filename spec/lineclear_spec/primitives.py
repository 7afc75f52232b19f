# pyright: basic, reportOperatorIssue=false, reportAttributeAccessIssue=false
# pyright: reportArgumentType=false, reportAssignmentType=false, reportOptionalMemberAccess=false
"""The primitives on formulas: what changes, and what must hold before.

Guarantees: each method does to the fields what the method of the same name of `ledger.Ledger` does
to plain data, and keeps the ghost fields, which plain data does not have. It knows nothing about
guards.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import z3

from lineclear_spec.invariants import is_free
from lineclear_spec.lifecycle import EVENTS
from lineclear_spec.records import COMPUTE, CPU, FORWARD, GPU
from lineclear_spec.state import (
    NEED,
    Block,
    Sequence,
    State,
    unique,
)
from lineclear_spec.terms import NoValue, Record, SequenceRecord, Term, raw

__all__ = ["Primitives", "SymbolicPool"]


class Until(NoValue):
    """Per place of a pool, the last operation that may touch it."""

    __slots__ = ("pool",)

    def __init__(self, pool: SymbolicPool) -> None:
        self.pool = pool

    def __getitem__(self, place: Term) -> Term:
        ledger, tier = self.pool.ledger, self.pool.tier
        at, total = raw(place), ledger.state.total(tier)
        ledger.demand(Term(z3.And(0 <= at, at < total)), "the pool has the place")
        return Term(ledger.state.until(tier, at))


class SymbolicPool(NoValue):
    """One pool of the symbolic ledger."""

    __slots__ = ("ledger", "name", "tier")

    def __init__(self, ledger: Any, tier: int) -> None:
        self.ledger, self.tier, self.name = ledger, tier, "gpu" if tier == GPU else "cpu"

    @property
    def free(self) -> Term:
        """Free places."""
        return Term(self.ledger.state.free(self.tier))

    @property
    def total(self) -> Term:
        """Places."""
        return Term(self.ledger.state.total(self.tier))

    @property
    def until(self) -> Until:
        """Per place, the last operation that may touch it."""
        return Until(self)

    def _swap(self, place: Any, target: Any) -> None:
        state, tier, name = self.ledger.state, self.tier, self.name
        at, other = state.position(tier, place), state.order(tier, target)
        state.put(f"order_{name}", (at,), other)
        state.put(f"position_{name}", (other,), at)
        state.put(f"order_{name}", (target,), place)
        state.put(f"position_{name}", (place,), target)

    def grant(self) -> Term:
        """Any free place."""
        ledger, state, tier = self.ledger, self.ledger.state, self.tier
        free = state.free(tier)
        ledger.demand(Term(free >= 1), "a free place to grant")
        place = z3.Int(unique("granted"))
        ledger.assume(
            z3.And(0 <= place, place < state.total(tier), state.position(tier, place) < free)
        )
        self._swap(place, free - 1)
        state.put(f"free_{self.name}", (), free - 1)
        ledger.wrote = True
        return Term(place)

    def give_up(self, place: Any, until: Any) -> None:
        """Put a place back."""
        ledger, state, tier = self.ledger, self.ledger.state, self.tier
        ledger.demand(
            Term(
                z3.And(
                    0 <= place, place < state.total(tier), z3.Not(is_free_z(state, tier, place))
                )
            ),
            "the place given up is not free",
        )
        free = state.free(tier)
        self._swap(place, free)
        state.put(f"free_{self.name}", (), free + 1)
        state.put(f"until_{self.name}", (place,), until)
        ledger.wrote = True


def is_free_z(state: State, tier: int, place: Any) -> Any:
    """`is_free`, for a place given as an expression."""
    return is_free(state, tier, place)


class Primitives:
    """The writes of a symbolic ledger."""

    state: State
    gpu: SymbolicPool
    cpu: SymbolicPool
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
        return SequenceRecord(self, q)

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

    def _name(self, q: Any, b: Any, at: Any) -> None:
        s = self.state
        count = s.ref(b)
        s.put("table", (q, at), b)
        s.put("index", (q, b), at)
        s.put("holder", (b, count), q)
        s.put("rank", (q, b), count)
        s.put("ref", (b,), count + 1)
        self.wrote = True

    def _unname(self, q: Any, b: Any) -> None:
        s = self.state
        rank, count = s.rank(q, b), s.ref(b)
        last = s.holder(b, count - 1)
        s.put("holder", (b, rank), last)
        s.put("rank", (last, b), rank)
        s.put("ref", (b,), count - 1)
        self.wrote = True

    def name_block(self, sequence: Any, block: Any) -> None:
        """Append an entry that names the block."""
        s, q, b = self.state, sequence.z, block.z
        at = s.length(q)
        taken = z3.And(0 <= s.index(q, b), s.index(q, b) < at, s.table(q, s.index(q, b)) == b)
        self.demand(Term(z3.Not(taken)), "the table does not name the block yet")
        self._name(q, b, at)
        s.put("length", (q,), at + 1)

    def new_block(self, request: Any, place: Any) -> Any:
        """A block nobody names yet, at a GPU place just granted."""
        s, r, p = self.state, request.z, raw(place)
        b = z3.Const(unique("block"), Block)
        self.assume(s.ref(b) == 0)
        s.put("tier", (b,), z3.IntVal(GPU))
        s.put("place", (b,), p)
        s.put("group", (b,), r)
        s.put("owner_gpu", (p,), b)
        s.put("slot", (b,), s.blocks(r))
        s.put("held", (r, s.blocks(r)), b)
        s.put("blocks", (r,), s.blocks(r) + 1)
        self.wrote = True
        return Record(self, b)

    def relocate(self, block: Any, tier: int, place: Any) -> None:
        """The block lives elsewhere."""
        s, b, p = self.state, block.z, raw(place)
        s.put("tier", (b,), z3.IntVal(tier))
        s.put("place", (b,), p)
        s.put("owner_gpu" if tier == GPU else "owner_cpu", (p,), b)
        self.wrote = True

    def unname_last(self, sequence: Any) -> Any:
        """Remove the last entry."""
        s, q = self.state, sequence.z
        self.demand(Term(s.length(q) >= 1), "the table has an entry")
        b = s.table(q, s.length(q) - 1)
        self._unname(q, b)
        s.put("length", (q,), s.length(q) - 1)
        return Record(self, b)

    def rename_entry(self, sequence: Any, index: Any, block: Any) -> Any:
        """Let one entry name another block."""
        s, q, i = self.state, sequence.z, raw(index)
        self.demand(Term(z3.And(0 <= i, i < s.length(q))), "the table has the entry")
        old = s.table(q, i)
        self._unname(q, old)
        self._name(q, block.z, i)
        return Record(self, old)

    def forget_block(self, block: Any) -> None:
        """A block that nobody names leaves its request."""
        s, b = self.state, block.z
        self.demand(Term(s.ref(b) == 0), "nobody names the block")
        r, at = s.group(b), s.slot(b)
        last = s.held(r, s.blocks(r) - 1)
        s.put("held", (r, at), last)
        s.put("slot", (last,), at)
        s.put("blocks", (r,), s.blocks(r) - 1)
        self.wrote = True

    def give_up(self, tier: Any, place: Any) -> None:
        """A place is free again, fenced until everything decided so far is done."""
        p, until = raw(place), self.state.issued
        if isinstance(tier, int):
            (self.gpu if tier == GPU else self.cpu).give_up(p, until)
            return
        self.branch(tier == GPU, lambda: self.gpu.give_up(p, until))
        self.branch(tier == CPU, lambda: self.cpu.give_up(p, until))

    def join(self, sequence: Any, offset: Any) -> None:
        """The sequence becomes steady."""
        self.demand(Term(z3.Not(self.state.steady(sequence.z))), "the sequence is not steady")
        s, q = self.state, sequence.z
        s.put("offset", (q,), raw(offset))
        s.put("steady", (q,), z3.BoolVal(True))
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
            z3.And(x == o, 0 <= p, p < old.total(GPU), z3.Not(is_free_z(old, GPU, p))),
        )
        s.fields["kv"] = lambda q: z3.If(
            z3.And(old.steady(q), old.kv(q) >= old.reach(q)), old.kv(q) + 1, old.kv(q)
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

    def note_copy(self, source_tier: int, source: Any, target_tier: int, target: Any) -> None:
        """The operation decided last copies one place to another, and touches both."""
        s = self.state
        self.demand(Term(s.open(s.issued)), "the operation is open")
        s.put(
            "source_gpu" if target_tier == GPU else "source_cpu",
            (s.issued, raw(target)),
            raw(source),
        )
        for tier, place in ((source_tier, source), (target_tier, target)):
            s.put(
                "touch_gpu" if tier == GPU else "touch_cpu",
                (s.issued, raw(place)),
                z3.BoolVal(True),
            )
        self.wrote = True
