# pyright: basic, reportOperatorIssue=false, reportAttributeAccessIssue=false
# pyright: reportArgumentType=false, reportAssignmentType=false, reportOptionalMemberAccess=false
"""What progress needs of a pool in which no request runs, and of what a group asks for there.

Guarantees: what is stated holds in every state between actions, for any number of requests and branches.
"""

from __future__ import annotations

from typing import Any

import z3

from lineclear_spec.invariants import GPU, rests, sealed
from lineclear_spec.invariants.clause import RUNNING, SWAPPED, live
from lineclear_spec.kernel import progress
from lineclear_spec.liveness.ranking import CLAUSES, sure
from lineclear_spec.symbolic.rounding import background
from lineclear_spec.symbolic.state import BLOCK_OF, NEED, Request, Sequence, State, stated
from lineclear_spec.symbolic.terms import Term, raw


def empty_pool() -> tuple[list[Any], list[tuple[str, Any]]]:
    """Hypotheses and goals about what is there when no request runs, and about what a group asks for."""
    s = State.arbitrary()
    r = z3.Const("asker", Request)
    leader = z3.Const("leader", Sequence)
    known, last = z3.Int("room"), s.limit(r) - 1
    # Of "no request runs" each proof uses one instance: the request that would have to.
    last_taken = s.owner(GPU, s.order(GPU, s.free(GPU)))
    holder, reader = s.group(last_taken), s.request(s.holder(last_taken, 0))
    goals = [
        (
            "the whole pool is free when no request runs, none is swapped out with sealed blocks, and "
            "nothing rests",
            z3.Implies(
                z3.And(
                    s.phase(holder) != RUNNING,
                    s.phase(reader) != RUNNING,
                    z3.Not(z3.And(s.phase(reader) == SWAPPED, raw(sealed(s, last_taken)))),
                    z3.Not(raw(rests(s, last_taken))),
                ),
                s.free(GPU) == s.total(GPU),
            ),
        ),
        (
            "nothing is in the decode batch when no request runs",
            z3.Implies(s.phase(s.request(s.decode_batch(0))) != RUNNING, s.decode_batch_size == 0),
        ),
        (
            "what a living sequence has left is never negative",
            z3.Implies(s.alive(leader), sure(s, leader) <= s.limit(s.request(leader)) - 1),
        ),
    ]
    return [*everywhere(s), leader == s.member(r, 0)], goals + branches(s, r, known, last)


def everywhere(s: State) -> list[Any]:
    """What holds of a state between actions."""
    clauses = [stated(c, s) for c in CLAUSES.values()]
    return [*background(), *clauses]


def branches(s: State, r: Any, known: Any, last: Any) -> list[tuple[str, Any]]:
    """A group asks for no more than its worst case, by induction over its branches.

    Args:
        s: state.
        r: request.
        known: tokens of one that enters.
        last: the last position that it may compute.
    """
    blocks, reserved, full, most = (
        z3.Int(name) for name in ("blocks", "reserved", "full_blocks", "most_blocks")
    )
    shape = z3.And(
        live(s.phase(r)),
        s.alive(s.member(r, 0)),
        s.request(s.member(r, 0)) == r,
        s.prompt(r) <= known,
        known <= last,
        full == BLOCK_OF(s.prompt(r)),
        most == NEED(last),
    )
    further = progress.beside(Term(NEED(known)), Term(full))
    return [
        (
            "the first branch asks for no more than one worst case",
            z3.Implies(shape, NEED(known) <= most),
        ),
        (
            "a further branch asks for no more than one worst case more",
            z3.Implies(
                z3.And(shape, blocks <= reserved), blocks + raw(further) <= reserved + most - full
            ),
        ),
        ("another branch's worst case is never negative", z3.Implies(shape, most - full >= 0)),
    ]
