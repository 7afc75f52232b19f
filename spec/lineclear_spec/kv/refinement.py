# pyright: basic
"""An abstract machine of requests and their tokens, which every action of the table refines.

Guarantees: each part is one predicate over a view before and after, proved of every action
(`kv/obligations.py`) and evaluated on executed ones (`modelcheck/kv_concrete.py`).

The machine knows of each request whether it is new, live or ended, and of each of its sequences the tokens. It has
five moves: a request is accepted with one sequence that has its prompt, a live sequence learns tokens, a branch
begins with the tokens of another and learns some, one branch of several ends, a request ends. Several sequences may
learn at once. An action is one of these moves, or none.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from lineclear_spec.invariants.clause import FINISHED, NEW, within
from lineclear_spec.invariants.samples import owes
from lineclear_spec.logic import and_, implies, not_

REFINES = (
    "every action accepts a request, lets living sequences learn tokens, begins or ends a branch, ends a request, or "
    "does nothing to requests and tokens. So tokens are only added, each step's once; nothing is learned after the "
    "end, and a request ends once, whatever is preempted"
)
#: What a request is to the machine.
UNKNOWN, LIVE, ENDED = range(3)


class Begun(NamedTuple):
    """A sequence that begins.

    Attributes:
        sequence: itself.
        request: whose it is.
        known: how many tokens it knows.
        given: how many of them it is given.
        token: of a position, what it is given there.
    """

    sequence: Any
    request: Any
    known: Any
    given: Any
    token: Callable[[Any], Any]


class Move(NamedTuple):
    """One move of the machine; as it stands it is none.

    Attributes:
        gain: tokens that a sequence learns, None if none does.
        steps: whether the step's sample for the sequence is what it learns.
        begun: the sequence that begins, if one does.
        ends: whether a sequence ends, None if none does.
        turns: a request, or whether one is meant, and what it is before and after; None if none turns.
    """

    gain: Callable[[Any], Any] | None = None
    steps: Callable[[Any, Any], Any] | None = None
    begun: Begun | None = None
    ends: Callable[[Any], Any] | None = None
    turns: tuple[Any, int, int] | None = None


def move_of(action: str, v: Any, values: Sequence[Any], result: Any) -> Move:
    """The move that the action is said to be.

    Args:
        action: its name.
        v: the state before.
        values: the arguments.
        result: what the action returns.
    """
    if action == "submit":
        (r,) = values
        begun = Begun(result, r, v.prompt(r), v.prompt(r), lambda i: v.prompt_kv(r, i))
        return Move(begun=begun, turns=(r, UNKNOWN, LIVE))
    if action == "reject":
        return Move(turns=(values[0], UNKNOWN, ENDED))
    if action in ("finish", "abort"):
        (r,) = values
        return Move(
            ends=lambda q: and_(v.alive(q), v.request(q) == r),
            turns=(r, LIVE, ENDED),
        )
    if action == "finish_each":
        return Move(
            ends=lambda q: and_(v.alive(q), complete(v, v.request(q))),
            turns=(lambda r: and_(stage(v, r) == LIVE, complete(v, r)), LIVE, ENDED),
        )
    if action == "sample":
        q, step, accepted = values[:3]
        return Move(
            gain=lambda x: v.if_else(x == q, accepted, 0),
            steps=lambda x, s: and_(x == q, s == step),
        )
    if action == "commit_step":
        return Move(
            gain=lambda x: v.if_else(v.in_decode_batch(x), 1, 0),
            steps=lambda x, s: and_(v.in_decode_batch(x), s == v.committed + 1),
        )
    if action == "fork":
        p, tokens = values
        known = v.num_tokens(p)
        begun = Begun(result, v.request(p), known + tokens, known, lambda i: v.token_kv(p, i))
        return Move(begun=begun)
    if action == "prune":
        return Move(ends=lambda q: q == values[0])
    return Move()


def complete(v: Any, r: Any) -> Any:
    """Whether the request's only sequence is in the decode batch and at its limit."""
    return and_(v.width(r) == 1, v.ending(v.member(r, 0)) == v.steps)


def stage(v: Any, r: Any) -> Any:
    """What the request is to the machine."""
    return v.if_else(v.phase(r) == NEW, UNKNOWN, v.if_else(v.phase(r) == FINISHED, ENDED, LIVE))


def parts(v: Any, new: Any, move: Move) -> list[tuple[str, tuple[str, ...], Callable[..., Any]]]:
    """What the move means for the states before and after: labels, domains and predicates."""
    gain = move.gain or (lambda _: 0)
    ends = move.ends or (lambda _: False)
    begun = move.begun

    def there(q: Any) -> Any:
        """Whether the sequence was there before."""
        return True if begun is None else not_(q == begun.sequence)

    def turned(r: Any) -> Any:
        if move.turns is None:
            return stage(new, r) == stage(v, r)
        who, before, after = move.turns
        is_it = who(r) if callable(who) else r == who
        return and_(
            implies(is_it, and_(stage(v, r) == before, stage(new, r) == after)),
            implies(not_(is_it), stage(new, r) == stage(v, r)),
        )

    def lives(q: Any) -> Any:
        stays = and_(v.alive(q), not_(ends(q)))
        return implies(there(q), and_(new.alive(q) == stays, new.request(q) == v.request(q)))

    def learns(q: Any) -> Any:
        living = and_(v.alive(q), new.alive(q), stage(v, v.request(q)) == LIVE)
        return implies(
            there(q),
            and_(
                new.num_tokens(q) == v.num_tokens(q) + gain(q),
                gain(q) >= 0,
                implies(gain(q) >= 1, living),
            ),
        )

    def stays(q: Any, i: Any) -> Any:
        return implies(
            and_(there(q), within(0, i, v.num_tokens(q))), new.token_kv(q, i) == v.token_kv(q, i)
        )

    def once(q: Any, s: Any) -> Any:
        again = and_(owes(new, q, s), s <= v.steps)
        fresh = move.steps(q, s) if move.steps else False
        return implies(there(q), implies(again, and_(owes(v, q, s), not_(fresh))))

    found: list[tuple[str, tuple[str, ...], Callable[..., Any]]] = [
        ("a request begins and ends once", ("request",), turned),
        ("a sequence lives until it ends, and never again", ("sequence",), lives),
        ("only the living learn, and forget nothing", ("sequence",), learns),
        ("no known token changes", ("sequence", "position"), stays),
        ("a step's sample is learned once", ("sequence", "step"), once),
    ]
    if move.steps is not None:
        owed = move.steps
        found.append(
            (
                "only what a step owes is learned",
                ("sequence", "step"),
                lambda q, s: implies(owed(q, s), owes(v, q, s)),
            )
        )
    if begun is not None:
        q = begun.sequence
        found += [
            (
                "a sequence that begins is a living request's",
                (),
                lambda: and_(
                    not_(v.alive(q)),
                    new.alive(q),
                    new.request(q) == begun.request,
                    stage(new, begun.request) == LIVE,
                    new.num_tokens(q) == begun.known,
                    begun.given <= begun.known,
                ),
            ),
            (
                "it begins with the tokens that it is given",
                ("position",),
                lambda i: implies(within(0, i, begun.given), new.token_kv(q, i) == begun.token(i)),
            ),
        ]
    return found
