# pyright: basic, reportOperatorIssue=false, reportAttributeAccessIssue=false
# pyright: reportArgumentType=false, reportAssignmentType=false, reportOptionalMemberAccess=false
"""The operators on formulas by which several requests end at once, each of one sequence.

Guarantees: each method means on any state what the method of the same name of `kernel.ledger_ends.EndedRequests` does
to plain data. What is not a definition is the statement of a lemma (`proof/lemmas.py`), or that a choice can be made,
which `_name_at_end` argues. A request is in a vector of requests if its first sequence is in the vector of sequences
that it was made of.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

import z3

from lineclear_spec.invariants import within
from lineclear_spec.invariants.clause import NEVER
from lineclear_spec.kernel.blocks import let_go
from lineclear_spec.kernel.lifecycle import Phase
from lineclear_spec.kernel.records import GPU
from lineclear_spec.symbolic.cache import entry_of, may_be_sealed, named_by, only_entries
from lineclear_spec.symbolic.holdings import facts_of_remove_all, its_request_holds
from lineclear_spec.symbolic.quantified import unique
from lineclear_spec.symbolic.state import BLOCK_OF, CAP, Block, Int, Request, Sequence
from lineclear_spec.symbolic.terms import Whole
from lineclear_spec.symbolic.vectors import Vector, enumerated, unknown

if TYPE_CHECKING:
    from lineclear_spec.kernel.protocol import Ledger


class Ends(Whole):
    """The operators of a symbolic ledger over requests that end at once."""

    def requests_of(self, sequences: Vector) -> Vector:
        """The requests of the sequences, each of which is the only one of its request."""
        sequences.demand_distinct()
        s = self.state.snapshot()
        alone = sequences.every(
            lambda q: z3.And(s.width(s.request(q)) == 1, s.member(s.request(q), 0) == q)
        )
        self.demand(alone, "each sequence is the only one of its request")
        requests = Vector(
            self,
            Request,
            sequences.size,
            lambda k: s.request(sequences.at(k)),
            lambda r: sequences.index_of(s.member(r, 0)),
        )
        q = z3.Const("q", Sequence)
        theirs = z3.Implies(z3.And(s.alive(q), requests.has(s.request(q))), sequences.has(q))
        self.demand(z3.ForAll([q], theirs), "no other sequence of the requests lives")
        return requests

    def free_tables(self, sequences: Vector) -> None:
        """Full blocks get their names, and then the blocks of the sequences, each the only one of its request, are
        freed: private ones are put back, and sealed ones that no entry names any more rest or are put back.
        """
        requests = self.requests_of(sequences)
        s = self.state.snapshot()
        q, i, b = z3.Const("q", Sequence), z3.Int("i"), z3.Const("b", Block)
        block = s.table(q, i)
        own = z3.And(s.group(block) == s.request(q), its_request_holds(s, block))
        entry = z3.And(sequences.has(q), within(0, i, s.length(q)))
        self.demand(
            z3.ForAll([q, i], z3.Implies(entry, (s.name(block) != 0) != own)),
            "a block of their tables has a name, or their request holds it",
        )
        last = z3.And(s.holder(block, 0) == q, s.holder(block, s.ref(block) - 1) == q)
        for fact in (last, s.ref(block) == 1):
            alone = z3.ForAll([q, i], z3.Implies(z3.And(entry, own), fact))
            self.demand(alone, "one entry names a block that the request holds")
        gets = self._name_at_end(sequences)
        self.gpu.put(self.block_ids(GPU, self._private_of(requests)), self.issued)
        self._empty_each(requests)
        gone = self._drop_holders(sequences.has)
        new = self.state.snapshot()
        ended = z3.Or(new.ref(b) <= 0, sequences.has(new.holder(b, 0)))
        fact = z3.ForAll([b], z3.Implies(gets(b), ended))
        self.demand(fact, "who names a block that got a name ends")
        let_go(cast("Ledger", self), gone)

    def _name_at_end(self, sequences: Vector) -> Callable[[Any], Any]:
        """Of the last entries of each sequence, as many as its request holds blocks, those blocks get their names that
        `publish` would seal, under which they can be found. Whether a block gets one.

        Two of them may be about to get one name: one of these gets it, whichever comes first on plain data.
        """
        old = self.state.snapshot()
        self._by_lemma("references", only_entries(old))

        def may(b: Any) -> Any:
            q, k = entry_of(old, b)
            r = old.request(q)
            behind = within(
                old.length(q) - old.blocks(r), k, BLOCK_OF(old.offset(q) + old.committed)
            )
            return z3.And(sequences.has(q), old.open_swap(r) == 0, behind, may_be_sealed(old, b))

        # There are such: of the blocks that are to get a name, if there are any, `first` is one, and that one gets it.
        word = unique("gets")
        gets: Callable[[Any], Any] = z3.Function(word, Block, z3.BoolSort())
        first = z3.Function(f"{word}_first", Int, Block)
        b = z3.Const("b", Block)
        name = named_by(old, b)
        one = z3.And(gets(first(name)), named_by(old, first(name)) == name)
        self.assume(z3.ForAll([b], z3.Implies(gets(b), z3.And(may(b), first(name) == b))))
        self.assume(z3.ForAll([b], z3.Implies(may(b), one)))

        self._name_each(gets, first)
        return gets

    def _private_of(self, requests: Vector) -> Vector:
        """The private blocks of the requests, in some order: those that they held and that have got no name."""
        s = self.state.snapshot()

        def chosen(b: Any) -> Any:
            return z3.And(requests.has(s.group(b)), its_request_holds(s, b), s.name(b) == 0)

        # They are finitely many: each request lists its own.
        return enumerated(self, Block, unique("private"), chosen)

    def _empty_each(self, requests: Vector) -> None:
        """Each request holds nothing, and no entry names its private blocks any more: their `ref` is 0 (see
        `Holdings.empty`).
        """
        s = self.state
        old = s.snapshot()

        self.freed = True

        def theirs(b: Any) -> Any:
            return z3.And(requests.has(old.group(b)), its_request_holds(old, b), old.name(b) == 0)

        s.put_where("ref", theirs, 0)
        s.put_where("blocks", requests.has, 0)

    def unlist_each(self, sequences: Vector) -> None:
        """The sequences leave the batch, in which the order of the others is open, and both calendars."""
        s = self.state
        old = s.snapshot()
        before = self.decode_batch.vector()
        sequences.demand_distinct()
        self.demand(sequences.every(before.has), "the batch has each of the sequences")
        listed = sequences.every(
            lambda q: z3.And(
                old.boundary(q) == CAP(old.length(q)) - old.offset(q),
                old.ending(q) == old.limit(old.request(q)) - 1 - old.offset(q),
            )
        )
        self.demand(listed, "each is listed under the steps of its block and of its end")
        self.demand_of_lemma(before.distinct(), "the batch has each sequence once")
        self.demand_of_lemma(
            z3.And(before.size >= 0, sequences.size >= 0), "no set has a negative size"
        )
        size = before.size - sequences.size
        after = unknown(self, Sequence, unique("decode_batch"), size)
        for fact in facts_of_remove_all(before, sequences, after):
            self.assume(fact)
        s.fields["decode_batch"] = after.at
        s.put_where("decode_batch_index", before.has, after.index_of)
        s.put("decode_batch_size", (), after.size)
        for calendar in ("boundary", "ending"):
            s.put_where(calendar, sequences.has, NEVER)

    def enqueue_each(self, requests: Vector, phase: Phase) -> None:
        """Each request leaves the queue of its phase and enters that of another one."""
        requests.demand_distinct()
        s = self.state
        old = s.snapshot()
        self.demand(
            requests.every(lambda r: old.queue(r) == old.phase(r)),
            "each request is in the queue of its phase",
        )
        s.put_where("queue", requests.has, int(phase))
