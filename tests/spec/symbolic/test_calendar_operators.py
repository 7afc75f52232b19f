# pyright: basic, reportOperatorIssue=false
# mypy: disable-error-code="misc"
"""The decode batch and its calendars mean the same on plain data and on formulas."""

from __future__ import annotations

import itertools

import z3
from evaluated import reading
from two_readings import Both, compare, listed, with_tables

from lineclear_spec.modelcheck.ghosts import GhostLedger


def with_steady(days: tuple[int, ...]) -> GhostLedger:
    """Three sequences; one that is listed under a step is in the decode batch, and ends at the next one."""
    ledger = with_tables(((0,), ()))
    ledger.steps, ledger.issued = 2, 3
    for sequence, day in zip(ledger.sequences, days, strict=True):
        if day >= 0:
            sequence.in_decode_batch = True
            ledger.decode_batch.add(sequence)
            ledger.boundaries.mark(day, sequence)
            ledger.endings.mark(day + 1, sequence)
    return ledger


def test_batch_and_calendars() -> None:
    for days in itertools.product((-1, 2, 4), repeat=3):
        for name, steps in (("boundaries", (2, 4)), ("endings", (3, 5))):
            for step in steps:
                both = Both(with_steady(days))
                both.symbolic.start_watching()  # a bucket rests on a lemma, which asks what is still known
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
                    lambda v, k=k, word=word: getattr(v.decode_batch, word)(v.sequences[k]),
                    lambda s, q=q, word=word: getattr(s.decode_batch, word)(q),
                )
                if word == "remove" and days[k] < 0:
                    continue
                count = reading(both.symbolic.state.decode_batch_size)(both.before, ())
                read = [
                    reading(both.symbolic.state.decode_batch(z3.IntVal(j)))(both.before, ())
                    for j in range(count)
                ]
                assert len(read) == len(set(read))
                assert set(read) == set(both.ledger.decode_batch)


#: The field that a calendar is on formulas.
NAMED = {"boundaries": "boundary", "endings": "ending"}
