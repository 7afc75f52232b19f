# pyright: basic, reportOperatorIssue=false, reportAttributeAccessIssue=false
# pyright: reportArgumentType=false, reportAssignmentType=false, reportOptionalMemberAccess=false
"""The records of blocks on formulas: new ones, where each lives, and which sequences name it.

Guarantees: each method means on any state what the method of the same name of `ledger.Ledger` does
to plain data, and keeps the inverse maps that plain data does not have (`owner`, `holder`, `rank`). Nothing
is assumed but that new records can be made (`new_blocks`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import z3

from lineclear_spec.records import GPU
from lineclear_spec.state import Block, Int, State, unique
from lineclear_spec.terms import Term
from lineclear_spec.vectors import Vector, within

__all__ = ["Blocks"]


class Blocks:
    """The operators of a symbolic ledger over the fields of each block."""

    state: State
    wrote: bool
    assume: Callable[[Any], None]
    demand: Callable[..., None]

    def new_blocks(self, sequences: Any, places: Vector) -> Vector:
        """New blocks at GPU places just taken, each of the request of its sequence and named by it once.

        A block that nothing names, that has no name and cannot be found is one that is not there yet. That there
        are as many of those as are wanted is assumed, not proved: a ledger can always make another Python object,
        so the sort has unused elements without end.
        """
        s = self.state
        name = unique("new")
        at = z3.Function(name, Int, Block)
        seat = z3.Function(f"{name}_seat", Block, Int)
        blocks = Vector(self, Block, places.size, lambda k: at(k), lambda b: seat(b))
        old = s.snapshot()
        self.assume(blocks.distinct())
        self.assume(
            blocks.every(
                lambda b: z3.And(old.ref(b) == 0, z3.Not(old.listed(b)), old.name(b) == 0)
            )
        )

        def owner(b: Any) -> Any:
            return sequences.at(seat(b))

        s.fields["tier"] = lambda b: z3.If(blocks.has(b), GPU, old.tier(b))
        s.fields["place"] = lambda b: z3.If(blocks.has(b), places.at(seat(b)), old.place(b))
        s.fields["group"] = lambda b: z3.If(blocks.has(b), old.request(owner(b)), old.group(b))
        s.fields["ref"] = lambda b: z3.If(blocks.has(b), 1, old.ref(b))
        s.fields["holder"] = lambda b, k: z3.If(
            z3.And(blocks.has(b), k == 0), owner(b), old.holder(b, k)
        )
        s.fields["rank"] = lambda q, b: z3.If(
            z3.And(blocks.has(b), q == owner(b)), 0, old.rank(q, b)
        )
        s.fields["owner_gpu"] = lambda p: z3.If(
            places.has(p), at(places.seat(p)), old.owner(GPU, p)
        )
        self.wrote = True
        return blocks

    def relocate(self, blocks: Vector, tier: int, places: Vector) -> None:
        """The blocks live at these places of the tier."""
        s = self.state
        blocks.demand_distinct()
        self.demand(Term(blocks.size == places.size), "as many places as blocks")
        old = s.snapshot()
        s.fields["tier"] = lambda b: z3.If(blocks.has(b), tier, old.tier(b))
        s.fields["place"] = lambda b: z3.If(blocks.has(b), places.at(blocks.seat(b)), old.place(b))
        s.fields["owner_gpu" if tier == GPU else "owner_cpu"] = lambda p: z3.If(
            places.has(p), blocks.at(places.seat(p)), old.owner(tier, p)
        )
        self.wrote = True

    def count_up(self, sequence: Any, blocks: Vector) -> None:
        """One more entry names each of the blocks: one of the sequence's table."""
        s, q = self.state, sequence.z
        blocks.demand_distinct()
        old = s.snapshot()
        s.fields["ref"] = lambda b: old.ref(b) + z3.If(blocks.has(b), 1, 0)
        s.fields["holder"] = lambda b, k: z3.If(
            z3.And(blocks.has(b), k == old.ref(b)), q, old.holder(b, k)
        )
        s.fields["rank"] = lambda x, b: z3.If(
            z3.And(x == q, blocks.has(b)), old.ref(b), old.rank(x, b)
        )
        self.wrote = True

    def count_down(self, sequence: Any, blocks: Vector) -> None:
        """One entry less names each of the blocks: the one of the sequence's table. The last holder
        of a block takes the rank that is free.
        """
        s, q = self.state, sequence.z
        blocks.demand_distinct()
        old = s.snapshot()

        def held(b: Any) -> Any:
            return z3.And(
                within(0, old.rank(q, b), old.ref(b)), old.holder(b, old.rank(q, b)) == q
            )

        self.demand(Term(blocks.every(held)), "the sequence is a holder of each block")
        s.fields["ref"] = lambda b: old.ref(b) - z3.If(blocks.has(b), 1, 0)
        s.fields["holder"] = lambda b, k: z3.If(
            z3.And(blocks.has(b), k == old.rank(q, b)),
            old.holder(b, old.ref(b) - 1),
            old.holder(b, k),
        )
        s.fields["rank"] = lambda x, b: z3.If(
            z3.And(blocks.has(b), x == old.holder(b, old.ref(b) - 1)),
            old.rank(q, b),
            old.rank(x, b),
        )
        self.wrote = True
