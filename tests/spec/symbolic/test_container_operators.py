# pyright: basic, reportOperatorIssue=false
# mypy: disable-error-code="misc"
"""Each operator of a list or an ordered set means the same on plain data and on formulas."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from evaluated import Values
from hypothesis import given, settings
from hypothesis import strategies as st
from two_readings import LARGE, SMALL, Both, Tables, compare, held_of, lists, with_tables

from lineclear_spec.kernel.records import GPU, Block, Request
from lineclear_spec.modelcheck.ghosts import GhostLedger
from lineclear_spec.symbolic.vectors import Vector


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
                    q.table[at : at + v.size] = v

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
                return {"left": lambda k: after.held(r, k), "left_index": after.held_index}

            compare(
                both,
                lambda w, x=gone: w.remove_all(w.requests[0], x),
                lambda s, r=r, v=v: s.remove_all(r, v),
                left,
            )
        for added in (0, 1, 3):
            both = Both(with_tables(state))
            request = both.ledger.requests[0]
            new = [Block(request, GPU, -1) for _ in range(added)]
            r, v = both.record(request), both.vector(new, "block")
            compare(
                both,
                lambda w, x=new: w.hold(w.requests[0], x, [-1] * len(x)),
                lambda s, r=r, v=v: s.hold(r, v, s.block_ids(GPU, v)),
            )
        both = Both(with_tables(state))
        r = both.record(both.ledger.requests[0])

        def clear(v: GhostLedger) -> None:
            v.empty(v.requests[0])
            for sequence in v.requests[0].members:
                sequence.table.clear()  # what is held nowhere is named nowhere

        compare(both, clear, lambda s, r=r: s.empty(r))


def test_set_of_a_request_that_may_have_one_sequence_only() -> None:
    """On plain data it is what the table says, before and after each statement that changes the two."""

    def start() -> tuple[Both, Request, list[Block]]:
        both = Both(with_tables(((), ())))
        request = both.ledger.requests[1]
        request.held_set = None  # as in a scheduler
        request.block_ids = [b.block_id for b in request.members[0].table]
        assert held_of(request) == request.members[0].table
        return both, request, [Block(request, GPU, -1) for _ in range(2)]

    both, request, new = start()
    r, v = both.record(request), both.vector(new, "block")

    def hold(w: GhostLedger) -> None:
        w.hold(w.requests[1], new, [-1, -1])
        w.sequences[2].table.extend(new)

    compare(both, hold, lambda s: s.hold(r, v, s.block_ids(GPU, v)))
    assert held_of(request)[1:] == new

    for sealed in (False, True):
        both, request, _ = start()
        (block,) = gone = list(request.members[0].table)
        block.name = 5 if sealed else 0
        block.ref = int(sealed)
        r, v = both.record(request), both.vector(gone, "block")
        both.before = Values(both.ledger)
        both.before._held[request] = gone  # it was private, and an entry named it

        def remove(w: GhostLedger, x: list[Block] = gone, sealed: bool = sealed) -> None:
            w.remove_all(w.requests[1], x)
            if not sealed:
                w.sequences[2].table.clear()

        def left(_: Any, after: Values, r: Request = request) -> dict[str, Any]:
            return {"left": lambda k: after.held(r, k), "left_index": after.held_index}

        compare(both, remove, lambda s, r=r, v=v: s.remove_all(r, v), left)
        assert held_of(request) == []

    both, request, _ = start()
    r = both.record(request)

    def clear(w: GhostLedger) -> None:
        w.empty(w.requests[1])
        w.sequences[2].table.clear()

    compare(both, clear, lambda s: s.empty(r))
    assert held_of(request) == []


@pytest.mark.parametrize(
    "states", [SMALL, pytest.param(LARGE, marks=pytest.mark.deep)], ids=["two blocks", "three"]
)
def test_set(states: list[Tables]) -> None:
    set_cases(states)


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


@settings(max_examples=5)
@given(st.sampled_from(LARGE))
def test_operators_of_larger_states(state: Tables) -> None:
    list_cases([state])
    set_cases([state])
