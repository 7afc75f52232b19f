# pyright: basic, reportOperatorIssue=false
# mypy: disable-error-code="misc"
"""Each operator means the same on plain data and on formulas, whatever small lists it is given."""

from __future__ import annotations

import itertools
import json
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
from lineclear_spec import blocks, expressions, queries
from lineclear_spec.dialect import Forbidden, check_action
from lineclear_spec.ghosts import GhostLedger
from lineclear_spec.lemmas import LEMMAS
from lineclear_spec.operators import OPERATORS, words
from lineclear_spec.records import CPU, GPU, Block, Broken, Request, Several
from lineclear_spec.symbolic import SymbolicLedger
from lineclear_spec.vectors import Vector

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


# ---- the table ---------------------------------------------------------------------------------


def test_each_row_has_its_test_and_its_lemma() -> None:
    root = Path(__file__).resolve().parents[2]
    assert len({row.name for row in OPERATORS}) == len(OPERATORS) <= 20
    for row in OPERATORS:
        file, _, name = row.test.rpartition("::")
        text = (root / file).read_text() if file else Path(__file__).read_text()
        assert f"def {name}(" in text, row.name
        tested = text[text.index(f"def {name}(") :] if file else text
        for word in row.words:
            assert file or re.search(rf"\b{word}\b", tested), f"{word} is in no test"
        assert row.lemma in ("", *LEMMAS)
        assert row.plain
        assert row.formulas
    assert {row.lemma for row in OPERATORS} >= {n for n in LEMMAS if n.startswith("lemma_")}


def test_a_block_step_in_which_another_operator_stands_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each operator of the kernel, taken off the list."""
    for row in OPERATORS:
        for word in row.words:
            for name in ("BULK", "POOL_OPERATIONS"):
                listed_words: frozenset[str] = getattr(expressions, name)
                monkeypatch.setattr(expressions, name, listed_words - {word})
            lists = {k: words(k) - {word} for k in ("table", "held")}
            monkeypatch.setattr(expressions, "LIST_OPERATIONS", lists)
            with pytest.raises(Forbidden, match=word):
                check_steps()
            monkeypatch.undo()
    check_steps()


def check_steps() -> None:
    """Every block step and every question is written in operators of the list."""
    for module in (blocks, queries):
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
        assert row.test in text


# ---- many states -------------------------------------------------------------------------------


@settings(max_examples=5)
@given(st.sampled_from(LARGE))
def test_operators_of_larger_states(state: Tables) -> None:
    list_cases([state])
    set_cases([state])
