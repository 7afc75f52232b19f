# pyright: basic, reportOperatorIssue=false, reportAttributeAccessIssue=false
# pyright: reportArgumentType=false, reportAssignmentType=false, reportOptionalMemberAccess=false
"""The ghost statements on formulas: what is remembered for invariants alone.

Guarantees: a ghost statement writes ghost fields only (`symbolic/fields.py`; those of KV in `symbolic/kv_fields.py`),
which no guard, effect or operator of plain data reads. On plain data each of them does nothing;
`modelcheck.ghosts.GhostLedger` keeps the same histories, so that invariants can be evaluated there.
"""

from __future__ import annotations

from typing import Any

import z3

from lineclear_spec.invariants import is_free
from lineclear_spec.kernel.lifecycle import Phase, target_of
from lineclear_spec.kernel.records import GPU
from lineclear_spec.symbolic.terms import Whole, raw


class Ghosts(Whole):
    """The ghost statements of a symbolic ledger."""

    def note_move(self, request: Any, event: str) -> None:
        """An admission notes the last operation decided before it (`born`); an end is counted (`releases`)."""
        s, r = self.state, request.z
        if event == "admit":
            s.put("born", (r,), s.issued)
        if target_of(event) == Phase.FINISHED:
            s.put("releases", (r,), s.releases(r) + 1)

    def note_step(self, number: Any) -> None:
        """The forward touches every GPU block that an entry names; the step's tokens and sequences are remembered."""
        s, o = self.state, raw(number)
        old = s.snapshot()
        step = old.steps + 1
        s.fields["touch_gpu"] = lambda x, p: z3.Or(
            old.touch(GPU, x, p),
            z3.And(
                x == o,
                0 <= p,
                p < old.total(GPU),
                z3.Not(is_free(old, GPU, p)),
                old.ref(old.owner(GPU, p)) >= 1,
            ),
        )
        s.put("tokens_of", (step,), old.step_tokens + old.decode_batch_size)
        s.put("sequences_of", (step,), old.step_sequences + old.decode_batch_size)
        s.put("step_of", (o,), step)
        self._write_rows(number, old)
