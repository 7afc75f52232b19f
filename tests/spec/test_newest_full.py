# pyright: basic, reportOperatorIssue=false
# mypy: disable-error-code="misc"
"""The operators of `publish_each` mean the same on plain data and on formulas."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import pytest

pytest.importorskip("z3")

from evaluated import Values
from two_readings import NAMED_AS, Both, compare, listed, with_names

from lineclear_spec.ghosts import GhostLedger
from lineclear_spec.records import Named

#: Blocks of the tables of two sequences: one, two, one that both name, three.
TABLES = (((0,), ()), ((0,), (1,)), ((0,), (0,)), ((0, 1), (2,)))
#: Names of the two sequences: none, different ones, one name twice, none for a block behind.
WORDS = (((), ()), ((1, 2), (5, 4)), ((1, 2), (1, 4)), ((1, 0), (5,)))
#: Positions computed, a step in flight, an open copy of the request.
COUNTERS = ((0, 0, 0), (2, 0, 0), (3, 1, 0), (4, 1, 0), (2, 0, 7))
DAY = 4


def states() -> Iterator[GhostLedger]:
    """Steady sequences that have computed so much, with names that are given, not given, equal or found
    already; a block that has a name is named by another request too, or by one entry alone.
    """
    for tables, kind, alone in itertools.product(TABLES, NAMED_AS, (False, True)):
        for (computed, flying, copy), words in itertools.product(COUNTERS, WORDS):
            ledger = with_names(tables, (kind,), rests=False)
            theirs = ledger.sequences[2].table
            if alone and theirs and theirs[-1].name:
                theirs.pop().ref -= 1
            elif alone:
                continue
            ledger.steps, ledger.settled, ledger.issued = 3, 3 - flying, 8
            ledger.requests[0].copy = copy
            for sequence, given in zip(ledger.sequences[:2], words, strict=True):
                sequence.words = given
                sequence.steady = True
                sequence.offset = computed - ledger.settled
                ledger.batch.add(sequence)
                later = not given  # listed under another step
                ledger.boundaries.mark(DAY + later, sequence)
            yield ledger


def newest(state: GhostLedger) -> Both:
    """The state, with its lemma's premise noted."""
    both = Both(state)
    both.symbolic.start_watching()
    return both


def owners(named: Named) -> dict[str, Any]:
    """What stands for the block that gets a name."""
    found = dict(zip(named.names, named.blocks, strict=True))
    return {"owner": lambda n: found.get(n)}


def kept(_: Any, after: Values) -> dict[str, Any]:
    """What stands for the sets of all requests."""
    return {"kept": after.held, "kept_count": after.blocks, "kept_slot": after.slot}


def test_newest_full() -> None:
    """The states in which a block gets a name, and every third of all, in which any two choices meet."""
    shown = {"one": 0, "two": 0, "none": 0, "one name twice": 0}
    for number, state in enumerate(states()):
        if number % 3 and not state.newest_full(DAY).blocks:
            continue
        both = newest(state.clone())
        n = both.record(DAY)
        compare(
            both,
            lambda v: v.newest_full(DAY).blocks,
            lambda s, n=n: s.newest_full(n),
            lambda result, _: listed("newest", result) | {"newest_count": lambda: len(result)},
        )
        named = both.ledger.newest_full(DAY)
        shown[("none", "one", "two")[len(named.blocks)]] += 1
        apart = both.ledger.named_apart(named)
        shown["one name twice"] += not apart
        for word in ("named_apart", "drop_each", "seal_each"):
            if word == "seal_each" and not apart:
                continue  # what formulas owe there, plain data does not ask
            both = newest(state.clone())
            given = both.ledger.newest_full(DAY)
            v = both.vector(given.blocks, "block")
            made = kept if word == "drop_each" else (lambda _r, _a, given=given: owners(given))
            compare(
                both,
                lambda ledger, word=word, given=given: getattr(ledger, word)(given),
                lambda s, word=word, v=v: getattr(s, word)(v),
                made,
            )
    assert min(shown.values()) >= 2, shown
