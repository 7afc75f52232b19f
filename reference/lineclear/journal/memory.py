"""The journal in memory: the last actions, by name and ids.

Guarantees: memory is bounded and holds no record; as long as nothing was dropped, `lines` is a
journal that `lineclear.journal.file.replay` runs again.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterator
from typing import Any

from lineclear.journal.file import first_line
from lineclear_spec.actions import ACTIONS
from lineclear_spec.kernel.records import Limits, Sequence
from lineclear_spec.kernel.records import Request as Record

#: Name and arguments; a request or a sequence by its number. The first action of each request is written out in full:
#: ("submit", (id, prompt, limit, parallel)), and behind them the names of its prompt's blocks if it has any.
JournalRow = tuple[str, tuple[Any, ...]]
#: The first actions of a request.
FIRST = frozenset({"submit", "reject"})
#: How a journal on disk marks an argument that is a number of a record.
MARKS = {"request": "r", "sequence": "s", "parent": "s"}


class Ring:
    """The last `size` actions.

    Attributes:
        rows: the last ones, oldest first.
        total: rows ever entered; more than there are if some were dropped.
    """

    def __init__(self, size: int = 4096) -> None:
        """Nothing has happened."""
        self.rows: deque[JournalRow] = deque(maxlen=size)
        self.total = 0

    def __call__(self, name: str, arguments: tuple[Any, ...]) -> None:
        """Enters one action."""
        self.total += 1
        if arguments:
            first = arguments[0]  # no other argument of an action is a record
            kind = first.__class__
            if kind is Record and name in FIRST:
                arguments = (first.id, first.prompt, first.limit, first.parallel)
                if first.prompt_names:
                    arguments = (*arguments, first.prompt_names)
            elif kind is Sequence or kind is Record:
                arguments = (first.id, *arguments[1:])
        self.rows.append((name, arguments))

    def __iter__(self) -> Iterator[JournalRow]:
        """Oldest first."""
        return iter(self.rows)

    def __len__(self) -> int:
        """How many are kept."""
        return len(self.rows)

    def lines(self, limits: Limits) -> Iterator[str]:
        """The journal as `record.replay` reads it, without the last line.

        Raises:
            ValueError: rows were dropped, so there is nothing that a replay could start from.
        """
        if self.total > len(self.rows):
            raise ValueError(
                f"the ring dropped {self.total - len(self.rows)} rows: give Ring a larger size"
            )
        yield json.dumps(first_line(limits))
        for name, arguments in self.rows:
            if name in FIRST:
                yield json.dumps(["new", *arguments])
                yield json.dumps([name, f"r{arguments[0]}"])
                continue
            if name == "name_blocks":
                yield json.dumps([name, f"s{arguments[0]}", arguments[1]])
                continue
            marks = [MARKS.get(parameter) for parameter in ACTIONS[name].parameters]
            pairs = zip(marks, arguments, strict=True)
            yield json.dumps([name, *[v if m is None else f"{m}{v}" for m, v in pairs]])
