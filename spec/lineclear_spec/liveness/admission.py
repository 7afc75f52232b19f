# pyright: basic, reportOperatorIssue=false, reportAttributeAccessIssue=false
# pyright: reportArgumentType=false, reportAssignmentType=false, reportOptionalMemberAccess=false
"""What progress needs of what there is and of what a request wants: the scheduler's own methods.

Guarantees: `Room.have` and `Room.want` are run on formulas, as `liveness/entering.py` says; nothing is
stated of a copy.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import z3

from lineclear_spec.invariants import GPU
from lineclear_spec.invariants.clause import RUNNING, SWAPPED, WAITING
from lineclear_spec.kernel import progress, queries
from lineclear_spec.language.conditional import on_formulas
from lineclear_spec.liveness.decisions import truth, whole
from lineclear_spec.liveness.empty_pool import everywhere
from lineclear_spec.liveness.entering import STEP
from lineclear_spec.logic import larger, smaller
from lineclear_spec.symbolic.ledger import SymbolicLedger
from lineclear_spec.symbolic.state import BLOCK_OF, NEED, Request, Sequence, State
from lineclear_spec.symbolic.terms import Term, raw

#: The request that asks to enter, and its sequence.
ASKER, LEADER = z3.Const("asker", Request), z3.Const("leader", Sequence)


def asked() -> tuple[State, SymbolicLedger, SimpleNamespace]:
    """Any state, a ledger in it, and any settings of a scheduler beside it."""
    s = State.arbitrary()
    settings = SimpleNamespace(
        watermark_blocks=whole("watermark"),
        max_num_seqs=Term(s.max_num_seqs),
        max_num_batched_tokens=Term(s.max_num_batched_tokens),
        resting=whole("resting"),
        saved=whole("saved"),
        made=whole("made"),
        may_fork_later=truth("may_fork_later"),
    )
    return s, SymbolicLedger(s), settings


def admission() -> tuple[list[Any], list[tuple[str, Any]]]:
    """Hypotheses and goals about a request of one sequence when no request runs, or when it runs alone.

    The scheduler's own methods are run (`liveness/entering.py`): what there is, what the request wants, and
    whether the one covers the other.
    """
    s, ledger, settings = asked()
    r, leader = ASKER, LEADER
    record, only = ledger.wrap(Request, r), ledger.wrap(Sequence, leader)
    budget, last = s.max_num_batched_tokens, s.limit(r) - 1
    exist, lookahead = z3.Int("exist"), z3.Int("lookahead")
    text = raw(on_formulas(queries.worst_case)(ledger, record))
    resting, saved, made = raw(settings.resting), raw(settings.saved), raw(settings.made)
    one = z3.And(
        s.parallel(r) == 1, s.worst_case(r) == text, s.blocks(r) == s.length(leader), made >= 1
    )
    empty = z3.And(
        s.free(GPU) + resting == s.total(GPU),
        saved >= 0,
        s.decode_batch_size == 0,
        s.step_tokens == 0,
    )
    knows = z3.And(
        1 <= raw(only.own_tokens),
        raw(only.own_tokens) <= last,
        raw(only.own_samples) >= 0,
    )
    reach = raw(only.own_dispatched)
    asks = z3.And(reach < exist, reach < last, lookahead >= 0)
    step = STEP[0](ledger, settings)
    have, waits = step.have(), step.waits(record, only)
    hints = (Term(exist), Term(last), Term(reach), Term(lookahead))
    returns = step.returns(record, only, hints)
    (demand,) = step.demands
    free = Term(s.total(GPU)) - Term(s.length(leader))
    goals: list[tuple[str, Any]] = [
        (
            "a waiting request of one sequence enters when no request runs",
            z3.Implies(z3.And(empty, one, knows, s.phase(r) == WAITING), raw(have.covers(waits))),
        ),
        (
            "a swapped request of one sequence enters when no request runs",
            z3.Implies(z3.And(empty, one, asks, s.phase(r) == SWAPPED), raw(have.covers(returns))),
        ),
        (
            "a request of one sequence that runs alone can grow",
            z3.Implies(
                z3.And(one, s.phase(r) == RUNNING, asks, z3.Not(s.in_decode_batch(leader))),
                raw(progress.grows(0, demand.blocks, free)),
            ),
        ),
        (
            "a request that runs alone, with its sequence in the decode batch, can take the block that it is "
            "due",
            z3.Implies(
                z3.And(
                    one,
                    s.phase(r) == RUNNING,
                    s.in_decode_batch(leader),
                    s.num_dispatched_tokens(leader) < last,
                    NEED(s.num_dispatched_tokens(leader) + 1) == s.length(leader) + 1,
                ),
                raw(progress.grows(1, 0, free)),
            ),
        ),
    ]
    named = [leader == s.member(r, 0), z3.Int("last_block") == BLOCK_OF(last), budget >= 1]
    return [*everywhere(s), *named], goals


def exact_room() -> tuple[list[Any], list[tuple[str, Any]]]:
    """Goals about the same methods that need no invariant: what there is and what is wanted, exactly."""
    s, ledger, settings = asked()
    r, leader = ASKER, LEADER
    record, only = ledger.wrap(Request, r), ledger.wrap(Sequence, leader)
    budget, last = s.max_num_batched_tokens, s.limit(r) - 1
    seats = raw(progress.seats_of(Term(s.parallel(r)), 1, settings.made, settings.may_fork_later))
    step = STEP[0](ledger, settings)
    have, wants = step.have(), step.waits(record, only)
    exist, lookahead = z3.Int("exist"), z3.Int("lookahead")
    hints = (Term(exist), Term(last), only.own_dispatched, Term(lookahead))
    returns = step.returns(record, only, hints)
    (demand,) = step.demands
    known = raw(only.own_tokens)
    goals = [
        (
            "when no request runs there is the whole pool, every seat and the whole budget",
            z3.Implies(
                z3.And(
                    s.free(GPU) + z3.Int("resting") == s.total(GPU),
                    s.decode_batch_size == 0,
                    s.step_tokens == 0,
                ),
                z3.And(
                    raw(have.blocks) == s.total(GPU),
                    raw(have.seats) == s.max_num_seqs,
                    raw(have.tokens) == budget,
                ),
            ),
        ),
        (
            "a waiting request of one sequence wants blocks for what it computes, its seats, and a token, or "
            "all of its tokens if it is computed whole",
            z3.Implies(
                z3.And(1 <= known, known <= last, budget >= 1),
                z3.And(
                    raw(wants.blocks)
                    == NEED(raw(computed_on_admission(only, last))) - z3.Int("saved"),
                    raw(wants.seats) == seats,
                    raw(wants.tokens)
                    == z3.If(
                        z3.Or(s.chunked, z3.And(s.cut_long, known > budget)),
                        1,
                        raw(smaller(computed_on_admission(only, last), Term(budget))),
                    ),
                ),
            ),
        ),
        (
            "a swapped request of one sequence wants the blocks that it has and its growth",
            z3.And(
                raw(returns.blocks) == s.blocks(r) + raw(demand.blocks),
                raw(returns.seats) == seats,
            ),
        ),
    ]
    return [], goals


def computed_on_admission(only: Any, last: Any) -> Any:
    """Known tokens and those that are still to be sampled, of which the last of a complete sequence needs no room."""
    both_kinds = only.own_tokens + only.own_samples
    return larger(only.own_tokens, smaller(both_kinds, Term(last)))
