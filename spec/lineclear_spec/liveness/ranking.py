# pyright: basic, reportOperatorIssue=false, reportAttributeAccessIssue=false
# pyright: reportArgumentType=false, reportAssignmentType=false, reportOptionalMemberAccess=false
"""What progress needs of the table: what an action may do to what requests have left.

Guarantees: what is run on formulas are the actions themselves, not a model of them.

What a sequence has *left* is its limit less one, less the positions that are computed or being
computed, drafts aside. It is the measure that every step must lower and nothing may raise.
"""

from __future__ import annotations

from typing import Any

import z3

from lineclear_spec.contracts import Part, part
from lineclear_spec.invariants import GPU, clauses, rests
from lineclear_spec.invariants.clause import RUNNING
from lineclear_spec.postconditions.arrival import ends
from lineclear_spec.symbolic.state import Request, Sequence, State
from lineclear_spec.symbolic.terms import raw

CLAUSES = {clause.name: clause for clause in clauses()}
#: Actions that free what their own request has computed.
LOSING = frozenset({"recompute", "discard_swapped", "fail_copy"})
#: Actions after which blocks may rest that did not.
GIVING = LOSING | {"finish", "finish_each", "abort", "prune"}


def sure(v: Any, q: Any) -> Any:
    """Positions computed or being computed, unverified drafts aside."""
    return v.num_dispatched_tokens(q) - v.drafts(q)


def remains(v: Any, q: Any) -> Any:
    """Whether a token is left to compute, or is on its way."""
    return sure(v, q) + 1 <= v.num_tokens(q) + v.scheduled_samples(q)


def owner(before: State, arguments: tuple[Any, ...]) -> Any:
    """The request that an action is about, or None."""
    if not arguments or not z3.is_expr(arguments[0]):
        return None
    if arguments[0].sort() == Request:
        return arguments[0]
    return before.request(arguments[0]) if arguments[0].sort() == Sequence else None


def ranking(name: str, before: State, after: State, arguments: tuple[Any, ...]) -> list[Part]:
    """The one-step lemmas of one action, for any other request and sequence.

    Args:
        name: of the action.
        before: the state before.
        after: the state after.
        arguments: of the action.
    """
    own = owner(before, arguments)

    def lives(q: Any) -> Any:
        return z3.And(before.alive(q), after.alive(q))

    def apart(r: Any) -> Any:
        """Whether the action is not about the request."""
        if name == "finish_each":
            return z3.Not(raw(ends(before, r)))
        return z3.BoolVal(True) if own is None else r != own

    # A branch takes part in a prompt again only if it knows a token of its own: `demand_of` asks.
    more = (
        arguments[1] < before.num_tokens(arguments[0]) + before.scheduled_samples(arguments[0])
        if name == "rejoin"
        else z3.BoolVal(True)
    )

    def spared(q: Any) -> Any:
        return lives(q) if name not in LOSING else z3.And(lives(q), before.request(q) != own)

    lemmas = [
        part(
            "what a request has left is raised by no action on another",
            lambda q: z3.Implies(spared(q), sure(after, q) >= sure(before, q)),
        ),
        part(
            "no token that is known is forgotten",
            lambda q: z3.Implies(lives(q), after.num_tokens(q) >= before.num_tokens(q)),
        ),
        part(
            "a token is left to compute or on its way, as long as a sequence lives",
            lambda q: z3.Implies(
                z3.And(more, after.alive(q), z3.Implies(before.alive(q), remains(before, q))),
                remains(after, q),
            ),
        ),
        part(
            "no other request changes its phase",
            lambda r: z3.Implies(apart(r), after.phase(r) == before.phase(r)),
        ),
    ]
    return [
        *lemmas,
        *resting(name, before, after, arguments),
        *gains(name, before, after, own, arguments),
    ]


def resting(name: str, before: State, after: State, arguments: tuple[Any, ...]) -> list[Part]:
    """What one action does to the set of the blocks at rest: the actions of `GIVING` may make it larger, `evict`
    makes it smaller.

    Args:
        name: of the action.
        before: the state before.
        after: the state after.
        arguments: of the action.
    """

    def did(b: Any) -> Any:
        return raw(rests(before, b))

    def does(b: Any) -> Any:
        return raw(rests(after, b))

    if name in GIVING:
        return []
    none = part("it brings no block to rest", lambda b: z3.Implies(does(b), did(b)))
    if name != "evict":
        return [none]
    gone = before.cached(arguments[0])
    return [
        none,
        part("one block rests no more", lambda: z3.And(did(gone), z3.Not(does(gone)))),
        part("a block more is free", lambda: after.free(GPU) == before.free(GPU) + 1),
    ]


def gains(
    name: str, before: State, after: State, own: Any, arguments: tuple[Any, ...]
) -> list[Part]:
    """What one action brings its own request.

    Args:
        name: of the action.
        before: the state before.
        after: the state after.
        own: the request; None if the action is about none.
        arguments: of the action.
    """
    first = arguments[0] if arguments else None

    def freed(p: Any) -> Any:
        """With what is proved to hold after: nothing leaks, and who does not run holds nothing."""
        block = after.owner(GPU, p)
        held = z3.And(0 <= p, p < before.total(GPU), before.position(GPU, p) >= before.free(GPU))
        leaks = raw(CLAUSES["conservation.no_leak_gpu"].predicate(after, p))
        resides = raw(CLAUSES["residency.tier"].predicate(after, block))
        mine = z3.And(
            before.name(before.owner(GPU, p)) == 0, before.group(before.owner(GPU, p)) == own
        )
        return z3.Implies(
            z3.And(held, mine, leaks, resides), after.position(GPU, p) < after.free(GPU)
        )

    def released(b: Any) -> Any:
        """Of a block whose every entry is of the request's tables; with what is proved to hold after."""
        j = z3.Int("j")
        within = z3.And(0 <= j, j < before.ref(b))
        alone = z3.ForAll([j], z3.Implies(within, before.request(before.holder(b, j)) == own))
        given = z3.And(before.name(b) != 0, before.ref(b) >= 1, alone)
        entry = raw(CLAUSES["references.holder"].predicate(after, b, z3.IntVal(0)))
        free = after.position(GPU, before.block_id(b)) < after.free(GPU)
        return z3.Implies(z3.And(given, entry), z3.Or(raw(rests(after, b)), free))

    if name == "schedule_tokens":
        return [
            part("it lowers what is left", lambda: sure(after, first) >= sure(before, first) + 1),
            part(
                "the step that it is in is not empty",
                lambda: after.step_tokens >= before.step_tokens + 1,
            ),
        ]
    if name == "issue_step":
        return [
            part(
                "it lowers what is left to every sequence in the decode batch",
                lambda q: z3.Implies(
                    z3.And(before.alive(q), before.in_decode_batch(q)),
                    sure(after, q) == sure(before, q) + 1,
                ),
            )
        ]
    if name == "sample":
        return [
            part(
                "it brings a token",
                lambda: after.num_tokens(first) >= before.num_tokens(first) + 1,
            )
        ]
    free_at_once = part("every block of its own is free at once", freed)
    if name == "swap_out":
        return [free_at_once]
    if name == "recompute":
        shared = "a sealed block to which it alone referred rests, or its block id is free"
        return [free_at_once, part(shared, released)]
    if name in ("admit", "admit_cached", "swap_in"):
        return [part("it runs", lambda: after.phase(own) == RUNNING)]
    if name == "fork":
        return [
            part(
                "a branch has no more left than its parent",
                lambda q: z3.Implies(
                    z3.And(after.alive(q), z3.Not(before.alive(q))),
                    sure(after, q) >= sure(before, first),
                ),
            )
        ]
    return []
