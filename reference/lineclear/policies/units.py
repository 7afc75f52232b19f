"""Settings of policies as whole numbers: accounts count in a unit that divides every one of them.

Guarantees: a price, a quantum or a weight is converted once, when the policy is made, and without
rounding; what is no number above 0, or does not fit, is refused.

A float stands for the shortest decimal that Python prints for it: 0.1 is one tenth. The unit is the greatest number
of which everything that is charged or earned for one token or one turn is a whole multiple. With prices of 1 and 2
and weights of 1 it is 1, so that an account counts tokens; with a weight of 0.5 or of 2 beside them it is 0.5.
"""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from math import gcd, isfinite, lcm

#: What a setting may be given as.
Number = int | float | Fraction
#: What follows from settings without rounding: an int where it is whole.
Exact = int | Fraction

#: Bits of the greatest number of units that one token or one turn may cost.
LIMIT_BITS = 256


def amount(label: str, value: object) -> Fraction:
    """The number that a setting stands for, which is a `Number`.

    Raises:
        ValueError: it is no finite number above 0.
    """
    if isinstance(value, bool) or not isinstance(value, int | float | Fraction):
        raise ValueError(f"{label} must be a number above 0, not {value!r}")
    if not isfinite(value) or not value > 0:
        raise ValueError(f"{label} must be a finite number above 0, not {value!r}")
    return Fraction(repr(float(value))) if isinstance(value, float) else Fraction(value)


#: Seconds that one level or one token may be worth: with the greatest priority, 10**300, a key is a finite float.
MOST_SECONDS = 10**7


def need_seconds(label: str, value: object) -> None:
    """Checks a time that a setting is.

    Raises:
        ValueError: it is no number of at least 0 and at most `MOST_SECONDS`.
    """
    if (
        isinstance(value, bool)
        or not isinstance(value, int | float | Fraction)
        or not 0 <= value <= MOST_SECONDS
    ):
        raise ValueError(
            f"{label} must be a number of at least 0 and at most {MOST_SECONDS:,} seconds, not {value!r}; "
            "for an order in which waiting counts for nothing, choose the policy without aging"
        )


def unit_of(amounts: Iterable[Fraction], parts: int = 1) -> Fraction:
    """The greatest number of which all are whole multiples, divided by `parts`."""
    found = list(amounts)
    denominator = lcm(*[one.denominator for one in found])
    numerators = [one.numerator * (denominator // one.denominator) for one in found]
    return Fraction(gcd(*numerators), denominator * parts)


def whole(label: str, value: Fraction, unit: Fraction) -> int:
    """How many units it is, exactly.

    Raises:
        ValueError: more than the accounts hold.
    """
    count = value / unit
    if count.denominator != 1:
        raise ValueError(f"{label} is no whole number of units")
    if count.numerator.bit_length() > LIMIT_BITS:
        raise ValueError(
            f"{label} is a number of {count.numerator.bit_length()} bits in units of the accounts, "
            f"which hold {LIMIT_BITS}: the unit divides every price, divided by each weight, and "
            "the quantum; use numbers with fewer digits, or closer together"
        )
    return count.numerator


def exact(value: Fraction) -> Exact:
    """The same number, as an int if it is whole."""
    return value.numerator if value.denominator == 1 else value


def shown(value: float | Fraction | None) -> float | None:
    """For JSON: the same number, or the nearest float if it is a fraction."""
    return float(value) if isinstance(value, Fraction) else value
