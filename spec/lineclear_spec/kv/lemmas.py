# pyright: basic, reportOperatorIssue=false, reportAttributeAccessIssue=false
# pyright: reportArgumentType=false, reportAssignmentType=false, reportOptionalMemberAccess=false
"""What the proofs of KV use of slots and of inverse maps, and the unit that shows it.

Guarantees: what is used of maps is shown here from `background` and the invariants; that a position is a
slot of a block is shown by `rounding.arithmetic`.
"""

from __future__ import annotations

from typing import Any

import z3

from lineclear_spec.invariants import CPU, GPU, INVARIANTS, KV, within
from lineclear_spec.invariants.content import now
from lineclear_spec.symbolic.goals import Goal, Unit
from lineclear_spec.symbolic.kv_fields import POSITION, SLOT
from lineclear_spec.symbolic.rounding import background
from lineclear_spec.symbolic.state import BLOCK_OF, BLOCK_SIZE, DOMAINS, State, stated

UNIT = "kv_lemmas"


def goal_of(kind: str, label: str, depth: int, domains: tuple[str, ...], fact: Any) -> Goal:
    """An obligation about unknown values of some domains.

    Args:
        kind: see `Goal`, as for the next two.
        label: of it.
        depth: how many assumptions it may use.
        domains: of the values.
        fact: what is to be shown of them.
    """
    values = [z3.Const(f"goal.{k}.{d}", DOMAINS[d]) for k, d in enumerate(domains)]
    return Goal(kind, label, depth, fact(*values))


def slots() -> list[Any]:
    """A position is a slot of a block, and a slot of a block is a position."""
    i, k, s = z3.Ints("i k s")
    at = POSITION(k, s)
    return [
        z3.ForAll(
            [i],
            z3.Implies(
                i >= 0,
                z3.And(0 <= SLOT(i), SLOT(i) < BLOCK_SIZE, POSITION(BLOCK_OF(i), SLOT(i)) == i),
            ),
            patterns=[SLOT(i)],
        ),
        z3.ForAll(
            [k, s],
            z3.Implies(
                z3.And(0 <= k, 0 <= s, s < BLOCK_SIZE),
                z3.And(at >= 0, BLOCK_OF(at) == k, SLOT(at) == s),
            ),
            patterns=[at],
        ),
    ]


def only_holder(s: State, q: Any, k: Any) -> Any:
    """Of a block that one entry names, the inverse maps lead to that entry; unit `kv_lemmas`."""
    b = s.table(q, k)
    return z3.Implies(
        z3.And(within(0, k, s.length(q)), s.ref(b) == 1),
        z3.And(s.holder(b, 0) == q, s.index(q, b) == k),
    )


def computed_is_there(s: State, q: Any, i: Any) -> Any:
    """What counts as computed is the KV of the sequence's own tokens, in the
    present table, once the operations decided so far are done.
    """
    k = s.block_of(i)
    b = s.table(q, k)
    there = [
        z3.Implies(s.tier(b) == tier, now(s, "content", tier, b, i) == s.token_kv(q, i))
        for tier in (GPU, CPU)
    ]
    return z3.Implies(
        z3.And(s.alive(q), within(0, i, s.num_computed_tokens(q))),
        z3.And(within(0, k, s.length(q)), *there),
    )


def lemmas() -> Unit:
    """What is used of the inverse maps of tables where one entry names a block; and an invariant of the table that
    those of KV imply.
    """
    s = State.arbitrary()
    known = [stated(c, s) for c in INVARIANTS["references"].clauses]
    used = [*INVARIANTS["capacity"].clauses, *INVARIANTS["clocks"].clauses]
    used += [*INVARIANTS["decode_batch"].clauses, *KV["holds"].clauses]
    later = [*[stated(c, s) for c in used], *slots()]
    goals = [
        goal_of(
            "step",
            "the only entry that names a block is found",
            0,
            ("sequence", "index"),
            lambda q, k: only_holder(s, q, k),
        ),
        goal_of(
            "step",
            "what counts as computed has its own KV in the present table",
            len(later),
            ("sequence", "position"),
            lambda q, i: computed_is_there(s, q, i),
        ),
        goal_of(
            "step",
            "what counts as computed is not negative",
            len(later),
            ("sequence",),
            lambda q: z3.Implies(s.alive(q), s.num_computed_tokens(q) >= 0),
        ),
    ]
    return Unit(UNIT, [*background(), *known], later, goals)
