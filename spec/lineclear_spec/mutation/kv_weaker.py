# pyright: basic
"""Weaker invariants, for proofs that no token is wrong although a statement of the table is missing.

Guarantees: nothing by itself. Each clause here is a candidate: `mutation/kv_what_holds.py` uses it only once it is
proved of the broken table.
"""

from __future__ import annotations

from typing import Any

import z3

from lineclear_spec.contracts import Part, part
from lineclear_spec.invariants.clause import (
    CPU,
    GPU,
    SWAPPED,
    Clause,
    Patterns,
    Predicate,
    domains_of,
    is_free,
    live,
    present,
    private,
    within,
)
from lineclear_spec.logic import and_, implies, not_, or_
from lineclear_spec.symbolic.state import Block


def owned(tier: int) -> Predicate:
    """`conservation.no_leak`, of block ids whose block is still there: others may have leaked."""
    return lambda v, p: implies(
        and_(within(0, p, v.total(tier)), not_(is_free(v, tier, p)), present(v, v.owner(tier, p))),
        and_(v.tier(v.owner(tier, p)) == tier, v.block_id(v.owner(tier, p)) == p),
    )


def lies_there(v: Any, tier: int, p: Any) -> Any:
    """Whether the block id is that of its block: it has not leaked."""
    b = v.owner(tier, p)
    return and_(present(v, b), v.tier(b) == tier, v.block_id(b) == p)


def may_touch(v: Any, tier: int, o: Any, p: Any) -> Any:
    """Whether the open operation touches the block id, which is held and has not leaked.

    Args:
        v, tier, o, p: state, pool, operation and block id.
    """
    return and_(
        within(0, p, v.total(tier)),
        not_(is_free(v, tier, p)),
        lies_there(v, tier, p),
        v.touch(tier, o, p),
        v.open(o),
    )


#: Whose a block id is that its block has left and that was not put back: that of a block that is not there. No plain
#: data says whose a block id is.
GONE = z3.Const("gone", Block)


#: Clause -> what is tried in its place if it is not proved of the broken table.
WEAKER: dict[str, Predicate] = {
    "conservation.no_leak_gpu": owned(GPU),
    "conservation.no_leak_cpu": owned(CPU),
    # of block ids that have not leaked
    "fence.held_gpu": lambda v, o, p: implies(
        may_touch(v, GPU, o, p), or_(v.compute(o), o <= v.barrier)
    ),
    "fence.held_cpu": lambda v, o, p: implies(
        may_touch(v, CPU, o, p), o <= v.last_swap(v.group(v.owner(CPU, p)))
    ),
    # without `open_swap <= last_swap`
    "pending.copy": lambda v, r: and_(
        0 <= v.open_swap(r),
        v.open_swap(r) <= v.issued,
        0 <= v.last_swap(r),
        v.last_swap(r) <= v.issued,
        implies(
            v.open_swap(r) >= 1,
            and_(
                v.open(v.open_swap(r)),
                not_(v.is_forward(v.open_swap(r))),
                v.request_of(v.open_swap(r)) == r,
            ),
        ),
    ),
    # more tokens than were allowed
    "limit.known": lambda v, q: implies(
        v.alive(q),
        and_(v.prompt(v.request(q)) >= 1, v.num_tokens(q) >= v.prompt(v.request(q))),
    ),
    # more sequences than were allowed
    "members.width": lambda v, r: and_(
        implies(live(v.phase(r)), v.width(r) >= 1),
        implies(not_(live(v.phase(r))), v.width(r) == 0),
    ),
}


def of_move(old: Any, new: Any, count: Any, r: Any, tier: int) -> list[Part]:
    """What the contract of a move would have to say besides if block ids leak: who takes a block id of the tier has
    a block there, and the copy reads block ids that have not leaked, and no others.

    Args:
        old: the state before.
        new: the state after.
        count: private blocks of the request.
        r: the request.
        tier: the target.
    """
    source = CPU if tier == GPU else GPU
    return [
        part("taken", lambda: new.free(tier) == old.free(tier) - count),
        part(
            "left",
            lambda p: (
                new.owner(source, p)
                == old.if_else(
                    and_(
                        lies_there(old, source, p),
                        private(old, old.owner(source, p)),
                        old.group(old.owner(source, p)) == r,
                    ),
                    GONE,
                    old.owner(source, p),
                )
            ),
        ),
        part(
            "leaves",
            lambda o, p: implies(
                and_(new.touch(source, o, p), not_(old.touch(source, o, p))),
                and_(
                    o == old.issued,
                    within(0, p, old.total(source)),
                    not_(is_free(old, source, p)),
                    lies_there(old, source, p),
                    old.group(old.owner(source, p)) == r,
                ),
            ),
        ),
        part(
            "allocated",
            lambda p: implies(
                and_(
                    within(0, p, old.total(tier)),
                    is_free(old, tier, p),
                    not_(is_free(new, tier, p)),
                ),
                private(old, new.owner(tier, p)),
            ),
        ),
        part(
            "read",
            lambda o, p: implies(
                and_(new.touch(source, o, p), not_(old.touch(source, o, p))),
                private(old, old.owner(source, p)),
            ),
        ),
    ]


def of_allocation(old: Any, new: Any) -> list[Part]:
    """What the contract of a step that makes blocks would have to say besides: none of them backed a block id before.

    Args:
        old: the state before.
        new: the state after.
    """
    return [
        part(
            "new",
            lambda p: implies(
                and_(
                    within(0, p, old.total(GPU)),
                    not_(is_free(old, GPU, p)),
                    lies_there(new, GPU, p),
                ),
                and_(new.owner(GPU, p) == old.owner(GPU, p), lies_there(old, GPU, p)),
            ),
        )
    ]


def most_drafts(v: Any, q: Any) -> Any:
    """Drafts that the sample still to come may accept."""
    return v.if_else(v.drafts(q) >= v.late_drafts(q), v.drafts(q), v.late_drafts(q))


def clause(label: str, predicate: Predicate, patterns: Patterns | None = None) -> Clause:
    """A candidate."""
    return Clause("without", label, domains_of(predicate, first=1), predicate, patterns)


#: True of the table as it is, and what makes a guard say nothing new.
OF_TABLE = (
    clause(
        "drafts", lambda v, q: implies(and_(v.alive(q), v.drafts(q) >= 1), v.last_samples(q) == 1)
    ),
    clause(
        "late",
        lambda v, q: implies(
            and_(v.alive(q), v.late_drafts(q) >= 1),
            and_(
                v.drafts(q) == 0,
                v.scheduled_samples(q) == 1,
                v.num_dispatched_tokens(q) <= v.num_tokens(q),
            ),
        ),
    ),
    clause(
        "late_samples",
        lambda v, q: implies(
            and_(
                v.alive(q),
                v.late_drafts(q) >= 1,
                v.last_tokens(q) >= 1,
                v.last_step(q) > v.committed,
            ),
            v.last_samples(q) == 0,
        ),
    ),
    clause(
        "limit",
        lambda v, q: implies(
            and_(v.alive(q), not_(v.in_decode_batch(q)), v.own_samples(q) >= 1),
            v.own_tokens(q) + v.own_samples(q) + most_drafts(v, q) <= v.limit(v.request(q)),
        ),
    ),
    clause("reach", lambda v, q: implies(v.alive(q), v.own_dispatched(q) >= 0)),
)
#: And after every block step.
OF_STEPS = (clause("gone", lambda v: not_(present(v, GONE))),)
#: Why `swap_in` may wait for the barrier alone: the copy out has run, which its guard has seen, and with it all that
#: the copy out waited for, which is all before it.
OF_DEVICE = (
    clause(
        "ran",
        lambda v, o, n: implies(and_(1 <= o, o <= v.wait(n), v.ran(n)), v.ran(o)),
        lambda v, o, n: [(v.ran(o), v.ran(n))],
    ),
    clause(
        "out",
        lambda v, r: implies(
            and_(v.phase(r) == SWAPPED, v.open_swap(r) >= 1),
            v.wait(v.open_swap(r)) == v.open_swap(r) - 1,
        ),
        lambda v, r: [(v.open_swap(r),)],
    ),
    clause(
        "held",
        lambda v, o, p: implies(
            and_(
                within(0, p, v.total(CPU)),
                not_(is_free(v, CPU, p)),
                private(v, v.owner(CPU, p)),
                v.phase(v.group(v.owner(CPU, p))) == SWAPPED,
                1 <= o,
                v.touch(CPU, o, p),
                not_(v.ran(o)),
            ),
            within(1, o, v.open_swap(v.group(v.owner(CPU, p))) + 1),
        ),
        lambda v, o, p: [(v.touch(CPU, o, p),)],
    ),
    clause(
        "ordered",
        lambda v, o, n, p: implies(
            and_(1 <= o, o < n, v.touch(CPU, o, p), v.touch(CPU, n, p), not_(v.ran(o))),
            or_(o <= v.wait(n), and_(v.compute(o), v.compute(n))),
        ),
        lambda v, o, n, p: [(v.touch(CPU, o, p), v.touch(CPU, n, p))],
    ),
)
