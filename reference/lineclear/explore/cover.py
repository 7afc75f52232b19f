"""Pairwise coverage: few combinations in which every pair of values of two settings occurs.

Guarantees: each pair of values that `allowed` does not exclude stands in a row; the same settings give the same rows;
earlier rows bring more new pairs than later ones. The rows are found greedily, so they are few and not the fewest.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import combinations, product
from typing import Any

#: A value for each setting, by name.
CoverRow = dict[str, Any]
#: Two settings, and a value of each, by its position.
Pair = tuple[tuple[str, int], tuple[str, int]]


def pairwise(
    factors: Mapping[str, Sequence[Any]], allowed: Callable[[CoverRow], bool] = lambda _: True
) -> list[CoverRow]:
    """Rows that hold every pair of values.

    Args:
        factors: the values of each setting.
        allowed: whether a row may go on from these values; it is asked about incomplete rows, and a
            row that it refuses must be refused whatever is added.

    Raises:
        ValueError: no row is allowed that has two values which are allowed together.
    """
    names = list(factors)
    open_: dict[Pair, None] = {}
    for one, other in combinations(names, 2):
        for k, j in product(range(len(factors[one])), range(len(factors[other]))):
            if allowed({one: factors[one][k], other: factors[other][j]}):
                open_[(one, k), (other, j)] = None
    rows: list[CoverRow] = []
    while open_:
        chosen = filled(factors, open_, allowed)
        for pair in combinations(chosen.items(), 2):
            open_.pop(pair, None)
        rows.append({name: factors[name][k] for name, k in chosen.items()})
    return rows


def filled(
    factors: Mapping[str, Sequence[Any]],
    open_: Mapping[Pair, None],
    allowed: Callable[[CoverRow], bool],
) -> dict[str, int]:
    """The row that begins with the first open pair; each further value closes the most open pairs.

    Raises:
        ValueError: the pair cannot be completed.
    """
    first = next(iter(open_))
    chosen = dict(first)

    def closes(name: str, k: int) -> int:
        place = {key: n for n, key in enumerate(factors)}
        return sum(
            (((other, j), (name, k)) if place[other] < place[name] else ((name, k), (other, j)))
            in open_
            for other, j in chosen.items()
        )

    def fits(name: str, k: int) -> bool:
        row = {other: factors[other][j] for other, j in chosen.items()}
        return allowed({**row, name: factors[name][k]})

    for name in factors:
        if name in chosen:
            continue
        values = [k for k in range(len(factors[name])) if fits(name, k)]
        if not values:
            raise ValueError(f"{first} cannot be completed: no value of {name} is allowed")
        # Equal ones take turns, so that no value stands in most rows.
        turn = len(open_)
        chosen[name] = max(
            values, key=lambda k: (closes(name, k), -((k + turn) % len(factors[name])))
        )
    return {name: chosen[name] for name in factors}
