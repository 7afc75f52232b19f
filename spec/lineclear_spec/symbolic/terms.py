# pyright: basic, reportOperatorIssue=false, reportAttributeAccessIssue=false
# pyright: reportArgumentType=false, reportAssignmentType=false, reportOptionalMemberAccess=false
"""What an action sees of a symbolic ledger: unknown values and records.

Guarantees: a value can be combined and compared, and nothing else; using one as a truth value, a
key, an index or a length raises `Misuse`, where z3 itself would take one branch. Identity (`is`) and type are
questions that Python answers without asking the value: they are refused in the source (`language/dialect.py`).
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

import z3

from lineclear_spec.logic import Maybe, Misuse
from lineclear_spec.symbolic.state import FIELDS, State

__all__ = ["Misuse", "NoValue", "Record", "Term", "Whole", "divisions", "raw"]


def raw(value: Any) -> Any:
    """The z3 expression inside a wrapper, or the plain value."""
    if isinstance(value, str):
        raise Misuse(f"the text {value!r} as a number: z3 would read it as one")
    if isinstance(value, Maybe):
        raise Misuse("a value that may be left out is no number: use given or or_else")
    return value.z if isinstance(value, Term | Record) else value


_divisors: list[Any] | None = None


@contextmanager
def divisions() -> Iterator[list[Any]]:
    """What formulas divide by in this block; the caller makes it an obligation that each is above 0."""
    global _divisors
    before, _divisors = _divisors, []
    try:
        yield _divisors
    finally:
        _divisors = before


class NoValue:
    """A part of the symbolic ledger that is no number: it has entries or fields, and nothing else.

    Python would answer for it by its identity, which says nothing about the lists that it stands for.
    """

    __slots__ = ()

    def _misused(self, *_: Any) -> NoReturn:
        raise Misuse(
            f"a {type(self).__name__} has no truth value, hash, order or length and equals nothing: "
            "read its entries or fields"
        )

    __bool__ = __hash__ = __len__ = __iter__ = __contains__ = _misused
    __eq__ = __ne__ = __lt__ = __le__ = __gt__ = __ge__ = _misused


class Whole(NoValue):
    """What the parts of the symbolic ledger use of each other and of the whole (`symbolic/ledger.py`)."""

    state: State
    at_start: Any
    generic: Any
    condition: Any
    untouched: dict[str, Any]
    freed: bool
    sent: bool
    copied: Any
    given: set[str]
    assumptions: list[Any]
    obligations: list[tuple[str, str, int, Any]]
    promised_fields: dict[str, Any]
    gpu: Any
    decode_batch: Any
    issued: Any
    wrap: Callable[[Any, Any], Any]
    only_asked: Callable[..., Any]
    start_watching: Callable[[], None]
    unchanged: Callable[[State], bool]
    holds_already: Callable[[str, State], bool]
    assume: Callable[[Any], None]
    demand: Callable[..., None]
    demand_of_lemma: Callable[[Any, str], None]
    presume: Callable[[str], None]
    _copies_once: Callable[[], None]
    _by_lemma: Callable[[str, Any], None]
    block_ids: Callable[..., Any]
    new_blocks: Callable[..., Any]
    _drop_holders: Callable[..., Any]
    _name_each: Callable[..., None]
    _begin_with_prompt: Callable[..., None]
    _write_rows: Callable[..., None]


def lifted(operation: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    """An operation of formulas, on what actions see of them."""
    return lambda term, other: Term(operation(term.z, raw(other)))


class Term:
    """An unknown number or truth value: it can be combined and compared, and nothing else."""

    __slots__ = ("z",)

    def __init__(self, z: Any) -> None:
        self.z = z

    def _misused(self, *_: Any) -> NoReturn:
        raise Misuse(
            "a symbolic value has no truth value, hash, index, length or items: use "
            "lineclear_spec.logic"
        )

    __bool__ = __hash__ = __index__ = __int__ = __len__ = __iter__ = __contains__ = _misused

    __add__ = __radd__ = lifted(operator.add)
    __sub__ = lifted(operator.sub)
    __rsub__ = lifted(lambda z, other: other - z)
    __mul__ = __rmul__ = lifted(operator.mul)
    __lt__, __le__ = lifted(operator.lt), lifted(operator.le)
    __gt__, __ge__ = lifted(operator.gt), lifted(operator.ge)
    __eq__, __ne__ = lifted(operator.eq), lifted(operator.ne)
    __and__ = __rand__ = lifted(z3.And)
    __or__ = __ror__ = lifted(z3.Or)

    def __neg__(self) -> Term:
        return Term(-self.z)

    def __floordiv__(self, other: Any) -> Term:
        """Of whole numbers. z3's `div` rounds down as Python does if the divisor is above 0, which is owed for
        each (`divisions`): below 0 it rounds otherwise, and by 0 it is any number where Python raises.
        """
        if _divisors is None:
            raise Misuse("nothing shows here that the divisor is above 0: see terms.divisions")
        divisor = raw(other)
        _divisors.append(divisor)
        return Term(self.z / divisor)

    def __invert__(self) -> Term:
        return Term(z3.Not(self.z))

    def if_else(self, then: Any, otherwise: Any) -> Term:
        """`then` where this holds, else `otherwise`."""
        return Term(z3.If(self.z, raw(then), raw(otherwise)))


class Record:
    """An unknown request, sequence or block; attributes are fields of the present state."""

    __slots__ = ("ledger", "z")

    def __init__(self, ledger: Any, z: Any) -> None:
        object.__setattr__(self, "ledger", ledger)
        object.__setattr__(self, "z", z)

    def __bool__(self) -> NoReturn:
        raise Misuse("a symbolic record has no truth value")

    def __eq__(self, other: object) -> NoReturn:
        raise Misuse("a symbolic record can't be compared: compare a field of it")

    __hash__ = None  # type: ignore[assignment]

    def __getattr__(self, name: str) -> Any:
        self._own()
        if name in ("held", "blocks") and self.ledger.wrote:
            self.ledger.presume_tables()
        if name == "ref" and self.ledger.freed:
            raise Misuse(
                "a ref is read after blocks were freed: on plain data a block that is gone keeps the ref that it had; "
                "read it before"
            )
        made = self.ledger.lists.get((self.z.sort(), name))
        if made is not None:
            return made(self.ledger, self.z)
        return self.ledger.wrap(FIELDS[name][1], getattr(self.ledger.state, name)(self.z))

    def _own(self) -> None:
        """Refuse to touch another record of the sort while `Bulk.each` runs for one of them."""
        generic = self.ledger.generic
        if generic is not None and generic.sort() == self.z.sort() and not generic.eq(self.z):
            raise Misuse("what is done for each record reads or writes another one")

    def __setattr__(self, name: str, value: Any) -> None:
        self._own()
        if FIELDS[name][0] != (self.z.sort(),):
            raise Misuse(f"a {self.z.sort()} has no field {name} to write")
        self.ledger.state.put(name, (self.z,), raw(value))
