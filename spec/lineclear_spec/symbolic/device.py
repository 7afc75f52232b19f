# pyright: basic, reportOperatorIssue=false, reportAttributeAccessIssue=false
# pyright: reportArgumentType=false, reportAssignmentType=false, reportOptionalMemberAccess=false
"""The device on formulas: what its one action asks and does.

Guarantees: the questions and the effect are those of `kv/device.py`; `modelcheck.kv_ghosts.KvDevice` is the same on
plain data.
"""

from __future__ import annotations

from typing import Any

import z3

from lineclear_spec.invariants import TIERS, within
from lineclear_spec.kernel.records import CPU, GPU
from lineclear_spec.symbolic.kv_fields import FAILS, POSITION, SLOT
from lineclear_spec.symbolic.ledger import SymbolicLedger
from lineclear_spec.symbolic.sorts import Bool, Int, Kv, Sequence
from lineclear_spec.symbolic.state import BLOCK_OF, State, unique
from lineclear_spec.symbolic.terms import Term, raw


class SymbolicDevice(SymbolicLedger):
    """Any ledger, and any device beside it."""

    def has_run(self, number: Any) -> Term:
        """Whether the operation has run."""
        return Term(self.state.ran(raw(number)))

    def waits_over(self, number: Any) -> Term:
        """Whether every operation that it waits for has run."""
        s, o = self.state, z3.Int("o")
        return Term(
            z3.ForAll(
                [o],
                z3.Implies(z3.And(1 <= o, o <= s.wait(raw(number))), s.ran(o)),
                patterns=[s.ran(o)],
            )
        )

    def in_order(self, number: Any) -> Term:
        """Whether, if the operation is on the compute stream, every earlier one there has run."""
        s, o, n = self.state, z3.Int("o"), raw(number)
        earlier = z3.And(1 <= o, o < n, s.compute(o), s.compute(n))
        return Term(z3.ForAll([o], z3.Implies(earlier, s.ran(o)), patterns=[s.ran(o)]))

    def execute(self, number: Any) -> None:
        """A copy brings what lies in each source, or anything if it fails; a forward writes the KV of its tokens for
        each sequence of which all that it reads is right, and anything for the others.
        """
        s, n = self.state, raw(number)
        old = s.snapshot()
        right = self._right(old, n)
        garbage = z3.Function(unique("garbage"), Int, Int, Int, Kv)

        def forward(p: Any, k: Any) -> Any:
            q = old.writer(n, p)
            kv = old.row_kv(n, q, POSITION(old.written_as(n, p), k))
            value = z3.If(right(q), kv, garbage(GPU, p, k))
            return z3.If(old.slot_written(n, p, k), value, old.memory(GPU, p, k))

        def copied(tier: int, source: int, p: Any, k: Any) -> Any:
            return old.memory(source, old.source(tier, n, p), k)

        def arrived(tier: int, p: Any, k: Any, right: Any) -> Any:
            return z3.If(FAILS(n), garbage(tier, p, k), right)

        s.put("ran", (n,), z3.BoolVal(True))
        for tier, name in TIERS:
            s.fields[f"actual_{name}"] = lambda p, tier=tier: z3.If(
                old.writes(tier, n, p), n, old.actual(tier, p)
            )
        s.fields["memory_cpu"] = lambda p, k: z3.If(
            old.writes(CPU, n, p),
            arrived(CPU, p, k, copied(CPU, GPU, p, k)),
            old.memory(CPU, p, k),
        )
        s.fields["memory_gpu"] = lambda p, k: z3.If(
            old.writes(GPU, n, p),
            z3.If(
                old.is_forward(n),
                forward(p, k),
                arrived(
                    GPU,
                    p,
                    k,
                    z3.If(old.compute(n), copied(GPU, GPU, p, k), copied(GPU, CPU, p, k)),
                ),
            ),
            old.memory(GPU, p, k),
        )
        s.fields["right"] = lambda x, q: z3.If(x == n, right(q), old.right(x, q))

    def _right(self, old: State, n: Any) -> Any:
        """Of which sequences all that the forward reads is right, and for each other a position that is not."""
        right = z3.Function(unique("right"), Sequence, Bool)
        wrong = z3.Function(unique("wrong"), Sequence, Int)
        q, i = z3.Const("q", Sequence), z3.Int("i")

        def read(q: Any, i: Any) -> Any:
            lies = old.memory(GPU, old.row_block_id(n, q, BLOCK_OF(i)), SLOT(i))
            return lies == old.row_kv(n, q, i)

        self.assume(
            z3.ForAll(
                [q],
                z3.Or(
                    right(q),
                    z3.And(within(0, wrong(q), old.row_first(n, q)), z3.Not(read(q, wrong(q)))),
                ),
                patterns=[right(q)],
            )
        )
        self.assume(
            z3.ForAll(
                [q, i],
                z3.Implies(z3.And(right(q), within(0, i, old.row_first(n, q))), read(q, i)),
                patterns=[z3.MultiPattern(right(q), old.row_kv(n, q, i))],
            )
        )
        return right
