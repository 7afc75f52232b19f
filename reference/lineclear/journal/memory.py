"""The journal in memory: the last actions, by name and ids.

Guarantees: memory is bounded and holds no record; as long as nothing was dropped, `lines` is a
journal that `lineclear.journal.file.replay` runs again.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterator
from typing import Any

from lineclear.journal.file import MARKS, first_line
from lineclear_spec.actions import ACTIONS
from lineclear_spec.kernel.records import Limits, Sequence
from lineclear_spec.kernel.records import Request as Record

#: Name and arguments; a request or a sequence by its number. The first action of each request is written out in full:
#: ("submit", (id, prompt, limit, parallel)), and behind them the names of its prompt's blocks if it has any.
JournalRow = tuple[str, tuple[Any, ...]]
#: The first action of a request is one of these: its row has the request's numbers in full.
FIRST = frozenset({"submit", "reject"})


class Ring:
    """The last actions, as many as `size` items hold: a name is one item, and so is each argument.

    Args:
        size: how many items it keeps, at least 1.

    Attributes:
        items: of one action after another, oldest first; the first action may have lost its name.
    """

    def __init__(self, size: int = 16_384) -> None:
        """Nothing has happened.

        Raises:
            ValueError: the size is no whole number of at least 1.
        """
        if type(size) is not int or size < 1:
            raise ValueError(f"size must be a whole number of at least 1, not {size!r}")
        # A row of its own for each action would be one more object that the collector looks at.
        self.items: deque[Any] = deque(maxlen=size)

    def __call__(self, name: str, arguments: tuple[Any, ...]) -> None:
        """Enters one action."""
        items = self.items
        items.append(name)
        if arguments:
            first = arguments[0]  # no other argument of an action is a record
            kind = first.__class__
            if kind is Sequence or (kind is Record and name not in FIRST):
                items.append(first.id)
                if len(arguments) > 1:
                    items.extend(arguments[1:])
            elif kind is Record:
                items.extend((first.id, first.prompt, first.limit, first.parallel))
                if first.prompt_names:
                    items.append(first.prompt_names)
            else:
                items.extend(arguments)

    def __iter__(self) -> Iterator[JournalRow]:
        """The actions that are kept whole, oldest first."""
        name = ""
        arguments: list[Any] = []
        for item in self.items:
            if isinstance(item, str):  # no argument is a text
                if name:
                    yield name, tuple(arguments)
                name, arguments = item, []
            else:
                arguments.append(item)
        if name:
            yield name, tuple(arguments)

    def __len__(self) -> int:
        """How many actions are kept whole."""
        return sum([isinstance(item, str) for item in self.items])

    def lines(self, limits: Limits) -> Iterator[str]:
        """The journal as `lineclear.journal.file.replay` reads it, without the last line.

        Raises:
            ValueError: the ring is full, so there may be nothing that a replay could start from.
        """
        if len(self.items) == self.items.maxlen:
            raise ValueError(
                f"the ring is full with {len(self.items)} items, so the first may be dropped: give Ring a larger size"
            )
        yield json.dumps(first_line(limits))
        for name, arguments in self:
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
