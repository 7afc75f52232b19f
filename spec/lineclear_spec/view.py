# pyright: basic
"""The questions of the kernel, asked of a state: what `v.reach(q)` or `v.computed(q)` is in an invariant.

Guarantees: `reach`, `computed`, `known` and the rest mean in an invariant and in a contract what they mean in a
guard: each is the function of `queries.py` itself, which is given the state in place of the ledger.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lineclear_spec import queries
from lineclear_spec.conditional import on_formulas

__all__ = ["Derived"]


class Row:
    """A record of a state as `queries.py` reads it: the attribute f of x is `v.f(x)`."""

    __slots__ = ("record", "view")

    def __init__(self, view: Any, record: Any) -> None:
        self.view, self.record = view, record

    def __getattr__(self, name: str) -> Any:
        value = getattr(self.view, name)(self.record)
        return Row(self.view, value) if name == "request" else value


def asked(question: Any) -> Callable[[Any, Any], Any]:
    """A query, as an accessor of a state."""
    text = on_formulas(question)

    def answer(view: Any, record: Any) -> Any:
        return text(view, record if isinstance(record, Row) else Row(view, record))

    answer.__doc__ = question.__doc__
    return answer


class Derived:
    """Lazy counters: a steady sequence's are offset plus clock, any other carries its own."""

    # Supplied by the view, as are the fields of records.
    if_else: Any
    steps: Any
    committed: Any

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
