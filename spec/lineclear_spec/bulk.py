# pyright: basic, reportOperatorIssue=false, reportAttributeAccessIssue=false
# pyright: reportArgumentType=false, reportAssignmentType=false, reportOptionalMemberAccess=false
"""The bulk operators on formulas, beside those of lists and pools.

Guarantees: each method means on any state what the method of the same name of `ledger.Ledger` does
to plain data, and keeps the inverse maps that plain data does not have (`holder`, `rank`, `owner`,
`slot`). What is not a definition is the statement of a lemma that is proved by induction over single
elements (`lemmas.py`), or the assumption that new records can be made (`new_blocks`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import z3

from lineclear_spec.records import GPU
from lineclear_spec.state import FIELDS, Block, Int, Request, State, unique
from lineclear_spec.terms import Misuse, Record, Term, raw
from lineclear_spec.vectors import (
    Always,
    Held,
    Vector,
    places_of,
    reversed_of,
    select,
    within,
)

__all__ = ["Bulk", "facts_of_hold_each", "facts_of_remove_all"]


class Bulk:
    """The operators over several records of a symbolic ledger."""

    state: State
    wrote: bool
    generic: Any
    obligations: list[Any]
    wrap: Callable[[Any, Any], Any]
    assume: Callable[[Any], None]
    assumptions: list[Any]
    demand: Callable[[Any, str], None]
    demand_of_lemma: Callable[[Any, str], None]

    always = staticmethod(Always)

    @staticmethod
    def ordered(blocks: Vector) -> Vector:
        """The blocks, to be added to a set."""
        return blocks

    @staticmethod
    def listed(records: Any) -> Vector:
        """The records as they are now."""
        vector: Vector = records.vector()
        return vector

    @staticmethod
    def backwards(records: Any) -> Vector:
        """The records as they are now, last one first."""
        return reversed_of(records.vector())

    def select(self, condition: Callable[[Any], Any], records: Vector) -> Vector:
        """The records of which the condition holds, in some order."""
        return select(self, condition, records)

    def all_of(self, condition: Callable[[Any], Any], records: Any) -> Term:
        """Whether the condition holds of every record."""
        v = records.vector()
        return Term(v.every(lambda x: raw(condition(Record(self, x)))))

    def all_from(self, condition: Callable[[Any], Any], table: Any, first: Any) -> Term:
        """Whether the condition holds of the block of every entry from the first one on."""
        s, q, i = self.state, table.owner, z3.Int("i")
        span = z3.And(raw(first) <= i, i < s.length(q))
        self.demand(Term(raw(first) >= 0), "the first entry is not before the table")
        return Term(z3.ForAll([i], z3.Implies(span, raw(condition(Record(self, s.table(q, i)))))))

    def places(self, tier: Any, blocks: Vector) -> Vector:
        """The places of blocks of one tier."""
        return places_of(self, tier, blocks)

    def grew(self, sequences: Any, places: Vector) -> None:
        """What is appended waits behind what was sent of each table that was."""
        s = self.state
        old = s.snapshot()
        alone = isinstance(sequences, Always)
        count = places.size if alone else z3.IntVal(1)

        def grows(q: Any) -> Any:
            return z3.And(old.heard(q), q == sequences.at(0) if alone else sequences.has(q))

        def new(q: Any, k: Any) -> Any:
            return places.at(k - old.queued_length(q) if alone else sequences.seat(q))

        s.fields["sent_place"] = lambda q, k: z3.If(
            z3.And(grows(q), within(old.queued_length(q), k, old.queued_length(q) + count)),
            new(q, k),
            old.sent_place(q, k),
        )
        s.fields["queued_length"] = lambda q: old.queued_length(q) + z3.If(grows(q), count, 0)
        self.wrote = True

    def send_whole(self, sequence: Any) -> None:
        """The whole table of the sequence is sent next."""
        self.state.put("whole", (sequence.z,), z3.BoolVal(True))
        self.wrote = True

    def send(self) -> None:
        """Who reads plans has the table of each sequence that runs: the one that is named, or what it had and what
        was appended.
        """
        s = self.state
        old = s.snapshot()

        def sent(q: Any, whole: Any, other: Any, nothing: int) -> Any:
            kept = z3.If(z3.And(old.runs(q), old.heard(q)), other, nothing)
            return z3.If(z3.And(old.runs(q), old.whole(q)), whole, kept)

        s.fields["sent_place"] = lambda q, k: sent(
            q, old.place(old.table(q, k)), old.sent_place(q, k), -1
        )
        for name in ("queued_length", "sent_length"):
            s.fields[name] = lambda q: sent(q, old.length(q), old.queued_length(q), 0)
        s.fields["heard"] = lambda q: z3.And(old.runs(q), z3.Or(old.whole(q), old.heard(q)))
        s.fields["whole"] = lambda _: z3.BoolVal(False)
        self.wrote = True

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

    def remove_all(self, held: Held, blocks: Vector) -> None:
        """Blocks that no entry names any more, or that are sealed, leave their request; the order of the
        rest is open.
        """
        s, r = self.state, held.owner
        blocks.demand_distinct()
        before = held.vector()
        self.demand(Term(blocks.every(before.has)), "the request holds the blocks")
        self.demand_of_lemma(before.distinct(), "the request holds each block once")
        self.demand_of_lemma(
            z3.And(before.size >= 0, blocks.size >= 0), "no set has a negative size"
        )
        self.demand(
            Term(blocks.every(lambda b: z3.Or(s.ref(b) == 0, s.name(b) != 0))),
            "no entry names the blocks, or they are sealed",
        )
        old = s.snapshot()
        name = unique("left")
        at = z3.Function(name, Int, Block)
        seat = z3.Function(f"{name}_slot", Block, Int)
        after = Vector(self, Block, before.size - blocks.size, lambda k: at(k), lambda b: seat(b))
        for fact in facts_of_remove_all(before, blocks, after):
            self.assume(fact)
        s.fields["held"] = lambda x, k: z3.If(x == r, at(k), old.held(x, k))
        s.fields["slot"] = lambda b: z3.If(before.has(b), seat(b), old.slot(b))
        s.put("blocks", (r,), after.size)
        self.wrote = True

    def empty(self, held: Held) -> None:
        """Nothing is held, and no entry names the blocks any more: their `ref` is 0.

        On plain data they keep the `ref` that they had: nothing leads to them any more, since they were private
        and the tables of their request are cleared in the same block step (`blocks.clear_tables`).
        """
        s, r = self.state, held.owner
        gone = held.vector()
        old = s.snapshot()
        s.fields["ref"] = lambda b: z3.If(gone.has(b), 0, old.ref(b))
        s.put("blocks", (r,), z3.IntVal(0))
        self.wrote = True

    def append_new_each(self, sequences: Vector, places: Vector) -> None:
        """Append one new block at a place just taken to the table of each sequence, whose request holds it."""
        blocks = self.new_blocks(sequences, places)
        self._hold_each(sequences, blocks)
        self._append_each(sequences, blocks)

    def _hold_each(self, sequences: Vector, blocks: Vector) -> None:
        """Each block is held by the request of its sequence."""
        s = self.state
        blocks.demand_distinct()
        old = s.snapshot()

        def owner(k: Any) -> Any:
            return old.request(sequences.at(k))

        def there(b: Any) -> Any:
            r = owner(blocks.seat(b))
            return z3.And(within(0, old.slot(b), old.blocks(r)), old.held(r, old.slot(b)) == b)

        self.demand(Term(blocks.size == sequences.size), "as many blocks as sequences")
        self.demand(
            Term(blocks.every(lambda b: z3.Not(there(b)))),
            "the request does not hold the block yet",
        )
        x = z3.Const("x", Request)
        self.demand_of_lemma(z3.ForAll([x], old.blocks(x) >= 0), "no set has a negative size")
        self.demand_of_lemma(blocks.size >= 0, "no vector has a negative size")
        name = unique("holding")
        count = z3.Function(f"{name}_count", Request, Int)
        at = z3.Function(name, Request, Int, Block)
        slot = z3.Function(f"{name}_slot", Block, Int)
        for fact in facts_of_hold_each(old, blocks, owner, blocks.size, count, at, slot):
            self.assume(fact)
        s.fields["blocks"] = lambda r: count(r)
        s.fields["held"] = lambda r, k: at(r, k)
        s.fields["slot"] = lambda b: slot(b)
        self.wrote = True

    def _append_each(self, sequences: Vector, blocks: Vector) -> None:
        """Append each block to the table of its sequence."""
        s = self.state
        blocks.demand_distinct()
        sequences.demand_distinct()
        self.demand(Term(blocks.size == sequences.size), "as many blocks as sequences")
        old = s.snapshot()

        def named(b: Any) -> Any:
            q = sequences.at(blocks.seat(b))
            at = old.index(q, b)
            return z3.And(within(0, at, old.length(q)), old.table(q, at) == b)

        self.demand(
            Term(blocks.every(lambda b: z3.Not(named(b)))), "the table does not name the block yet"
        )
        s.fields["table"] = lambda q, i: z3.If(
            z3.And(sequences.has(q), i == old.length(q)),
            blocks.at(sequences.seat(q)),
            old.table(q, i),
        )
        s.fields["index"] = lambda q, b: z3.If(
            z3.And(blocks.has(b), q == sequences.at(blocks.seat(b))),
            old.length(q),
            old.index(q, b),
        )
        s.fields["length"] = lambda q: old.length(q) + z3.If(sequences.has(q), 1, 0)
        self.wrote = True

    def record_copies(
        self, source_tier: int, sources: Vector, target_tier: int, targets: Vector
    ) -> None:
        """The operation decided last copies each source place to the target place beside it, and
        touches both.

        Args:
            source_tier: of the sources.
            sources: places, each once.
            target_tier: of the targets.
            targets: as many places, each once.
        """
        s = self.state
        self.demand(Term(s.open(s.issued)), "the operation is open")
        self.demand(Term(sources.size == targets.size), "as many targets as sources")
        o = s.issued
        for tier, places in ((source_tier, sources), (target_tier, targets)):
            places.demand_distinct()
            name = "touch_gpu" if tier == GPU else "touch_cpu"
            s.fields[name] = lambda x, p, places=places, old=s.fields[name]: z3.Or(
                old(x, p), z3.And(x == o, places.has(p))
            )
        name = "source_gpu" if target_tier == GPU else "source_cpu"
        s.fields[name] = lambda x, p, old=s.fields[name]: z3.If(
            z3.And(x == o, targets.has(p)), sources.at(targets.seat(p)), old(x, p)
        )
        self.wrote = True

    def each(self, records: Any, body: Callable[[Any], None]) -> None:
        """Run `body` for each record.

        It is run once, for a record of which nothing is known, and what it writes there is written
        of every element. That is the same as one run after another because a run writes fields of its
        own record alone and reads no other record of its sort (`terms.Record` refuses it): whatever else
        it reads, such as a clock, no run writes. So the order of the runs makes no difference, and no run
        sees what another one wrote. A body that assumes something would assume it of one record and use
        it for all, so it is refused.

        Raises:
            Misuse: the body touches another record, writes what is no field of its own, has a
                precondition, or assumes something.
        """
        v = records.vector()
        v.demand_distinct()
        own = z3.Const(unique("each"), v.sort)
        s = self.state
        old = s.snapshot()
        demands, facts = len(self.obligations), len(self.assumptions)
        self.generic = own
        try:
            body(self.wrap(v.sort, own))
        finally:
            self.generic = None
        if len(self.obligations) != demands:
            raise Misuse("what is done for each record has a precondition")
        if len(self.assumptions) != facts:
            raise Misuse("what is done for each record assumes something of one of them")
        other = z3.Const(unique("other"), v.sort)
        for name, new in list(s.fields.items()):
            before = old.fields[name]
            if new is before:
                continue
            if FIELDS[name][0] != (v.sort,):
                raise Misuse(f"{name} is no field of the record that something is done for")
            elsewhere = z3.substitute(new(other), (other == own, z3.BoolVal(False)))
            if not z3.simplify(elsewhere).eq(z3.simplify(before(other))):
                raise Misuse(f"{name} of another record is written")
            value = z3.simplify(new(own))
            s.fields[name] = lambda x, value=value, before=before: z3.If(
                v.has(x), z3.substitute(value, (own, x)), before(x)
            )
        self.wrote = True


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
                    after.seat(after.at(k)) == k,
                ),
            ),
        ),
        z3.ForAll([b], z3.Implies(z3.And(before.has(b), z3.Not(gone.has(b))), after.has(b))),
    ]


def facts_of_hold_each(
    old: Any, blocks: Vector, owner: Callable[[Any], Any], n: Any, count: Any, at: Any, slot: Any
) -> list[Any]:
    """What holds of the sets of all requests once the first n blocks are in that of their owner;
    lemma `hold_each`.

    Args:
        old: the state before.
        blocks: distinct blocks that are in no such set.
        owner: the request of the k-th block.
        n: how many of them are there.
        count: blocks held, by request.
        at: block held, by request and index.
        slot: index of each block.
    """
    r, k, b = z3.Const("r", Request), z3.Int("k"), z3.Const("b", Block)

    def fresh(b: Any) -> Any:
        return z3.And(blocks.has(b), blocks.seat(b) < n)

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
                    owner(blocks.seat(at(r, k))) == r,
                    slot(at(r, k)) == k,
                ),
            ),
        ),
        z3.ForAll(
            [b],
            z3.If(
                fresh(b),
                z3.And(
                    within(0, slot(b), count(owner(blocks.seat(b)))),
                    at(owner(blocks.seat(b)), slot(b)) == b,
                ),
                slot(b) == old.slot(b),
            ),
        ),
    ]
