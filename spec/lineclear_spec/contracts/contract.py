# pyright: basic
"""What a contract of a block step is, and the predicates that several of them use.

In every contract `old` is the state before the step, `new` the state after it; `v` is the state before where a
requirement is stated. The other letters are those of the invariants (`invariants/clause.py`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from lineclear_spec.invariants import GPU, INVARIANTS, is_free, within
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


@dataclass(frozen=True, slots=True)
class Contract:
    """The contract of one block step.

    Attributes:
        name: of the step in `kernel/blocks.py`.
        count: how many blocks or tables the step is about, from (before, *arguments).
        modifies: fields that the step may write, from (*arguments).
        requirements: what must hold before, from (before, count, *arguments).
        ensures: what holds afterwards, from (before, after, count, *arguments).
        exact: fields that are a function of the state before, from (before, count, *arguments). Who
            uses the step reads that function, so that nothing about the field is left open; that
            the step arrives at it is proved as the postcondition `exact`.
    """

    name: str
    count: Callable[..., Any]
    modifies: Callable[..., tuple[str, ...]]
    requirements: Callable[..., list[Part]]
    ensures: Callable[..., list[Part]]
    exact: Callable[..., dict[str, Callable[[Any], Any]]]


CONTRACTS: dict[str, Contract] = {}


def contract(
    name: str,
    *,
    count: Callable[..., Any],
    modifies: Callable[..., tuple[str, ...]],
    requirements: Callable[..., list[Part]],
    ensures: Callable[..., list[Part]],
    exact: Callable[..., dict[str, Callable[[Any], Any]]] | None = None,
) -> None:
    """Enter a contract.

    Args:
        name: of the step in `kernel/blocks.py`.
        count: see `Contract`, as of the next three.
        modifies: fields that the step may write.
        requirements: what must hold before.
        ensures: what holds afterwards.
        exact: fields of sequences that are a function of the state before; none if None.
    """

    def whole(old: Any, new: Any, number: Any, *arguments: Any) -> list[Part]:
        parts = ensures(old, new, number, *arguments)
        if exact is None:
            return parts
        fields = exact(old, number, *arguments)
        return [
            *parts,
            Part(
                "exact",
                ("sequence",),
                lambda x: and_(*[getattr(new, f)(x) == value(x) for f, value in fields.items()]),
            ),
        ]

    none = exact or (lambda *_: {})
    add_once(CONTRACTS, name, Contract(name, count, modifies, requirements, whole, none))


def invariant(v: Any, *names: str) -> list[Part]:
    """An invariant of the state before, as a requirement."""
    return [
        Part(clause.name, clause.domains, lambda *x, c=clause: c.predicate(v, *x))
        for name in names
        for clause in INVARIANTS[name].clauses
    ]


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
    return Part(
        label,
        (domain,),
        lambda x: implies(
            where(x), and_(*[getattr(new, f)(x) == getattr(old, f)(x) for f in fields])
        ),
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
        Part(
            "queued_length",
            ("sequence",),
            lambda q: implies(heard(q), new.queued_length(q) == new.length(q)),
        ),
        Part(
            "queued",
            ("sequence", "index"),
            lambda q, i: implies(
                and_(heard(q), within(old.length(q), i, new.length(q))),
                new.sent_block_id(q, i) == new.block_id(new.table(q, i)),
            ),
        ),
        Part(
            "sent",
            ("sequence", "index"),
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
