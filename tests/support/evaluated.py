# pyright: basic, reportOperatorIssue=false
"""Formulas evaluated on plain ledgers, without a solver.

Guarantees: a symbol that is a field or a constant of the state is read off the ledger's view; any other
has the value that `extra` gives it, and one without a value is an error. Quantifiers range over the
records of the state and over the numbers around those that it holds.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable
from typing import Any

import z3

from lineclear_spec.kernel.records import CPU, GPU, Request
from lineclear_spec.modelcheck.ghosts import GhostLedger
from lineclear_spec.modelcheck.snapshot import ConcreteView
from lineclear_spec.symbolic.state import CONSTANTS, FIELDS

SORTS = {"Request": "request", "Sequence": "sequence", "Block": "block"}
Reading = Callable[[Any, tuple[Any, ...]], Any]
PLAIN: dict[int, Callable[..., Any]] = {
    z3.Z3_OP_TRUE: lambda: True,
    z3.Z3_OP_FALSE: lambda: False,
    z3.Z3_OP_NOT: lambda a: not a,
    z3.Z3_OP_EQ: lambda a, b: a == b,
    z3.Z3_OP_LE: lambda a, b: a <= b,
    z3.Z3_OP_LT: lambda a, b: a < b,
    z3.Z3_OP_GE: lambda a, b: a >= b,
    z3.Z3_OP_GT: lambda a, b: a > b,
    z3.Z3_OP_ADD: lambda *a: sum(a),
    z3.Z3_OP_SUB: lambda a, *b: a - sum(b),
    z3.Z3_OP_UMINUS: lambda a: -a,
    z3.Z3_OP_DISTINCT: lambda *a: len({id(x) for x in a}) == len(a),
}


def field(name: str) -> Callable[..., Any]:
    """How a symbol of the formulas is read off a view."""
    if name == "need":
        return lambda v, n: v.need(n)
    if name == "cap":
        return lambda v, m: v.cap(m)
    if name == "block_of":
        return lambda v, n: v.block_of(n)
    if name == "preceding":
        return lambda v, n: v.preceding(n)
    if name == "worst_case":
        return lambda v, p, limit, n: v.plain.worst_case(Request(-1, p, limit, n))
    base, _, tier = name.rpartition("_")
    if tier in ("gpu", "cpu") and name in {*FIELDS, "total_gpu", "total_cpu"}:
        which = GPU if tier == "gpu" else CPU
        return lambda v, *a: getattr(v, base)(which, *a)
    if name in FIELDS and FIELDS[name][0]:
        return lambda v, *a: getattr(v, name)(*a)
    if name in FIELDS or name in CONSTANTS or name in ("chunked", "cut_long", "block_size"):
        return lambda v: getattr(v, name)
    key = re.sub(r"!(same)?\d+", "", name)  # a name that is unique has a number
    return lambda v, *a: v.extra[name if name in v.extra else key](*a)


#: Formulas that were read, each kept so that its number is not given to another one.
READ: dict[int, tuple[Any, Reading]] = {}


def reading(formula: Any) -> Reading:
    """A formula as a function of a view and of its bound variables, the innermost last."""
    if not z3.is_expr(formula):
        return lambda _v, _bound: formula
    key = formula.get_id()
    if key not in READ:
        READ[key] = formula, read(formula)
    return READ[key][1]


def read(formula: Any) -> Reading:
    """The same, of a formula that was not read before."""
    if z3.is_quantifier(formula):
        return quantified(formula)
    if z3.is_var(formula):
        at = z3.get_var_index(formula)
        return lambda _, bound: bound[-1 - at]
    if z3.is_int_value(formula):
        value = formula.as_long()
        return lambda _v, _bound: value
    parts = [reading(part) for part in formula.children()]
    kind = formula.decl().kind()
    if kind == z3.Z3_OP_UNINTERPRETED:
        symbol = field(formula.decl().name())
        return lambda v, bound: symbol(v, *[part(v, bound) for part in parts])
    if kind == z3.Z3_OP_AND:
        return lambda v, bound: all(part(v, bound) for part in parts)
    if kind == z3.Z3_OP_OR:
        return lambda v, bound: any(part(v, bound) for part in parts)
    if kind == z3.Z3_OP_IMPLIES:
        left, right = parts
        return lambda v, bound: not left(v, bound) or right(v, bound)
    if kind == z3.Z3_OP_ITE:
        test, then, other = parts
        return lambda v, bound: then(v, bound) if test(v, bound) else other(v, bound)
    plain = PLAIN[kind]
    return lambda v, bound: plain(*[part(v, bound) for part in parts])


def quantified(formula: Any) -> Reading:
    """For all, or for some, of the records of a state and of the numbers around those it holds."""
    body = reading(formula.body())
    sorts = [formula.var_sort(k).name() for k in range(formula.num_vars())]
    every = all if formula.is_forall() else any
    return lambda v, bound: every(
        body(v, (*bound, *chosen)) for chosen in itertools.product(*[v.values[s] for s in sorts])
    )


class Values(ConcreteView):
    """A state, and what variables of formulas range over in it."""

    def __init__(self, ledger: GhostLedger) -> None:
        super().__init__(ledger)
        seen = (self.domains[name] for name in ("index", "block_id", "operation", "step"))
        numbers = {n for domain in seen for n in domain}
        self.plain = ledger
        self.extra: dict[str, Callable[..., Any]] = {}
        self.values: dict[str, list[Any]] = {s: self.domains[name] for s, name in SORTS.items()}
        self.values["Int"] = list(range(-1, max(numbers, default=0) + 2))
