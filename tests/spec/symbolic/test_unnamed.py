# pyright: basic, reportOperatorIssue=false
# mypy: disable-error-code="misc"
"""The operators of `publish_run` mean the same on plain data and on formulas."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

from evaluated import Values
from two_readings import NAMED_AS, Both, Kept, compare, listed, with_names

from lineclear_spec.kernel.records import Block
from lineclear_spec.modelcheck.ghosts import GhostLedger
from lineclear_spec.symbolic.vectors import Unnamed, to_be_named

#: Blocks of the tables of two sequences: one, two, one that both name, three.
TABLES = (((0,), ()), ((0,), (1,)), ((0,), (0,)), ((0, 1), (2,)))
#: Names of the two sequences: none, different ones, one name twice, none for a block behind, none for the first.
WORDS = (((), ()), ((1, 2), (5, 4)), ((1, 2), (1, 4)), ((1, 0), (5,)), ((0, 2), (1,)))


def states() -> Iterator[GhostLedger]:
    """Names that are given, not given, equal or found already; a block that has a name is named by another request
    too, or by one entry alone.
    """
    for tables, kind, alone in itertools.product(TABLES, NAMED_AS, (False, True)):
        for words in WORDS:
            ledger = with_names(tables, (kind,), rests=False)
            theirs = ledger.sequences[2].table
            if alone and theirs and theirs[-1].name:
                theirs.pop().ref -= 1
            elif alone:
                continue
            for sequence, given in zip(ledger.sequences[:2], words, strict=True):
                sequence.block_names = given
            yield ledger


def noted(state: GhostLedger) -> Both:
    """The state, with its lemma's premise noted."""
    both = Both(state)
    both.symbolic.start_watching()
    return both


def owners(unnamed: dict[int, Block]) -> dict[str, Any]:
    """What stands for the block that gets a name."""
    return {"owner": lambda n: unnamed.get(n)}


def kept(_: Any, after: Values) -> dict[str, Any]:
    """What stands for the sets of all requests."""
    return {"kept": after.held, "kept_count": after.blocks, "kept_index": after.held_index}


def test_unnamed() -> None:
    shown = {0: 0, 1: 0, 2: 0}
    formulas = {word: Kept() for word in ("unnamed", "drop_each", "seal_each")}
    for state in states():
        met: set[tuple[int, ...]] = set()
        for k, first, end in itertools.product(range(2), range(2), range(4)):
            if end < first:
                continue  # a precondition on formulas, which plain data does not check
            both = noted(state.clone())
            q = both.record(both.ledger.sequences[k])
            f, e = both.record(first), both.record(end)
            compare(
                both,
                lambda v, k=k, f=first, e=end: [*v.unnamed(v.sequences[k], f, e).values()],
                lambda s, q=q, f=f, e=e: to_be_named(s.unnamed(q, f, e)),
                lambda result, _: (
                    listed("unnamed", result) | {"unnamed_count": lambda: len(result)}
                ),
                kept=formulas["unnamed"],
            )
            given = both.ledger.unnamed(both.ledger.sequences[k], first, end)
            shown[len(given)] += 1
            if tuple(given) in met:  # the same blocks get names
                continue
            met.add(tuple(given))
            for word in ("drop_each", "seal_each"):
                both = noted(state.clone())
                given = both.ledger.unnamed(both.ledger.sequences[k], first, end)
                v = both.vector([*given.values()], "block")
                made = kept if word == "drop_each" else (lambda _r, _a, given=given: owners(given))
                compare(
                    both,
                    lambda ledger, word=word, given=given: getattr(ledger, word)(given),
                    lambda s, word=word, v=v: getattr(s, word)(Unnamed(v)),
                    made,
                    kept=formulas[word],
                )
    assert min(shown.values()) >= 2, shown
