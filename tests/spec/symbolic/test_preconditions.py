"""Every precondition of a question or a primitive, dropped on formulas, leaves an obligation unasked."""

# pyright: basic

from __future__ import annotations

import ast
import inspect
import sys
from functools import cache
from types import ModuleType
from typing import Any

import pytest
import z3

from lineclear.checks import proofs
from lineclear.checks.stage import Context
from lineclear_spec.actions import ACTIONS
from lineclear_spec.kernel import primitives, queries
from lineclear_spec.proof import obligations, prove
from lineclear_spec.proof.obligations import STEPS
from lineclear_spec.proof.prove import Result, keys_of, read_baseline, vanished
from lineclear_spec.symbolic import blocks as symbolic_blocks
from lineclear_spec.symbolic import bulk, by_contract, terms, vectors
from lineclear_spec.symbolic import cache as symbolic_cache
from lineclear_spec.symbolic import ends as symbolic_ends
from lineclear_spec.symbolic import holdings as symbolic_holdings
from lineclear_spec.symbolic import ledger as symbolic
from lineclear_spec.symbolic import pool as symbolic_pool
from lineclear_spec.symbolic import records as symbolic_records
from lineclear_spec.symbolic.ledger import SymbolicLedger

Site = tuple[str, int]
READING: tuple[ModuleType, ...] = (
    bulk, by_contract, primitives, queries, symbolic, symbolic_blocks, symbolic_cache, symbolic_ends,
    symbolic_holdings, symbolic_pool, symbolic_records, terms, vectors,
)  # fmt: skip


@cache
def sites() -> dict[Site, range]:
    """Where a precondition is demanded: file, first line, and all lines of the call."""
    found: dict[Site, range] = {}
    for module in READING:
        file = module.__file__ or ""
        for node in ast.walk(ast.parse(inspect.getsource(module))):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Attribute)
                and node.func.attr == "demand"
            ):
                last = node.end_lineno or node.lineno
                found[file, node.lineno] = range(node.lineno, last + 1)
    return found


def asks(monkeypatch: pytest.MonkeyPatch, dropped: Site | None, met: set[Site]) -> None:
    """Notes which preconditions are demanded, and forgets one."""
    every, original = sites(), SymbolicLedger.demand

    def demand(self: Any, condition: Any, what: str, *, keep: bool = True) -> None:
        frame = sys._getframe(1)
        here = frame.f_code.co_filename
        (site,) = [s for s, lines in every.items() if s[0] == here and frame.f_lineno in lines]
        met.add(site)
        if site != dropped:
            original(self, condition, what, keep=keep)

    monkeypatch.setattr(SymbolicLedger, "demand", demand)
    # Only preconditions are looked at: what else a unit states need not be built.
    monkeypatch.setattr(obligations, "instance", lambda *_: z3.BoolVal(True))
    monkeypatch.setattr(obligations, "clauses", tuple)


@cache
def users() -> dict[Site, str]:
    """A unit in which each of them is demanded."""
    found: dict[Site, str] = {}
    wanted = set(sites())
    for unit in (*STEPS, *ACTIONS):
        met: set[Site] = set()
        with pytest.MonkeyPatch.context() as monkeypatch:
            asks(monkeypatch, None, met)
            keys_of(unit)
        found |= {site: unit for site in met if site not in found}
        if set(found) == wanted:
            break
    return found


def test_no_precondition_can_be_dropped_unseen(monkeypatch: pytest.MonkeyPatch) -> None:
    found = users()
    assert set(sites()) - set(found) == set(), "nothing asks for it"
    baseline = read_baseline()
    for site, unit in found.items():
        with pytest.MonkeyPatch.context() as dropping:
            asks(dropping, site, set())
            left = set(keys_of(unit))
        mine = {key for key in baseline if key.startswith(f"{unit}/defined/")}
        assert mine - left, f"{site} is dropped and {unit} asks all that it did"


def test_an_obligation_that_is_gone_is_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = {"dispatch_copies/contract/a": 9, "dispatch_copies/contract/b": 7}
    kept = Result("dispatch_copies", "a", "contract", "proved", 0.0, 9)
    assert kept.key == "dispatch_copies/contract/a"
    assert vanished([kept], rows) == ["dispatch_copies/contract/b"]
    monkeypatch.setattr(prove, "read_baseline", lambda: rows)
    monkeypatch.setattr(prove, "prove", lambda **_: [kept])
    outcome = proofs.proofs(Context("fast"))
    assert outcome.status == "unknown"
    assert [finding.code for finding in outcome.findings] == ["LC202"]
    assert "dispatch_copies/contract/b is not asked" in outcome.findings[0].title
    monkeypatch.setattr(prove, "read_baseline", lambda: {"dispatch_copies/contract/a": 9})
    assert proofs.proofs(Context("fast")).status == "passed"
