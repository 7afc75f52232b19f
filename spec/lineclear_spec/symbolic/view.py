# pyright: basic
"""The questions of the kernel, asked of a state: what `v.num_computed_tokens(q)` is in an invariant.

Guarantees: `num_computed_tokens` and the rest mean in an invariant and in a contract what they mean in a
guard: each is the text of `kernel/queries.py`, compiled for formulas and given the state in place of the ledger. Of a
symbolic state `worst_case` is left open (`State.worst_case`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lineclear_spec.kernel import queries
from lineclear_spec.language.conditional import on_formulas


class Row:
    """A record of a state as `kernel/queries.py` reads it: the attribute f of x is `v.f(x)`."""

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
    """The queries that invariants ask, as methods of a state: counters (offset plus clock for a sequence in the decode
    batch, its own fields for any other), `runs` and `worst_case`.
    """

    # Supplied by the view, as are the fields of records.
    if_else: Any
    steps: Any
    committed: Any

    num_dispatched_tokens = asked(queries.num_dispatched_tokens)
    in_flight = asked(queries.in_flight)
    num_computed_tokens = asked(queries.num_computed_tokens)
    num_tokens = asked(queries.num_tokens)
    scheduled_samples = asked(queries.scheduled_samples)
    pending_samples = asked(queries.pending_samples)
    sampling_step = asked(queries.sampling_step)
    num_allocated_slots = asked(queries.num_allocated_slots)
    first_scheduled = asked(queries.first_scheduled)
    runs = asked(queries.runs)
    worst_case = asked(queries.worst_case)
