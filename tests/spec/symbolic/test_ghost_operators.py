# pyright: basic, reportOperatorIssue=false
# mypy: disable-error-code="misc"
"""Each ghost operator does nothing on plain data, and keeps the same history on formulas."""

from __future__ import annotations

import itertools
from typing import Any

from two_readings import SMALL, Both, compare, with_tables

from lineclear_spec.kernel.ledger import Ledger
from lineclear_spec.kernel.operators import OPERATORS
from lineclear_spec.kernel.records import CPU, FORWARD, GPU
from lineclear_spec.symbolic.kv_fields import KV_FIELDS


def test_ghosts_do_nothing_on_plain_data() -> None:
    def nothing(self: Any, *_: object) -> None:
        """Nothing."""

    ghosts = {
        word.split(".")[1] for row in OPERATORS if row.name == "ghost" for word in row.methods
    }
    assert ghosts == {
        name for name, found in vars(Ledger).items() if found is Ledger.note_move
    } - {"_ghost"}
    assert Ledger.note_move.__code__.co_code == nothing.__code__.co_code


def test_ghosts() -> None:
    """The histories of the ghost ledger are those of formulas."""
    for state, event in itertools.product(SMALL[:6], ("admit", "finish")):
        for name in ("note_move", "note_step"):
            ledger = with_tables(state)
            first, second = ledger.sequences[:2]
            first.own_dispatched, second.in_decode_batch, second.offset = 1, True, 1
            ledger.decode_batch.add(second)
            ledger.decide(FORWARD, None)
            both = Both(ledger)
            r, o = both.record(first.request), both.record(1)

            def run(v: Any, r: Any, o: Any, name: str = name, e: str = event) -> None:
                arguments = {"note_move": (r, e), "note_step": (o,)}[name]
                getattr(v, name)(*arguments)

            compare(
                both,
                lambda v, a=first: run(v, a.request, 1),
                lambda s, r=r, o=o: run(s, r, o),
                beside=frozenset(KV_FIELDS),
            )


def test_ghosts_of_kv() -> None:
    """What is remembered of copies and of tokens is the same in both readings."""
    fields = {
        "note_swap": ("writes_gpu", "writes_cpu", "version_gpu", "version_cpu"),
        "note_twin": ("writes_gpu", "version_gpu"),
        "note_good": ("good",),
        "note_voided": ("token_kv",),
        "note_fork": ("token_kv",),
        "note_sample": ("token_kv",),
    }
    for name, compared in fields.items():
        for state in SMALL[:6]:
            ledger = with_tables(state)
            first, second = ledger.sequences[:2]
            first.own_tokens, second.own_tokens = 2, 1
            kind = "copy_block" if name == "note_twin" else "swap_in"
            number = ledger.decide(kind, first.request)
            if name == "note_good":
                first.request.open_swap = number
            if name == "note_swap":
                ledger.record_copies(CPU, [0], GPU, [1])
            if name == "note_twin":
                if not first.table:
                    continue
                ledger.record_copies(GPU, [7], GPU, [first.table[0].block_id])
            both = Both(ledger)
            p, q, n = both.record(first), both.record(second), both.record(number)
            r, one, none = both.record(first.request), both.record(1), both.record(0)
            plain = {
                "note_swap": (number, GPU), "note_twin": (number, first, 0), "note_good": (number,),
                "note_voided": (first.request,), "note_fork": (first, second, 2), "note_sample": (first, 1, 1, 1),
            }[name]  # fmt: skip
            formulas = {
                "note_swap": (n, GPU), "note_twin": (n, p, none), "note_good": (n,), "note_voided": (r,),
                "note_fork": (p, q, both.record(2)), "note_sample": (p, one, one, one),
            }[name]  # fmt: skip
            compare(
                both,
                lambda v, name=name, a=plain: getattr(v, name)(*a),
                lambda s, name=name, a=formulas: getattr(s, name)(*a),
                lambda _, after: {"foreseen": after.token_kv},
                frozenset(KV_FIELDS) - set(compared),
            )
