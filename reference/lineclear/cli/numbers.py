"""Numbers on the command line, with their limits.

Guarantees: a parsed number is within its limits, and whatever else was written is one line that names the limits.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable


def shown(text: str) -> str:
    """What was written, shortened."""
    return repr(text if len(text) <= 40 else f"{text[:37]}...")


def whole(least: int | None = None, most: int | None = None) -> Callable[[str], int]:
    """A parser of whole numbers from `least` to `most`; None is no limit."""
    limits = "a whole number"
    if least is not None:
        limits += f" of at least {least}" if most is None else f" from {least} to {most}"
    elif most is not None:
        limits += f" of at most {most}"

    def parse(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"must be {limits}, not {shown(text)}") from None
        if (least is not None and value < least) or (most is not None and value > most):
            raise argparse.ArgumentTypeError(f"must be {limits}, not {shown(text)}")
        return value

    return parse


def real(
    *, above: float = -math.inf, least: float = -math.inf, most: float = math.inf
) -> Callable[[str], float]:
    """A parser of finite numbers above `above`, of at least `least` and at most `most`."""
    limits = [
        f"{words} {limit:g}"
        for words, limit in (("above", above), ("of at least", least), ("at most", most))
        if math.isfinite(limit)
    ]
    wanted = f"a number {' and '.join(limits)}".rstrip()

    def parse(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not (math.isfinite(value) and above < value and least <= value <= most):
            raise argparse.ArgumentTypeError(f"must be {wanted}, not {shown(text)}")
        return value

    return parse


#: Seeds of generators: numpy takes none below 0, torch none beyond 64 bits.
SEED = whole(0, (1 << 63) - 1)
