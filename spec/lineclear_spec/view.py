# pyright: basic
"""The questions of the kernel, asked of a view of a state.

Guarantees: `reach`, `computed`, `known` and the rest mean in an invariant and in a contract what they
mean in a guard: each is the text of `queries.py`. Where the fields come from is the view's business.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lineclear_spec import queries
from lineclear_spec.conditional import on_formulas

__all__ = ["Derived"]


class Row:
    """A record of a view, whose attributes are the view's accessors."""

    __slots__ = ("record", "view")

    def __init__(self, view: Any, record: Any) -> None:
        self.view, self.record = view, record

    def __getattr__(self, name: str) -> Any:
        value = getattr(self.view, name)(self.record)
        return Row(self.view, value) if name == "request" else value


def asked(question: Any) -> Callable[[Any, Any], Any]:
    """A question, of a record as the view names it."""
    text = on_formulas(question)

    def answer(view: Any, record: Any) -> Any:
        return text(view, record if isinstance(record, Row) else Row(view, record))

    answer.__doc__ = question.__doc__
    return answer


class Derived:
    """Lazy counters: a steady sequence's are offset plus clock, any other carries its own."""

    # Supplied by the view, as are the fields of records.
    either: Any
    steps: Any
    settled: Any

    reach = asked(queries.reach)
    in_flight = asked(queries.in_flight)
    computed = asked(queries.computed)
    known = asked(queries.known)
    promised = asked(queries.promised)
    owed = asked(queries.owed)
    sampling_step = asked(queries.sampling_step)
    slots = asked(queries.slots)
    first_scheduled = asked(queries.first_scheduled)
    runs = asked(queries.runs)
    worst_case = asked(queries.worst_case)
