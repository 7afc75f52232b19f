# pyright: basic, reportOperatorIssue=false
# mypy: disable-error-code="misc"
"""The list of operators is whole: each row has its tests, and no other word has two readings."""

from __future__ import annotations

import inspect
import json
import re
from pathlib import Path
from typing import Any

import pytest
import z3
from refusals import printed

from lineclear_spec.kernel import blocks, primitives, queries
from lineclear_spec.kernel.containers import Calendar, DecodeMembers, Numbered
from lineclear_spec.kernel.ledger import Ledger
from lineclear_spec.kernel.ledger_cache import CachedBlocks
from lineclear_spec.kernel.ledger_ends import EndedRequests
from lineclear_spec.kernel.methods import Kernel
from lineclear_spec.kernel.operators import OPERATORS, words
from lineclear_spec.kernel.records import Operation, Pool, Several
from lineclear_spec.language import expressions
from lineclear_spec.language.dialect import Forbidden, check_action
from lineclear_spec.language.vocabulary import LIST_OPERATIONS, OWN_READABLE, READABLE
from lineclear_spec.proof.lemmas import LEMMAS
from lineclear_spec.proof.obligations import units
from lineclear_spec.symbolic.goals import several
from lineclear_spec.symbolic.ledger import SymbolicLedger
from lineclear_spec.symbolic.pool import SymbolicPool
from lineclear_spec.symbolic.records import Forwards, Operations, SymbolicBatch, SymbolicCalendar
from lineclear_spec.symbolic.state import Request, Sequence, State
from lineclear_spec.symbolic.terms import NoValue, Record, Term
from lineclear_spec.symbolic.vectors import Members, Table


def test_each_row_has_its_tests_and_its_lemmas() -> None:
    root = Path(__file__).resolve().parents[3]
    assert len({row.name for row in OPERATORS}) == len(OPERATORS) <= 20
    for row in OPERATORS:
        own = ""
        for test in row.tests:
            file, _, name = test.rpartition("::")
            text = (root / file).read_text()
            assert f"def {name}(" in text, row.name
            own += text
        for word in row.methods:
            name = word.split(".")[1]
            assert re.search(rf"\b{name}\b", own), f"{word} is in no test"
        assert set(row.lemmas) <= set(units())
        assert row.tests
        assert row.plain
        assert row.formulas
    proved = {lemma for row in OPERATORS for lemma in row.lemmas}
    assert proved >= {n for n in LEMMAS if n.startswith("lemma_")}


#: What adds a hypothesis, itself or for who calls it.
ASSUMES = re.compile(
    r"\b(assume|enumerated|_list_anew|_by_lemma|_drop_holders|_begin_with_prompt)\("
)


def test_what_an_operator_assumes_is_proved_by_a_lemma_or_said(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A method on formulas that assumes something: its row has a lemma, or says what is assumed."""
    kinds = {"ledger": SymbolicLedger, "pool": SymbolicPool, "table": Table,
             "boundaries": SymbolicCalendar, "endings": SymbolicCalendar}  # fmt: skip
    assuming: set[str] = set()
    for row in OPERATORS:
        for word in row.methods:
            owner, name = word.split(".")
            method = getattr(kinds.get(owner, SymbolicLedger), name, None)
            if method and ASSUMES.search(inspect.getsource(method)):
                assuming.add(row.name)
                assert row.lemmas or row.assumed, word
    assert {"new record", "pool", "calendar", "blocks by name", "fields of each block"} <= assuming
    text = printed(capsys, "prove", "--operators")
    for row in OPERATORS:
        assert f"assumed     {row.assumed}" in text or not row.assumed
    assert text.count("none: formulas define it") == sum(
        not row.lemmas and not row.assumed for row in OPERATORS
    )


#: What proves and what is no part of the kernel: methods of the ledger on formulas alone.
PROVING = {
    "assume",
    "by_contract",
    "demand_of_lemma",
    "holds_already",
    "only_asked",
    "presume",
    "presume_tables",
    "prove",
    "start_watching",
    "unchanged",
    "wrap",
}


def unlisted() -> set[str]:
    """Methods that both ledgers have, written twice, and that no row names."""
    twice = {
        name
        for kind in SymbolicLedger.__mro__[:-1]
        for name, found in vars(kind).items()
        if callable(getattr(found, "__func__", found)) and name[0] != "_"
    }
    once = {*queries.__all__, *vars(Kernel), "if_else"}
    return twice - once - words("ledger") - PROVING


def test_what_is_written_twice_is_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    assert unlisted() == set()
    theirs = {
        name
        for kind in (Ledger, CachedBlocks, EndedRequests)
        for name, found in vars(kind).items()
        if name[0] != "_" and callable(found)
    }
    # a caller does these, and no action
    assert theirs - {"new_request", "name_blocks"} <= words("ledger")
    monkeypatch.setattr(SymbolicLedger, "shrink", lambda ledger: None, raising=False)
    assert unlisted() == {"shrink"}
    containers = {
        "pool": (Pool, SymbolicPool), "table": (list, Table),
        "members": (list, Members), "decode_batch": (DecodeMembers, SymbolicBatch),
        "boundaries": (Calendar, SymbolicCalendar), "operations": (dict, Operations),
        "step_operations": (dict, Forwards),
    }  # fmt: skip
    for name, (plain, formulas) in containers.items():
        named = {n for n, f in vars(formulas).items() if n[0] != "_" and inspect.isfunction(f)}
        assert named - {"vector", "part"} == words(name), name
        assert all(hasattr(plain, word) for word in words(name))


def test_a_block_step_in_which_another_operator_stands_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each operator of the kernel, taken off the list."""
    for row in OPERATORS:
        for whole in row.methods:
            owner, word = whole.split(".")
            if whole in NOT_SAID:
                continue
            for name in ("BULK", "OPERATIONS", "POOL_OPERATIONS"):
                listed_words: frozenset[str] = getattr(expressions, name)
                mine = "pool" if name == "POOL_OPERATIONS" else "ledger"
                left = listed_words - ({word} if owner == mine else set())
                monkeypatch.setattr(expressions, name, left)
            lists = {k: words(k) - ({word} if k == owner else set()) for k in LIST_OPERATIONS}
            monkeypatch.setattr(expressions, "LIST_OPERATIONS", lists)
            with pytest.raises(Forbidden, match=word):
                check_steps()
            monkeypatch.undo()
    check_steps()


#: Words that only actions or searches say, or that one of two calendars is never asked.
NOT_SAID = {
    "ledger.require",
    "ledger.allowed",
    "ledger.is_open",
    "ledger.name_of",
    "ledger.inherit",
    "ledger.is_listed",
    "ledger.all_listed",
    "ledger.finds",
    "ledger.requests_of",
    "ledger.unlist_each",
    "ledger.note_swap",
    "ledger.note_twin",
    "ledger.note_fork",
    "ledger.note_sample",
    "ledger.send",
    "endings.postpone",
}


def check_steps() -> None:
    """Every function of the kernel is written in operators of the list."""
    for module in (blocks, primitives, queries):
        for name in module.__all__:
            check_action(getattr(module, name))


def test_the_command_prints_every_operator(capsys: pytest.CaptureFixture[str]) -> None:
    text = printed(capsys, "prove", "--operators")
    rows = json.loads(printed(capsys, "prove", "--operators", "--format", "json"))["operators"]
    assert [row["name"] for row in rows] == [row.name for row in OPERATORS]
    for row in OPERATORS:
        assert row.plain in text
        assert row.formulas in text
        assert all(test in text for test in row.tests)


#: The kinds of each owner of operators, on plain data and on formulas.
OWNERS: dict[str, tuple[Any, Any]] = {
    "ledger": (Ledger, SymbolicLedger), "pool": (Pool, SymbolicPool), "table": (list, Table),
    "members": (list, Members), "decode_batch": (DecodeMembers, SymbolicBatch),
    "boundaries": (Calendar, SymbolicCalendar), "endings": (Calendar, SymbolicCalendar),
}  # fmt: skip


def positions(kind: Any, name: str) -> list[bool] | None:
    """Of each parameter of an operator that is a position, whether it may be left out; None if Python does not say."""
    try:
        found = inspect.signature(getattr(kind, name)).parameters.values()
    except ValueError:
        return None
    own = 0 if isinstance(inspect.getattr_static(kind, name), staticmethod) else 1
    shape = [p.default is not p.empty for p in found if p.kind != p.KEYWORD_ONLY][own:]
    return None if any(p.kind == p.VAR_POSITIONAL for p in found) else shape


def test_both_implementations_take_the_same_positions() -> None:
    """A keyword is refused in the source (`expressions.of_call`)."""
    compared = 0
    for row in OPERATORS:
        for owner, name in (word.split(".") for word in row.methods):
            if owner not in OWNERS:  # a dict, whose parameters Python does not say
                continue
            plain, formulas = (positions(kind, name) for kind in OWNERS[owner])
            if plain is not None and name != "listed":  # `list()` is the empty one
                compared += 1
                assert formulas == plain, name
    assert compared >= 60


def test_what_is_read_on_formulas_is_read_on_plain_data_and_is_a_formula() -> None:
    """`name` of a pool was another text there, and `count` of a list is a method on plain data."""
    made = SymbolicLedger(State.arbitrary())
    q, r = (made.wrap(sort, z3.Const("x", sort)) for sort in (Sequence, Request))
    pool, table = Pool("GPU", 2), list[Any]()
    pairs: list[tuple[Any, Any]] = [
        (pool, made.gpu), ((pool, pool), made.pools), (pool, made.pools[made.issued]),
        (table, q.table), (table, made.listed(q.table)), (table, r.members), ({}, r.held),
        (Several(()), several(made, "due")), (Calendar(), made.endings),
        (DecodeMembers(), made.decode_batch), (Numbered(""), made.operations),
        (Numbered(""), made.step_operations), (Operation(1, "", None), made.operations[made.issued]),
    ]  # fmt: skip
    met: set[str] = set()
    for plain, formulas in pairs:
        for name in READABLE | OWN_READABLE:
            try:
                value = getattr(formulas, name)
            except (AttributeError, KeyError):
                continue
            met.add(name)
            assert hasattr(plain, name), (type(formulas), name)
            assert isinstance(value, Term | Record | NoValue), (type(formulas), name)
    assert met == {"free", "total", "count", "wait", "is_forward", "request"}
