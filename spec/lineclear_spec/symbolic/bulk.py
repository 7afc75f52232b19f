# pyright: basic, reportOperatorIssue=false, reportAttributeAccessIssue=false
# pyright: reportArgumentType=false, reportAssignmentType=false, reportOptionalMemberAccess=false
"""What is done with several records at once, and what a plan sends, on formulas.

Guarantees: each method means on any state what the method of the same name of `kernel.ledger.Ledger` does
to plain data. Nothing is assumed but the statement of a lemma (`select`); why one run stands for all runs of a loop is
argued in `each`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import z3

from lineclear_spec.invariants import copies, within
from lineclear_spec.kernel.records import GPU
from lineclear_spec.symbolic.state import FIELDS, unique
from lineclear_spec.symbolic.terms import Misuse, Record, Term, Whole, raw
from lineclear_spec.symbolic.vectors import (
    Always,
    Vector,
    block_ids_of,
    reversed_of,
    select,
)


class Bulk(Whole):
    """The operators over several records of a symbolic ledger."""

    always = staticmethod(Always)

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

        def holds(x: Any) -> Any:
            with self.only_asked(condition=True):
                return raw(condition(Record(self, x)))

        return Term(v.every(holds))

    def unshared_from(self, table: Any, first: Any) -> Term:
        """Whether one entry alone refers to the block of every entry from the first one on."""
        s, q, i = self.state, table.owner, z3.Int("i")
        span = z3.And(raw(first) <= i, i < s.length(q))
        self.demand(raw(first) >= 0, "the first entry is not before the table")
        return Term(z3.ForAll([i], z3.Implies(span, s.ref(s.table(q, i)) == 1)))

    def block_ids(self, tier: Any, blocks: Vector) -> Vector:
        """The block ids of blocks of one tier."""
        return block_ids_of(self, tier, blocks)

    def held_at(self, tier: Any, request: Any) -> Vector:
        """The block ids, all of one tier, of the blocks that the request holds, last one first."""
        return block_ids_of(self, tier, reversed_of(request.held.vector()))

    def grew(self, sequences: Any, block_ids: Vector) -> None:
        """Of each of the sequences whose table was sent, the block ids wait to be sent behind it."""
        s = self.state
        old = s.snapshot()
        alone = isinstance(sequences, Always)
        count = block_ids.size if alone else z3.IntVal(1)
        if not alone:
            as_many = sequences.size == block_ids.size
            self.demand(as_many, "as many block ids as sequences", keep=False)

        def grows(q: Any) -> Any:
            return z3.And(old.heard(q), q == sequences.at(0) if alone else sequences.has(q))

        def new(q: Any, k: Any) -> Any:
            return block_ids.at(k - old.queued_length(q) if alone else sequences.index_of(q))

        def behind(q: Any, k: Any) -> Any:
            return z3.And(grows(q), within(old.queued_length(q), k, old.queued_length(q) + count))

        s.put_where("sent_block_id", behind, new)
        s.fields["queued_length"] = lambda q: old.queued_length(q) + z3.If(grows(q), count, 0)

    def send_whole(self, sequence: Any) -> None:
        """The whole table of the sequence is sent next."""
        self.state.put("whole", (sequence.z,), z3.BoolVal(True))

    def send(self) -> None:
        """Who reads plans has the table of each sequence that runs: the one that is named, or what it had and what
        was appended.
        """
        if self.sent or self.condition is not None:
            raise Misuse(
                "what waits is sent twice or in a branch: on plain data the plan has what was sent last; send it once"
            )
        self.sent = True
        s = self.state
        old = s.snapshot()

        def sent(q: Any, whole: Any, other: Any, nothing: int) -> Any:
            kept = z3.If(z3.And(old.runs(q), old.heard(q)), other, nothing)
            return z3.If(z3.And(old.runs(q), old.whole(q)), whole, kept)

        s.fields["sent_block_id"] = lambda q, k: sent(
            q, old.block_id(old.table(q, k)), old.sent_block_id(q, k), -1
        )
        for name in ("queued_length", "sent_length"):
            s.fields[name] = lambda q: sent(q, old.length(q), old.queued_length(q), 0)
        s.fields["heard"] = lambda q: z3.And(old.runs(q), z3.Or(old.whole(q), old.heard(q)))
        s.fields["whole"] = lambda _: z3.BoolVal(False)

    def record_copies(
        self, source_tier: int, sources: Vector, target_tier: int, targets: Vector
    ) -> None:
        """The operation decided last copies each source block to the target block beside it, and touches both.

        Args:
            source_tier: of the sources.
            sources: block ids, each once.
            target_tier: of the targets.
            targets: as many block ids, each once.
        """
        s = self.state
        self._copies_once()
        self.demand(s.open(s.issued), "the operation is open")
        self.demand(sources.size == targets.size, "as many targets as sources")
        o = s.issued
        self.demand(copies(s, source_tier, target_tier), "its kind says where it copies")
        for tier, block_ids in ((source_tier, sources), (target_tier, targets)):
            block_ids.demand_distinct()
            name = "touch_gpu" if tier == GPU else "touch_cpu"
            s.fields[name] = lambda x, p, block_ids=block_ids, old=s.fields[name]: z3.Or(
                old(x, p), z3.And(x == o, block_ids.has(p))
            )
        s.put_where(
            "source_gpu" if target_tier == GPU else "source_cpu",
            lambda x, p: z3.And(x == o, targets.has(p)),
            lambda _, p: sources.at(targets.index_of(p)),
        )

    def each(self, records: Any, body: Callable[[Any], None]) -> None:
        """Run `body` for each record.

        It is run once, for a record of which nothing is known, and what it writes there is written of every element.
        That is the same as one run after another because a run writes fields of its own record alone and reads no
        other record of its sort (`symbolic.terms.Record` refuses it): whatever else it reads, such as a clock, no run
        writes. So the order of the runs makes no difference, and no run sees what another one wrote. A body that
        assumes something would assume it of one record and use it for all, so it is refused.

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
            s.fields[name] = before
            s.put_where(name, v.has, lambda x, value=value: z3.substitute(value, (own, x)))
