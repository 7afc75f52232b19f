"""Connectives that mean the same on Python's booleans and on formulas.

Functions that are run on formulas may not use `and`, `or`, `not`, `if`, `is` and the like (queries alone may use
`a if c else b`, which `language/conditional.py` compiles): on a formula these take one branch, or raise.
`language/dialect.py` refuses them in the source; these functions are what
to write instead. All arguments are evaluated: none of them stops early, as `and` and `or` do.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NoReturn

__all__ = [
    "Maybe", "Misuse", "and_", "choose", "given", "if_else", "implies", "larger", "not_", "or_", "or_else",
    "precedes", "smaller",
]  # fmt: skip


class Misuse(TypeError):
    """A function treated a formula as if it were a value."""


@dataclass(frozen=True, slots=True, eq=False)
class Maybe:
    """A value that may be left out, as a formula; on values it is the value or None.

    Only `given` and `or_else` look into it: by itself it would equal nothing, and be true.

    Attributes:
        given: whether it is there.
        value: what it is then.
    """

    given: Any
    value: Any

    def _misused(self, *_: Any) -> NoReturn:
        raise Misuse(
            "a value that may be left out was compared, tested or computed with: ask given(value) whether it is there, "
            "or take or_else(value, other)"
        )

    __eq__ = __ne__ = __lt__ = __le__ = __gt__ = __ge__ = __bool__ = __hash__ = _misused
    __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = __pow__ = __neg__ = _misused
    __floordiv__ = __and__ = __rand__ = __or__ = __ror__ = __invert__ = __index__ = _misused


def add_once(table: dict[str, Any], name: str, row: Any) -> None:
    """Enter a row of what is proved or run: of two under one name, one would run and the other be proved."""
    if name in table:
        raise Misuse(f"there are two rows named {name}: give one of them another name")
    table[name] = row


def or_(first: Any, second: Any = False, *rest: Any) -> Any:
    """Whether one of the conditions, mostly two, holds."""
    # Where a bool and a formula meet the formula stands first: its operator knows both, bool's knows bools only.
    found = second | first if first is True or first is False else first | second
    return or_(found, *rest) if rest else found


def if_else(condition: Any, then: Any, otherwise: Any) -> Any:
    """If-then-else: `then` where the condition holds, `otherwise` where it does not."""
    if condition is True:
        return then
    if condition is False:
        return otherwise
    return condition.if_else(then, otherwise)


def larger(first: Any, second: Any) -> Any:
    """The larger of two numbers."""
    if type(first) is int and type(second) is int:
        return first if first >= second else second
    return if_else(first >= second, first, second)


def smaller(first: Any, second: Any) -> Any:
    """The smaller of two numbers."""
    if type(first) is int and type(second) is int:
        return first if first <= second else second
    return if_else(first <= second, first, second)


def not_(condition: Any) -> Any:
    """Whether the condition does not hold."""
    return not condition if condition is True or condition is False else ~condition


def and_(first: Any, second: Any = True, *rest: Any) -> Any:
    """Whether all of the conditions, mostly two, hold."""
    found = second & first if first is False or first is True else first & second
    return and_(found, *rest) if rest else found


def implies(condition: Any, consequence: Any) -> Any:
    """Whether the consequence holds wherever the condition does."""
    return or_(not_(condition), consequence)


def choose(condition: Any, then: Callable[[], Any], otherwise: Callable[[], Any]) -> Any:
    """Run one of two functions by a condition that is a bool also when formulas run, such as a constant tier.

    Raises:
        Misuse: the condition is a formula: use `if_else`, which takes both values.
    """
    if not isinstance(condition, bool):
        raise Misuse("choose needs a plain truth value: use if_else on a formula")
    return then() if condition else otherwise()


def given(value: Any) -> Any:
    """Whether a value that may be left out is there."""
    return value.given if isinstance(value, Maybe) else value is not None


def or_else(value: Any, otherwise: Any) -> Any:
    """A value that may be left out, or another one in its place."""
    if isinstance(value, Maybe):
        return if_else(value.given, value.value, otherwise)
    return otherwise if value is None else value


def precedes(first: tuple[Any, ...], second: tuple[Any, ...]) -> Any:
    """Whether the first tuple comes before the second, compared as Python compares tuples."""
    less: Any = False
    for mine, theirs in reversed(tuple(zip(first, second, strict=True))):
        less = or_(mine < theirs, and_(mine == theirs, less))
    return less
