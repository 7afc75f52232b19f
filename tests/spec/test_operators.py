# pyright: basic, reportOperatorIssue=false
# mypy: disable-error-code="misc"
"""Each operator means the same on plain data and on formulas, whatever small lists it is given."""

from __future__ import annotations

import inspect
import itertools
import json
import operator
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

z3 = pytest.importorskip("z3")

from evaluated import Values, reading
from two_readings import (
    LARGE,
    SMALL,
    Both,
    Tables,
    compare,
    held_of,
    listed,
    lists,
    pools,
    with_pool,
    with_tables,
)

from lineclear.cli import main
from lineclear_spec import blocks, expressions, logic, primitives, queries
from lineclear_spec.containers import Calendar, SteadyBatch
from lineclear_spec.dialect import Forbidden, check_action
from lineclear_spec.ghosts import GhostLedger
from lineclear_spec.kernel import Kernel
from lineclear_spec.ledger import Ledger
from lineclear_spec.lemmas import LEMMAS
from lineclear_spec.lifecycle import EVENTS, Phase
from lineclear_spec.obligations import units
from lineclear_spec.operators import OPERATORS, words
from lineclear_spec.records import (
    COPY_BLOCK,
    CPU,
    FORWARD,
    GPU,
    SWAP_IN,
    Block,
    Broken,
    Pool,
    Refused,
    Request,
    Sequence,
    Several,
)
from lineclear_spec.state import background, room_of_blocks, room_of_one_more
from lineclear_spec.symbolic import SymbolicLedger
from lineclear_spec.symbolic_pool import SymbolicPool
from lineclear_spec.symbolic_records import Forwards, Operations, SymbolicBatch, SymbolicCalendar
from lineclear_spec.terms import Term
from lineclear_spec.vectors import Held, Members, Table, Vector
from lineclear_spec.vocabulary import LIST_OPERATIONS

# ---- the pool ----------------------------------------------------------------------------------


def put_made(tier: int) -> Callable[[Any, Values], dict[str, Callable[..., Any]]]:
    """What stands for the order that a put leaves open."""
    return lambda _, after: {
        "put_order": lambda j: after.order(tier, j),
        "put_position": lambda p: after.position(tier, p),
    }


def pool_cases(total: int) -> None:
    for free, fences in pools(total):
        plain_fences = not any(fences)
        for count in range(-1, len(free) + 2) if plain_fences else ():
            both = Both(with_pool(total, free, fences))
            n = both.record(count)
            compare(both, lambda v, c=count: v.cpu.take(c), lambda s, n=n: s.cpu.take(n))
        taken = [p for p in range(total) if p not in free]
        for places in lists(taken) if plain_fences else ():
            both = Both(with_pool(total, free, fences))
            v = both.vector(places, "place")
            compare(
                both,
                lambda w, x=places: w.cpu.put(x, 3),
                lambda s, v=v: s.cpu.put(v, 3),
                put_made(CPU),
            )
        for places in lists(list(range(total))):
            for least in (0, 1, 3):
                both = Both(with_pool(total, free, fences))
                v, low = both.vector(places, "place"), both.record(least)
                at = [
                    k for k, p in enumerate(places) if fences[p] == max(fences[p] for p in places)
                ]
                compare(
                    both,
                    lambda w, x=places, m=least: w.cpu.latest(x, m),
                    lambda s, v=v, m=low: s.cpu.latest(v, m),
                    lambda result, _, at=at: {
                        "latest": lambda: result,
                        "latest_at": lambda: (at or [0])[0],
                    },
                )


@pytest.mark.parametrize("total", [0, 1, 2, pytest.param(3, marks=pytest.mark.deep)])
def test_pool(total: int) -> None:
    pool_cases(total)


def test_what_a_pool_refuses_is_refused_on_formulas_too() -> None:
    """A place that is free, and one that is named twice."""
    for places in ([0], [1, 1]):
        both = Both(with_pool(3, (0,), (0, 0, 0)))
        v = both.vector(places, "place")
        both.symbolic.cpu.put(v, 3)
        both.before.extra = both.given
        owed = [reading(goal)(both.before, ()) for *_, goal in both.symbolic.obligations]
        assert not all(owed)
        with pytest.raises(Broken, match="is free already"):
            both.ledger.cpu.put(places, 3)


# ---- lists and sets ----------------------------------------------------------------------------


def list_cases(states: list[Tables]) -> None:
    for state in states:
        length = len(state[0])
        for first, end in itertools.product(range(length + 2), repeat=2):
            if first <= end <= length:
                both = Both(with_tables(state))
                q, a, b = (both.record(x) for x in (both.ledger.sequences[0], first, end))
                compare(
                    both,
                    lambda v, a=first, b=end: v.sequences[0].table[a:b],
                    lambda _, q=q, a=a, b=b: q.table[a:b],
                )
        for k in range(length):
            both = Both(with_tables(state))
            q, at = both.record(both.ledger.sequences[0]), both.record(k)
            compare(
                both, lambda v, k=k: v.sequences[0].table[k], lambda _, q=q, at=at: q.table[at]
            )
        both = Both(with_tables(state))
        q = both.record(both.ledger.sequences[0])
        compare(both, lambda v: v.sequences[0].table.clear(), lambda _, q=q: q.table.clear())
        both = Both(with_tables(state))
        blocks = held_of(both.ledger.requests[0])
        free = [b for b in blocks if b not in both.ledger.sequences[0].table]
        for chosen in range(len(list(lists(free)))):
            both = Both(with_tables(state))
            table = both.ledger.sequences[0].table
            rest = [b for b in held_of(both.ledger.requests[0]) if b not in table]
            added = list(lists(rest))[chosen]
            q, v = both.record(both.ledger.sequences[0]), both.vector(added, "block")
            compare(
                both,
                lambda w, x=added: w.sequences[0].table.extend(x),
                lambda _, q=q, v=v: q.table.extend(v),
            )
            if length:
                both = Both(with_tables(state))
                table = both.ledger.sequences[0].table
                rest = [b for b in held_of(both.ledger.requests[0]) if b not in table]
                added = list(lists(rest))[chosen][:length]
                q, v, at = (
                    both.record(both.ledger.sequences[0]),
                    both.vector(added, "block"),
                    both.record(0),
                )

                def put(w: GhostLedger, x: list[Block] = added) -> None:
                    w.sequences[0].table[0 : len(x)] = x

                def write(_: Any, q: Any = q, v: Vector = v, at: Any = at) -> None:
                    q.table[at : at + v.count] = v

                compare(both, put, write)


@pytest.mark.parametrize(
    "states", [SMALL, pytest.param(LARGE, marks=pytest.mark.deep)], ids=["two blocks", "three"]
)
def test_list(states: list[Tables]) -> None:
    list_cases(states)


def set_cases(states: list[Tables]) -> None:
    for state in states:
        count = len(held_of(with_tables(state).requests[0]))
        for chosen in range(len(list(lists(list(range(count)))))):
            both = Both(with_tables(state))
            request = both.ledger.requests[0]
            gone = list(lists(held_of(request)))[chosen]
            for block in gone:
                block.ref = 0
            for sequence in request.members:
                sequence.table[:] = [b for b in sequence.table if b not in gone]
            both.before = Values(both.ledger)
            r, v = both.record(request), both.vector(gone, "block")

            def left(_: Any, after: Values, r: Request = request) -> dict[str, Any]:
                return {"left": lambda k: after.held(r, k), "left_slot": after.slot}

            compare(
                both,
                lambda w, x=gone: w.remove_all(w.requests[0].held, x),
                lambda s, r=r, v=v: s.remove_all(r.held, v),
                left,
            )
        for added in (0, 1, 3):
            both = Both(with_tables(state))
            request = both.ledger.requests[0]
            new = [Block(request, GPU, -1) for _ in range(added)]
            r, v = both.record(request), both.vector(new, "block")
            compare(
                both,
                lambda w, x=new: w.requests[0].held.update(w.ordered(x)),
                lambda s, r=r, v=v: r.held.update(s.ordered(v)),
            )
        both = Both(with_tables(state))
        r = both.record(both.ledger.requests[0])

        def clear(v: GhostLedger) -> None:
            v.requests[0].held.clear()
            for sequence in v.requests[0].members:
                sequence.table.clear()  # what is held nowhere is named nowhere

        compare(both, clear, lambda _, r=r: r.held.clear())


@pytest.mark.parametrize(
    "states", [SMALL, pytest.param(LARGE, marks=pytest.mark.deep)], ids=["two blocks", "three"]
)
def test_set(states: list[Tables]) -> None:
    set_cases(states)


def views_of(states: list[Tables]) -> None:
    for state in states:
        for name in ("listed", "backwards"):
            both = Both(with_tables(state))
            q = both.record(both.ledger.sequences[0])
            compare(
                both,
                lambda v, name=name: getattr(v, name)(v.sequences[0].table),
                lambda s, q=q, name=name: getattr(s, name)(q.table),
            )
            both = Both(with_tables(state))
            r = both.record(both.ledger.requests[0])
            compare(
                both,
                lambda v, name=name: getattr(v, name)(v.requests[0].held),
                lambda s, r=r, name=name: getattr(s, name)(r.held),
            )
        for least in (1, 2):
            both = Both(with_tables(state))
            q = both.record(both.ledger.sequences[0])
            compare(
                both,
                lambda v, n=least: v.select(lambda b: b.ref == n, v.sequences[0].table),
                lambda s, q=q, n=least: s.select(lambda b: b.ref == n, s.listed(q.table)),
                lambda result, _: (
                    listed("selected", result) | {"selected_count": lambda: len(result)}
                ),
            )
        for least in (0, 1, 3):
            both = Both(with_tables(state))
            q, n = both.record(both.ledger.sequences[0]), both.record(least)
            compare(
                both,
                lambda v, n=least: v.all_from(lambda b: b.ref == 1, v.sequences[0].table, n),
                lambda s, q=q, n=n: s.all_from(lambda b: b.ref == 1, q.table, n),
            )
            both = Both(with_tables(state))
            r, n = both.record(both.ledger.requests[0]), both.record(least)
            compare(
                both,
                lambda v, n=least: v.all_of(lambda x: x.length <= n, v.requests[0].members),
                lambda s, r=r, n=n: s.all_of(lambda x: x.length <= n, r.members),
            )
        for tier in (GPU, CPU):
            both = Both(with_tables(state, tier))
            q = both.record(both.ledger.sequences[0])
            compare(
                both,
                lambda v, t=tier: v.places(t, v.sequences[0].table),
                lambda s, q=q, t=tier: s.places(t, s.listed(q.table)),
            )


@pytest.mark.parametrize(
    "states", [SMALL, pytest.param(LARGE, marks=pytest.mark.deep)], ids=["two blocks", "three"]
)
def test_views(states: list[Tables]) -> None:
    views_of(states)


# ---- blocks ------------------------------------------------------------------------------------


def count_cases(states: list[Tables]) -> None:
    for state in states:
        both = Both(with_tables(state))
        q = both.record(both.ledger.sequences[0])

        def down(v: GhostLedger) -> None:
            v.count_down(v.sequences[0], v.sequences[0].table)

        compare(both, down, lambda s, q=q: s.count_down(q, s.listed(q.table)))
        both = Both(with_tables(state))
        q = both.record(both.ledger.sequences[1])
        p = both.record(both.ledger.sequences[0])
        compare(
            both,
            lambda v: v.count_up(v.sequences[1], v.sequences[0].table),
            lambda s, p=p, q=q: s.count_up(q, s.listed(p.table)),
        )


@pytest.mark.parametrize(
    "states", [SMALL, pytest.param(LARGE, marks=pytest.mark.deep)], ids=["two blocks", "three"]
)
def test_counts(states: list[Tables]) -> None:
    count_cases(states)


def new_cases(most: int) -> None:
    for state in SMALL:
        for number in range(min(most, 4 - 1 - len(held_of(with_tables(state).requests[0]))) + 1):
            both = Both(with_tables(state))
            q, n = both.record(both.ledger.sequences[0]), both.record(number)

            def plain(v: GhostLedger, n: int = number) -> list[Block]:
                return v.new_blocks(v.always(v.sequences[0]), v.gpu.take(n))

            compare(
                both,
                plain,
                lambda s, q=q, n=n: s.new_blocks(s.always(q), s.gpu.take(n)),
                lambda result, _: listed("new", result),
            )


def test_new_blocks() -> None:
    new_cases(3)


def each_one_cases() -> None:
    """Due sequences of one request and of two, in any order."""
    for state in SMALL:
        for chosen in lists([0, 1, 2]):
            if len(chosen) > 2 or len(chosen) > 4 - 1 - len(
                held_of(with_tables(state).requests[0])
            ):
                continue
            for name in ("hold_each", "append_each"):
                both = Both(with_tables(state))
                due = [both.ledger.sequences[k] for k in chosen]
                new = [Block(q.request, GPU, -1, 1) for q in due]
                d, v = both.vector(due, "sequence"), both.vector(new, "block")

                def holding(_: Any, after: Values) -> dict[str, Any]:
                    return {
                        "holding": after.held,
                        "holding_count": after.blocks,
                        "holding_slot": after.slot,
                    }

                compare(
                    both,
                    lambda w, d=due, x=new, name=name: getattr(w, name)(Several(d), x),
                    lambda s, d=d, v=v, name=name: getattr(s, name)(d, v),
                    holding,
                )


def test_each_to_its_own() -> None:
    each_one_cases()


@pytest.mark.parametrize("target", [GPU, CPU])
def test_relocate_and_copies(target: int) -> None:
    for state in SMALL:
        both = Both(with_tables(state, 1 - target))
        request = both.ledger.requests[0]
        r = both.record(request)

        def plain(v: GhostLedger) -> None:
            blocks = v.listed(v.requests[0].held)
            v.relocate(blocks, target, v.pools[target].take(len(blocks)))

        def formulas(s: SymbolicLedger, r: Any = r) -> None:
            blocks = s.listed(r.held)
            s.relocate(blocks, target, s.pools[target].take(blocks.count))

        compare(both, plain, formulas)
        ledger = with_tables(state, 1 - target)
        ledger.decide("swap_in", ledger.requests[0])
        both = Both(ledger)
        r = both.record(ledger.requests[0])

        def copies(v: GhostLedger) -> None:
            blocks = v.listed(v.requests[0].held)
            sources = v.places(1 - target, blocks)
            v.note_copies(1 - target, sources, target, v.pools[target].take(len(blocks)))
            assert v.operations[1].blocks == [
                (b.place, p) for b, (_, p) in zip(blocks, v.operations[1].blocks, strict=True)
            ]

        def noted(s: SymbolicLedger, r: Any = r) -> None:
            blocks = s.listed(r.held)
            places = s.pools[target].take(blocks.count)
            s.note_copies(1 - target, s.places(1 - target, blocks), target, places)

        compare(both, copies, noted)


def test_something_done_for_each() -> None:
    for state in SMALL:
        both = Both(with_tables(state))
        for k, sequence in enumerate(both.ledger.sequences):
            sequence.drafts, sequence.late_drafts = k, 1
        both.before = Values(both.ledger)
        r = both.record(both.ledger.requests[0])

        def body(sequence: Any) -> None:
            sequence.late_drafts = sequence.drafts + sequence.late_drafts
            sequence.drafts = 0
            sequence.table.clear()

        compare(
            both,
            lambda v: v.each(v.requests[0].members, body),
            lambda s, r=r: s.each(r.members, body),
        )


# ---- numbers, guards and phases ----------------------------------------------------------------


def test_numbers_and_truth_values() -> None:
    """Each operator of numbers, and each connective, of values and of the solver's values."""
    comparing = (operator.lt, operator.le, operator.gt, operator.ge, operator.eq, operator.ne)
    numbers = (operator.add, operator.sub, operator.mul, logic.larger, logic.smaller)
    for a, b in itertools.product(range(-3, 4), repeat=2):
        for of in (*numbers, *comparing):
            same(of(Term(z3.IntVal(a)), Term(z3.IntVal(b))), of(a, b))
            same(of(a, Term(z3.IntVal(b))), of(a, b))
        same(-Term(z3.IntVal(a)), -a)
        if b > 0:
            same(Term(z3.IntVal(a)) // b, a // b)
        same(logic.precedes((a, Term(z3.IntVal(b))), (b, 1)), (a, b) < (b, 1))
    for p, q, r in itertools.product((False, True), repeat=3):
        x, y, z = (Term(z3.BoolVal(v)) for v in (p, q, r))
        for first, second, third in ((x, y, z), (p, y, z), (x, q, r)):
            same(logic.both(first, second, third), p and q and r)
            same(logic.any_of(first, second, third), p or q or r)
            same(logic.implies(first, second), not p or q)
        same(logic.negate(x), not p)
        same(logic.either(x, 1, 2), 1 if p else 2)
        assert logic.both(p, q, r) == (p and q and r)
        assert logic.any_of(p, q, r) == (p or q or r)
        assert logic.implies(p, q) == (not p or q)
        assert logic.either(p, 1, 2) == (1 if p else 2)


def same(formula: Term, value: Any) -> None:
    """The formula, which has no variable, has this value."""
    found = z3.simplify(formula.z)
    assert (
        found.as_long() if isinstance(value, int) and z3.is_int(found) else z3.is_true(found)
    ) == value


def test_division() -> None:
    """need, block_of and cap, and every fact that formulas know of them."""
    facts = [*background(), room_of_blocks(), room_of_one_more()]
    for state in SMALL[:4]:
        for name, n in itertools.product(("need", "block_of", "cap"), range(9)):
            both = Both(with_tables(state))
            at = both.record(n)
            compare(
                both,
                lambda v, name=name, n=n: getattr(v, name)(n),
                lambda s, name=name, at=at: getattr(s, name)(at),
            )
        values = Both(with_tables(state)).before
        assert all(reading(fact)(values, ()) for fact in facts)


def test_guards_and_branches() -> None:
    for state, n in itertools.product(SMALL[:3], (0, 1)):
        for name in ("branch", "demand"):
            both = Both(with_tables(state))
            r = both.record(both.ledger.requests[0])

            def run(v: Any, r: Any, name: str = name, n: int = n) -> None:
                if name == "branch":
                    v.branch(r.copy == n, lambda: setattr(r, "copy", 5))
                else:
                    v.demand(r.copy == n, "no copy is open")

            compare(both, lambda v: run(v, v.requests[0]), lambda s, r=r: run(s, r))
        both = Both(with_tables(state))
        r = both.record(both.ledger.requests[0])
        both.symbolic.require(r.copy == n, "no copy is open")
        ((guard, formula),) = both.symbolic.guards
        both.before.extra = both.given
        assert guard == "no copy is open"
        assert formula.eq(both.symbolic.assumptions[-1])
        if reading(formula)(both.before, ()):
            both.ledger.require(both.ledger.requests[0].copy == n, guard)
        else:
            with pytest.raises(Refused, match=guard):
                both.ledger.require(both.ledger.requests[0].copy == n, guard)


def test_phases_and_queues() -> None:
    """Every event of every phase; every phase from every other, and a request in no queue."""
    for phase in Phase:
        for event in EVENTS:
            ledger = in_phase(phase)
            both = Both(ledger)
            r = both.record(ledger.requests[0])
            compare(
                both,
                lambda v, e=event: v.allowed(e, v.requests[0]),
                lambda s, e=event, r=r: s.allowed(e, r),
            )
        for target, lost in itertools.product(Phase, (False, True)):
            ledger = in_phase(phase)
            queue = ledger.queues[phase]
            if lost and queue is not None:
                queue.clear()
            both = Both(ledger)
            r = both.record(ledger.requests[0])

            def run(v: Any, r: Any, target: Phase = target) -> None:
                v.enqueue(r, target)
                r.phase = target

            compare(both, lambda v: run(v, v.requests[0]), lambda s, r=r: run(s, r))


def in_phase(phase: Phase) -> GhostLedger:
    """A ledger with one request, which is in this phase."""
    ledger = with_tables(((), ()))
    request = ledger.requests[0]
    ledger.enqueue(request, phase)
    request.phase = phase
    return ledger


# ---- sequences and operations ------------------------------------------------------------------


def test_members() -> None:
    for k in range(3):
        for name in ("append", "remove"):
            both = Both(with_tables(((0,), ())))
            q, r = both.record(both.ledger.sequences[k]), both.record(both.ledger.requests[0])
            if name == "append" and k < 2:
                continue  # a list would have it twice; formulas owe that it has not

            def run(r: Any, q: Any, name: str = name) -> None:
                getattr(r.members, name)(q)

            if name == "append":
                both.ledger.sequences[k].request = both.ledger.requests[0]
                both.ledger.requests[1].members.clear()
                both.before = Values(both.ledger)
            compare(
                both,
                lambda v, k=k: run(v.requests[0], v.sequences[k]),
                lambda _, r=r, q=q: run(r, q),
            )
    both = Both(with_tables(((0,), ())))
    r = both.record(both.ledger.requests[0])
    compare(both, lambda v: v.requests[0].members.clear(), lambda _, r=r: r.members.clear())


def with_steady(days: tuple[int, ...]) -> GhostLedger:
    """Three sequences; one that is listed under a step is steady, and ends at the next one."""
    ledger = with_tables(((0,), ()))
    ledger.steps, ledger.issued = 2, 3
    for sequence, day in zip(ledger.sequences, days, strict=True):
        if day >= 0:
            sequence.steady = True
            ledger.batch.add(sequence)
            ledger.boundaries.mark(day, sequence)
            ledger.endings.mark(day + 1, sequence)
    return ledger


def test_batch_and_calendars() -> None:
    for days in itertools.product((-1, 2, 4), repeat=3):
        for name, steps in (("boundaries", (2, 4)), ("endings", (3, 5))):
            for step in steps:
                both = Both(with_steady(days))
                n = both.record(step)
                compare(
                    both,
                    lambda v, name=name, n=step: list(getattr(v, name).bucket(n)),
                    lambda s, name=name, n=n: getattr(s, name).bucket(n),
                    lambda result, _, name=name: (
                        listed(f"{NAMED[name]}", result)
                        | {f"{NAMED[name]}_count": lambda: len(result)}
                    ),
                )
                both = Both(with_steady(days))
                n, by = both.record(step), both.record(2)
                compare(
                    both,
                    lambda v, name=name, n=step: getattr(v, name).postpone(n, 2),
                    lambda s, name=name, n=n, by=by: getattr(s, name).postpone(n, by),
                )
            for k, step in itertools.product(range(3), steps):
                word = "unmark" if days[k] >= 0 else "mark"
                both = Both(with_steady(days))
                n, q = both.record(step), both.record(both.ledger.sequences[k])
                compare(
                    both,
                    lambda v, name=name, n=step, k=k, word=word: getattr(getattr(v, name), word)(
                        n, v.sequences[k]
                    ),
                    lambda s, name=name, n=n, q=q, word=word: getattr(getattr(s, name), word)(
                        n, q
                    ),
                )
        for k in range(3):
            for word in ("add", "remove") if days[k] < 0 else ("remove",):
                both = Both(with_steady(days))
                q = both.record(both.ledger.sequences[k])
                compare(
                    both,
                    lambda v, k=k, word=word: getattr(v.batch, word)(v.sequences[k]),
                    lambda s, q=q, word=word: getattr(s.batch, word)(q),
                )
                if word == "remove" and days[k] < 0:
                    continue
                count = reading(both.symbolic.state.batch_size)(both.before, ())
                read = [
                    reading(both.symbolic.state.batch(z3.IntVal(j)))(both.before, ())
                    for j in range(count)
                ]
                assert len(read) == len(set(read))
                assert set(read) == set(both.ledger.batch)


#: The field that a calendar is on formulas.
NAMED = {"boundaries": "boundary", "endings": "ending"}


def with_operations(opened: tuple[bool, ...]) -> GhostLedger:
    """Operations of which some are complete: forwards of steps 1 and on, and a copy at last."""
    ledger = with_tables(((0,), ()))
    for k in range(len(opened)):
        last = k == len(opened) - 1
        number = ledger.decide(SWAP_IN if last else FORWARD, ledger.requests[0] if last else None)
        if not last:
            ledger.steps += 1
            ledger.step_operations[ledger.steps] = number
    for number, left in enumerate(opened, 1):
        if not left:
            ledger.operations.pop(number)
    return ledger


def test_operations_by_number() -> None:
    for opened in itertools.product((False, True), repeat=3):
        both = Both(with_operations(opened))
        compare(
            both,
            lambda v: v.first_open(),
            lambda s: s.first_open(),
            lambda result, _: {"first_open": lambda: result},
        )
        for number in range(5):
            both = Both(with_operations(opened))
            n = both.record(number)
            compare(both, lambda v, n=number: v.is_open(n), lambda s, n=n: s.is_open(n))
            both = Both(with_operations(opened))
            n = both.record(number)

            def pop(v: Any, n: Any) -> None:
                v.operations.pop(n)

            compare(both, lambda v, n=number: pop(v, n), lambda s, n=n: pop(s, n))
        for step in range(4):
            both = Both(with_operations(opened))
            n = both.record(step)
            compare(
                both,
                lambda v, n=step: v.step_operations[n],
                lambda s, n=n: s.step_operations[n],
            )
            both = Both(with_operations(opened))
            n = both.record(step)
            compare(
                both,
                lambda v, n=step: v.step_operations.pop(n),
                lambda s, n=n: s.step_operations.pop(n),
            )
        both = Both(with_operations(opened))

        def put(v: Any) -> None:
            v.step_operations[v.steps] = v.issued

        compare(both, put, put)


def test_a_forward_is_not_read_after_one_was_popped() -> None:
    """On plain data the entry is gone; on formulas the field is as it was."""
    symbolic = Both(with_operations((True, True, True))).symbolic
    symbolic.step_operations.pop(1)
    with pytest.raises(logic.Misuse, match="after one was popped"):
        symbolic.forward_of(1)


def test_fields_of_an_operation() -> None:
    for number, (name, value) in itertools.product(
        range(1, 4), (("wait", 2), ("is_forward", None), ("request", None))
    ):
        both = Both(with_operations((True, True, True)))
        n = both.record(number)

        def run(v: Any, n: Any, name: str = name, value: Any = value) -> Any:
            found = v.operations[n]
            if value is None:
                return getattr(found, name)
            found.wait = value
            return None

        if name == "request" and number < 3:
            continue  # a forward has none, and formulas know nothing of it
        compare(both, lambda v, n=number: run(v, n), lambda s, n=n: run(s, n))
    with pytest.raises(logic.Misuse):
        both.symbolic.operations[3].is_forward = True


def test_new_sequence_and_operation() -> None:
    for state in SMALL[:4]:
        both = Both(with_tables(state))
        r = both.record(both.ledger.requests[0])
        compare(
            both,
            lambda v: v.new_sequence(v.requests[0]),
            lambda s, r=r: s.new_sequence(r),
            lambda result, _: {"child": lambda: result},
        )
        for kind in (FORWARD, COPY_BLOCK, SWAP_IN):
            both = Both(with_tables(state))
            both.ledger.issued = 1
            both.before = Values(both.ledger)
            r = both.record(both.ledger.requests[0])
            compare(
                both,
                lambda v, kind=kind: v.new_operation(kind, v.requests[0]),
                lambda s, r=r, kind=kind: s.new_operation(kind, r),
            )


# ---- ghosts ------------------------------------------------------------------------------------


def test_ghosts_do_nothing_on_plain_data() -> None:
    def nothing(self: Any, *_: object) -> None:
        """Nothing."""

    ghosts = {word.split(".")[1] for row in OPERATORS if row.name == "ghost" for word in row.words}
    assert ghosts == {name for name, found in vars(Ledger).items() if found is Ledger.write_kv} - {
        "_ghost"
    }
    assert Ledger.write_kv.__code__.co_code == nothing.__code__.co_code


def test_ghosts() -> None:
    """The histories of the ghost ledger are those of formulas."""
    for state, kv, tokens in itertools.product(SMALL[:6], (0, 1, 2, 3), (1, 2)):
        for name in ("write_kv", "share_kv", "lose_kv", "note_move", "note_step"):
            ledger = with_tables(state)
            first, second = ledger.sequences[:2]
            ledger.kv |= {first: kv, second: 1}
            first.reach_tokens, second.steady, second.offset = 1, True, 1
            ledger.batch.add(second)
            ledger.decide(FORWARD, None)
            both = Both(ledger)
            p, q, n = both.record(first), both.record(second), both.record(tokens)
            r, o = both.record(first.request), both.record(1)
            event = "admit" if tokens == 1 else "finish"

            def run(
                v: Any, p: Any, q: Any, n: Any, r: Any, o: Any, name: str = name, e: str = event
            ) -> None:
                arguments = {
                    "write_kv": (p, n), "share_kv": (p, q, n), "lose_kv": (p,),
                    "note_move": (r, e), "note_step": (o,),
                }[name]  # fmt: skip
                getattr(v, name)(*arguments)

            def shared(_: Any, after: Values, second: Sequence = second) -> dict[str, Any]:
                return {"shared_kv": lambda: after.kv(second)}

            compare(
                both,
                lambda v, t=tokens, a=first, b=second: run(v, a, b, t, a.request, 1),
                lambda s, p=p, q=q, n=n, r=r, o=o: run(s, p, q, n, r, o),
                shared,
                frozenset(),
            )


# ---- the table ---------------------------------------------------------------------------------


def test_each_row_has_its_tests_and_its_lemmas() -> None:
    root = Path(__file__).resolve().parents[2]
    assert len({row.name for row in OPERATORS}) == len(OPERATORS) <= 20
    own = Path(__file__).read_text()
    for row in OPERATORS:
        for test in row.tests:
            file, _, name = test.rpartition("::")
            text = (root / file).read_text() if file else own
            assert f"def {name}(" in text, row.name
        for word in row.words:
            name = word.split(".")[1]
            elsewhere = any("::" in test for test in row.tests)
            assert elsewhere or re.search(rf"\b{name}\b", own), f"{word} is in no test"
        assert set(row.lemmas) <= set(units())
        assert row.tests
        assert row.plain
        assert row.formulas
    proved = {lemma for row in OPERATORS for lemma in row.lemmas}
    assert proved >= {n for n in LEMMAS if n.startswith("lemma_")}


#: What proves and what is no part of the kernel: methods of the ledger on formulas alone.
PROVING = {
    "assume",
    "by_contract",
    "holds_already",
    "prove",
    "start_watching",
    "unchanged",
    "wrap",
}


def unlisted() -> set[str]:
    """Methods that both ledgers have, written twice, and that no row names."""
    twice = {
        name
        for kind in SymbolicLedger.__mro__[:-1]
        for name, found in vars(kind).items()
        if callable(getattr(found, "__func__", found)) and name[0] != "_"
    }
    once = {*queries.__all__, *vars(Kernel), "either"}
    return twice - once - words("ledger") - PROVING


def test_what_is_written_twice_is_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    assert unlisted() == set()
    theirs = {name for name in vars(Ledger) if name[0] != "_" and callable(vars(Ledger)[name])}
    assert theirs - {"new_request"} <= words("ledger")  # a caller makes requests, and no action
    monkeypatch.setattr(SymbolicLedger, "shrink", lambda ledger: None, raising=False)
    assert unlisted() == {"shrink"}
    containers = {
        "pool": (Pool, SymbolicPool), "table": (list, Table), "held": (dict, Held),
        "members": (list, Members), "batch": (SteadyBatch, SymbolicBatch),
        "boundaries": (Calendar, SymbolicCalendar), "operations": (dict, Operations),
        "step_operations": (dict, Forwards),
    }  # fmt: skip
    for name, (plain, formulas) in containers.items():
        named = {n for n, f in vars(formulas).items() if n[0] != "_" and inspect.isfunction(f)}
        assert named - {"vector", "part"} == words(name), name
        assert all(hasattr(plain, word) for word in words(name))


def test_a_block_step_in_which_another_operator_stands_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each operator of the kernel, taken off the list."""
    for row in OPERATORS:
        for whole in row.words:
            owner, word = whole.split(".")
            if whole in NOT_SAID:
                continue
            for name in ("BULK", "OPERATIONS", "POOL_OPERATIONS"):
                listed_words: frozenset[str] = getattr(expressions, name)
                mine = "pool" if name == "POOL_OPERATIONS" else "ledger"
                left = listed_words - ({word} if owner == mine else set())
                monkeypatch.setattr(expressions, name, left)
            lists = {k: words(k) - ({word} if k == owner else set()) for k in LIST_OPERATIONS}
            monkeypatch.setattr(expressions, "LIST_OPERATIONS", lists)
            with pytest.raises(Forbidden, match=word):
                check_steps()
            monkeypatch.undo()
    check_steps()


#: Words that only actions say, or that one of two calendars is never asked.
NOT_SAID = {
    "ledger.require",
    "ledger.allowed",
    "ledger.is_open",
    "ledger.write_kv",
    "endings.postpone",
}


def check_steps() -> None:
    """Every function of the kernel is written in operators of the list."""
    for module in (blocks, primitives, queries):
        for name in module.__all__:
            check_action(getattr(module, name))


def test_the_command_prints_every_operator(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["prove", "--operators"]) == 0
    text = capsys.readouterr().out
    assert main(["prove", "--operators", "--format", "json"]) == 0
    rows = json.loads(capsys.readouterr().out)["operators"]
    assert [row["name"] for row in rows] == [row.name for row in OPERATORS]
    for row in OPERATORS:
        assert row.plain in text
        assert row.formulas in text
        assert all(test in text for test in row.tests)


# ---- many states -------------------------------------------------------------------------------


@settings(max_examples=5)
@given(st.sampled_from(LARGE))
def test_operators_of_larger_states(state: Tables) -> None:
    list_cases([state])
    set_cases([state])
