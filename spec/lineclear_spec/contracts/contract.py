# pyright: basic
"""What a contract of a block step is, and the predicates that several of them use.

In every contract `old` is the state before the step, `new` the state after it; `v` is the state before where a
requirement is stated. The other letters are those of the invariants (`invariants/clause.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

from lineclear_spec.invariants import GPU, INVARIANTS, domains_of, is_free, private, within
from lineclear_spec.logic import add_once, and_, implies, not_, or_


class Part(NamedTuple):
    """One part of what a contract requires or ensures, or of what an action ensures (`postconditions/`).

    Attributes:
        label: what tells it from the other parts.
        domains: of its variables, of which it holds for all values (`symbolic.state.DOMAINS`).
        predicate: of values of the variables.
    """

    label: str
    domains: tuple[str, ...]
    predicate: Callable[..., Any]


def part(label: str, predicate: Callable[..., Any]) -> Part:
    """A part whose variables have the domains that their letters say (`invariants/clause.py`)."""
    return Part(label, domains_of(predicate), predicate)


@dataclass(frozen=True, slots=True)
class Contract:
    """The contract of one block step.

    Attributes:
        name: of the step in `kernel/blocks.py`.
        count: how many blocks or tables the step is about, from (before, *arguments).
        modifies: fields that the step may write, from (*arguments).
        requirements: what must hold before, from (before, count, *arguments).
        ensures: what holds afterwards, `exact` aside, from (before, after, count, *arguments).
        exact: fields of sequences that are a function of the state before, from (before, count, *arguments). Who
            uses the step reads that function, so that nothing about the field is left open; that
            the step arrives at it is proved as the postcondition `exact`.
    """

    name: str
    count: Callable[..., Any]
    modifies: Callable[..., tuple[str, ...]]
    requirements: Callable[..., list[Part]]
    ensures: Callable[..., list[Part]]
    exact: Callable[..., dict[str, Callable[[Any], Any]]] = lambda *_: {}

    def promised(self, old: Any, new: Any, *rest: Any) -> list[Part]:
        """All that holds afterwards, from what `ensures` takes."""
        fields = self.exact(old, *rest)
        exact = part(
            "exact",
            lambda q: and_(*[getattr(new, f)(q) == value(q) for f, value in fields.items()]),
        )
        return [*self.ensures(old, new, *rest), *([exact] if fields else [])]


CONTRACTS: dict[str, Contract] = {}


def contract(name: str, **said: Callable[..., Any]) -> None:
    """Enter a contract; what is said are the other attributes of `Contract`."""
    add_once(CONTRACTS, name, Contract(name, **said))


def invariant(v: Any, *names: str) -> list[Part]:
    """An invariant of the state before, as a requirement."""
    return [
        Part(clause.name, clause.domains, lambda *x, c=clause: c.predicate(v, *x))
        for name in names
        for clause in INVARIANTS[name].clauses
    ]


def alike(old: Any, new: Any, x: Any, fields: Iterable[str]) -> Any:
    """Whether these fields of a record are as they were.

    Args:
        old, new: the states.
        x: the record.
        fields: names of the fields.
    """
    return and_(*[getattr(new, f)(x) == getattr(old, f)(x) for f in fields])


def but(fields: tuple[str, ...], *changed: str) -> tuple[str, ...]:
    """The fields but those that may change."""
    return tuple([field for field in fields if field not in changed])


def same(
    label: str,
    domain: str,
    old: Any,
    new: Any,
    fields: tuple[str, ...],
    where: Callable[[Any], Any],
) -> Part:
    """Fields of the records for which `where` holds are as they were.

    Args:
        label: of the part.
        domain: of the records.
        old: the state before.
        new: the state after.
        fields: names of the fields.
        where: which records, by the state before.
    """
    return Part(label, (domain,), lambda x: implies(where(x), alike(old, new, x, fields)))


def entries_same(
    label: str, old: Any, new: Any, where: Callable[[Any], Any] | None = None
) -> Part:
    """Every entry of a table, or of those for which `where` holds, refers to the block that it referred to.

    Args:
        label: of the part.
        old, new: the states.
        where: of which sequences; of all if None.
    """

    def there(q: Any, i: Any) -> Any:
        entry = within(0, i, old.length(q))
        return entry if where is None else and_(where(q), entry)

    return part(label, lambda q, i: implies(there(q, i), new.table(q, i) == old.table(q, i)))


def of_request(v: Any, r: Any) -> Callable[[Any], Any]:
    """Whether a sequence is one of the request's."""
    return lambda q: and_(v.alive(q), v.request(q) == r)


def private_of(v: Any, r: Any) -> Callable[[Any], Any]:
    """Whether a block is private and belongs to the request."""
    return lambda b: and_(private(v, b), v.group(b) == r)


def touched(label: str, old: Any, new: Any, tier: int) -> Part:
    """An operation touches what it touched.

    Args:
        label: of the part.
        old, new: the states.
        tier: of the block ids.
    """
    return part(label, lambda o, p: implies(old.touch(tier, o, p), new.touch(tier, o, p)))


def sources(old: Any, new: Any, tier: int) -> Part:
    """Only the operation decided last gets sources for blocks of the tier."""
    return part(
        "sources",
        lambda o, p: implies(o != old.issued, new.source(tier, o, p) == old.source(tier, o, p)),
    )


#: Fields that say which entries wait to be sent.
QUEUED = ("sent_block_id", "queued_length")


def queued(old: Any, new: Any) -> list[Part]:
    """Where the reader of plans has the table, as far as it was sent and as more waits, the entries that the step
    appends wait behind it.
    """

    def heard(q: Any) -> Any:
        return and_(old.heard(q), old.queued_length(q) == old.length(q))

    return [
        part("queued_length", lambda q: implies(heard(q), new.queued_length(q) == new.length(q))),
        part(
            "queued",
            lambda q, i: implies(
                and_(heard(q), within(old.length(q), i, new.length(q))),
                new.sent_block_id(q, i) == new.block_id(new.table(q, i)),
            ),
        ),
        part(
            "sent",
            lambda q, i: implies(
                i < old.queued_length(q), new.sent_block_id(q, i) == old.sent_block_id(q, i)
            ),
        ),
    ]


def larger(v: Any, first: Any, second: Any) -> Any:
    """The larger of two numbers, as the view has them (`logic.larger` is for what actions see)."""
    return v.if_else(first >= second, first, second)


def in_pool(v: Any, tier: int, p: Any) -> Any:
    """Whether the block id exists."""
    return within(0, p, v.total(tier))


def allocation_of(old: Any, new: Any, p: Any) -> Any:
    """Whether the GPU block was free and is not any more."""
    return and_(in_pool(old, GPU, p), is_free(old, GPU, p), not_(is_free(new, GPU, p)))


def attained(old: Any, new: Any, wait: Any, *at_least: Any) -> Any:
    """Whether a wait is no longer than it must be: it is one of the numbers that it has to reach at least, or
    the fence of a GPU block that was allocated.

    Args:
        old: the state before.
        new: the state after.
        wait: the number of an operation.
        at_least: numbers that it has to reach whatever was allocated.
    """
    fence = old.some(
        "block_id", lambda p: and_(allocation_of(old, new, p), old.last_use(GPU, p) == wait)
    )
    return or_(*[wait == number for number in at_least], fence)
