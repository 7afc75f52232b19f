# pyright: basic, reportOperatorIssue=false, reportAttributeAccessIssue=false
# pyright: reportArgumentType=false, reportAssignmentType=false, reportOptionalMemberAccess=false
"""Several records or block ids at once, on formulas: what a list of them is on plain data.

Guarantees: a vector is its number of elements, the element at each index, and an index for each
element (`index_of`), so that whether something is an element is a formula without a quantifier. It does
not change when the ledger does. Bulk operators write fields point by point from these three.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, NoReturn

import z3

from lineclear_spec.invariants import holds, within
from lineclear_spec.kernel.records import GPU
from lineclear_spec.symbolic.quantified import bound
from lineclear_spec.symbolic.state import Block, Int, Sequence, unique
from lineclear_spec.symbolic.terms import Misuse, NoValue, Record, Term, raw


@dataclass(slots=True, eq=False, repr=False)
class Vector(NoValue):
    """Elements of one sort, in order. Operators that need them distinct demand it (`demand_distinct`), but for those of
    vectors that other operators have just made: `new_blocks`, `seal_each`.

    Attributes:
        ledger: whose they are.
        sort: of an element.
        size: how many.
        at: the element at an index within the size.
        index_of: the index of an element; anything for what is no element.
    """

    ledger: Any
    sort: Any
    size: Any
    at: Callable[[Any], Any]
    index_of: Callable[[Any], Any]

    def vector(self) -> Vector:
        """Itself, as the records of a list are a vector too."""
        return self

    def has(self, x: Any) -> Any:
        """Whether x is an element."""
        return z3.And(within(0, self.index_of(x), self.size), self.at(self.index_of(x)) == x)

    def every(self, predicate: Callable[[Any], Any]) -> Any:
        """Whether the predicate holds of every element."""
        x = z3.Const("x", self.sort)
        held = bound((x,), lambda x: z3.Implies(self.has(x), predicate(x)))
        return z3.ForAll([x], held)

    def distinct(self) -> Any:
        """Whether each element has one index, which is its `index_of`."""
        k = z3.Int("k")
        return z3.ForAll([k], z3.Implies(within(0, k, self.size), self.index_of(self.at(k)) == k))

    def demand_distinct(self) -> None:
        """No element is there twice, so that what holds of every element holds at every index."""
        self.ledger.demand(self.distinct(), "no element is there twice", keep=False)


class Bucket(Vector):
    """A vector that has a `count`, as `Several` has; the `count` of a list is another thing."""

    __slots__ = ()

    @property
    def count(self) -> Term:
        """How many there are."""
        return Term(self.size)


class Unnamed(NoValue):
    """The blocks that are to get names: a dict by name on plain data, so no list of blocks."""

    __slots__ = ("_blocks",)

    def __init__(self, blocks: Vector) -> None:
        self._blocks = blocks

    def __getattr__(self, name: str) -> NoReturn:
        raise Misuse(
            "blocks by name are a dict on plain data: only drop_each and seal_each take it"
        )


def to_be_named(found: Any) -> Vector:
    """The blocks of what `unnamed` gave."""
    if not isinstance(found, Unnamed):
        raise Misuse("drop_each and seal_each take what unnamed gave, a dict on plain data")
    return found._blocks


class Always(NoValue):
    """One sequence, beside each element of another vector."""

    __slots__ = ("at",)

    def __init__(self, sequence: Any) -> None:
        self.at = lambda _k, z=sequence.z: z


def reversed_of(v: Vector) -> Vector:
    """The same elements, last one first."""
    return Vector(
        v.ledger,
        v.sort,
        v.size,
        lambda k: v.at(v.size - 1 - k),
        lambda x: v.size - 1 - v.index_of(x),
    )


def unknown(ledger: Any, sort: Any, name: str, size: Any) -> Vector:
    """A vector of which nothing is known but its size.

    Args:
        ledger: whose it is.
        sort: of an element.
        name: of its functions.
        size: how many elements.
    """
    at, index_of = z3.Function(name, Int, sort), z3.Function(f"{name}_index", sort, Int)
    return Vector(ledger, sort, size, at, index_of)


def enumerated(ledger: Any, sort: Any, name: str, chosen: Callable[[Any], Any]) -> Vector:
    """The chosen ones, each once, in some order. They are finitely many: who calls it says why.

    Args:
        ledger: that assumes it.
        sort: of an element.
        name: of its functions.
        chosen: whether something is.
    """
    found = unknown(ledger, sort, name, z3.Int(f"{name}_count"))
    for fact in selected(found, chosen):
        ledger.assume(fact)
    return found


def select(ledger: Any, condition: Callable[[Any], Any], v: Vector) -> Vector:
    """The elements of which the condition holds, in some order."""
    v.demand_distinct()
    state = ledger.state.snapshot()
    name = unique("selected")

    def chosen(x: Any) -> Any:
        now, ledger.state = ledger.state, state
        try:
            with ledger.only_asked(condition=True):
                return z3.And(v.has(x), raw(condition(ledger.wrap(v.sort, x))))
        finally:
            ledger.state = now

    return enumerated(ledger, v.sort, name, chosen)


def selected(v: Vector, chosen: Callable[[Any], Any]) -> list[Any]:
    """What holds of a vector of the chosen ones, each once; lemma `select`. There is one only if they are finitely
    many.
    """
    j, x = z3.Int("j"), z3.Const("x", v.sort)

    def has_index(x: Any) -> Any:
        return z3.Implies(chosen(x), v.has(x))

    def is_chosen(j: Any) -> Any:
        return z3.Implies(within(0, j, v.size), z3.And(chosen(v.at(j)), v.index_of(v.at(j)) == j))

    return [
        v.size >= 0,
        z3.ForAll([j], bound((j,), is_chosen)),
        z3.ForAll([x], bound((x,), has_index)),
    ]


def block_ids_of(ledger: Any, tier: Any, blocks: Vector) -> Vector:
    """The block ids of blocks of one tier; the index of a block id is that of the block that owns it."""
    state = ledger.state.snapshot()

    def owner(p: Any) -> Any:
        if isinstance(tier, int):
            return state.owner(tier, p)
        return z3.If(raw(tier) == GPU, state.owner(GPU, p), state.owner(1 - GPU, p))

    return Vector(
        ledger,
        Int,
        blocks.size,
        lambda k: state.block_id(blocks.at(k)),
        lambda p: blocks.index_of(owner(p)),
    )


class Owned(NoValue):
    """A list that a record has: while `Bulk.each` runs for one record of its sort, that record's alone."""

    __slots__ = ("_owner", "ledger")

    def __init__(self, ledger: Any, owner: Any) -> None:
        self.ledger, self._owner = ledger, Record(ledger, owner)

    @property
    def owner(self) -> Any:
        """The record."""
        self._owner._own()
        return self._owner.z


#: Fields that decide what a request holds: its own, or the tables of its members.
HELD_BY = ("blocks", "held", "held_index", "width", "member", "length", "table", "name")


class Table(Owned):
    """The block table of a sequence: what a list is on plain data."""

    __slots__ = ()

    def vector(self) -> Vector:
        """Its blocks as they are now."""
        s, q = self.ledger.state.snapshot(), self.owner
        return Vector(self.ledger, Block, s.length(q), partial(s.table, q), partial(s.index, q))

    def __getitem__(self, index: Any) -> Any:
        s, q = self.ledger.state, self.owner
        if isinstance(index, slice):
            return self.part(index)
        at = raw(index)
        self.ledger.demand(within(0, at, s.length(q)), "table has the entry that is read")
        return self.ledger.wrap(Block, s.table(q, at))

    def part(self, index: slice) -> Vector:
        """The blocks of some entries after another, as they are now."""
        whole = self.vector()
        first = z3.IntVal(0) if index.start is None else raw(index.start)
        end = raw(index.stop)
        self.ledger.demand(
            z3.And(0 <= first, first <= end, end <= whole.size),
            "table has the entries that are read",
        )
        return Vector(
            self.ledger,
            Block,
            end - first,
            lambda k: whole.at(first + k),
            lambda b: whole.index_of(b) - first,
        )

    def _write(self, first: Any, blocks: Vector) -> None:
        """Entries from the first one on name these blocks, which the table did not name."""
        s, q = self.ledger.state, self.owner
        blocks.demand_distinct()
        old = s.snapshot()
        self.ledger.demand(
            blocks.every(lambda b: z3.Not(holds(old, q, b))),
            "the table does not name the blocks yet",
        )
        s.put_where(
            "table",
            lambda x, i: z3.And(x == q, within(first, i, first + blocks.size)),
            lambda _, i: blocks.at(i - first),
        )
        s.put_where(
            "index",
            lambda x, b: z3.And(x == q, blocks.has(b)),
            lambda _, b: first + blocks.index_of(b),
        )

    def extend(self, blocks: Vector) -> None:
        """Append blocks that it does not name."""
        s, q = self.ledger.state, self.owner
        length = s.length(q)
        self._write(length, blocks)
        s.put("length", (q,), length + blocks.size)

    def __setitem__(self, index: Any, blocks: Vector) -> None:
        part = self.part(index)
        self.ledger.demand(part.size == blocks.size, "as many entries as blocks")
        self._write(raw(index.start), blocks)

    def clear(self) -> None:
        """No entry is left."""
        self.ledger.state.put("length", (self.owner,), z3.IntVal(0))


class Held(Owned):
    """The distinct blocks of a request: what the keys of a dict are on plain data. Where the request may have one
    sequence only that dict is made when it is read, so nothing may be written before it is used.
    """

    __slots__ = ("_fields",)

    def __init__(self, ledger: Any, owner: Any) -> None:
        super().__init__(ledger, owner)
        self._fields = dict(ledger.state.fields)

    def vector(self) -> Vector:
        """Its blocks as they are now."""
        if any(self.ledger.state.fields[f] is not self._fields[f] for f in HELD_BY):
            raise Misuse("what a request held is used after it was written: read it anew")
        s, r = self.ledger.state.snapshot(), self.owner
        return Vector(self.ledger, Block, s.blocks(r), partial(s.held, r), s.held_index)

    def update(self, blocks: Vector) -> None:
        """Add blocks that are not there."""
        s, r = self.ledger.state, self.owner
        blocks.demand_distinct()
        held = self.vector()
        self.ledger.demand(
            blocks.every(lambda b: z3.Not(held.has(b))),
            "the request does not hold the blocks yet",
        )
        old = s.snapshot()
        count = old.blocks(r)
        s.put_where(
            "held",
            lambda x, k: z3.And(x == r, within(count, k, count + blocks.size)),
            lambda _, k: blocks.at(k - count),
        )
        s.put_where("held_index", blocks.has, lambda b: count + blocks.index_of(b))
        s.put("blocks", (r,), count + blocks.size)


class Members(Owned):
    """The sequences of a request, in order."""

    __slots__ = ()

    def vector(self) -> Vector:
        """Its sequences as they are now."""
        s, r = self.ledger.state.snapshot(), self.owner
        return Vector(self.ledger, Sequence, s.width(r), partial(s.member, r), s.member_index)

    def __getitem__(self, index: Any) -> Any:
        s, r, at = self.ledger.state, self.owner, raw(index)
        self.ledger.demand(within(0, at, s.width(r)), "member has the entry that is read")
        return self.ledger.wrap(Sequence, s.member(r, at))

    def append(self, sequence: Any) -> None:
        """Append a sequence that is not there."""
        s, r, q = self.ledger.state, self.owner, sequence.z
        self.ledger.demand(
            z3.Not(self.vector().has(q)), "the request does not have the sequence yet"
        )
        s.put("member_index", (q,), s.width(r))
        s.put("member", (r, s.width(r)), q)
        s.put("width", (r,), s.width(r) + 1)

    def remove(self, sequence: Any) -> None:
        """Remove a sequence that is there; the others keep their order."""
        s, r, q = self.ledger.state, self.owner, sequence.z
        before = self.vector()
        self.ledger.demand(before.has(q), "the request has the sequence")
        at, old = s.member_index(q), s.snapshot()
        s.put_where(
            "member",
            lambda x, j: z3.And(x == r, j >= at),
            lambda x, j: old.member(x, j + 1),
        )
        s.put_where(
            "member_index",
            lambda x: z3.And(before.has(x), old.member_index(x) > at),
            lambda x: old.member_index(x) - 1,
        )
        s.put("width", (r,), old.width(r) - 1)

    def clear(self) -> None:
        """No sequence is left."""
        self.ledger.state.put("width", (self.owner,), z3.IntVal(0))
