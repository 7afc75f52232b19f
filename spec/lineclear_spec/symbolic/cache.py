# pyright: basic, reportOperatorIssue=false, reportAttributeAccessIssue=false
# pyright: reportArgumentType=false, reportAssignmentType=false, reportOptionalMemberAccess=false
"""The operators of prefix caching on formulas: names of tokens, and blocks by name.

Guarantees: each method means on any state what the method of the same name of `kernel.ledger.Ledger` does
to plain data; the tests that `kernel/operators.py` names hold the two against each other.

`block_name(q, i)` is a prophecy: from the beginning it is the name that the block is ever given, where plain data has 0
until `Ledger.name_blocks` gives it. What plain data does before, some run of which the proofs speak does: `name_of` and
`all_listed` are asked by guards, which refuse 0; `unnamed` and `inherit` say why below; of `free_tables`, which
`finish_each` runs, `Ledger.name_blocks` says it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import z3

from lineclear_spec.invariants import leads, within
from lineclear_spec.logic import not_
from lineclear_spec.symbolic.state import Block, Int, Sequence, State, unique
from lineclear_spec.symbolic.terms import Record, Term, Whole, raw
from lineclear_spec.symbolic.vectors import Unnamed, Vector, enumerated, select, to_be_named


def only_entry(s: State, q: Any, at: Any) -> Any:
    """Of a block that one entry names, every entry that names it is that one; lemma `only_entry`."""
    x, j = z3.Const("x", Sequence), z3.Int("j")
    b = s.table(q, at)
    return z3.ForAll(
        [x, j],
        z3.Implies(
            z3.And(within(0, j, s.length(x)), s.table(x, j) == b, s.ref(b) == 1),
            z3.And(x == q, j == at),
        ),
        patterns=[s.table(x, j)],
    )


def only_entries(s: State) -> Any:
    """Of every block that one entry names, the entry is that of its first holder; lemma `only_entry`."""
    x, j = z3.Const("x", Sequence), z3.Int("j")
    b = s.table(x, j)
    q, k = entry_of(s, b)
    return z3.ForAll(
        [x, j],
        z3.Implies(z3.And(within(0, j, s.length(x)), s.ref(b) == 1), z3.And(x == q, j == k)),
        patterns=[s.table(x, j)],
    )


def entry_of(s: State, b: Any) -> tuple[Any, Any]:
    """Sequence and index of the entry that names a block, if one does."""
    q = s.holder(b, 0)
    return q, s.index(q, b)


def named_by(s: State, b: Any) -> Any:
    """The name of the tokens of a block that one entry names."""
    return s.block_name(*entry_of(s, b))


def may_be_sealed(s: State, b: Any) -> Any:
    """Whether one entry names the block, and `publish` would seal it as far as that entry's block and name decide."""
    q, k = entry_of(s, b)
    return z3.And(
        s.ref(b) == 1,
        s.name(b) == 0,
        within(0, k, s.length(q)),
        s.table(q, k) == b,
        s.block_name(q, k) >= 1,
        z3.Not(leads(s, s.block_name(q, k))),
    )


class Cache(Whole):
    """The operators of a symbolic ledger over names."""

    # ---- names of tokens -----------------------------------------------------------------------------

    def name_of(self, sequence: Any, index: Any) -> Term:
        """The name of the tokens of a block and of all before them; 0 if they have none."""
        self.demand(raw(index) >= 0, "the block is not before the table")
        return Term(self.state.block_name(sequence.z, raw(index)))

    def inherit(self, parent: Any, child: Any, count: Any) -> None:
        """The child's first names are its parent's.

        Those that are given later are the same only if the caller names the same tokens alike, in both: this the
        proofs presume of callers, as that names are honest.
        """
        s, n = self.state, raw(count)
        self.demand(n >= 0, "the number of names is not negative")
        word = s.block_name
        s.put_where(
            "block_name",
            lambda q, i: z3.And(q == child.z, 0 <= i, i < n),
            lambda _, i: word(parent.z, i),
        )

    # ---- blocks by name ------------------------------------------------------------------------------

    def is_listed(self, name: Any) -> Term:
        """Whether a block can be found under the name."""
        return Term(leads(self.state, raw(name)))

    def all_listed(self, sequence: Any, count: Any) -> Term:
        """Whether a block can be found under each of the sequence's first names."""
        q, i = sequence.z, z3.Int("i")
        self.demand(raw(count) >= 0, "the number of names is not negative")
        return Term(
            z3.ForAll(
                [i],
                z3.Implies(
                    within(0, i, raw(count)), leads(self.state, self.state.block_name(q, i))
                ),
                patterns=[self.state.block_name(q, i)],
            )
        )

    def listing(self, name: Any) -> Any:
        """The block that is found under the name."""
        self.demand(self.is_listed(name), "a block can be found under the name")
        return Record(self, self.state.cached(raw(name)))

    def found(self, sequence: Any, count: Any) -> Vector:
        """The blocks that are found under the sequence's first names."""
        self.demand(
            self.all_listed(sequence, count), "a block can be found under each of the names"
        )
        s, q = self.state.snapshot(), sequence.z
        return Vector(
            self,
            Block,
            raw(count),
            lambda k: s.cached(s.block_name(q, k)),
            lambda b: s.preceding(s.name(b)),
        )

    def finds(self, block: Any) -> Term:
        """Whether the block can be found under its name."""
        block._own()
        return Term(self.state.listed(block.z))

    def found_among(self, blocks: Vector) -> Vector:
        """Of the blocks, those that can be found under their names."""
        self._demand_named(blocks)
        return select(self, self.finds, blocks)

    def lost_among(self, blocks: Vector) -> Vector:
        """Of the blocks, those that can be found no more."""
        self._demand_named(blocks)
        return select(self, lambda block: not_(self.finds(block)), blocks)

    def _demand_named(self, blocks: Vector) -> None:
        """Plain data looks none up as long as every block with a name can be found."""
        s = self.state
        self.demand(blocks.every(lambda b: s.name(b) >= 1), "each of the blocks has a name")

    def alone(self, block: Any) -> Vector:
        """The block as the only one of a list."""
        only = block.z
        return Vector(self, Block, z3.IntVal(1), lambda _k: only, lambda _b: z3.IntVal(0))

    def seal(self, sequence: Any, index: Any, name: Any) -> None:
        """The block of an entry, which no other entry names, gets a name under which it can be found."""
        s, q, at, n = self.state, sequence.z, raw(index), raw(name)
        b = s.table(q, at)
        self.demand(within(0, at, s.length(q)), "the table has the entry")
        self.demand(s.ref(b) == 1, "one entry names the block")
        self._by_lemma("references", only_entry(s, q, at))
        self.demand(n >= 1, "0 is no name")
        self.demand(s.name(b) == 0, "the block has no name")
        self.demand(z3.Not(leads(self.state, n)), "no block can be found under the name")
        s.put("name", (b,), n)
        s.put("listed", (b,), z3.BoolVal(True))
        s.put("cached", (n,), b)

    def unnamed(self, sequence: Any, first: Any, end: Any) -> Unnamed:
        """The blocks from one entry to before another that `publish` may publish. Each is known by the only entry
        that names it.

        Plain data leaves those out whose names are not given yet. It seals the rest as `publish` would one after
        another, which is proved too (`postconditions.cache.may_be_published` repeats the guards of `publish`). No two
        of them have one name, since a name tells how many blocks precede its own (`block_names`).
        """
        s, low, high = self.state.snapshot(), raw(first), raw(end)
        self.demand(0 <= low, "the entries are not before the table")
        self.demand(low <= high, "they do not end before they begin")
        self._by_lemma("references", only_entries(s))

        def chosen(b: Any) -> Any:
            q, k = entry_of(s, b)
            return z3.And(q == sequence.z, within(low, k, high), may_be_sealed(s, b))

        # They are finitely many, as the entries of a table are, which `lemma_select` filters.
        return Unnamed(enumerated(self, Block, unique("unnamed"), chosen))

    def seal_each(self, unnamed: Any) -> None:
        """Each block gets its name, under which it can be found."""
        s, blocks = self.state, to_be_named(unnamed)
        old = s.snapshot()
        self.demand(
            blocks.every(
                lambda b: z3.And(named_by(old, b) >= 1, z3.Not(leads(old, named_by(old, b))))
            ),
            "each has a name under which no block can be found",
        )
        a, b = z3.Consts("a b", Block)
        one_name = z3.And(blocks.has(a), blocks.has(b), named_by(old, a) == named_by(old, b))
        apart = z3.ForAll([a, b], z3.Implies(one_name, a == b))
        self.demand(apart, "no two of the blocks have one name", keep=False)
        # There is such a function: no two of the blocks have one name, which was demanded just before.
        owner = z3.Function(unique("owner"), Int, Block)
        self.assume(z3.ForAll([b], z3.Implies(blocks.has(b), owner(named_by(old, b)) == b)))

        self._name_each(blocks.has, owner)

    def _name_each(self, gets: Callable[[Any], Any], first: Callable[[Any], Any]) -> None:
        """The blocks of which `gets` holds get their names, under each of which the `first` of them is found."""
        s = self.state
        old = s.snapshot()

        def given(n: Any) -> Any:
            return z3.And(gets(first(n)), named_by(old, first(n)) == n)

        s.put_where("name", gets, lambda b: named_by(old, b))
        s.fields["listed"] = lambda b: z3.Or(gets(b), old.listed(b))
        s.put_where("cached", given, first)

    def forget_name(self, name: Any) -> None:
        """No block can be found under the name any more."""
        self.demand(self.is_listed(name), "a block can be found under the name")
        self.state.put("listed", (self.state.cached(raw(name)),), z3.BoolVal(False))

    def rest(self, _blocks: Any) -> None:
        """Which block has rested longest is no part of the state."""

    wake = rest
