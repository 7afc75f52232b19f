# pyright: basic, reportOperatorIssue=false, reportAttributeAccessIssue=false
# pyright: reportArgumentType=false, reportAssignmentType=false, reportOptionalMemberAccess=false
"""The blocks that requests hold and that tables name, on formulas: one more for each, or some less.

Guarantees: each method means on any state what the method of the same name of `kernel.ledger.Ledger` does
to plain data, and keeps the inverse maps that plain data does not have (`held_index`, `index`). What is not a
definition is the statement of a lemma that is proved by induction over single elements (`proof/lemmas.py`).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import z3

from lineclear_spec.invariants import INVARIANTS, holds, within
from lineclear_spec.symbolic.state import Block, Int, Request, State, stated, unique
from lineclear_spec.symbolic.terms import Whole
from lineclear_spec.symbolic.vectors import Held, Vector, to_be_named, unknown


def facts_of_remove_all(before: Vector, gone: Vector, after: Vector) -> list[Any]:
    """What holds of a set from which some elements were removed; lemma `remove_all`."""
    k, b = z3.Int("k"), z3.Const("b", before.sort)
    return [
        after.size >= 0,
        z3.ForAll(
            [k],
            z3.Implies(
                within(0, k, after.size),
                z3.And(
                    before.has(after.at(k)),
                    z3.Not(gone.has(after.at(k))),
                    after.index_of(after.at(k)) == k,
                ),
            ),
        ),
        z3.ForAll([b], z3.Implies(z3.And(before.has(b), z3.Not(gone.has(b))), after.has(b))),
    ]


def facts_of_hold_each(
    old: Any,
    blocks: Vector,
    owner: Callable[[Any], Any],
    n: Any,
    count: Any,
    at: Any,
    index_of: Any,
) -> list[Any]:
    """What holds of the sets of all requests once the first n blocks are in that of their owner; lemma `hold_each`.

    Args:
        old: the state before.
        blocks: distinct blocks that are in no such set.
        owner: the request of the k-th block.
        n: how many of them are there.
        count: blocks held, by request.
        at: block held, by request and index.
        index_of: the index of each block.
    """
    r, k, b = z3.Const("r", Request), z3.Int("k"), z3.Const("b", Block)

    def fresh(b: Any) -> Any:
        return z3.And(blocks.has(b), blocks.index_of(b) < n)

    return [
        z3.ForAll([r], count(r) >= old.blocks(r)),
        z3.ForAll(
            [r, k],
            z3.Implies(within(0, k, old.blocks(r)), at(r, k) == old.held(r, k)),
        ),
        z3.ForAll(
            [r, k],
            z3.Implies(
                within(old.blocks(r), k, count(r)),
                z3.And(
                    fresh(at(r, k)),
                    owner(blocks.index_of(at(r, k))) == r,
                    index_of(at(r, k)) == k,
                ),
            ),
        ),
        z3.ForAll(
            [b],
            z3.If(
                fresh(b),
                z3.And(
                    within(0, index_of(b), count(owner(blocks.index_of(b)))),
                    at(owner(blocks.index_of(b)), index_of(b)) == b,
                ),
                index_of(b) == old.held_index(b),
            ),
        ),
    ]


def is_held(s: State, r: Any, b: Any) -> Any:
    """Whether the request holds the block."""
    at = s.held_index(b)
    return z3.And(within(0, at, s.blocks(r)), s.held(r, at) == b)


def its_request_holds(s: State, b: Any) -> Any:
    """Whether a block is held by the request that it belongs to."""
    return is_held(s, s.group(b), b)


def facts_of_drop_each(
    old: State, blocks: Vector, n: Any, count: Any, at: Any, index_of: Any
) -> list[Any]:
    """What holds of the sets of all requests once the first n blocks have left that of their own; lemma `drop_each`.

    Args:
        old: the state before.
        blocks: distinct blocks, each held by its request.
        n: how many of them have left.
        count: blocks held, by request.
        at: block held, by request and index.
        index_of: the index of each block.
    """
    r, k, b = z3.Const("r", Request), z3.Int("k"), z3.Const("b", Block)

    def gone(b: Any) -> Any:
        return z3.And(blocks.has(b), blocks.index_of(b) < n)

    def there(b: Any) -> Any:
        return z3.And(its_request_holds(old, b), z3.Not(gone(b)))

    mine = z3.And(there(at(r, k)), old.group(at(r, k)) == r, index_of(at(r, k)) == k)
    again = z3.And(within(0, index_of(b), count(old.group(b))), at(old.group(b), index_of(b)) == b)
    return [
        z3.ForAll([r], z3.And(0 <= count(r), count(r) <= old.blocks(r))),
        z3.ForAll([r, k], z3.Implies(within(0, k, count(r)), mine)),
        z3.ForAll([b], z3.Implies(there(b), again)),
    ]


def held_fields(held: str, count: str, index: str) -> tuple[Any, Any, Any]:
    """What each request holds, under these names: how many blocks, the block at each index, the index of each."""
    return (
        z3.Function(count, Request, Int),
        z3.Function(held, Request, Int, Block),
        z3.Function(index, Block, Int),
    )


class Holdings(Whole):
    """The operators of a symbolic ledger over the blocks that each request holds.

    They make `Held` themselves: `request.held` is for who reads it, and asks that tables and holdings agree
    (`presume_tables`), which a step that is half done has not restored.
    """

    def hold(self, request: Any, blocks: Vector, block_ids: Vector) -> None:
        """The request holds blocks that it does not hold yet, and that are at these block ids."""
        k, s = z3.Int("k"), self.state
        at = z3.Implies(within(0, k, blocks.size), s.block_id(blocks.at(k)) == block_ids.at(k))
        same = z3.And(blocks.size == block_ids.size, z3.ForAll([k], at))
        self.demand(same, "the block ids are those of the blocks")
        Held(self, request.z).update(blocks)

    def remove_all(self, request: Any, blocks: Vector) -> None:
        """Blocks that no entry names any more, or that are sealed, leave their request; the order of the
        rest is open.
        """
        held = Held(self, request.z)
        s, r = self.state, held.owner
        blocks.demand_distinct()
        before = held.vector()
        self.demand(blocks.every(before.has), "the request holds the blocks")
        self.demand_of_lemma(before.distinct(), "the request holds each block once")
        self.demand_of_lemma(
            z3.And(before.size >= 0, blocks.size >= 0), "no set has a negative size"
        )
        self.demand(
            blocks.every(lambda b: z3.Or(s.ref(b) == 0, s.name(b) != 0)),
            "no entry names the blocks, or they are sealed",
        )
        after = unknown(self, Block, unique("left"), before.size - blocks.size)
        for fact in facts_of_remove_all(before, blocks, after):
            self.assume(fact)
        s.put_where("held", lambda x, _: x == r, lambda _, k: after.at(k))
        s.put_where("held_index", before.has, after.index_of)
        s.put("blocks", (r,), after.size)

    def empty(self, request: Any) -> None:
        """Nothing is held, and no entry names the blocks any more: their `ref` is 0.

        On plain data they keep the `ref` that they had: nothing leads to them any more, since they were private
        and the tables of their request are cleared in the same block step (`blocks.clear_tables`).
        """
        held = Held(self, request.z)
        s, r = self.state, held.owner
        gone = held.vector()
        self.freed = True
        s.put_where("ref", gone.has, 0)
        s.put("blocks", (r,), z3.IntVal(0))

    def append_new_each(self, sequences: Vector, block_ids: Vector) -> None:
        """Append one new block at a block id just taken to the table of each sequence, whose request holds it."""
        blocks = self.new_blocks(sequences, block_ids)
        self._hold_each(sequences, blocks)
        self._append_each(sequences, blocks)

    def _hold_each(self, sequences: Vector, blocks: Vector) -> None:
        """Each block is held by the request of its sequence."""
        blocks.demand_distinct()
        old = self.state.snapshot()

        def owner(k: Any) -> Any:
            return old.request(sequences.at(k))

        self.demand(blocks.size == sequences.size, "as many blocks as sequences")
        self.demand(
            blocks.every(lambda b: z3.Not(is_held(old, owner(blocks.index_of(b)), b))),
            "the request does not hold the block yet",
        )
        self._list_anew(blocks, unique("holding"), partial(facts_of_hold_each, old, blocks, owner))

    def _list_anew(self, blocks: Vector, name: str, facts: Callable[..., list[Any]]) -> None:
        """What each request holds is known from the facts of a lemma alone.

        Args:
            blocks: of which the lemma speaks.
            name: of the functions.
            facts: of the number of blocks, and of the three fields.
        """
        s, x = self.state, z3.Const("x", Request)
        some = z3.ForAll([x], s.blocks(x) >= 0)
        self.demand_of_lemma(some, "no set has a negative size")
        self.demand_of_lemma(blocks.size >= 0, "no vector has a negative size")
        fields = held_fields(name, f"{name}_count", f"{name}_index")
        for fact in facts(blocks.size, *fields):
            self.assume(fact)
        s.fields["blocks"], s.fields["held"], s.fields["held_index"] = fields

    def _append_each(self, sequences: Vector, blocks: Vector) -> None:
        """Append each block to the table of its sequence."""
        s = self.state
        blocks.demand_distinct()
        sequences.demand_distinct()
        self.demand(blocks.size == sequences.size, "as many blocks as sequences")
        old = s.snapshot()

        self.demand(
            blocks.every(lambda b: z3.Not(holds(old, sequences.at(blocks.index_of(b)), b))),
            "the table does not name the block yet",
        )
        s.put_where(
            "table",
            lambda q, i: z3.And(sequences.has(q), i == old.length(q)),
            lambda q, _: blocks.at(sequences.index_of(q)),
        )
        s.put_where(
            "index",
            lambda q, b: z3.And(blocks.has(b), q == sequences.at(blocks.index_of(b))),
            lambda q, _: old.length(q),
        )
        s.fields["length"] = lambda q: old.length(q) + z3.If(sequences.has(q), 1, 0)

    def drop_each(self, unnamed: Any) -> None:
        """Each block leaves its request, and gets its name next; the order of the rest is open."""
        blocks = to_be_named(unnamed)
        blocks.demand_distinct()
        old = self.state.snapshot()
        self.demand(
            blocks.every(lambda b: its_request_holds(old, b)), "its request holds each block"
        )
        for clause in INVARIANTS["holdings"].clauses:
            if clause.label == "listed":
                fact = stated(clause, old)
                self.demand_of_lemma(fact, "a request holds each of its blocks once")
        self._list_anew(blocks, unique("kept"), partial(facts_of_drop_each, old, blocks))
