# pyright: basic
"""The letters of a predicate's variables say their domains."""

from __future__ import annotations

import pytest

from lineclear_spec.contracts.contract import part
from lineclear_spec.invariants.clause import INVARIANTS, KV, KV_LETTERS, domains_of


def test_a_letter_stands_for_a_domain() -> None:
    assert domains_of(lambda v, q, i: q is i, first=1) == ("sequence", "index")
    assert domains_of(lambda v, i, k: i is k, KV_LETTERS, first=1) == ("position", "kv_slot")
    assert part("nothing", lambda: True).domains == ()


def test_clauses_have_the_domains_of_their_letters() -> None:
    (entry, *_) = INVARIANTS["references"].clauses
    assert entry.domains == ("sequence", "index")
    assert {c.domains for c in KV["memory"].clauses} == {("block_id",), ("operation", "block_id")}


def test_another_letter_is_refused() -> None:
    with pytest.raises(KeyError, match="x"):
        part("any", lambda x: x)
