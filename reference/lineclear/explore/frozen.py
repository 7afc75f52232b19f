"""Copies of a world's state that share what never changes.

Guarantees: what is thawed equals what was frozen; only instances of `UNCHANGING`, which nothing writes
once they are made, are the same objects in every copy. Most of the time of a search is spent here, and
Python restores a frozen dataclass field by field.
"""

from __future__ import annotations

import copyreg
import io
import pickle
from collections import Counter
from collections.abc import Iterator
from itertools import repeat
from typing import Any, ClassVar

from lineclear.config import Config
from lineclear.monitor.hazards import Issued
from lineclear.plan import BlockOperation, Plan, Scheduled
from lineclear.request import Request
from lineclear.testing.operations import Dispatched

UNCHANGING = (Config, Request, Plan, Scheduled, BlockOperation, Dispatched, Issued)

#: What the copy that is being thawed shares with others.
thawing: list[Any] = []


def shared(number: int) -> Any:
    """An object that all copies have in common."""
    return thawing[number]


def counter(kind: type[Counter[Any]]) -> Counter[Any]:
    """An empty counter, without a call of its own Python code."""
    return kind.__new__(kind)


class Thawing(pickle.Unpickler):
    """Reads a copy; a class is looked up once, not once in every copy."""

    known: ClassVar[dict[tuple[str, str], Any]] = {}

    def find_class(self, module: str, name: str) -> Any:
        """The class or function of this name."""
        where = module, name
        if where not in self.known:
            self.known[where] = super().find_class(module, name)
        return self.known[where]


class Freezer:
    """Writes states of one world and reads them again."""

    def __init__(self) -> None:
        self._objects: list[Any] = []
        self._numbers: dict[int, int] = {}  # by identity; the list keeps the objects alive
        self._reduced: dict[type, Any] = {
            **copyreg.dispatch_table,
            **dict.fromkeys(UNCHANGING, self._share),
            Counter: counted,
            repeat: repeated,
        }

    def dumps(self, whole: object) -> bytes:
        """A copy, to be thawed any number of times."""
        buffer = io.BytesIO()
        pickler = pickle.Pickler(buffer, 5)
        pickler.dispatch_table = self._reduced
        pickler.dump(whole)
        return buffer.getvalue()

    def loads(self, frozen: bytes) -> Any:
        """What `dumps` of this freezer was given."""
        global thawing
        thawing = self._objects
        return Thawing(io.BytesIO(frozen)).load()

    def _share(self, x: Any) -> tuple[Any, tuple[int]]:
        number = self._numbers.get(id(x))
        if number is None:
            number = self._numbers[id(x)] = len(self._objects)
            self._objects.append(x)
        return shared, (number,)


def counted(counts: Counter[Any]) -> tuple[Any, tuple[type], None, None, Iterator[Any]]:
    """How a counter is written down: its items, which are put in one by one."""
    return counter, (Counter,), None, None, iter(list(counts.items()))


def repeated(same: repeat[Any]) -> tuple[Any, tuple[Any]]:
    """How the record of which a ledger says that it is always the same one is written down: from Python 3.14 on
    itertools does not say.
    """
    return repeat, (next(same),)
