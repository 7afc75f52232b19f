"""The text of a workload file: lines to rows, cells to numbers, and the errors of bad ones.

Guarantees: a row is numbered as a text editor numbers lines; a cell is a number only if it is written as one.
"""

from __future__ import annotations

import csv
import io
import json
import math
import sys
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any, cast

from lineclear.workload.workload import WorkloadError

#: No trace has a longer sequence; a larger number is a row that was written wrongly.
MOST_TOKENS = 1 << 31
#: No time is beyond it, in any unit; differences of two such numbers are finite.
MOST_TIME = 1e30


class BadRow(Exception):
    """Why one row is no request."""


def read_text(path: str) -> str:
    """The whole text of a file."""
    try:
        if path == "-":
            return sys.stdin.read()
        with open(path, encoding="utf-8-sig", newline="") as file:
            return file.read()
    except OSError as error:
        raise WorkloadError(f"{path}: {error.strerror or error}") from None
    except UnicodeDecodeError:
        raise WorkloadError(f"{path}: not valid UTF-8") from None


def rows_of(name: str, text: str) -> Iterator[tuple[int, Mapping[str, object]]]:
    """Line numbers and rows; a text whose first character is a brace is JSONL, else CSV."""
    start = text.lstrip()
    if not start:
        raise WorkloadError(f"{name}: it is empty")
    return json_rows(name, text) if start[0] in "{[" else csv_rows(name, text)


def json_rows(name: str, text: str) -> Iterator[tuple[int, Mapping[str, object]]]:
    """One JSON object a line; empty lines are skipped."""
    for line_number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        try:
            row: object = json.loads(line)
        except (ValueError, RecursionError) as error:
            reason = getattr(error, "msg", "it is nested too deeply or has a number too long")
            raise WorkloadError(f"{name}, row {line_number}: no JSON object: {reason}") from None
        if not isinstance(row, dict):
            raise WorkloadError(f"{name}, row {line_number}: {show(row)} is no JSON object")
        yield line_number, cast("dict[str, object]", row)


def csv_rows(name: str, text: str) -> Iterator[tuple[int, Mapping[str, object]]]:
    """Rows under a heading, with the number of the line that each ends on."""
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        heading = [cell.strip() for cell in next(reader)]
        for cells in reader:
            if not cells:
                continue
            if len(cells) != len(heading):
                raise WorkloadError(
                    f"{name}, row {reader.line_num}: {len(cells)} cells under "
                    f"{len(heading)} columns"
                )
            yield reader.line_num, dict(zip(heading, cells, strict=True))
    except csv.Error as error:
        raise WorkloadError(f"{name}, row {reader.line_num}: {error}") from None


def microseconds(cell: object) -> float:
    """A date and time, whose fraction may have more digits than Python reads, as a count."""
    text = str(cell).strip()
    whole_seconds, dot, fraction = text.partition(".")
    digits = len(fraction) - len(fraction.lstrip("0123456789"))
    if dot:
        text = f"{whole_seconds}.{fraction[:digits][:6].ljust(6, '0')}{fraction[digits:]}"
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise BadRow(f"{show(cell)} is no date and time such as 2023-11-16 18:15:46.68") from None
    # Only differences count; a moment without a zone is taken as it stands.
    return (moment - datetime(2000, 1, 1, tzinfo=moment.tzinfo)) // timedelta(microseconds=1)


def number(cell: object) -> float:
    """A number that a time may be."""
    try:
        value = math.nan if isinstance(cell, bool) else float(cast(Any, cell))
    except (TypeError, ValueError, OverflowError):
        value = math.nan
    if not abs(value) <= MOST_TIME:
        raise BadRow(f"{show(cell)} is no number from {-MOST_TIME:g} to {MOST_TIME:g}")
    return value


def whole(
    row: Mapping[str, object], column: str, *, least: int = 1, most: int = MOST_TOKENS
) -> int:
    """A cell that is a whole number, written as one.

    Args:
        row: values by column.
        column: the cell's column.
        least: the smallest value allowed.
        most: the largest value allowed.
    """
    cell = row[column]
    value: int | None = None
    if isinstance(cell, int) and not isinstance(cell, bool):
        value = cell
    elif isinstance(cell, str) and len(cell) < 4_000:  # Python converts 4,300 digits at most
        text = cell.strip()
        if text.removeprefix("-").isascii() and text.removeprefix("-").isdigit():
            value = int(text)
    if value is None:
        raise BadRow(f"{column} is {show(cell)}, not a whole number")
    if value < least:
        raise BadRow(f"{column} is {show(value)}, less than {least}")
    if value > most:
        raise BadRow(f"{column} is {show(cell)}, more than {most:,}")
    return value


def show(cell: object) -> str:
    """A cell as it stands, shortened."""
    text = repr(cell)
    return text if len(text) <= 40 else f"{text[:37]}..."
