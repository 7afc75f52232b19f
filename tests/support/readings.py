# pyright: basic
"""A state in both readings: its plain data, given to a solver as facts about formulas.

Guarantees: a query's formula has a value in a reading only if every state with these plain data gives it.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import cache
from typing import Any

import z3

from lineclear_spec.kernel import records as plain
from lineclear_spec.kernel.lifecycle import EVENTS
from lineclear_spec.modelcheck.accessors import NO_BLOCK, NO_REQUEST, NO_SEQUENCE
from lineclear_spec.modelcheck.explore import nearest, replay
from lineclear_spec.modelcheck.ghosts import GhostLedger
from lineclear_spec.modelcheck.snapshot import ConcreteView
from lineclear_spec.modelcheck.worlds import BOUNDS, Bounds, Trace
from lineclear_spec.symbolic.ledger import SymbolicLedger
from lineclear_spec.symbolic.rounding import room_of_blocks
from lineclear_spec.symbolic.state import (
    BLOCK_OF,
    CAP,
    CHUNKED,
    CONSTANTS,
    CUT_LONG,
    FIELDS,
    NEED,
    Block,
    Request,
    Sequence,
    State,
)
from lineclear_spec.symbolic.terms import raw

#: The fields that queries read.
READ = (
    "alive in_decode_batch request offset own_tokens own_dispatched own_slots own_samples last_step "
    "last_tokens previous_tokens last_samples previous_samples length table ref phase limit width "
    "member held blocks steps committed issued done decode_batch_size open wait is_forward forward_of "
    "member_index boundary ending drafts void late_drafts open_swap last_swap dispatched barrier step_tokens "
    "step_sequences request_of"
).split()
NOTHING = {"request": NO_REQUEST, "sequence": NO_SEQUENCE, "block": NO_BLOCK}
SORTS = {"request": Request, "sequence": Sequence, "block": Block}


class Reading:
    """One state in both readings."""

    def __init__(self, ledger: GhostLedger) -> None:
        self.ledger = ledger
        self.view = ConcreteView(ledger)
        self.names: dict[Any, Any] = {}
        self.solver = z3.SolverFor("UF")
        self.solver.set("rlimit", 5_000_000)
        for kind, sort in SORTS.items():
            records = self.view.domains[kind]
            self.names |= {x: z3.Const(f"{kind}{k}", sort) for k, x in enumerate(records)}
            own = [self.names[x] for x in records] + [z3.Const(f"no_{kind}", sort)]
            self.solver.add(z3.Distinct(*own))
            anything = z3.Const("x", sort)
            self.solver.add(z3.ForAll([anything], z3.Or(*[anything == c for c in own])))
        numbers = range(-1, max(ledger.issued, ledger.steps, 8) + 2)
        for n in range(12):
            self.solver.add(NEED(n) == ledger.need(n), BLOCK_OF(n) == ledger.block_of(n))
            self.solver.add(CAP(n) == n * ledger.limits.block_size)
        limits = ledger.limits
        self.solver.add(CHUNKED == limits.chunked, CUT_LONG == limits.cut_long)
        self.solver.add(CONSTANTS["max_num_batched_tokens"] == limits.max_num_batched_tokens)
        fields: dict[str, Any] = dict(State.arbitrary("_unread").fields)
        for name in READ:
            arguments, result = FIELDS[name]
            fields[name] = self.field(name, arguments, result, numbers)
        self.symbolic = SymbolicLedger(State(fields))
        self.symbolic.start_watching()  # the plain state has every invariant, which lemmas ask for

    def constant(self, value: Any, sort: Any) -> Any:
        """A plain value as a term."""
        if sort in SORTS.values():
            return self.names.get(value, z3.Const(f"no_{sort.name().lower()}", sort))
        return z3.BoolVal(value) if sort == z3.BoolSort() else z3.IntVal(int(value))

    def field(self, name: str, arguments: tuple[Any, ...], result: Any, numbers: range) -> Any:
        """A field of the plain ledger as a function on terms."""
        read = getattr(self.view, name)
        if not arguments:
            return self.constant(read, result)
        kinds = {sort: kind for kind, sort in SORTS.items()}
        domains = [
            [*self.view.domains[kinds[sort]], NOTHING[kinds[sort]]] if sort in kinds else numbers
            for sort in arguments
        ]
        function = z3.Function(f"plain_{name}", *arguments, result)
        for point in itertools.product(*domains):
            at = [self.constant(x, sort) for x, sort in zip(point, arguments, strict=True)]
            self.solver.add(function(*at) == self.constant(read(*point), result))
        return lambda *a: function(*a)

    def record(self, x: Any) -> Any:
        """A record as a guard of a symbolic action sees it."""
        sort = {plain.Request: Request, plain.Sequence: Sequence, plain.Block: Block}[type(x)]
        return self.symbolic.wrap(sort, self.names[x])

    def assumed(self) -> list[Any]:
        """What formulas assume of the state, but for arithmetic of all numbers: it is proved, and the numbers of the
        state are given.
        """
        room = room_of_blocks()
        return [f for f in self.symbolic.assumptions if isinstance(f, bool) or not f.eq(room)]

    def differs(self, query: Any, value: Any) -> bool:
        """Whether the formula may have another value than the plain one."""
        formula = raw(query)
        self.solver.push()
        self.solver.add(*self.assumed())
        self.solver.add(formula != self.constant(value, formula.sort()))
        answer = self.solver.check()
        self.solver.pop()
        assert answer != z3.unknown, formula
        return bool(answer == z3.sat)

    def any_differs(self, asked: list[tuple[str, Any, Any]]) -> bool:
        """Whether any of several may; one call of the solver instead of one for each, if it answers."""
        apart = [
            formula != self.constant(value, formula.sort())
            for formula, value in ((raw(query), value) for _, query, value in asked)
        ]
        self.solver.push()
        self.solver.add(*self.assumed(), z3.Or(*apart))
        answer = self.solver.check()
        self.solver.pop()
        if answer == z3.unknown:
            return any(self.differs(query, value) for _, query, value in asked)
        return bool(answer == z3.sat)


def questions(reading: Reading) -> list[tuple[str, Any, Any]]:
    """Every query with every argument it is defined for: its name, formula and plain value."""
    v, s = reading.ledger, reading.symbolic
    found: list[tuple[str, Any, Any]] = [
        ("ended", s.ended(), v.ended()),
        ("one_ends_alone", s.one_ends_alone(), v.one_ends_alone()),
        ("ended_alone", s.ended_alone().size, len(list(v.ended_alone()))),
        ("due", s.due().count, v.due().count),
    ]

    def ask(name: str, *arguments: Any) -> None:
        found.append(
            (
                name,
                getattr(s, name)(
                    *[reading.record(a) if a in reading.names else a for a in arguments]
                ),
                getattr(v, name)(*arguments),
            )
        )

    ask("first_open")
    ask("complete_up_to")
    for n in range(10):
        ask("need", n)
        ask("block_of", n)
        ask("cap", n)
        ask("all_complete", n)
        ask("is_open", n)
    for number in v.operations:
        ask("wait_of", number)
        ask("is_copy", number)
    for step in v.step_operations:
        ask("forward_of", step)
    for q in v.sequences:
        for name in OF_A_SEQUENCE:
            ask(name, q)
    for r in v.requests:
        ask("on_gpu", r)
        ask("unscheduled", r)
        if r.members:
            ask("leader", r)
        for event in EVENTS:
            found.append(("allowed", s.allowed(event, reading.record(r)), v.allowed(event, r)))
    return found


#: Queries about one sequence.
OF_A_SEQUENCE = (
    "num_dispatched_tokens in_flight num_computed_tokens num_tokens scheduled_samples pending_samples "
    "sampling_step num_allocated_slots first_scheduled runs writable "
    "divisible"
).split()
#: The worst case is a function that is left open on formulas: see `State.worst_case`.
LOOSER = {"worst_case"}
#: Operators over numbers, phases and operations, which are asked here too.
ASKED = {"need", "block_of", "cap", "is_open", "first_open", "allowed"}


def situation(v: GhostLedger) -> Any:
    """What is worth a state of its own."""
    kinds = {
        (v.writable(q), v.runs(q), v.pending_samples(q) > 0, q.in_decode_batch)
        for q in v.sequences
    }
    return v.due().count, v.ended(), len(v.operations), tuple(sorted(kinds))


@cache
def searched(bounds: Bounds) -> list[Trace]:
    """The first states of a world."""
    return nearest(bounds)


def traces_of(bounds: Bounds, states: int) -> list[Trace]:
    """Traces to the first so many states of a world; a search that goes further meets them first too."""
    return searched(replace(bounds, max_states=max(states, 80)))[:states]


def readings(most: int, states: int = 80, worlds: Iterable[Bounds] = BOUNDS) -> Iterator[Reading]:
    """States of every world, each in another situation. A solver keeps some 15 MB, so each is made when it is asked."""
    for bounds in worlds:
        met: dict[Any, GhostLedger] = {}
        for trace in traces_of(bounds, states):
            ledger = replay(bounds, trace)
            met.setdefault(situation(ledger), ledger)
        yield from map(Reading, list(met.values())[-most:])
