"""The log of an engine in any format: event log, journal, KV events.

Guarantees: `events` starts at the first event on every call and holds one line in memory; each
event comes with its line number. The first line determines the format.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

from lineclear.conform import journal_log, kv_events
from lineclear.conform.events import Event, EventError
from lineclear.conform.header import Header
from lineclear.conform.reader import Reader


class Source:
    """A file, reopened for each reading.

    Args:
        path: path of the file.
        name: its name in reports, the path if empty.

    Attributes:
        kind: event log, journal or KV events.
        header: header of the log.
        line: number of the line read last.
        cut: whether it was read to its end and is a journal without its last line, which holds the digest.
        on_event: called before each event is yielded.

    Raises:
        OSError: it cannot be read.
        EventError, lineclear.journal.file.JournalError: the format of its first line is unknown.
    """

    def __init__(self, path: Path, name: str = "") -> None:
        self.path = path
        self.name = name or str(path)
        self.line = 0
        self.cut = False
        self.on_event: Callable[[], object] = lambda: None
        with path.open(encoding="utf-8-sig") as file:
            first = next((line for line in file if line.strip()), "")
        try:
            content = json.loads(first)
        except (ValueError, RecursionError):
            content = None
        if type(content) is dict and "journal" in content:
            self.kind = "journal"
            with path.open(encoding="utf-8-sig") as file:
                self._drafts = journal_log.most_drafts(file)
            with path.open(encoding="utf-8-sig") as file:
                self.header: Header = journal_log.journal_events(file, self._drafts)[0]
        elif content is not None and kv_events.is_kv_line(content):
            self.kind = "KV events"
            self.header = kv_events.HEADER
        else:
            self.kind = "event log"
            with path.open(encoding="utf-8-sig") as file:
                self.header = Reader(file).header

    def events(self) -> Iterator[Event]:
        """Every event, from the first on.

        Raises:
            EventError, lineclear.journal.file.JournalError: a line is malformed.
        """
        for event in self._events():
            self.on_event()
            yield event

    def _events(self) -> Iterator[Event]:
        with self.path.open(encoding="utf-8-sig") as file:
            if self.kind == "event log":
                reader = Reader(file)
                for event in reader:
                    self.line = reader.line
                    yield event
            elif self.kind == "KV events":
                for self.line, event in kv_events.kv_events(file):
                    yield event
            else:
                self.line = 1
                _, events = journal_log.journal_events(counted(file, self), self._drafts)
                self.cut = not (yield from events)

    def error(self, error: EventError) -> EventError:
        """The same error with the number of the line read last."""
        text = str(error)
        return error if text.startswith("line ") else EventError(f"line {self.line}: {text}")


def counted(lines: Iterator[str], source: Source) -> Iterator[str]:
    """Counts the lines as they are read."""
    for source.line, line in enumerate(lines, start=1):
        yield line
