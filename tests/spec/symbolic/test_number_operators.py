# pyright: basic, reportOperatorIssue=false
# mypy: disable-error-code="misc"
"""Each operator of numbers and truth values means the same on plain data and on formulas."""

from __future__ import annotations

import graphlib
import itertools
import operator
from typing import Any

import z3
from evaluated import reading
from two_readings import SMALL, Both, compare, with_tables

from lineclear_spec import logic
from lineclear_spec.symbolic.rounding import background, room_of_blocks, room_of_one_more
from lineclear_spec.symbolic.state import BLOCK_OF, NEED
from lineclear_spec.symbolic.terms import Term, divisions


def test_numbers_and_truth_values() -> None:
    """Each operator of numbers, and each connective, of values and of the solver's values."""
    comparing = (operator.lt, operator.le, operator.gt, operator.ge, operator.eq, operator.ne)
    numbers = (operator.add, operator.sub, operator.mul, logic.larger, logic.smaller)
    for a, b in itertools.product(range(-3, 4), repeat=2):
        for of in (*numbers, *comparing):
            same(of(Term(z3.IntVal(a)), Term(z3.IntVal(b))), of(a, b))
            same(of(a, Term(z3.IntVal(b))), of(a, b))
        same(-Term(z3.IntVal(a)), -a)
        if b > 0:
            with divisions():
                same(Term(z3.IntVal(a)) // b, a // b)
        same(logic.precedes((a, Term(z3.IntVal(b))), (b, 1)), (a, b) < (b, 1))
    for p, q, r in itertools.product((False, True), repeat=3):
        x, y, z = (Term(z3.BoolVal(v)) for v in (p, q, r))
        for first, second, third in ((x, y, z), (p, y, z), (x, q, r)):
            same(logic.and_(first, second, third), p and q and r)
            same(logic.or_(first, second, third), p or q or r)
            same(logic.implies(first, second), not p or q)
        same(logic.not_(x), not p)
        same(logic.if_else(x, 1, 2), 1 if p else 2)
        assert logic.and_(p, q, r) == (p and q and r)
        assert logic.or_(p, q, r) == (p or q or r)
        assert logic.implies(p, q) == (not p or q)
        assert logic.if_else(p, 1, 2) == (1 if p else 2)


def same(formula: Term, value: Any) -> None:
    """The formula, which has no variable, has this value."""
    wanted = z3.BoolVal(value) if isinstance(value, bool) else z3.IntVal(value)
    assert z3.simplify(formula.z).eq(wanted)


def test_division() -> None:
    """need, block_of and cap, and every fact that formulas know of them."""
    facts = [*background(), room_of_blocks(), room_of_one_more()]
    for state in SMALL[:4]:
        for name, n in itertools.product(("need", "block_of", "cap"), range(9)):
            both = Both(with_tables(state))
            at = both.record(n)
            compare(
                both,
                lambda v, name=name, n=n: getattr(v, name)(n),
                lambda s, name=name, at=at: getattr(s, name)(at),
            )
        values = Both(with_tables(state)).before
        assert all(reading(fact)(values, ()) for fact in facts)


def makes(fact: Any) -> set[tuple[str, str]]:
    """Pairs of functions: a term of the first makes a solver that uses the fact write a new term of the second."""

    def calls(expression: Any) -> set[Any]:
        named = z3.is_app(expression) and expression.decl().name() in ("need", "block_of", "cap")
        found = {expression} if named else set()
        return found.union(*map(calls, expression.children()))

    if not z3.is_quantifier(fact):
        return set()
    patterns = [calls(fact.pattern(k)) for k in range(fact.num_patterns())]
    return {
        (old.decl().name(), new.decl().name())
        for known in patterns
        for new in calls(fact.body()) - known
        for old in known
    }


def without_end(facts: list[Any]) -> bool:
    """Whether one term can make another without end."""
    leads: graphlib.TopologicalSorter[str] = graphlib.TopologicalSorter()
    for old, new in set().union(*map(makes, facts)):
        leads.add(new, old)
    try:
        leads.prepare()
    except graphlib.CycleError:
        return True
    return False


def test_no_fact_of_division_leads_back_to_itself() -> None:
    """Otherwise a solver writes ever smaller numbers, and the facts about pairs of them are thousands."""
    facts = [*background(), room_of_blocks(), room_of_one_more()]
    assert without_end(facts) is False
    n = z3.Int("n")
    back = z3.ForAll([n], BLOCK_OF(n) <= NEED(n), patterns=[BLOCK_OF(n)])
    assert without_end([*facts, back]) is True
