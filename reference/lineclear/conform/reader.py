"""Reads and writes an event log on disk, line by line.

Guarantees: one line is in memory at a time; a malformed line is reported with its number.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any, TextIO

from lineclear.conform.events import EventError
from lineclear.conform.header import Header
from lineclear.conform.schema import check_event


class Reader:
    """Reads a log.

    Args:
        lines: lines of the file.
    Attributes:
        header: its first line.
        line: number of the line read last, from 1.
    Raises:
        EventError: the first line is not a header of a version that this program reads.
    """

    def __init__(self, lines: Iterable[str]) -> None:
        self._lines = iter(lines)
        self.line = 0
        try:
            self.header = Header.parse(next(self._read(), None))
        except EventError as error:
            raise self.error(error) from None

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """The events; `check_event` has not checked them.

        Raises:
            EventError: a line is not JSON.
        """
        return self._read()

    def error(self, error: EventError) -> EventError:
        """The same error with the number of the line."""
        text = str(error)
        return (
            error if text.startswith("line ") else EventError(f"line {max(self.line, 1)}: {text}")
        )

    def _read(self) -> Iterator[Any]:
        decode = json.JSONDecoder().raw_decode  # half as long as json.loads for a short line
        for line in self._lines:
            self.line += 1
            try:
                event, end = decode(line)
                if end < len(line) - 1 and not line[end:].isspace():
                    raise ValueError
            except (ValueError, RecursionError):
                if not line.strip():
                    continue
                event = self._slowly(line)
            yield event

    def _slowly(self, line: str) -> Any:
        """A line with spaces before its object, or one that is no JSON."""
        try:
            return json.loads(line)
        except (ValueError, RecursionError):
            remedy = (
                "remove the line" if self.line > 1 else "start with a header (docs/event_log.md)"
            )
            raise EventError(f"line {self.line}: not valid JSON, or truncated; {remedy}") from None


class Writer:
    """Writes a log.

    Args:
        file: open for text.
        header: its first line.
        validate: whether to check each event's form.
    """

    def __init__(self, file: TextIO, header: Header, *, validate: bool = True) -> None:
        self.file = file
        self._validate = validate
        self._write(header.json())

    def __call__(self, event: Any) -> None:
        """Writes one event.

        Raises:
            EventError: it is malformed.
        """
        if self._validate:
            check_event(event)
        self._write(event)

    def _write(self, content: Any) -> None:
        self.file.write(json.dumps(content, separators=(",", ":")) + "\n")
