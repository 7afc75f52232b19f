# pyright: basic, reportOperatorIssue=false, reportAttributeAccessIssue=false
# pyright: reportArgumentType=false, reportAssignmentType=false, reportOptionalMemberAccess=false
"""What progress needs of the table, of the scheduler's decisions and of a policy's order.

Guarantees: the actions, the functions of `progress.py` and the policies' own `key` and
`may_displace` are what is run on formulas; nothing is stated of a copy. It knows nothing about how
the one-step lemmas are joined: that is the paper induction in docs/trust.md.

What a sequence has *left* is its limit less one, less the positions that are computed or being
computed, drafts aside. It is the measure that every step must lower and nothing may raise.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import z3

from lineclear_spec import progress
from lineclear_spec.invariants import GPU, clauses
from lineclear_spec.invariants.clause import RUNNING, SWAPPED, WAITING, live
from lineclear_spec.logic import any_of, both, implies, negate
from lineclear_spec.state import (
    BLOCK_OF,
    NEED,
    Request,
    Sequence,
    State,
    background,
    quantify,
)
from lineclear_spec.terms import Misuse, Term, raw

__all__ = [
    "Candidate",
    "Unknowns",
    "decisions",
    "differs",
    "empty_pool",
    "order",
    "ranking",
    "sure",
]

CLAUSES = {clause.name: clause for clause in clauses()}
#: Actions that give up what their own request has computed.
LOSING = frozenset({"recompute", "discard_swapped", "fail_copy"})
Labelled = tuple[str, tuple[str, ...], Callable[..., Any]]


def sure(v: Any, q: Any) -> Any:
    """Positions computed or being computed, unverified drafts aside."""
    return v.reach(q) - v.drafts(q)


def remains(v: Any, q: Any) -> Any:
    """Whether a token is left to compute, or is on its way."""
    return sure(v, q) + 1 <= v.known(q) + v.promised(q)


# ---- the table ---------------------------------------------------------------------------------


def owner(before: State, arguments: tuple[Any, ...]) -> Any:
    """The request that an action is about, or None."""
    if not arguments or not z3.is_expr(arguments[0]):
        return None
    if arguments[0].sort() == Request:
        return arguments[0]
    return before.request(arguments[0]) if arguments[0].sort() == Sequence else None


def ranking(name: str, before: State, after: State, arguments: tuple[Any, ...]) -> list[Labelled]:
    """The one-step lemmas of one action, for any other request and sequence."""
    own = owner(before, arguments)

    def lives(q: Any) -> Any:
        return z3.And(before.alive(q), after.alive(q))

    # A branch takes part in a prompt again only if it knows a token of its own: `job_of` asks.
    more = (
        arguments[1] < before.known(arguments[0]) + before.promised(arguments[0])
        if name == "rejoin"
        else z3.BoolVal(True)
    )

    def spared(q: Any) -> Any:
        return lives(q) if name not in LOSING else z3.And(lives(q), before.request(q) != own)

    lemmas: list[Labelled] = [
        (
            "what a request has left is raised by no action on another",
            ("sequence",),
            lambda q: z3.Implies(spared(q), sure(after, q) >= sure(before, q)),
        ),
        (
            "no token that is known is forgotten",
            ("sequence",),
            lambda q: z3.Implies(lives(q), after.known(q) >= before.known(q)),
        ),
        (
            "a token is left to compute or on its way, as long as a sequence lives",
            ("sequence",),
            lambda q: z3.Implies(
                z3.And(more, after.alive(q), z3.Implies(before.alive(q), remains(before, q))),
                remains(after, q),
            ),
        ),
        (
            "no other request changes its phase",
            ("request",),
            lambda r: z3.Implies(
                z3.BoolVal(True) if own is None else r != own, after.phase(r) == before.phase(r)
            ),
        ),
    ]
    return [*lemmas, *gains(name, before, after, own, arguments)]


def gains(
    name: str, before: State, after: State, own: Any, arguments: tuple[Any, ...]
) -> list[Labelled]:
    """What one action brings its own request."""
    first = arguments[0] if arguments else None

    def freed(p: Any) -> Any:
        """With what is proved to hold after: nothing leaks, and who does not run holds nothing."""
        block = after.owner(GPU, p)
        held = z3.And(0 <= p, p < before.total(GPU), before.position(GPU, p) >= before.free(GPU))
        leaks = raw(CLAUSES["conservation.no_leak_gpu"].predicate(after, p))
        resides = raw(CLAUSES["residency.tier"].predicate(after, block))
        mine = before.group(before.owner(GPU, p)) == own
        return z3.Implies(
            z3.And(held, mine, leaks, resides), after.position(GPU, p) < after.free(GPU)
        )

    if name == "schedule_tokens":
        return [
            ("it lowers what is left", (), lambda: sure(after, first) >= sure(before, first) + 1),
            (
                "the step that it is in is not empty",
                (),
                lambda: after.step_tokens >= before.step_tokens + 1,
            ),
        ]
    if name == "issue_step":
        return [
            (
                "it lowers what is left to every steady sequence",
                ("sequence",),
                lambda q: z3.Implies(
                    z3.And(before.alive(q), before.steady(q)),
                    sure(after, q) == sure(before, q) + 1,
                ),
            )
        ]
    if name == "sample":
        return [("it brings a token", (), lambda: after.known(first) >= before.known(first) + 1)]
    if name in ("recompute", "swap_out"):
        return [("every place that it held is free at once", ("place",), freed)]
    if name in ("admit", "swap_in"):
        return [("it runs", (), lambda: after.phase(own) == RUNNING)]
    if name == "fork":
        return [
            (
                "a branch has no more left than its parent",
                ("sequence",),
                lambda q: z3.Implies(
                    z3.And(after.alive(q), z3.Not(before.alive(q))),
                    sure(after, q) >= sure(before, first),
                ),
            )
        ]
    return []


# ---- the decisions -----------------------------------------------------------------------------

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
    """A number nobody knows."""
    return Term(z3.Int(name))


def truth(name: str) -> Term:
    """A truth value nobody knows."""
    return Term(z3.Bool(name))


def decisions() -> tuple[list[Any], list[tuple[str, Any]]]:
    """Hypotheses and goals about the functions of `progress.py`."""
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
    goals = [
        (
            "the first in the order is behind nobody",
            z3.Implies(leads, raw(negate(progress.behind(other, first)))),
        ),
        (
            "giving way goes down the order, so that it has no cycle",
            z3.Implies(
                z3.And(raw(progress.behind(first, other)), raw(progress.behind(other, third))),
                z3.And(
                    raw(progress.behind(first, third)), raw(negate(progress.behind(third, first)))
                ),
            ),
        ),
        (
            "whoever is first of all is the head of the queue that it is in",
            z3.Implies(z3.And(leads, raw(negate(first < other))), first.z == other.z),
        ),
        (
            "with no bypass nobody enters before a request that precedes it",
            raw(implies(both(by >= 0, most == 0), negate(progress.may_be_passed(by, most)))),
        ),
        (
            "a request is passed at most `bypass` times",
            raw(implies(both(by <= most, progress.may_be_passed(by, most)), by + 1 <= most)),
        ),
        (
            "a part of a prompt is never more than there is, and never more than was asked",
            raw(
                implies(
                    tokens >= 1,
                    both(given >= 0, given <= tokens, any_of(given <= left, given == 0)),
                )
            ),
        ),
        (
            "with chunking a prompt takes what is left, and so a token if one is left",
            raw(implies(both(chunked, tokens >= 1, left >= 1), given >= 1)),
        ),
        (
            "a prompt for which there is room is computed whole",
            raw(implies(both(tokens >= 1, tokens <= left), given == tokens)),
        ),
        (
            "one decode more takes at most a seat's share",
            raw(implies(both(dealt <= share, tokens <= wide), dealt + tokens <= share + wide)),
        ),
        (
            "after the decodes of all other seats a token is left for the first prompt",
            raw(
                implies(
                    both(dealt <= share, share + wide <= budget, wide >= 1, tokens >= 1),
                    progress.chunk(tokens, budget - dealt, True) >= 1,
                )
            ),
        ),
        (
            "a request that lacks tokens lets nobody in",
            raw(
                implies(
                    blocked, negate(progress.admits_others(preempted, pause, displaced, blocked))
                )
            ),
        ),
        (
            "a step that did nothing for those that run lets the head in",
            raw(
                implies(
                    negate(any_of(preempted, displaced, blocked)),
                    progress.admits_others(preempted, pause, displaced, blocked),
                )
            ),
        ),
        (
            "every victim lowers what is lacking by what it held",
            raw(
                implies(
                    both(gained >= 0, progress.grows(passed, wants, free)),
                    progress.grows(passed, wants, free + gained),
                )
            ),
        ),
        (
            "a request is never asked for more tokens than a step has",
            raw(implies(budget >= 1, progress.asked_tokens(tokens, budget) <= budget)),
        ),
        (
            "when nobody runs no block is kept free",
            raw(progress.kept_free(whole("watermark"), 0) == 0),
        ),
    ]
    return [*total_order(), here], goals


def empty_pool() -> tuple[list[Any], list[tuple[str, Any]]]:
    """Hypotheses and goals about one request when nobody runs, or when it runs alone."""
    s = State.arbitrary()
    r = z3.Const("asker", Request)
    leader = z3.Const("leader", Sequence)
    watermark, drafts, exist, known = (
        z3.Int(name) for name in ("watermark", "drafts", "exist", "room")
    )
    total, budget, last = s.total(GPU), s.max_num_batched_tokens, s.limit(r) - 1
    # `known`: what it knows and was promised, of which the last token needs no room. Of "nobody
    # runs" each proof uses one instance: somebody who would have to.
    holder = s.group(s.owner(GPU, s.order(GPU, s.free(GPU))))
    named = [
        leader == s.member(r, 0),
        z3.Int("last_block") == BLOCK_OF(last),
    ]
    one = z3.And(s.parallel(r) == 1, s.worst_case(r) == NEED(last))
    empty = z3.And(
        s.free(GPU) == total, s.batch_size == 0, s.step_tokens == 0, 1 <= known, known <= last
    )
    have = progress.Need(
        Term(s.free(GPU)) - progress.kept_free(Term(watermark), 0),
        Term(s.max_num_seqs) - 0,
        Term(budget) - Term(s.step_tokens) - Term(s.batch_size),
    )
    waits = progress.Need(
        Term(NEED(known)), Term(s.parallel(r)), progress.asked_tokens(Term(known), Term(budget))
    )
    # What a single sequence asks for, by the functions that `job.py` calls, where it asks.
    tokens = progress.wanted_tokens(Term(exist), Term(last), Term(s.reach(leader)), Term(drafts))
    slots = progress.wanted_slots(Term(s.slots(leader)), Term(s.reach(leader)), tokens)
    lacks = progress.wanted_blocks(Term(NEED(raw(slots))), Term(s.length(leader)), 0)
    asks = z3.And(
        s.reach(leader) < exist,
        s.reach(leader) < last,
        drafts >= 0,
        z3.Or(drafts == 0, exist + drafts <= last),
    )
    returns = progress.Need(
        Term(s.length(leader)) + lacks,
        Term(s.parallel(r)),
        progress.asked_tokens(tokens, Term(budget)),
    )
    goals = [
        (
            "the whole pool is free when nobody runs",
            z3.Implies(s.phase(holder) != RUNNING, s.free(GPU) == total),
        ),
        (
            "nothing is steady when nobody runs",
            z3.Implies(s.phase(s.request(s.batch(0))) != RUNNING, s.batch_size == 0),
        ),
        (
            "a waiting request of one sequence enters when nobody runs",
            z3.Implies(z3.And(empty, one, s.phase(r) == WAITING), raw(have.covers(waits))),
        ),
        (
            "a swapped request of one sequence enters when nobody runs",
            z3.Implies(z3.And(empty, one, s.phase(r) == SWAPPED, asks), raw(have.covers(returns))),
        ),
        (
            "a request of one sequence that runs alone can grow",
            z3.Implies(
                z3.And(one, s.phase(r) == RUNNING, asks),
                raw(progress.grows(0, lacks, Term(total) - Term(s.length(leader)))),
            ),
        ),
        (
            "what a living sequence has left is never negative",
            z3.Implies(s.alive(leader), sure(s, leader) <= s.limit(s.request(leader)) - 1),
        ),
    ]
    hypotheses = [
        *background(),
        *[quantify(c.domains, lambda *x, c=c: c.predicate(s, *x)) for c in CLAUSES.values()],
        *named,
        budget >= 1,
    ]
    return hypotheses, goals + branches(s, r, known, last)


def branches(s: State, r: Any, known: Any, last: Any) -> list[tuple[str, Any]]:
    """A group asks for no more than its worst case, by induction over its branches."""
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


# ---- orders of policies ------------------------------------------------------------------------


class LexicalOrder:
    """A key followed by the number of the arrival, compared as Python compares tuples."""

    __slots__ = ("parts",)

    def __init__(self, parts: tuple[Any, ...]) -> None:
        self.parts = parts

    def __lt__(self, other: LexicalOrder) -> Term:
        less = Term(z3.BoolVal(False))
        for mine, theirs in reversed(tuple(zip(self.parts, other.parts, strict=True))):
            less = any_of(
                Term(raw(mine) < raw(theirs)), both(Term(raw(mine) == raw(theirs)), less)
            )
        return less

    def __bool__(self) -> bool:
        raise Misuse("a place in an order has no truth value")


class Candidate:
    """A request nobody knows, as a policy sees it.

    It has what never changes while it lives. A key that reads anything else, its id, or how far
    it has come, raises here: it is no static order. With `changes` it also has what it has generated
    by some moment, and the order is that of the moment.
    """

    _numbers = ("prompt_tokens", "max_tokens", "n", "priority", "predicted_tokens")

    def __init__(self, name: str, policy: Any, changes: bool = False) -> None:
        for field in (*self._numbers, *(["generated"] if changes else [])):
            setattr(self, field, Term(z3.Int(f"{field}_{name}")))
        self.arrival_time = Term(z3.Real(f"arrival_time_{name}"))
        self.deadline = Term(z3.Real(f"deadline_{name}"))
        self.number = self.arrival = Term(z3.Int(f"arrival_{name}"))
        self.order = self._place(policy.key(self))
        self.rank = self._place(policy.rank(self)) if hasattr(policy, "rank") else self.order

    def _place(self, key: Any) -> LexicalOrder:
        """The key, and the number of the arrival."""
        return LexicalOrder((*(key if isinstance(key, tuple) else (key,)), self.arrival))

    @property
    def sizes(self) -> list[Any]:
        """What `Request` refuses otherwise."""
        return [raw(getattr(self, name)) >= 1 for name in ("prompt_tokens", "max_tokens", "n")]


class Unknowns:
    """Parameters of a policy that nobody knows."""

    def __init__(self) -> None:
        self.facts: list[Any] = []

    def real(self, name: str, least: float | None = 0) -> Any:
        """Any number, of at least `least` unless that is None."""
        value = z3.Real(name)
        if least is not None:
            self.facts.append(value >= least)
        return Term(value)

    def truth(self, name: str) -> Any:
        """Any truth value."""
        return truth(name)

    def whole(self, name: str, least: int | None = 0) -> Any:
        """Any whole number, of at least `least` unless that is None."""
        value = z3.Int(name)
        if least is not None:
            self.facts.append(value >= least)
        return Term(value)


def total(name: str, places: list[Any], r: Candidate, s: Candidate) -> list[tuple[str, Any]]:
    """That the places of three requests, of which the first two are given, are in a total order."""
    a, b, c = places
    apart = raw(r.arrival != s.arrival)
    return [
        (f"the {name} is irreflexive", raw(negate(a < a))),
        (f"the {name} is transitive", raw(implies(both(a < b, b < c), a < c))),
        (
            f"the {name} is total on requests that arrived apart",
            z3.Implies(apart, raw(any_of(a < b, b < a))),
        ),
    ]


def order(claims: Any) -> tuple[list[Any], list[tuple[str, Any]]]:
    """Hypotheses and goals about a policy's key, and about whom it lets displace whom."""
    unknowns = Unknowns()
    policy = claims.make(unknowns)
    r, s, t = (Candidate(name, policy, claims.changes) for name in "rst")
    steps = claims.steps(policy, unknowns) if claims.steps is not None else []
    hypotheses = [
        *unknowns.facts,
        *[fact for candidate in (r, s, t) for fact in candidate.sizes],
        *[raw(c.arrival) >= 1 for c in (r, s, t)],
    ]
    displaces = policy.may_displace(r, s)
    displaced = raw(displaces) if isinstance(displaces, Term) else z3.BoolVal(bool(displaces))
    goals = total("order", [c.order for c in (r, s, t)], r, s)
    if hasattr(policy, "rank"):
        goals += total("rank", [c.rank for c in (r, s, t)], r, s)
    # Who runs stands by its rank, and that is where a victim must come later.
    later = raw(r.rank < s.rank)
    goals.append(("whoever is displaced comes later in the order", z3.Implies(displaced, later)))
    goals += [(fact.label, raw(fact.predicate(r, s, policy))) for fact in claims.facts]
    goals += [(label, raw(condition)) for label, condition in steps]
    return hypotheses, goals


def differs(policy: Any, method: str, view: Any, answer: tuple[Any, ...]) -> bool:
    """Whether a key or a rank as a formula says something else than it says of a request.

    A policy that asks what kind of object it was handed, or that draws lots, has a formula that is
    not what runs.

    Args:
        policy: whose `method` runs on formulas.
        method: key or rank.
        view: a request that has every field, with its values.
        answer: what the method says of it; sums of floats are compared to one part in a million.
    """
    unknown = Candidate("given", policy)
    place = unknown.order if method == "key" else unknown.rank
    fields = (*Candidate._numbers, "arrival_time", "deadline", "number")
    known = []
    for field in fields:
        value = getattr(view, field)
        whole_number = field not in ("arrival_time", "deadline")
        known.append(
            (raw(getattr(unknown, field)), z3.IntVal(value) if whole_number else z3.RealVal(value))
        )
    parts = place.parts[:-1]
    if len(parts) != len(answer):
        return True
    for part, wanted in zip(parts, answer, strict=True):
        formula = raw(part)
        if not z3.is_expr(formula):
            if formula != wanted:
                return True
            continue
        put = z3.substitute(formula, *known)
        value = z3.simplify(z3.ToReal(put) if put.is_int() else put)
        if not z3.is_rational_value(value):
            return True
        if abs(float(value.as_fraction()) - wanted) > 1e-6 * max(1.0, abs(wanted)):
            return True
    return False
