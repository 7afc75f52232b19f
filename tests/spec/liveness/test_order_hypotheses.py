"""What lemmas about orders presume: ranges of numbers, and no more."""

# pyright: basic

from __future__ import annotations

from typing import Any

import pytest
import z3

from lineclear.policies import load_claims
from lineclear_spec.liveness.theorems import CLAIMS, ORDER
from lineclear_spec.proof.obligations import build

load_claims()


def constants(formula: Any) -> set[Any]:
    """Unknown numbers of a formula."""
    if not formula.children():
        known = z3.is_int_value(formula) or z3.is_rational_value(formula)
        return set() if known else {formula}
    return {one for part in formula.children() for one in constants(part)}


@pytest.mark.parametrize("policy", CLAIMS)
def test_any_numbers_above_one_are_presumed_possible(policy: str) -> None:
    """A hypothesis that pins a number, or makes two of them the same, proves less than it says."""
    whole = z3.And(build(f"{ORDER}{policy}").hypotheses)
    found = sorted(constants(whole), key=str)
    assert len(found) >= 12
    for order in (found, found[::-1]):
        values = [2 + 3 * k for k in range(len(order))]
        given = [
            (one, z3.IntVal(value) if one.is_int() else z3.RealVal(value))
            for one, value in zip(order, values, strict=True)
        ]
        assert z3.is_true(z3.simplify(z3.substitute(whole, *given)))
