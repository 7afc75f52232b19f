# pyright: basic
"""How the parts of a snapshot are read: one line for each field of the symbolic state.

Guarantees: every accessor is total; what is not there is read as the value, or the record, that stands for it.
What each field means, `symbolic/fields.py` and `symbolic/kv_fields.py` say.
"""

from __future__ import annotations

from collections.abc import Callable
from operator import attrgetter
from typing import Any

from lineclear_spec.kernel.records import NO_REQUEST, Block, Sequence

__all__ = [
    "NO_BLOCK",
    "NO_REQUEST",
    "NO_SEQUENCE",
    "contains",
    "entry",
    "field",
    "nth",
    "place",
    "size",
]

NO_SEQUENCE = Sequence(-1, NO_REQUEST)
NO_BLOCK = Block(NO_REQUEST, -1, -1)
#: Of a view and the arguments of the field.
Accessor = Callable[..., Any]


def field(records: str, name: str, missing: Any) -> Accessor:
    """A field of a record as it was, or of one that stands for what is not there.

    Args:
        records: attribute of the view: what each record was.
        name: of the field.
        missing: stands for what is not there.
    """
    read = attrgetter(name)
    return lambda view, record: read(getattr(view, records).get(record, missing))


def entry(rows: str, missing: Any) -> Accessor:
    """What a dict of the view has under a key, or under several, or what stands for nothing."""
    read = attrgetter(rows)
    return lambda view, *key: read(view).get(key[0] if len(key) == 1 else key, missing)


def contains(rows: str) -> Accessor:
    """Whether a collection of the view has a key, or several as one."""
    read = attrgetter(rows)
    return lambda view, *key: (key[0] if len(key) == 1 else key) in read(view)


def size(rows: str) -> Accessor:
    """How many elements the list of a record has, in a dict of the view."""
    read = attrgetter(rows)
    return lambda view, record: len(read(view).get(record, ()))


def nth(rows: str, missing: Any) -> Accessor:
    """An element of the list of a record, in a dict of the view, by its index."""
    read = attrgetter(rows)

    def at(view: Any, record: Any, k: int) -> Any:
        row = read(view).get(record, ())
        return row[k] if 0 <= k < len(row) else missing

    return at


def place(rows: str, of: Accessor = lambda _, record, element: (record, element)) -> Accessor:
    """The first index of an element in the list of a record, in a dict of the view; -1 if it is not there.

    Args:
        rows: attribute of the view.
        of: the record and the element, from the view and the arguments of the field.
    """
    read = attrgetter(rows)

    def at(view: Any, *arguments: Any) -> int:
        record, element = of(view, *arguments)
        row = read(view).get(record, ())
        return row.index(element) if element in row else -1

    return at
