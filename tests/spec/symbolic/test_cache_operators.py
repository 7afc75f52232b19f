# pyright: basic, reportOperatorIssue=false
# mypy: disable-error-code="misc"
"""Each operator of prefix caching means the same on plain data and on formulas."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import Any

from evaluated import Values
from two_readings import NAMED_AS, SMALL, Both, Kept, compare, listed, with_names

from lineclear_spec.kernel.records import Block, Request, Sequence
from lineclear_spec.modelcheck.ghosts import GhostLedger


def states() -> Iterator[GhostLedger]:
    """Every two tables of at most two blocks, of every kind."""
    for tables in SMALL:
        blocks = len({*tables[0], *tables[1]})
        for kinds in itertools.product(NAMED_AS, repeat=blocks):
            yield with_names(tables, kinds, rests=len(tables[0]) < 2)


def test_names() -> None:
    for state in (with_names(((0,), (0, 1)), ("listed", "listed"), True),):
        for k, index in itertools.product(range(3), range(-1, 4)):
            both = Both(state.clone())
            q, i = both.record(both.ledger.sequences[k]), both.record(index)
            if index < 0:
                continue  # a precondition on formulas, which plain data does not check
            compare(
                both,
                lambda v, k=k, n=index: v.name_of(v.sequences[k], n),
                lambda s, q=q, i=i: s.name_of(q, i),
            )
        for count in range(3):
            both = Both(state.clone())
            p, c = both.record(both.ledger.sequences[0]), both.record(both.ledger.sequences[2])
            n = both.record(count)

            compare(
                both,
                lambda v, count=count: v.inherit(v.sequences[0], v.sequences[2], count),
                lambda s, p=p, c=c, n=n: s.inherit(p, c, n),
            )


def test_blocks_by_name() -> None:
    formulas = defaultdict[str, Kept](Kept)
    for state in states():
        for name in (0, 1, 4):
            for word in ("is_listed", "listing", "forget_name"):
                both = Both(state.clone())
                n = both.record(name)
                compare(
                    both,
                    lambda v, w=word, n=name: getattr(v, w)(n),
                    lambda s, w=word, n=n: getattr(s, w)(n),
                    kept=formulas[word],
                )
        for k, count in ((0, 0), (0, 1), (0, 2), (2, 1)):
            for word in ("all_listed", "found"):
                both = Both(state.clone())
                q, n = both.record(both.ledger.sequences[k]), both.record(count)
                compare(
                    both,
                    lambda v, w=word, k=k, n=count: getattr(v, w)(v.sequences[k], n),
                    lambda s, w=word, q=q, n=n: getattr(s, w)(q, n),
                    kept=formulas[word],
                )


def test_one_block() -> None:
    formulas = defaultdict[str, Kept](Kept)
    for state in states():
        blocks = len(Values(state).blocks_seen)
        for k in range(blocks):
            for word in ("finds", "alone"):
                both = Both(state.clone())
                block = both.before.blocks_seen[k]
                b = both.record(block)
                compare(
                    both,
                    lambda v, word=word, b=block: getattr(v, word)(b),
                    lambda s, word=word, b=b: getattr(s, word)(b),
                    kept=formulas[word],
                )
        for k, name in itertools.product(range(2), (0, 1, 5)):
            for index in range(len(state.sequences[k].table)):
                both = Both(state.clone())
                q = both.record(both.ledger.sequences[k])
                i, n = both.record(index), both.record(name)
                entry = both.ledger.sequences[k].table[index]
                if name < 1 or entry.name or entry.ref != 1 or name in both.ledger.cached:
                    continue  # preconditions that formulas owe, and plain data does not ask
                both.symbolic.start_watching()  # the lemma that it rests on asks what is still known
                compare(
                    both,
                    lambda v, k=k, i=index, n=name: v.seal(v.sequences[k], i, n),
                    lambda s, q=q, i=i, n=n: s.seal(q, i, n),
                    kept=formulas["seal"],
                )


def test_found_and_lost_among() -> None:
    for state in states():
        blocks = len(Values(state).blocks_seen)
        for word in ("found_among", "lost_among"):
            both = Both(state.clone())
            given = [block for block in both.before.blocks_seen[:blocks] if block.name]
            v = both.vector(given, "block")
            compare(
                both,
                lambda ledger, word=word, given=given: getattr(ledger, word)(given),
                lambda s, word=word, v=v: getattr(s, word)(v),
                lambda result, _: (
                    listed("selected", result) | {"selected_count": lambda: len(result)}
                ),
            )


def dropped(request: Request, sequences: list[Sequence]) -> Callable[[Any, Values], Any]:
    """What stands for the holders that are listed anew: those of other requests."""

    def holders(block: Block) -> list[Sequence]:
        return [q for q in sequences if q.request is not request and block in q.table]

    def made(result: list[Block], _after: Values) -> dict[str, Callable[..., Any]]:
        return listed("dropped", result) | {
            "dropped_count": lambda: len(result),
            "dropped_ref": lambda b: len(holders(b)),
            "dropped_holder": lambda b, k: holders(b)[k] if 0 <= k < len(holders(b)) else None,
            "dropped_holder_index": lambda q, b: holders(b).index(q) if q in holders(b) else -1,
        }

    return made


def test_drop_sealed() -> None:
    for state in states():
        for k in range(2):
            both = Both(state.clone())
            both.symbolic.start_watching()  # the lemma that it rests on asks what is still known
            request = both.ledger.requests[k]
            r = both.record(request)
            compare(
                both,
                lambda v, k=k: v.drop_sealed(v.requests[k]),
                lambda s, r=r: s.drop_sealed(r),
                dropped(request, both.ledger.sequences),
            )


def test_resting() -> None:
    """Formulas know nothing of how long a block rests; on plain data the first that rests is the oldest."""
    for state in states():
        both = Both(state.clone())
        found = list(both.ledger.cached.values())
        idle = [block for block in found if not block.ref]
        both.ledger.wake(found)
        assert not both.ledger.resting
        both.ledger.rest(idle)
        assert list(both.ledger.resting) == idle
        both.ledger.wake(found)
        assert not both.ledger.resting
        fields = dict(both.symbolic.state.fields)
        both.symbolic.rest(both.vector(found, "block"))
        both.symbolic.wake(both.vector(found, "block"))
        assert all(both.symbolic.state.fields[name] is field for name, field in fields.items())


def test_fences() -> None:
    for state in (with_names(tables, (), True) for tables in SMALL):
        for block_id, last_use in itertools.product(range(state.gpu.total), (1, 3)):
            both = Both(state.clone())
            if not both.ledger.gpu.taken[block_id]:
                continue
            v, n = both.vector([block_id], "block_id"), both.record(last_use)
            compare(
                both,
                lambda ledger, p=block_id, n=last_use: ledger.gpu.fence([p], n),
                lambda s, v=v, n=n: s.gpu.fence(v, n),
            )
