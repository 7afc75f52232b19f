# pyright: basic, reportOperatorIssue=false, reportAttributeAccessIssue=false
# pyright: reportArgumentType=false, reportAssignmentType=false, reportOptionalMemberAccess=false
"""The records of blocks on formulas: new ones, where each lives, and which sequences name it.

Guarantees: each method means on any state what the method of the same name of `kernel.ledger.Ledger` does to plain
data, and keeps the inverse maps that plain data does not have (`owner`, `holder`, `holder_index`). What is not a
definition is the
statement of a lemma (`proof/lemmas.py`), or the assumption that new records can be made (`new_blocks`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import z3

from lineclear_spec.invariants import present, within
from lineclear_spec.kernel.records import GPU
from lineclear_spec.symbolic.state import Block, Int, Sequence, State, unique
from lineclear_spec.symbolic.terms import Misuse, Whole
from lineclear_spec.symbolic.vectors import Vector, enumerated, unknown


def others_of(
    old: State,
    leaves: Callable[[Any], Any],
    b: Any,
    count: Any,
    holder: Callable[[Any], Any],
    index_of: Callable[[Any], Any],
    bound: list[Any],
) -> list[Any]:
    """What holds of the holders of a block that do not leave it, listed anew; lemma `others_of`.

    Args:
        old: the state before.
        leaves: whether a sequence does.
        b: the block.
        count: how many there are.
        holder: each, by its index.
        index_of: the index of each.
        bound: [b] to state it of every block, [] to state it of this one.
    """
    k, q = z3.Int("k"), z3.Const("q", Sequence)

    def other(q: Any) -> Any:
        at = old.holder_index(q, b)
        return z3.And(within(0, at, old.ref(b)), old.holder(b, at) == q, z3.Not(leaves(q)))

    return [
        quantified(bound, z3.And(0 <= count, count <= old.ref(b))),
        z3.ForAll(
            [*bound, k],
            z3.Implies(within(0, k, count), z3.And(other(holder(k)), index_of(holder(k)) == k)),
        ),
        z3.ForAll(
            [*bound, q],
            z3.Implies(other(q), z3.And(within(0, index_of(q), count), holder(index_of(q)) == q)),
        ),
    ]


def quantified(bound: list[Any], formula: Any) -> Any:
    """The formula for every value of the variables, if there are any."""
    return z3.ForAll(bound, formula) if bound else formula


class Blocks(Whole):
    """The operators of a symbolic ledger over the fields of each block."""

    def new_blocks(self, sequences: Any, block_ids: Vector) -> Vector:
        """New blocks at GPU blocks just taken, each of the request of its sequence and named by it once.

        A block that nothing names, that has no name and cannot be found is one that is not there yet. That there
        are as many of those as are wanted is assumed, not proved: a ledger can always make another Python object,
        so the sort has unused elements without end. (The record of a GPU block stands for its next block. That
        nothing leads to it while the block id is free is tested, `tests/spec/kernel/test_spare_records.py`.)
        """
        s = self.state
        blocks = unknown(self, Block, unique("new"), block_ids.size)
        old = s.snapshot()
        b = z3.Const("b", Block)
        lives = z3.And(present(old, b), old.tier(b) == GPU, block_ids.has(old.block_id(b)))
        self.demand(z3.ForAll([b], z3.Not(lives)), "no block is at the block ids", keep=False)
        self.assume(blocks.distinct())
        self.assume(
            blocks.every(
                lambda b: z3.And(old.ref(b) == 0, z3.Not(old.listed(b)), old.name(b) == 0)
            )
        )

        def owner(b: Any) -> Any:
            return sequences.at(blocks.index_of(b))

        self._lie(blocks, GPU, block_ids)
        s.put_where("group", blocks.has, lambda b: old.request(owner(b)))
        s.put_where("ref", blocks.has, 1)
        s.put_where("holder", lambda b, k: z3.And(blocks.has(b), k == 0), lambda b, k: owner(b))
        s.put_where("holder_index", lambda q, b: z3.And(blocks.has(b), q == owner(b)), 0)
        return blocks

    def relocate(self, blocks: Vector, tier: int, block_ids: Vector) -> None:
        """The blocks live at these block ids of the tier."""
        blocks.demand_distinct()
        self.demand(blocks.size == block_ids.size, "as many block ids as blocks")
        self._lie(blocks, tier, block_ids)

    def _lie(self, blocks: Vector, tier: int, block_ids: Vector) -> None:
        """Each block is at the block id beside it."""
        s = self.state
        s.put_where("tier", blocks.has, tier)
        s.put_where("block_id", blocks.has, lambda b: block_ids.at(blocks.index_of(b)))
        owner = "owner_gpu" if tier == GPU else "owner_cpu"
        s.put_where(owner, block_ids.has, lambda p: blocks.at(block_ids.index_of(p)))

    def count_up(self, sequence: Any, blocks: Vector) -> None:
        """One more entry names each of the blocks: one of the sequence's table."""
        s, q = self.state, sequence.z
        blocks.demand_distinct()
        old = s.snapshot()
        s.fields["ref"] = lambda b: old.ref(b) + z3.If(blocks.has(b), 1, 0)
        s.put_where("holder", lambda b, k: z3.And(blocks.has(b), k == old.ref(b)), lambda *_: q)
        s.put_where(
            "holder_index", lambda x, b: z3.And(x == q, blocks.has(b)), lambda _, b: old.ref(b)
        )

    def count_down(self, sequence: Any, blocks: Vector) -> None:
        """One entry less names each of the blocks: the one of the sequence's table. The last holder
        of a block takes the index that is free.
        """
        s, q = self.state, sequence.z
        blocks.demand_distinct()
        old = s.snapshot()

        def held(b: Any) -> Any:
            return z3.And(
                within(0, old.holder_index(q, b), old.ref(b)),
                old.holder(b, old.holder_index(q, b)) == q,
            )

        self.demand(blocks.every(held), "the sequence is a holder of each block")
        s.fields["ref"] = lambda b: old.ref(b) - z3.If(blocks.has(b), 1, 0)

        def last(b: Any) -> Any:
            return old.holder(b, old.ref(b) - 1)

        s.put_where(
            "holder",
            lambda b, k: z3.And(blocks.has(b), k == old.holder_index(q, b)),
            lambda b, k: last(b),
        )
        s.put_where(
            "holder_index",
            lambda x, b: z3.And(blocks.has(b), x == last(b)),
            lambda x, b: old.holder_index(q, b),
        )

    def drop_sealed(self, request: Any) -> Vector:
        """The tables of the request's sequences name no sealed block any more; the sealed blocks that
        no entry names then, in some order.
        """
        # Plain data looks for the blocks in the tables, as they are now.
        self.presume("group_local")
        of, r = self.state.snapshot().request, request.z
        return self._drop_holders(lambda q: of(q) == r)

    def _drop_holders(self, leaves: Callable[[Any], Any]) -> Vector:
        """The tables of the sequences that leave name no sealed block any more; the sealed blocks that no entry
        names then, in some order.
        """
        s = self.state
        old = s.snapshot()
        if old.fields["holder"] is not self.untouched["holder"]:
            raise Misuse("refs were counted before: on plain data each entry counts down again")
        counted = z3.Const("b", Block)
        self.demand(
            z3.ForAll([counted], old.ref(counted) >= 0),
            "no block is named fewer than 0 times",
        )
        j = z3.Int("j")
        ranked = z3.Implies(
            within(0, j, old.ref(counted)), old.holder_index(old.holder(counted, j), counted) == j
        )
        self.demand_of_lemma(z3.ForAll([counted, j], ranked), "a sequence holds a block once")
        name = unique("dropped")
        count = z3.Function(f"{name}_ref", Block, Int)
        holder = z3.Function(f"{name}_holder", Block, Int, Sequence)
        holder_index = z3.Function(f"{name}_holder_index", Sequence, Block, Int)
        b = z3.Const("b", Block)
        now = count(b), lambda k: holder(b, k), lambda q: holder_index(q, b)
        for fact in others_of(old, leaves, b, *now, [b]):
            self.assume(fact)
        s.put_where("ref", lambda b: old.name(b) != 0, count)
        s.put_where("holder", lambda b, _: old.name(b) != 0, holder)
        s.put_where("holder_index", lambda _, b: old.name(b) != 0, holder_index)

        def chosen(b: Any) -> Any:
            return z3.And(old.ref(b) >= 1, old.name(b) != 0, count(b) == 0)

        # They are finitely many: each was named by an entry, and all its holders were sequences that leave, of
        # which there are finitely many, each with a finite table (`members`, `references`: what was
        # written of `ref` since `references` held, if anything, is that of private blocks).
        self.presume("members")
        return enumerated(self, Block, name, chosen)
