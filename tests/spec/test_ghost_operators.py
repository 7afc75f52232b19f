# pyright: basic, reportOperatorIssue=false
# mypy: disable-error-code="misc"
"""Each ghost operator does nothing on plain data, and keeps the same history on formulas."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

pytest.importorskip("z3")

from evaluated import Values
from two_readings import SMALL, Both, compare, with_tables

from lineclear_spec.kv_fields import KV_FIELDS
from lineclear_spec.ledger import Ledger
from lineclear_spec.operators import OPERATORS
from lineclear_spec.records import FORWARD, Sequence


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
        for name in ("write_kv", "share_kv", "lose_kv", "find_kv", "note_move", "note_step"):
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
                    "write_kv": (p, n), "share_kv": (p, q, n), "lose_kv": (p,), "find_kv": (p, n),
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
                frozenset(KV_FIELDS),
            )
