"""The action table: each change of a phase, a table, a block, a counter or an operation, as a guard and an effect.

Guarantees: an action whose guard is false changes nothing, and one whose guard is true keeps every
invariant of `invariants/`. The same functions run on the plain ledger (`kernel/ledger.py`) and, in
`proof/prove.py`, on formulas. Two changes of a ledger are no actions: a request is made (`Ledger.new_request`) and
blocks are named (`Ledger.name_blocks`); `kernel/ledger.py` says why they break no invariant.

Each action is a docstring of one sentence, then `# GUARD`, then `# EFFECT`. All guards come before
the first write. `preemption.swap_out` explains how to read one.
"""

from __future__ import annotations

# ruff: noqa: I001 (the order of the table, not of the alphabet)
from lineclear_spec.actions.arrival import submit, reject, finish, finish_each, abort
from lineclear_spec.actions.growth import admit, append_slots, copy_on_write
from lineclear_spec.actions.steps import (
    schedule_tokens,
    issue_step,
    commit_step,
    sample,
    join_batch,
    leave_batch,
)
from lineclear_spec.actions.branches import fork, rejoin, prune
from lineclear_spec.actions.preemption import swap_out, swap_in, recompute, discard_swapped
from lineclear_spec.actions.cache import (
    admit_cached,
    evict,
    hold_block,
    publish,
    publish_run,
    release_block,
    unlist,
)
from lineclear_spec.actions.operations import (
    complete_copy,
    fail_copy,
    dispatch_copies,
    lift_fences,
)
from lineclear_spec.actions.table import ACTIONS, Action

__all__ = [
    "ACTIONS", "Action", "abort", "admit", "admit_cached", "append_slots", "commit_step", "complete_copy",
    "copy_on_write", "discard_swapped", "dispatch_copies", "evict", "fail_copy", "finish", "finish_each",
    "fork", "hold_block", "issue_step", "join_batch", "leave_batch", "lift_fences", "prune", "publish",
    "publish_run", "recompute", "reject", "rejoin", "release_block", "sample", "schedule_tokens", "submit",
    "swap_in", "swap_out", "unlist",
]  # fmt: skip
