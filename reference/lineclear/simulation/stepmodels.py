"""Models of step times: constant, per token, or fitted to measurements.

Guarantees: a fitted model has no term below 0 and leaves out what the file does not have; invalid
values are refused in one line.
"""

# pyright: basic

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from lineclear.simulation.steptime import StepTime

#: Columns of a file of measured steps, besides `seconds`, and the terms that they give.
COLUMNS = {
    "tokens": "per_token",
    "sequences": "per_sequence",
    "context": "per_context",
    "pairs": "per_pair",
}
NOTHING = dict.fromkeys(("per_token", "per_sequence", "per_context", "per_pair"), 0.0)
#: Fewer measured steps than this fit anything.
LEAST = 8


def constant(seconds: float) -> StepTime:
    """Every step takes as long.

    Raises:
        ValueError: not more than 0.
    """
    return StepTime(base=seconds, **NOTHING)


def linear(base: float, per_token: float) -> StepTime:
    """So long for any step, and so long for each token that it computes.

    Raises:
        ValueError: a number that makes time stand still.
    """
    return StepTime(**{**NOTHING, "base": base, "per_token": per_token})


def fit(rows: Sequence[dict[str, float]]) -> StepTime:
    """Least squares with no term below 0: a term that would be is left out, the worst first.

    Args:
        rows: measured steps, `seconds` and some of `COLUMNS` each.

    Raises:
        ValueError: too few rows, no column that explains anything, or a base that is not above 0.
    """
    if len(rows) < LEAST:
        raise ValueError(f"{len(rows)} measured steps; a fit needs {LEAST} or more")
    names = [name for name in COLUMNS if all(name in row for row in rows)]
    if not names:
        raise ValueError(f"none of the columns {', '.join(COLUMNS)} is in every row")
    seconds = np.array([row["seconds"] for row in rows])  # [steps]
    while True:
        columns = [np.ones(len(rows)), *[np.array([row[name] for row in rows]) for name in names]]
        matrix = np.stack(columns, axis=1)  # [steps, 1 + names]
        # so that no column is lost in rounding
        scale = np.maximum(np.abs(matrix).max(axis=0), 1e-300)
        found, *_ = np.linalg.lstsq(matrix / scale, seconds, rcond=None)
        terms = found / scale
        worst = int(np.argmin(found[1:])) if names else 0
        if not names or found[1 + worst] >= 0:
            break
        del names[worst]
    values = {COLUMNS[name]: float(term) for name, term in zip(names, terms[1:], strict=True)}
    if not terms[0] > 0:
        raise ValueError(
            "the fitted time of an empty step is not above 0: measure smaller steps too"
        )
    return StepTime(**{**NOTHING, **values, "base": float(terms[0])})


def fitted(path: str) -> StepTime:
    """The model that a CSV file of measured steps gives.

    Raises:
        ValueError: it cannot be read, or a cell is no number of at least 0; one line.
    """
    name = Path(path).name
    try:
        with open(path, newline="", encoding="utf-8") as file:
            table: list[dict[str, Any]] = list(csv.DictReader(file))
    except OSError as error:
        raise ValueError(f"cannot read {path}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise ValueError(f"cannot read {path}: not valid UTF-8") from error
    if not table or "seconds" not in table[0]:
        known = ", ".join(COLUMNS)
        raise ValueError(f"{name} needs a column seconds, and of {known} those that were measured")
    rows: list[dict[str, float]] = []
    for line, cells in enumerate(table, 2):
        row: dict[str, float] = {}
        for column in ("seconds", *COLUMNS):
            if column in cells:
                try:
                    row[column] = float(cells[column])
                except (TypeError, ValueError):
                    row[column] = -1.0
                if not 0 <= row[column] < float("inf"):
                    raise ValueError(
                        f"{name}, row {line}: {column} is {cells[column]!r}, no number of at least 0"
                    )
        rows.append(row)
    try:
        return fit(rows)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from error
