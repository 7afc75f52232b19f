"""Connectives that mean the same on Python's booleans and on formulas.

Guards may not use `and`, `or`, `not` or `if` on values of the ledger: on a formula these would
silently take one branch. The wrapper of `symbolic.py` raises there; these functions are what to
write instead.
"""

from __future__ import annotations

from typing import Any

__all__ = ["any_of", "both", "either", "implies", "larger", "negate", "smaller"]


def any_of(*conditions: Any) -> Any:
    """Whether one of the conditions holds."""
    first, *rest = conditions
    for condition in rest:
        first = condition | first if isinstance(first, bool) else first | condition
    return first


def either(condition: Any, then: Any, otherwise: Any) -> Any:
    """`then` where the condition holds, `otherwise` where it does not."""
    if condition is True:
        return then
    if condition is False:
        return otherwise
    return condition.either(then, otherwise)


def larger(first: Any, second: Any) -> Any:
    """The larger of two numbers."""
    if type(first) is int and type(second) is int:
        return first if first >= second else second
    return either(first >= second, first, second)


def smaller(first: Any, second: Any) -> Any:
    """The smaller of two numbers."""
    if type(first) is int and type(second) is int:
        return first if first <= second else second
    return either(first <= second, first, second)


def negate(condition: Any) -> Any:
    """Whether the condition does not hold."""
    return not condition if isinstance(condition, bool) else ~condition


def both(*conditions: Any) -> Any:
    """Whether all of the conditions hold."""
    first, *rest = conditions
    for condition in rest:
        first = condition & first if isinstance(first, bool) else first & condition
    return first


def implies(condition: Any, consequence: Any) -> Any:
    """Whether the consequence holds wherever the condition does."""
    return any_of(negate(condition), consequence)
