# pyright: basic, reportOperatorIssue=false, reportAttributeAccessIssue=false
# pyright: reportArgumentType=false, reportAssignmentType=false, reportOptionalMemberAccess=false
"""The operators of prefix caching on formulas: names of tokens, and blocks by name.

Guarantees: each method means on any state what the method of the same name of `ledger.Ledger` does
to plain data; the tests that `operators.py` names hold the two against each other.

`word(q, i)` is a prophecy: from the beginning it is the name that the block is ever given, where plain data has 0
until `Ledger.name_blocks` gives it. Whatever plain data does before is something that is proved: `name_of` and
`all_listed` are asked by guards, which refuse 0; `unnamed` and `inherit` say why below.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import z3

from lineclear_spec.invariants import INVARIANTS, leads
from lineclear_spec.logic import negate
from lineclear_spec.state import Block, Int, Request, Sequence, State, quantify, unique
from lineclear_spec.terms import Record, Term, raw
from lineclear_spec.vectors import Vector, select, selected, within

__all__ = ["Cache", "only_entry", "others_of"]


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
    return s.word(*entry_of(s, b))


def its_request_holds(s: State, b: Any) -> Any:
    """Whether a block is held by the request that it belongs to."""
    r = s.group(b)
    return z3.And(within(0, s.slot(b), s.blocks(r)), s.held(r, s.slot(b)) == b)


def facts_of_drop_each(
    old: State, blocks: Vector, n: Any, count: Any, at: Any, slot: Any
) -> list[Any]:
    """What holds of the sets of all requests once the first n blocks have left that of their own; lemma
    `drop_each`.

    Args:
        old: the state before.
        blocks: distinct blocks, each held by its request.
        n: how many of them have left.
        count: blocks held, by request.
        at: block held, by request and index.
        slot: index of each block.
    """
    r, k, b = z3.Const("r", Request), z3.Int("k"), z3.Const("b", Block)

    def gone(b: Any) -> Any:
        return z3.And(blocks.has(b), blocks.seat(b) < n)

    def there(b: Any) -> Any:
        return z3.And(its_request_holds(old, b), z3.Not(gone(b)))

    mine = z3.And(there(at(r, k)), old.group(at(r, k)) == r, slot(at(r, k)) == k)
    again = z3.And(within(0, slot(b), count(old.group(b))), at(old.group(b), slot(b)) == b)
    return [
        z3.ForAll([r], z3.And(0 <= count(r), count(r) <= old.blocks(r))),
        z3.ForAll([r, k], z3.Implies(within(0, k, count(r)), mine)),
        z3.ForAll([b], z3.Implies(there(b), again)),
    ]


def others_of(
    old: State,
    leaves: Callable[[Any], Any],
    b: Any,
    count: Any,
    holder: Callable[[Any], Any],
    rank: Callable[[Any], Any],
    bound: list[Any],
) -> list[Any]:
    """What holds of the holders of a block that do not leave it, listed anew; lemma `others_of`.

    Args:
        old: the state before.
        leaves: whether a sequence does.
        b: the block.
        count: how many there are.
        holder: each, by its rank.
        rank: of each.
        bound: [b] to state it of every block, [] to state it of this one.
    """
    k, q = z3.Int("k"), z3.Const("q", Sequence)

    def other(q: Any) -> Any:
        at = old.rank(q, b)
        return z3.And(within(0, at, old.ref(b)), old.holder(b, at) == q, z3.Not(leaves(q)))

    return [
        quantified(bound, z3.And(0 <= count, count <= old.ref(b))),
        z3.ForAll(
            [*bound, k],
            z3.Implies(within(0, k, count), z3.And(other(holder(k)), rank(holder(k)) == k)),
        ),
        z3.ForAll(
            [*bound, q],
            z3.Implies(other(q), z3.And(within(0, rank(q), count), holder(rank(q)) == q)),
        ),
    ]


def quantified(bound: list[Any], formula: Any) -> Any:
    """The formula for every value of the variables, if there are any."""
    return z3.ForAll(bound, formula) if bound else formula


class Cache:
    """The operators of a symbolic ledger over names."""

    state: State
    wrote: bool
    assume: Callable[[Any], None]
    demand: Callable[..., None]
    demand_of_lemma: Callable[[Any, str], None]
    presume: Callable[[str], None]
    _by_lemma: Callable[[str, Any], None]

    # ---- names of tokens -----------------------------------------------------------------------------

    def name_of(self, sequence: Any, index: Any) -> Term:
        """The name of the tokens of a block and of all before them; 0 if they have none."""
        self.demand(Term(raw(index) >= 0), "the block is not before the table")
        return Term(self.state.word(sequence.z, raw(index)))

    def inherit(self, parent: Any, child: Any, count: Any) -> None:
        """The child's first names are its parent's.

        Those that are given later are the same only if the caller names the same tokens alike, in both: this the
        proofs presume of callers, as that names are honest.
        """
        s, n = self.state, raw(count)
        word = s.word
        s.fields["word"] = lambda q, i: z3.If(
            z3.And(q == child.z, 0 <= i, i < n), word(parent.z, i), word(q, i)
        )
        self.wrote = True

    # ---- blocks by name ------------------------------------------------------------------------------

    def is_listed(self, name: Any) -> Term:
        """Whether a block can be found under the name."""
        return Term(leads(self.state, raw(name)))

    def all_listed(self, sequence: Any, count: Any) -> Term:
        """Whether a block can be found under each of the sequence's first names."""
        q, i = sequence.z, z3.Int("i")
        self.demand(Term(raw(count) >= 0), "the number of names is not negative")
        return Term(
            z3.ForAll(
                [i],
                z3.Implies(within(0, i, raw(count)), leads(self.state, self.state.word(q, i))),
                patterns=[self.state.word(q, i)],
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
            lambda k: s.cached(s.word(q, k)),
            lambda b: s.preceding(s.name(b)),
        )

    def finds(self, block: Any) -> Term:
        """Whether the block can be found under its name."""
        return Term(self.state.listed(block.z))

    def found_among(self, blocks: Vector) -> Vector:
        """Of the blocks, those that can be found under their names."""
        self._demand_named(blocks)
        return select(self, self.finds, blocks)

    def lost_among(self, blocks: Vector) -> Vector:
        """Of the blocks, those that can be found no more."""
        self._demand_named(blocks)
        return select(self, lambda block: negate(self.finds(block)), blocks)

    def _demand_named(self, blocks: Vector) -> None:
        """Plain data looks none up as long as every block with a name can be found."""
        s = self.state
        self.demand(Term(blocks.every(lambda b: s.name(b) >= 1)), "each of the blocks has a name")

    def alone(self, block: Any) -> Vector:
        """The block as the only one of a list."""
        only = block.z
        return Vector(self, Block, z3.IntVal(1), lambda _k: only, lambda _b: z3.IntVal(0))

    def seal(self, sequence: Any, index: Any, name: Any) -> None:
        """The block of an entry, which no other entry names, gets a name under which it can be found."""
        s, q, at, n = self.state, sequence.z, raw(index), raw(name)
        b = s.table(q, at)
        self.demand(Term(within(0, at, s.length(q))), "the table has the entry")
        self.demand(Term(s.ref(b) == 1), "one entry names the block")
        self._by_lemma("references", only_entry(s, q, at))
        self.demand(Term(n >= 1), "0 is no name")
        self.demand(Term(s.name(b) == 0), "the block has no name")
        self.demand(Term(z3.Not(leads(self.state, n))), "no block can be found under the name")
        s.put("name", (b,), n)
        s.put("listed", (b,), z3.BoolVal(True))
        s.put("cached", (n,), b)
        self.wrote = True

    def unnamed(self, sequence: Any, first: Any, end: Any) -> Vector:
        """The blocks from one entry to before another that `publish` may publish. Each is known by the only entry
        that names it.

        Plain data leaves those out whose names are not given yet. It seals the rest as `publish` would one after
        another, which is proved too (`deltas.cache.may_be_published` repeats the guards of `publish`). No two of
        them have one name, since a name tells how many blocks precede its own (`words`).
        """
        s, low, high = self.state.snapshot(), raw(first), raw(end)
        self.demand(Term(0 <= low), "the entries are not before the table")
        self.demand(Term(low <= high), "they do not end before they begin")
        self._by_lemma("references", only_entries(s))
        name = unique("unnamed")
        block, seat = z3.Function(name, Int, Block), z3.Function(f"{name}_seat", Block, Int)
        size = z3.Int(f"{name}_count")

        def chosen(b: Any) -> Any:
            q, k = entry_of(s, b)
            return z3.And(
                q == sequence.z,
                s.ref(b) == 1,
                s.name(b) == 0,
                within(low, k, high),
                within(0, k, s.length(q)),
                s.table(q, k) == b,
                s.word(q, k) >= 1,
                z3.Not(leads(s, s.word(q, k))),
            )

        # They are finitely many, as the entries of a table are, which `lemma_select` filters.
        for fact in selected(Block, size, block, seat, chosen):
            self.assume(fact)
        return Vector(self, Block, size, lambda k: block(k), lambda b: seat(b))

    def drop_each(self, blocks: Vector) -> None:
        """Each block leaves its request, and gets its name next; the order of the rest is open."""
        s = self.state
        blocks.demand_distinct()
        old = s.snapshot()
        self.demand(
            Term(blocks.every(lambda b: its_request_holds(old, b))), "its request holds each block"
        )
        for clause in INVARIANTS["holdings"].clauses:
            if clause.label == "listed":
                fact = quantify(clause.domains, lambda *x, c=clause: c.predicate(old, *x))
                self.demand_of_lemma(fact, "a request holds each of its blocks once")
        x = z3.Const("x", Request)
        self.demand_of_lemma(z3.ForAll([x], old.blocks(x) >= 0), "no set has a negative size")
        self.demand_of_lemma(blocks.size >= 0, "no vector has a negative size")
        name = unique("kept")
        count = z3.Function(f"{name}_count", Request, Int)
        at = z3.Function(name, Request, Int, Block)
        slot = z3.Function(f"{name}_slot", Block, Int)
        for fact in facts_of_drop_each(old, blocks, blocks.size, count, at, slot):
            self.assume(fact)
        s.fields["blocks"] = lambda r: count(r)
        s.fields["held"] = lambda r, k: at(r, k)
        s.fields["slot"] = lambda b: slot(b)
        self.wrote = True

    def seal_each(self, blocks: Vector) -> None:
        """Each block gets its name, under which it can be found."""
        s = self.state
        old = s.snapshot()
        self.demand(
            Term(
                blocks.every(
                    lambda b: z3.And(named_by(old, b) >= 1, z3.Not(leads(old, named_by(old, b))))
                )
            ),
            "each has a name under which no block can be found",
        )
        a, b = z3.Consts("a b", Block)
        one_name = z3.And(blocks.has(a), blocks.has(b), named_by(old, a) == named_by(old, b))
        apart = z3.ForAll([a, b], z3.Implies(one_name, a == b))
        self.demand(Term(apart), "no two of the blocks have one name", keep=False)
        # There is such a function: no two of the blocks have one name, which was demanded just before.
        owner = z3.Function(unique("owner"), Int, Block)
        self.assume(z3.ForAll([b], z3.Implies(blocks.has(b), owner(named_by(old, b)) == b)))

        def given(n: Any) -> Any:
            return z3.And(blocks.has(owner(n)), named_by(old, owner(n)) == n)

        s.fields["name"] = lambda b: z3.If(blocks.has(b), named_by(old, b), old.name(b))
        s.fields["listed"] = lambda b: z3.Or(blocks.has(b), old.listed(b))
        s.fields["cached"] = lambda n: z3.If(given(n), owner(n), old.cached(n))
        self.wrote = True

    def forget_name(self, name: Any) -> None:
        """No block can be found under the name any more."""
        self.demand(self.is_listed(name), "a block can be found under the name")
        self.state.put("listed", (self.state.cached(raw(name)),), z3.BoolVal(False))
        self.wrote = True

    def drop_sealed(self, request: Any) -> Vector:
        """The tables of the request's sequences name no sealed block any more; the sealed blocks that
        no entry names then, in some order.
        """
        of, r = self.state.snapshot().request, request.z
        return self._drop_holders(lambda q: of(q) == r)

    def drop_sealed_each(self, sequences: Vector) -> Vector:
        """The tables of the sequences name no sealed block any more; the sealed blocks that no entry names then."""
        return self._drop_holders(sequences.has)

    def _drop_holders(self, leaves: Callable[[Any], Any]) -> Vector:
        """The tables of the sequences that leave name no sealed block any more; the sealed blocks that no entry
        names then, in some order.
        """
        s = self.state
        old = s.snapshot()
        counted = z3.Const("b", Block)
        self.demand(
            Term(z3.ForAll([counted], old.ref(counted) >= 0)),
            "no block is named fewer than 0 times",
        )
        j = z3.Int("j")
        ranked = z3.Implies(
            within(0, j, old.ref(counted)), old.rank(old.holder(counted, j), counted) == j
        )
        self.demand_of_lemma(z3.ForAll([counted, j], ranked), "a sequence holds a block once")
        name = unique("dropped")
        count = z3.Function(f"{name}_ref", Block, Int)
        holder = z3.Function(f"{name}_holder", Block, Int, Sequence)
        rank = z3.Function(f"{name}_rank", Sequence, Block, Int)
        b = z3.Const("b", Block)
        now = count(b), lambda k: holder(b, k), lambda q: rank(q, b)
        for fact in others_of(old, leaves, b, *now, [b]):
            self.assume(fact)
        s.fields["ref"] = lambda b: z3.If(old.name(b) != 0, count(b), old.ref(b))
        s.fields["holder"] = lambda b, k: z3.If(old.name(b) != 0, holder(b, k), old.holder(b, k))
        s.fields["rank"] = lambda q, b: z3.If(old.name(b) != 0, rank(q, b), old.rank(q, b))
        at, seat = z3.Function(name, Int, Block), z3.Function(f"{name}_seat", Block, Int)
        size = z3.Int(f"{name}_count")

        def chosen(b: Any) -> Any:
            return z3.And(old.ref(b) >= 1, old.name(b) != 0, count(b) == 0)

        # They are finitely many: each was named by an entry, and all its holders were sequences that leave, of
        # which there are finitely many, each with a finite table (`members`, `references`: what was
        # written of `ref` since `references` held, if anything, is that of private blocks).
        self.presume("members")
        for fact in selected(Block, size, at, seat, chosen):
            self.assume(fact)
        self.wrote = True
        return Vector(self, Block, size, lambda k: at(k), lambda b: seat(b))

    def rest(self, _blocks: Any) -> None:
        """Which block has rested longest is no part of the state."""

    def wake(self, _blocks: Any) -> None:
        """Which block has rested longest is no part of the state."""
