# pyright: basic, reportOperatorIssue=false
# mypy: disable-error-code="misc"
"""Each operator over several blocks or sequences means the same on plain data and on formulas."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from evaluated import Values
from two_readings import LARGE, SMALL, Both, Tables, compare, held_of, listed, lists, with_tables

from lineclear_spec.kernel.ledger import pairs_of
from lineclear_spec.kernel.lifecycle import Phase
from lineclear_spec.kernel.records import CPU, GPU, Block, Several
from lineclear_spec.modelcheck.ghosts import GhostLedger
from lineclear_spec.symbolic.ledger import SymbolicLedger


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


def sent_case(state: Tables, read: int, waits: int, whole: bool, phase: Phase) -> Both:
    """The first sequence has a table that was sent, and the second one none.

    Args:
        state: the tables.
        read: entries of the first one that were sent; none and no table if negative.
        waits: entries that wait to be.
        whole: whether its whole table is to be sent.
        phase: of its request.
    """
    ledger = with_tables(state)
    first, second, *_ = ledger.sequences
    if read >= 0:
        ledger.reader = {first.id: tuple(range(20, 20 + read))}
    ledger.grown = [([first], [30 + k]) for k in range(waits)]
    ledger.grown += [(ledger.always(second), [30 + k]) for k in range(waits)]
    ledger.whole = {first: None, second: None} if whole else {}
    first.request.phase = phase
    return Both(ledger)


def test_what_is_sent() -> None:
    """`grew` of one sequence and of two, `send_whole` and `send`, from whatever was sent and waits."""
    cases = itertools.product(
        SMALL[:8], (-1, 0, 2), (0, 1), (False, True), (Phase.RUNNING, Phase.SWAPPED)
    )
    for case in cases:
        both = sent_case(*case)
        first = both.ledger.sequences[0]
        p, v = both.record(first), both.vector([7, 8], "block_id")
        compare(
            both,
            lambda v: v.grew(v.always(v.sequences[0]), [7, 8]),
            lambda s, p=p, v=v: s.grew(s.always(p), v),
        )
        both = sent_case(*case)
        d = both.vector([both.ledger.sequences[1], both.ledger.sequences[0]], "sequence")
        v = both.vector([7, 8], "block_id")
        compare(
            both,
            lambda v: v.grew([v.sequences[1], v.sequences[0]], [7, 8]),
            lambda s, d=d, v=v: s.grew(d, v),
        )
        for name in ("send_whole", "send"):
            both = sent_case(*case)
            q = both.record(both.ledger.sequences[1])
            own = (q,) if name == "send_whole" else ()
            waits, whole = list(pairs_of(both.ledger.grown)), set(both.ledger.whole)
            compare(
                both,
                lambda v, name=name: getattr(v, name)(
                    *([v.sequences[1]] if name == "send_whole" else [])
                ),
                lambda s, name=name, own=own: getattr(s, name)(*own),
            )
            if name == "send":  # each is sent once, and only what runs
                runs = [q for q in both.ledger.sequences if both.ledger.runs(q)]
                parts = [(q, block_id) for q, block_id in waits if q in runs and q not in whole]
                assert list(pairs_of(both.ledger.appended)) == parts


def each_one_cases() -> None:
    """Due sequences of one request and of two, in any order."""
    for state in SMALL:
        for chosen in lists([0, 1, 2]):
            if len(chosen) > 2 or len(chosen) > 4 - 1 - len(
                held_of(with_tables(state).requests[0])
            ):
                continue
            both = Both(with_tables(state))
            due = [both.ledger.sequences[k] for k in chosen]
            d, n = both.vector(due, "sequence"), both.record(len(due))
            gpu = both.ledger.gpu
            new = [
                both.ledger.records[p] for p in reversed(gpu.order[gpu.free - len(due) : gpu.free])
            ]
            both.given |= listed("new", new)

            def holding(_: Any, after: Values) -> dict[str, Any]:
                return {
                    "holding": after.held,
                    "holding_count": after.blocks,
                    "holding_index": after.held_index,
                }

            compare(
                both,
                lambda w, d=due: w.append_new_each(Several(d), w.gpu.take(len(d))),
                lambda s, d=d, n=n: s.append_new_each(d, s.gpu.take(n)),
                holding,
            )
            new = [q.table[-1] for q in due]  # what holds them is left open on formulas
            assert all(b.request is q.request for b, q in zip(new, due, strict=True))
            assert all(list(q.request.held).count(q.table[-1]) == 1 for q in due)


def test_each_to_its_own() -> None:
    each_one_cases()


def test_what_is_sent_of_those_that_are_due() -> None:
    """Only they have grown: plain data does not look at each, since a sequence in the decode batch runs and is not
    sent whole.
    """
    for state, waits in itertools.product(SMALL[:8], (1, 2)):
        both = sent_case(state, 0, 0, False, Phase.RUNNING)
        ledger = both.ledger
        due = [q for q in ledger.sequences if q.alive][:waits]
        ledger.reader = {q.id: () for q in due}
        ledger.grown = [(Several(due), [30 + k for k in range(len(due))])]
        both = Both(ledger)
        compare(both, lambda v: v.send(), lambda s: s.send())
        ((sequences, block_ids),) = ledger.appended
        assert list(sequences) == due
        assert block_ids == [30 + k for k in range(len(due))]


def test_records_are_used_again() -> None:
    """The record of a block id is that of its next block once nothing leads to it."""
    ledger = with_tables(((), ()))
    first, _, own = ledger.sequences
    others = list(own.table)
    ledger.take_blocks(first, 2)
    given_up = list(first.table)
    ledger.clear_tables(first.request)
    ledger.take_blocks(own, 3)
    assert own.table[:1] == others
    assert set(given_up) < set(own.table)
    assert len(set(own.table)) == 4
    assert [(b.request, b.tier, b.ref) for b in own.table] == [(own.request, GPU, 1)] * 4
    assert sorted(b.block_id for b in own.table) == [0, 1, 2, 3]


def test_a_block_that_moves_takes_its_record_along() -> None:
    ledger = with_tables(((), ()))
    first, second, _ = ledger.sequences
    ledger.take_blocks(first, 2)
    moved, block_ids = list(first.table), ledger.block_ids(GPU, first.table)
    ledger.gpu.put(block_ids, 0)
    ledger.relocate(moved, CPU, ledger.cpu.take(2))
    ledger.take_blocks(second, 2)
    assert ledger.block_ids(GPU, second.table) == block_ids[::-1]
    assert not set(second.table) & set(moved)


def test_a_sealed_block_keeps_its_record() -> None:
    ledger = with_tables(((), ()))
    first, second, _ = ledger.sequences
    ledger.take_blocks(first, 2)
    sealed, other = first.table
    ledger.seal_entry(first, 0, 7)
    ledger.gpu.put([other.block_id, sealed.block_id], 0)
    ledger.take_blocks(second, 2)
    new, again = second.table
    assert (new.block_id, again.block_id) == (sealed.block_id, other.block_id)
    assert new is not sealed
    assert (new.name, new.readers, sealed.name) == (0, 0, 7)
    assert again is other


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
            s.relocate(blocks, target, s.pools[target].take(blocks.size))

        compare(both, plain, formulas)
        ledger = with_tables(state, 1 - target)
        ledger.decide("swap_in" if target == GPU else "swap_out", ledger.requests[0])
        both = Both(ledger)
        r = both.record(ledger.requests[0])

        def copies(v: GhostLedger) -> None:
            blocks = v.listed(v.requests[0].held)
            sources = v.block_ids(1 - target, blocks)
            v.record_copies(1 - target, sources, target, v.pools[target].take(len(blocks)))
            assert v.operations[1].blocks == [
                (b.block_id, p) for b, (_, p) in zip(blocks, v.operations[1].blocks, strict=True)
            ]

        def noted(s: SymbolicLedger, r: Any = r) -> None:
            blocks = s.listed(r.held)
            block_ids = s.pools[target].take(blocks.size)
            s.record_copies(1 - target, s.block_ids(1 - target, blocks), target, block_ids)

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
