# pyright: basic, reportOperatorIssue=false, reportAttributeAccessIssue=false
# pyright: reportArgumentType=false, reportAssignmentType=false, reportOptionalMemberAccess=false
"""The operators on formulas that read or write one record, phase or operation.

Guarantees: each method means on any state what the method of the same name of `kernel.ledger.Ledger` does
to plain data; the tests that `kernel/operators.py` names hold the two against each other.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import z3

from lineclear_spec.invariants.clause import NEVER
from lineclear_spec.kernel.lifecycle import EVENTS, Phase
from lineclear_spec.kernel.records import COMPUTE, FORWARD, KINDS, SWAP_OUT
from lineclear_spec.symbolic.rounding import room_of_blocks
from lineclear_spec.symbolic.state import BLOCK_OF, CAP, NEED, Sequence, unique
from lineclear_spec.symbolic.terms import Misuse, NoValue, Record, Term, Whole, raw
from lineclear_spec.symbolic.vectors import Bucket, Vector, enumerated

#: Counters of a sequence that are 0 when it is made.
ZERO = (
    "own_tokens own_dispatched own_slots own_samples last_step last_tokens previous_tokens drafts "
    "void last_samples previous_samples late_drafts sent_length queued_length"
).split()


class SymbolicOperation(NoValue):
    """An operation, by its number."""

    __slots__ = ("ledger", "z")

    wait: Any
    is_forward: Any
    request: Any

    def __init__(self, ledger: Any, z: Any) -> None:
        object.__setattr__(self, "ledger", ledger)
        object.__setattr__(self, "z", z)

    def __getattr__(self, name: str) -> Any:
        state = self.ledger.state
        if name == "request":
            self.ledger.demand(z3.Not(state.is_forward(self.z)), "it is no forward")
            return Record(self.ledger, state.request_of(self.z))
        if name not in ("wait", "is_forward"):
            raise AttributeError(name)
        return Term(getattr(state, name)(self.z))

    def __setattr__(self, name: str, value: Any) -> None:
        if name != "wait":
            raise Misuse(f"an operation has no field {name} to write")
        self.ledger.state.put("wait", (self.z,), raw(value))


class Operations(NoValue):
    """The open operations by number: what a dict is on plain data."""

    __slots__ = ("ledger",)

    def __init__(self, ledger: Any) -> None:
        self.ledger = ledger

    def __getitem__(self, number: Any) -> SymbolicOperation:
        self.ledger.demand(self.ledger.is_open(number), "the operation is open")
        return SymbolicOperation(self.ledger, raw(number))

    def pop(self, number: Any) -> SymbolicOperation:
        """The operation, which is open no more."""
        operation = self[number]
        self.ledger.state.put("open", (operation.z,), z3.BoolVal(False))
        return operation


class Forwards(NoValue):
    """The forward of each step in flight, by step: what a dict is on plain data.

    On plain data an entry that is popped is gone. Here it stays: a read after it is refused, and only a forward that is
    complete is popped, so that `committed` has to pass its step (`clocks.forward`).
    """

    __slots__ = ("ledger", "popped")

    def __init__(self, ledger: Any) -> None:
        self.ledger, self.popped = ledger, False

    def __getitem__(self, step: Any) -> Term:
        if self.popped:
            raise Misuse("a forward is read after one was popped: on plain data it may be gone")
        s, k = self.ledger.state, raw(step)
        flying = z3.And(s.committed < k, k <= s.steps)
        self.ledger.demand(flying, "the step asked about is in flight")
        return Term(s.forward_of(k))

    def __setitem__(self, step: Any, number: Any) -> None:
        self.ledger.state.put("forward_of", (raw(step),), raw(number))

    def pop(self, step: Any) -> Term:
        """The forward of the step, whose entry is gone."""
        number = self[step]
        self.ledger.demand(z3.Not(self.ledger.state.open(number.z)), "the forward is complete")
        self.popped = True
        return number


class SymbolicBatch(NoValue):
    """The sequences in the decode batch, each once: what the keys of a dict are on plain data."""

    __slots__ = ("ledger",)

    def __init__(self, ledger: Any) -> None:
        self.ledger = ledger

    def vector(self) -> Vector:
        """Its sequences as they are now."""
        s = self.ledger.state.snapshot()
        size = s.decode_batch_size
        return Vector(self.ledger, Sequence, size, s.decode_batch, s.decode_batch_index)

    def add(self, sequence: Any) -> None:
        """Add a sequence that is not in the batch."""
        s, q = self.ledger.state, sequence.z
        self.ledger.demand(
            z3.Not(self.vector().has(q)), "the batch does not have the sequence yet"
        )
        s.put("decode_batch", (s.decode_batch_size,), q)
        s.put("decode_batch_index", (q,), s.decode_batch_size)
        s.put("decode_batch_size", (), s.decode_batch_size + 1)

    def remove(self, sequence: Any) -> None:
        """Remove a sequence that is in the batch: the last one takes its place here. No function reads the order."""
        s, q = self.ledger.state, sequence.z
        self.ledger.demand(self.vector().has(q), "the batch has the sequence")
        at, last = s.decode_batch_index(q), s.decode_batch(s.decode_batch_size - 1)
        s.put("decode_batch", (at,), last)
        s.put("decode_batch_index", (last,), at)
        s.put("decode_batch_size", (), s.decode_batch_size - 1)


class SymbolicCalendar(NoValue):
    """Sequences by the one step under which they are listed, `NEVER` if under none: what a dict of
    sets is on plain data.
    """

    __slots__ = ("field", "ledger")

    def __init__(self, ledger: Any, field: str) -> None:
        self.ledger, self.field = ledger, field

    def _day(self, q: Any) -> Any:
        return getattr(self.ledger.state, self.field)(q)

    def _demand_step(self, step: Any, *, keep: bool = False) -> None:
        """Plain data may list under NEVER, too."""
        self.ledger.demand(step != NEVER, "it is a step", keep=keep)

    def mark(self, step: Any, sequence: Any) -> None:
        """List a sequence, which is listed under none, under the step."""
        q = sequence.z
        self._demand_step(raw(step))
        self.ledger.demand(self._day(q) == NEVER, "the sequence is listed under no step")
        self.ledger.state.put(self.field, (q,), raw(step))

    def unmark(self, step: Any, sequence: Any) -> None:
        """Take a sequence, which is listed under the step, off the calendar."""
        q = sequence.z
        self._demand_step(raw(step))
        self.ledger.demand(self._day(q) == raw(step), "the sequence is listed under the step")
        self.ledger.state.put(self.field, (q,), z3.IntVal(NEVER))

    def postpone(self, step: Any, by: Any) -> None:
        """What is listed under the step is listed so many steps later."""
        s, at = self.ledger.state, raw(step)
        day = getattr(s, self.field)
        self._demand_step(at, keep=True)
        self._demand_step(at + raw(by))
        s.put_where(self.field, lambda q: day(q) == at, at + raw(by))

    def bucket(self, step: Any) -> Bucket:
        """The sequences that are listed under the step, in some order: what `lemma_select` says of the batch,
        in which are all that are listed (invariant `decode_batch`).
        """
        state, at = self.ledger.state.snapshot(), raw(step)
        self._demand_step(at, keep=True)
        self.ledger.presume("decode_batch")
        day = getattr(state, self.field)
        listed = enumerated(self.ledger, Sequence, unique(self.field), lambda q: day(q) == at)
        return Bucket(self.ledger, Sequence, listed.size, listed.at, listed.index_of)


class Records(Whole):
    """The operators of a symbolic ledger over one record."""

    # ---- numbers -----------------------------------------------------------------------------------

    def need(self, tokens: Any) -> Term:
        """ceil(tokens / block_size)."""
        return Term(NEED(raw(tokens)))

    def block_of(self, position: Any) -> Term:
        """floor(position / block_size)."""
        return Term(BLOCK_OF(raw(position)))

    def cap(self, blocks: Any) -> Term:
        """blocks * block_size. What is assumed of it is proved of products (`arithmetic`)."""
        self.assume(room_of_blocks())
        return Term(CAP(raw(blocks)))

    # ---- requests and sequences --------------------------------------------------------------------

    def allowed(self, event: str, request: Any) -> Term:
        """Whether the lifecycle has a transition for the event from the request's phase."""
        request._own()
        phase = self.state.phase(request.z)
        return Term(z3.Or(*[phase == int(source) for source in sorted(EVENTS[event][0])]))

    def enqueue(self, request: Any, phase: Phase) -> None:
        """The request leaves the queue of its phase and enters that of another one."""
        request._own()
        s, r = self.state, request.z
        self.demand(s.queue(r) == s.phase(r), "the request is in the queue of its phase")
        s.put("queue", (r,), z3.IntVal(int(phase)))

    def new_sequence(self, request: Any) -> Record:
        """A sequence that was not there before, with every counter 0; it is not alive yet.

        That there is one is assumed, not proved: Python can always make another object (`Blocks.new_blocks`). Its
        names behind the prompt are any: a prophecy (`symbolic/cache.py`).
        """
        s = self.state
        q = z3.Const(unique("child"), Sequence)
        self.assume(z3.And(z3.Not(s.alive(q)), z3.Not(s.in_decode_batch(q)), s.length(q) == 0))
        for name in ZERO:
            s.put(name, (q,), z3.IntVal(0))
        for name in ("boundary", "ending"):
            s.put(name, (q,), z3.IntVal(NEVER))
        for name in ("whole", "heard"):
            s.put(name, (q,), z3.BoolVal(False))
        s.put("request", (q,), request.z)
        prompt, prompt_names = s.block_of(s.prompt(request.z)), s.prompt_names
        s.put_where(
            "block_name",
            lambda x, i: z3.And(x == q, 0 <= i, i < prompt),
            lambda _, i: prompt_names(request.z, i),
        )
        self._begin_with_prompt(q, request.z)
        return Record(self, q)

    # ---- operations --------------------------------------------------------------------------------

    def is_open(self, number: Any) -> Term:
        """Whether the operation is decided and not complete."""
        return Term(self.state.open(raw(number)))

    def first_open(self) -> Term:
        """The least number of an operation that is open; the next number if none is."""
        s, o = self.state, z3.Int("o")
        first = z3.Int(unique("first_open"))
        self.demand(
            z3.ForAll([o], z3.Implies(s.open(o), z3.And(1 <= o, o <= s.issued))),
            "open operations are numbered from 1 to the last one",
        )
        for fact in least(s.open, s.issued, first):
            self.assume(fact)
        return Term(first)

    def new_operation(self, kind: str, request: Any) -> None:
        """The operation that has the last number, open, which waits for nothing."""
        if kind not in KINDS or (request is None) != (kind == FORWARD):
            raise Misuse(f"an operation {kind!r}: it is one of {KINDS}, and a copy has a request")
        s = self.state
        number = s.issued
        self.demand(z3.Not(s.open(number)), "no operation has the number")
        s.put("open", (number,), z3.BoolVal(True))
        s.put("is_forward", (number,), z3.BoolVal(kind == FORWARD))
        s.put("compute", (number,), z3.BoolVal(kind in COMPUTE))
        s.put("outward", (number,), z3.BoolVal(kind == SWAP_OUT))
        s.put("wait", (number,), z3.IntVal(0))
        if request is not None:
            s.put("request_of", (number,), request.z)


def least(is_open: Callable[[Any], Any], issued: Any, first: Any) -> list[Any]:
    """What holds of the least open number, or of the next one if none is open; lemma `first_open`."""
    o = z3.Int("o")
    return [
        first <= issued + 1,
        z3.Implies(first <= issued, is_open(first)),
        z3.ForAll([o], z3.Implies(o < first, z3.Not(is_open(o)))),
    ]
