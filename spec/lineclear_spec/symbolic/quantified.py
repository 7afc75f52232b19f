# pyright: basic, reportOperatorIssue=false, reportAttributeAccessIssue=false
"""Unknown values and their names, and predicates of all values or of unknown ones, as formulas.

Guarantees: no name that `unique` gives stands for two values. Where a function of the kernel, a clause or a condition
is run under a quantifier, no variable is bound twice, one within the other (`bound`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import z3

from lineclear_spec.invariants.clause import Clause
from lineclear_spec.logic import Misuse
from lineclear_spec.symbolic.fields import FIELDS
from lineclear_spec.symbolic.sorts import Block, Int, Request, Sequence

DOMAINS: dict[str, Any] = {
    "request": Request,
    "sequence": Sequence,
    "block": Block,
    **dict.fromkeys(("block_id", "index", "operation", "step", "kv_slot", "position"), Int),
}

_counter = [0]
_numbers: dict[str, int] | None = None


def fresh(name: str, field: str) -> Any:
    """An unknown constant or function of this name, with the sorts of the field."""
    arguments, result = FIELDS[field]
    if not arguments:
        return z3.Const(name, result)
    return z3.Function(name, *arguments, result)


def unique(prefix: str) -> str:
    """A name that was not used before in this process; within `numbering`, not before in its block."""
    if _numbers is not None:
        _numbers[prefix] = _numbers.get(prefix, 0) + 1
        return f"{prefix}!same{_numbers[prefix]}"
    _counter[0] += 1
    return f"{prefix}!{_counter[0]}"


@contextmanager
def numbering() -> Iterator[None]:
    """Names count from 1 for each prefix, so that two runs of one function use the same ones.

    Raises:
        Misuse: it is within another `numbering`, whose names it would give again to other values.
    """
    global _numbers
    if _numbers is not None:
        raise Misuse(
            "names are being numbered already: a second count would give one of them twice"
        )
    _numbers = {}
    try:
        yield
    finally:
        _numbers = None


def quantify(
    domains: tuple[str, ...],
    predicate: Callable[..., Any],
    patterns: Callable[..., list[tuple[Any, ...]]] | None = None,
) -> Any:
    """The predicate for every value of its variables.

    Args:
        domains: of the variables.
        predicate: of their values.
        patterns: lists of terms, of the variables: where one list of them is met, the predicate is used.
            A solver chooses if there are none. They limit what a hypothesis is used for, so that less may be
            proved; nothing false ever is.
    """
    if not domains:
        return predicate()
    variables = tuple(
        [z3.Const(f"{'oqbripst'[i]}_{d}", DOMAINS[d]) for i, d in enumerate(domains)]
    )
    found = [z3.MultiPattern(*terms) for terms in patterns(*variables)] if patterns else []
    return z3.ForAll(list(variables), bound(variables, predicate), patterns=found)


_bound: set[str] = set()


def bound(variables: tuple[Any, ...], predicate: Callable[..., Any]) -> Any:
    """The predicate of variables that are about to be bound.

    Raises:
        Misuse: it binds a variable of the same name itself: the inner one would take the outer one's place.
    """
    names = {str(variable) for variable in variables}
    if names & _bound:
        raise Misuse(f"{', '.join(sorted(names & _bound))} is bound twice, one within the other")
    _bound.update(names)
    try:
        return predicate(*variables)
    finally:
        _bound.difference_update(names)


def instance(domains: tuple[str, ...], predicate: Callable[..., Any]) -> Any:
    """The predicate for unknown values of its variables: what is to be shown."""
    return predicate(*[z3.Const(unique(d), DOMAINS[d]) for d in domains])


def stated(clause: Clause, state: Any) -> Any:
    """The clause of a state, as a hypothesis."""
    patterns = clause.patterns
    return quantify(
        clause.domains,
        lambda *x: clause.predicate(state, *x),
        (lambda *x: patterns(state, *x)) if patterns else None,
    )


def shown(clause: Clause, state: Any) -> Any:
    """The clause of a state, as what is to be shown."""
    return instance(clause.domains, lambda *x: clause.predicate(state, *x))
