# pyright: basic
"""Invariants and postconditions evaluated on a concrete ledger.

Guarantees: a rule is reported as broken exactly if some values of its variables make it false, and
the first such values are named.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from lineclear_spec.invariants import INVARIANTS, KV, clauses, kv_clauses
from lineclear_spec.modelcheck.ghosts import GhostLedger
from lineclear_spec.modelcheck.snapshot import ConcreteView

__all__ = ["Breach", "ConcreteView", "breaches", "violated_postconditions"]


@dataclass(frozen=True, slots=True)
class Breach:
    """A clause that is false, and for which values."""

    rule: str
    sentence: str
    values: tuple[str, ...]


def evaluate(
    rule: str,
    sentence: str,
    domains: tuple[str, ...],
    predicate: Callable[..., Any],
    values: dict[str, list[Any]],
) -> Breach | None:
    """The first combination of values for which the predicate is false.

    Args:
        rule: its name.
        sentence: what it says.
        domains: of its variables.
        predicate: of their values.
        values: of each domain.
    """
    for chosen in itertools.product(*[values[name] for name in domains]):
        if not predicate(*chosen):
            return Breach(
                rule, sentence, tuple(f"{d} {x!r}" for d, x in zip(domains, chosen, strict=True))
            )
    return None


def breaches(ledger: GhostLedger, kind: str | None = None) -> list[Breach]:
    """Every clause of the invariants that is false: those of the table, or of one kind."""
    view = ConcreteView(ledger)
    found: list[Breach] = []
    for clause in kv_clauses() if kind == "kv" else clauses(kind):
        breach = evaluate(
            clause.name,
            {**INVARIANTS, **KV}[clause.invariant].sentence,
            clause.domains,
            lambda *x, c=clause: c.predicate(view, *x),
            view.domains,
        )
        if breach is not None:
            found.append(breach)
    return found


def violated_postconditions(
    parts: Iterable[tuple[str, tuple[str, ...], Callable[..., Any]]],
    before: ConcreteView,
    after: ConcreteView,
) -> list[Breach]:
    """Every part of a two-state contract that is false."""
    values = {
        name: list(dict.fromkeys((*before.domains[name], *after.domains[name])))
        for name in after.domains
    }
    found: list[Breach] = []
    for label, domains, predicate in parts:
        breach = evaluate(label, "what the action ensures", domains, predicate, values)
        if breach is not None:
            found.append(breach)
    return found
