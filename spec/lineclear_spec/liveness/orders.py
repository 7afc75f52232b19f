# pyright: basic, reportOperatorIssue=false, reportAttributeAccessIssue=false
# pyright: reportArgumentType=false, reportAssignmentType=false, reportOptionalMemberAccess=false
"""What a policy says of its order, on formulas: its own `key`, `rank` and `may_displace`.

Guarantees: the policy's functions are what is run; nothing is stated of a copy.
"""

from __future__ import annotations

from typing import Any, NoReturn

import z3

from lineclear_spec.liveness.decisions import truth
from lineclear_spec.logic import Maybe, and_, implies, not_, or_
from lineclear_spec.symbolic.terms import Misuse, Term, divisions, raw


class LexicalOrder:
    """A key followed by the number of the arrival, compared as Python compares tuples."""

    __slots__ = ("parts",)

    def __init__(self, parts: tuple[Any, ...]) -> None:
        self.parts = parts

    def __lt__(self, other: LexicalOrder) -> Term:
        less = Term(z3.BoolVal(False))
        for mine, theirs in reversed(tuple(zip(self.parts, other.parts, strict=True))):
            less = or_(Term(raw(mine) < raw(theirs)), and_(Term(raw(mine) == raw(theirs)), less))
        return less

    def _misused(self, *_: Any) -> NoReturn:
        raise Misuse("a place in an order is compared by < only")

    __bool__ = __hash__ = __eq__ = __ne__ = __gt__ = __le__ = __ge__ = _misused


def optional(field: str, name: str, sort: Any) -> Maybe:
    """A value that may be left out: whether it is there, and what it is then, are unknown."""
    return Maybe(Term(z3.Bool(f"{field}_of_{name}_is_given")), Term(sort(f"{field}_{name}")))


class Candidate:
    """An unknown request, as a policy sees it.

    It has what never changes while it lives. A key that reads anything else, its id, or how far
    it has come, raises here: it is no static order. With `changes` it also has what it has generated
    by some moment, and the order is that of the moment.
    """

    _numbers = ("prompt_tokens", "max_tokens", "n", "priority")

    def __init__(self, name: str, policy: Any, changes: bool = False) -> None:
        for field in (*self._numbers, *(["generated"] if changes else [])):
            setattr(self, field, Term(z3.Int(f"{field}_{name}")))
        self.arrival_time = Term(z3.Real(f"arrival_time_{name}"))
        self.deadline = optional("deadline", name, z3.Real)
        self.predicted_tokens = optional("predicted_tokens", name, z3.Int)
        self.number = self.arrival = Term(z3.Int(f"arrival_{name}"))
        self.order = self._place(policy.key(self))
        self.rank = self._place(policy.rank(self)) if hasattr(policy, "rank") else self.order

    def _place(self, key: Any) -> LexicalOrder:
        """The key, and the number of the arrival."""
        return LexicalOrder((*(key if isinstance(key, tuple) else (key,)), self.arrival))

    @property
    def sizes(self) -> list[Any]:
        """What `Request` refuses otherwise."""
        return [raw(getattr(self, name)) >= 1 for name in ("prompt_tokens", "max_tokens", "n")]


class Unknowns:
    """Unknown parameters of a policy."""

    def __init__(self) -> None:
        self.facts: list[Any] = []

    def real(self, name: str, least: float | None = 0) -> Any:
        """Any number, of at least `least` unless that is None."""
        value = z3.Real(name)
        if least is not None:
            self.facts.append(value >= least)
        return Term(value)

    def truth(self, name: str) -> Any:
        """Any truth value."""
        return truth(name)

    def whole(self, name: str, least: int | None = 0) -> Any:
        """Any whole number, of at least `least` unless that is None."""
        value = z3.Int(name)
        if least is not None:
            self.facts.append(value >= least)
        return Term(value)


def total(name: str, places: list[Any], r: Candidate, s: Candidate) -> list[tuple[str, Any]]:
    """That the places of three requests, of which the first two are given, are in a total order.

    Args:
        name: key or rank.
        places: of the three.
        r: whose place is the first.
        s: whose place is the second.
    """
    a, b, c = places
    apart = raw(r.arrival != s.arrival)
    return [
        (f"the {name} is irreflexive", raw(not_(a < a))),
        (f"the {name} is transitive", raw(implies(and_(a < b, b < c), a < c))),
        (
            f"the {name} is total on requests that arrived apart",
            z3.Implies(apart, raw(or_(a < b, b < a))),
        ),
    ]


def order(claims: Any) -> tuple[list[Any], list[tuple[str, Any]]]:
    """Hypotheses and goals about a policy's key, and about whom it lets displace whom; and that what it divides
    by is above 0.
    """
    with divisions() as divisors:
        hypotheses, goals = statements(claims)
    if divisors:
        goals.append(("a divisor is above 0", z3.And(*[divisor > 0 for divisor in divisors])))
    return hypotheses, goals


def statements(claims: Any) -> tuple[list[Any], list[tuple[str, Any]]]:
    """Hypotheses and goals about a policy's key, and about whom it lets displace whom."""
    unknowns = Unknowns()
    policy = claims.make(unknowns)
    r, s, t = (Candidate(name, policy, claims.changes) for name in "rst")
    steps = claims.steps(policy, unknowns) if claims.steps is not None else []
    hypotheses = [
        *unknowns.facts,
        *[fact for candidate in (r, s, t) for fact in candidate.sizes],
        *[raw(c.arrival) >= 1 for c in (r, s, t)],
    ]
    displaces = policy.may_displace(r, s)
    displaced = raw(displaces) if isinstance(displaces, Term) else z3.BoolVal(bool(displaces))
    goals = total("order", [c.order for c in (r, s, t)], r, s)
    if hasattr(policy, "rank"):
        goals += total("rank", [c.rank for c in (r, s, t)], r, s)
    # Who runs stands by its rank, and that is where a victim must come later.
    later = raw(r.rank < s.rank)
    goals.append(("a displaced request comes later in the order", z3.Implies(displaced, later)))
    goals += [(fact.label, raw(fact.predicate(r, s, policy))) for fact in claims.facts]
    goals += [(label, raw(condition)) for label, condition in steps]
    return hypotheses, goals


def differs(policy: Any, method: str, view: Any, answer: tuple[Any, ...]) -> bool:
    """Whether a key or a rank as a formula says something else than it says of a request.

    A policy that asks what kind of object it was handed, or that draws lots, has a formula that is not what runs.

    Args:
        policy: whose `method` runs on formulas.
        method: key or rank.
        view: a request with its values; a deadline and a guess may be None.
        answer: what the method says of it; sums of floats are compared to one part in a million.
    """
    unknown = Candidate("given", policy)
    place = unknown.order if method == "key" else unknown.rank
    fields = (*Candidate._numbers, "predicted_tokens", "arrival_time", "deadline", "number")
    known = []
    for field in fields:
        formula, value = getattr(unknown, field), getattr(view, field)
        if isinstance(formula, Maybe):
            known.append((raw(formula.given), z3.BoolVal(value is not None)))
            if value is None:
                continue
            formula = formula.value
        whole_number = field not in ("arrival_time", "deadline")
        known.append((raw(formula), z3.IntVal(value) if whole_number else z3.RealVal(value)))
    parts = place.parts[:-1]
    if len(parts) != len(answer):
        return True
    for part, wanted in zip(parts, answer, strict=True):
        formula = raw(part)
        if not z3.is_expr(formula):
            if formula != wanted:
                return True
            continue
        put = z3.substitute(formula, *known)
        value = z3.simplify(z3.ToReal(put) if put.is_int() else put)
        if not z3.is_rational_value(value):
            return True
        if abs(float(value.as_fraction()) - wanted) > 1e-6 * max(1.0, abs(wanted)):
            return True
    return False
