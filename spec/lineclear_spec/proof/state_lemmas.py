# pyright: basic, reportOperatorIssue=false, reportAttributeAccessIssue=false
# pyright: reportArgumentType=false, reportAssignmentType=false, reportOptionalMemberAccess=false
"""Facts that operators take from the invariants, and need no induction.

Guarantees: what is stated follows from the invariants of any state. Operators assume `only_entry_of_block`; no operator
assumes the other two, which say what `SymbolicPool.take` and the calendars stand for.
"""

from __future__ import annotations

from typing import Any

import z3

from lineclear_spec.invariants import CPU, GPU, INVARIANTS, clauses, within
from lineclear_spec.symbolic.cache import only_entries, only_entry
from lineclear_spec.symbolic.rounding import background, room_of_blocks
from lineclear_spec.symbolic.state import DOMAINS, Sequence, State, fresh, shown, stated

#: Hypotheses, and goals as (kind, label, formula).
Obligations = tuple[list[Any], list[tuple[str, str, Any]]]


def only_entry_of_block() -> Obligations:
    """Of a block that one entry names, every entry that names it is that one."""
    s = State.arbitrary()
    q, at = z3.Const("some.sequence", Sequence), z3.Int("some.index")
    hypotheses = [stated(clause, s) for clause in INVARIANTS["references"].clauses]
    hypotheses.append(within(0, at, s.length(q)))
    return hypotheses, [
        ("step", "an entry of a block named once is the only one", only_entry(s, q, at)),
        ("step", "it is that of the block's first holder", only_entries(s)),
    ]


def any_free_block_id() -> Obligations:
    """Which free block a pool takes next is its own choice: with its free blocks in any other order that
    `free_list` allows every invariant still holds, so what is proved of the last ones of the free part, which
    `SymbolicPool.take` takes, is proved of any. Contracts and postconditions see the order through `is_free` alone.
    """
    before = State.arbitrary()
    after = before.snapshot()
    same: list[Any] = []
    for tier, name in ((GPU, "gpu"), (CPU, "cpu")):
        for field in (f"order_{name}", f"position_{name}"):
            after.fields[field] = fresh(f"other_{field}", field)
        p = z3.Int("p")
        same.append(
            z3.ForAll(
                [p],
                z3.Implies(
                    within(0, p, before.total(tier)),
                    (after.position(tier, p) < after.free(tier))
                    == (before.position(tier, p) < before.free(tier)),
                ),
            )
        )
    hypotheses = background() + same
    goals: list[tuple[str, str, Any]] = []
    for clause in clauses():
        hypotheses.append(stated(clause, before))
        after.reads.clear()
        goal = shown(clause, after)
        if any(after.fields[f] is not before.fields[f] for f in after.reads):
            if clause.invariant == "free_list":
                hypotheses.append(stated(clause, after))
            else:
                goals.append(("preserved", clause.name, goal))
    return hypotheses, goals


def calendars() -> Obligations:
    """What a calendar lists under the next step is what the definition says: the sequences in the decode batch
    whose table is full, and those at their limit; and nothing is listed under a step that is past.
    """
    v = State.arbitrary()
    hypotheses = [*background(), room_of_blocks(), *[stated(clause, v) for clause in clauses()]]
    q = z3.Const("some.sequence", DOMAINS["sequence"])
    full = z3.And(v.in_decode_batch(q), v.need(v.num_dispatched_tokens(q) + 1) > v.length(q))
    at_limit = z3.And(
        v.in_decode_batch(q), v.num_dispatched_tokens(q) >= v.limit(v.request(q)) - 1
    )
    return hypotheses, [
        ("calendar", "due is what the calendar lists", full == (v.boundary(q) == v.steps)),
        ("calendar", "ended is what the calendar lists", at_limit == (v.ending(q) == v.steps)),
        (
            "calendar",
            "nothing is listed under a step that is past",
            z3.Implies(
                v.in_decode_batch(q), z3.And(v.boundary(q) >= v.steps, v.ending(q) >= v.steps)
            ),
        ),
    ]
