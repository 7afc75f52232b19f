"""The table of operators, printed.

Guarantees: every row of `kernel/operators.py` is printed, with all that it says.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from lineclear_spec.kernel.operators import OPERATORS, Operator


def as_dicts() -> list[dict[str, Any]]:
    """For JSON."""
    return [asdict(row) for row in OPERATORS]


def without(row: Operator) -> str:
    """What is said of a row that has no lemma."""
    return "none" if row.assumed else "none: formulas define it"


def as_lines() -> list[str]:
    """For people: each operator with both implementations, lemmas, what is assumed, and tests."""
    lines: list[str] = []
    for k, row in enumerate(OPERATORS, 1):
        lines += [
            f"{k:2}  {row.name}" + (f" ({', '.join(row.methods)})" if row.methods else ""),
            f"      plain data  {row.plain}",
            f"      formulas    {row.formulas}",
            f"      lemma       {', '.join(row.lemmas) or without(row)}",
            *([f"      assumed     {row.assumed}"] if row.assumed else []),
            f"      test        {', '.join(row.tests)}",
        ]
    return lines
