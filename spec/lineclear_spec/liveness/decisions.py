# pyright: basic, reportOperatorIssue=false, reportAttributeAccessIssue=false
# pyright: reportArgumentType=false, reportAssignmentType=false, reportOptionalMemberAccess=false
"""What progress needs of the scheduler's decisions: the functions of `kernel/progress.py`, on formulas.

Guarantees: the functions that the scheduler asks are what is run; nothing is stated of a copy.
"""

from __future__ import annotations

from typing import Any

import z3

from lineclear_spec.kernel import progress
from lineclear_spec.liveness.exact_decisions import exact_decisions
from lineclear_spec.logic import and_, implies, not_, or_, smaller
from lineclear_spec.symbolic.terms import Misuse, Term, raw

Place = z3.DeclareSort("Place")
PRECEDES = z3.Function("precedes", Place, Place, z3.BoolSort())


class AbstractOrder:
    """A place in any strict total order."""

    __slots__ = ("z",)

    def __init__(self, name: str) -> None:
        self.z = z3.Const(name, Place)

    def __lt__(self, other: AbstractOrder) -> Term:
        return Term(PRECEDES(self.z, other.z))

    def __bool__(self) -> bool:
        raise Misuse("a place in an order has no truth value")


def total_order() -> list[Any]:
    """What a policy's order is proved to be, each by the unit of its name."""
    a, b, c = (z3.Const(name, Place) for name in "abc")
    return [
        z3.ForAll([a], z3.Not(PRECEDES(a, a)), patterns=[PRECEDES(a, a)]),
        z3.ForAll(
            [a, b, c],
            z3.Implies(z3.And(PRECEDES(a, b), PRECEDES(b, c)), PRECEDES(a, c)),
            patterns=[z3.MultiPattern(PRECEDES(a, b), PRECEDES(b, c))],
        ),
        z3.ForAll(
            [a, b],
            z3.Or(PRECEDES(a, b), a == b, PRECEDES(b, a)),
            patterns=[z3.MultiPattern(PRECEDES(a, b), PRECEDES(b, a))],
        ),
    ]


def whole(name: str) -> Term:
    """An unknown number."""
    return Term(z3.Int(name))


def truth(name: str) -> Term:
    """An unknown truth value."""
    return Term(z3.Bool(name))


def decisions() -> tuple[list[Any], list[tuple[str, Any]]]:
    """Hypotheses and goals about the functions of `kernel/progress.py`."""
    first, other, third = (AbstractOrder(name) for name in ("first", "other", "third"))
    leads = z3.Or(first.z == other.z, PRECEDES(first.z, other.z))
    here = z3.And(
        *[
            z3.Or(x.z == y.z, PRECEDES(x.z, y.z), PRECEDES(y.z, x.z))
            for x, y in ((first, other), (other, third), (first, third))
        ]
    )
    by, most = whole("bypassed"), whole("most")
    left, tokens, dealt, share, budget, wide = map(
        whole, ("left", "tokens", "dealt", "share", "budget", "wide")
    )
    chunked = truth("chunked_prefill")
    preempted, pause, displaced, blocked = map(
        truth, ("preempted", "pause", "displaced", "blocked")
    )
    free, passed, wants, gained = map(whole, ("free", "passed", "wants", "gained"))
    given = progress.chunk(tokens, left, chunked)
    asked_for = whole("share_of_a_prompt")
    first_gets = progress.chunk(progress.share_of(tokens, False, most), budget - dealt, True)
    displacing, kept = truth("displacing"), truth("kept_a_token")
    lacking = truth("lacking")
    parallel, width, made, forks, prunes, stops = map(
        whole, ("parallel", "width", "made", "forks", "prunes", "stops")
    )
    later = truth("may_fork_later")
    shape = and_(width >= 0, width <= made, width <= parallel)
    seats = progress.seats_of(parallel, width, made, later)
    further = width + forks - prunes
    after = progress.seats_of(parallel, further - stops, made + forks, later)
    # Of a step in which the first of those that run takes all tokens and is no victim: what others
    # plan to take, and what the victims among them give up.
    takes, planned, gives, asks, most_blocks = map(
        whole, ("first_takes", "others_plan", "victims_give", "head_asks", "many_blocks")
    )
    there = progress.Need(most_blocks, most_blocks, left) - progress.Need(0, 0, planned + takes)
    enough = (there + progress.Need(most_blocks, most_blocks, gives)).covers(
        progress.Need(0, 0, progress.asked_tokens(asks, budget))
    )
    goals: list[tuple[str, Any]] = [
        (
            "no request precedes the first in the order",
            z3.Implies(leads, raw(not_(progress.behind(other, first)))),
        ),
        (
            "exactly the requests that come later are behind",
            z3.And(
                z3.Implies(PRECEDES(first.z, other.z), raw(progress.behind(first, other))),
                z3.Implies(raw(progress.behind(first, other)), PRECEDES(first.z, other.z)),
            ),
        ),
        (
            "preemption goes down the order, so that it has no cycle",
            z3.Implies(
                z3.And(raw(progress.behind(first, other)), raw(progress.behind(other, third))),
                z3.And(
                    raw(progress.behind(first, third)), raw(not_(progress.behind(third, first)))
                ),
            ),
        ),
        (
            "the first request of all is the head of its queue",
            z3.Implies(z3.And(leads, raw(not_(first < other))), first.z == other.z),
        ),
        (
            "with no bypass no request enters before one that precedes it",
            implies(and_(by >= 0, most == 0), not_(progress.may_be_passed(by, most))),
        ),
        (
            "a request is passed at most `max_bypasses` times",
            implies(and_(by <= most, progress.may_be_passed(by, most)), by + 1 <= most),
        ),
        (
            "a part of a prompt is never more than there is, and never more than was asked",
            implies(
                tokens >= 1,
                and_(given >= 0, given <= tokens, or_(given <= left, given == 0)),
            ),
        ),
        (
            "with chunking a prompt takes what is left, and so a token if one is left",
            implies(and_(chunked, tokens >= 1, left >= 1), given >= 1),
        ),
        (
            "a prompt for which there is room is computed whole",
            implies(and_(tokens >= 1, tokens <= left), given == tokens),
        ),
        (
            "one decode more takes at most a seat's share",
            implies(and_(dealt <= share, tokens <= wide), dealt + tokens <= share + wide),
        ),
        (
            "after the decodes of all other seats a token is left for the first prompt",
            implies(
                and_(dealt <= share, share + wide <= budget, wide >= 1, tokens >= 1),
                progress.chunk(tokens, budget - dealt, True) >= 1,
            ),
        ),
        (
            "with chunking the first prompt gets the least of what it lacks, its limit and what decodes leave",
            implies(
                and_(dealt <= budget, tokens >= 1, most >= 1),
                first_gets == smaller(smaller(tokens, most), budget - dealt),
            ),
        ),
        (
            "a prompt that does not get its share admits no other",
            implies(
                or_(blocked, progress.lacks(given, asked_for)),
                not_(
                    progress.admits_others(
                        preempted,
                        pause,
                        displaced,
                        or_(blocked, progress.lacks(given, asked_for)),
                    )
                ),
            ),
        ),
        (
            "without chunking a prompt that lacks tokens admits no other",
            implies(
                and_(tokens <= budget, tokens > left, tokens >= 1),
                progress.lacks(
                    progress.chunk(progress.share_of(tokens, False, budget), left, False),
                    progress.share_of(tokens, False, budget),
                ),
            ),
        ),
        (
            "a step that did nothing for those that run lets the head in",
            implies(
                not_(or_(preempted, displaced, blocked)),
                progress.admits_others(preempted, pause, displaced, blocked),
            ),
        ),
        (
            "every victim lowers what is lacking by what it held",
            implies(
                and_(gained >= 0, progress.grows(passed, wants, free)),
                progress.grows(passed, wants, free + gained),
            ),
        ),
        (
            "a request is never asked for more tokens than a step has",
            implies(budget >= 1, progress.asked_tokens(tokens, budget) <= budget),
        ),
        (
            "a request that entered by displacing is not displaced before it has kept a token",
            implies(
                and_(displacing, not_(kept)),
                not_(progress.may_be_displaced(progress.is_sheltered(displacing, lacking), kept)),
            ),
        ),
        (
            "a request that entered beside a prompt that lacks tokens is not displaced before it has kept one",
            implies(
                and_(lacking, not_(kept)),
                not_(progress.may_be_displaced(progress.is_sheltered(displacing, lacking), kept)),
            ),
        ),
        (
            "beside a prompt that lacks tokens no request enters that may grow before it keeps a token",
            implies(and_(lacking, width >= 2), not_(progress.enters_beside(lacking, width))),
        ),
        (
            "a request has a seat for each of its sequences, and no more seats than it may have sequences",
            implies(shape, and_(width <= seats, seats <= parallel)),
        ),
        (
            "what a step samples leaves a request no more seats than it had, and no fewer than sequences",
            implies(
                and_(
                    shape,
                    progress.may_fork(width, forks - prunes, seats),
                    forks >= 0,
                    prunes >= 0,
                    stops >= 0,
                ),
                and_(further - stops <= after, after <= seats),
            ),
        ),
        (
            "a sequence that ends gives its seat back, unless the request may fork later",
            implies(
                not_(later),
                progress.seats_of(parallel, width - 1, made, later) + 1 == seats,
            ),
        ),
        (
            "any other request may be displaced",
            implies(
                or_(and_(not_(displacing), not_(lacking)), kept),
                progress.may_be_displaced(progress.is_sheltered(displacing, lacking), kept),
            ),
        ),
        (
            "no request displaces without the first that runs if that takes all tokens of the step",
            implies(
                and_(
                    left == budget,
                    takes == progress.chunk(tokens, left, True),
                    tokens >= left,
                    gives <= planned,
                    asks >= 1,
                    budget >= 1,
                ),
                not_(enough),
            ),
        ),
        (
            "who displaces the first that runs comes before all that run",
            z3.Implies(
                z3.And(raw(progress.behind(third, first)), leads),
                raw(progress.behind(third, other)),
            ),
        ),
        (
            "when no request runs no block is kept free",
            progress.kept_free(whole("watermark"), 0) == 0,
        ),
        *exact_decisions(whole, truth),
    ]
    return [*total_order(), here], [(label, raw(condition)) for label, condition in goals]
