"""Validates a policy's answers: numbers that can be compared, and failures as one line of text.

Guarantees: what these functions return is made of the built-in types alone, so that nothing of the policy's own runs
when it is compared, added or hashed later, in the middle of a heap or of a step. An invalid answer raises.
"""

from __future__ import annotations

import math
from typing import Any, NoReturn

#: Longest report of a failure.
MOST = 300
whole: Any = tuple


def numbers(what: str, answer: Any) -> tuple[Any, ...]:
    """A key or a rank: plain whole numbers and floats, at least one, none of them NaN.

    Raises:
        TypeError: it is no number and no tuple of numbers.
    """
    if type(answer) is int:
        return (answer,)
    # Of a subclass the tuple's own slice is taken: its `__iter__` may never come to an end.
    parts = whole.__getitem__(answer, slice(None)) if isinstance(answer, tuple) else (answer,)
    plain = tuple([number(part) for part in parts])
    if not plain or None in plain:
        refuse(f"a {what} is a number or a tuple of numbers", answer)
    return plain


def number(part: Any) -> int | float | None:
    """The same number of a built-in type; None of anything else, of truth values and of NaN."""
    if type(part) is int:
        return part
    if isinstance(part, bool):
        return None
    if isinstance(part, int):
        return int.__add__(part, 0)  # of a subclass: its comparisons may be its own
    if isinstance(part, float):
        plain = float.__add__(part, 0.0)
        return None if math.isnan(plain) else plain
    return None


def truth(what: str, answer: Any) -> bool:
    """True or False.

    Raises:
        TypeError: it is neither.
    """
    if answer not in (True, False):
        refuse(f"{what} answers True or False", answer)
    return bool(answer)


def at_least_one(what: str, answer: Any) -> int:
    """A whole number of at least 1.

    Raises:
        TypeError: it is not.
    """
    plain = number(answer)
    if type(plain) is not int or plain < 1:
        refuse(f"a {what} is a whole number of at least 1", answer)
    return plain


def steps(what: str, answer: Any) -> int | None:
    """After how many steps to look again, or None.

    Raises:
        TypeError: it is neither.
    """
    return None if answer is None else at_least_one("number of steps", answer)


def whatever(what: str, answer: Any) -> None:
    """Accepts any answer: the call asks for none."""


def refuse(wanted: str, answer: Any) -> NoReturn:
    """Says what was wanted and what came."""
    raise TypeError(f"{wanted}, not {answer!r}")


def name_of(policy: object) -> str:
    """The name under which a policy's failures are reported, whatever its `name` does."""
    try:
        name: object = getattr(policy, "name", None)
    except Exception:
        name = None
    return one_line(name) if type(name) is str and name else class_of(policy)


def class_of(value: object) -> str:
    """The name of its class, past a metaclass that may say something else."""
    name: str = type.__dict__["__name__"].__get__(type(value))
    return name


def report(name: str, error: BaseException) -> str:
    """One line about a failure, whatever the error says of itself."""
    try:
        said = f"{error}"
    except Exception:
        said = "(its text cannot be read)"
    return f"{name}: {one_line(f'{class_of(error)}: {said}')}"


def one_line(text: str) -> str:
    """At most MOST characters in one line."""
    line = " ".join(text[: 2 * MOST].split())
    return line if len(line) <= MOST else line[: MOST - 3] + "..."
