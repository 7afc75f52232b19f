"""Proves that the turns of two tenants that always wait differ by at most one.

Guarantees: every event of a round is a run of the function of `turns.py` that the policy calls.
"""

from __future__ import annotations

from typing import Any

from lineclear.policies import turns
from lineclear.policies.accounts import any_account
from lineclear.policies.turns import Round
from lineclear_spec.logic import and_, if_else, implies, not_, or_


def any_round(unknowns: Any) -> Round:
    """A round of which nothing is known."""
    return Round(
        unknowns.truth("begun"), unknowns.whole("last", None), unknowns.whole("given", None)
    )


def pair(begun: Any, mine: Any, other: Any, rest: list[Any], difference: Any) -> Any:
    """How many turns more one of two waiting tenants had than the other: 0 or 1.

    Args:
        begun: whether the turn of the head has begun.
        mine: the place of the one.
        other: the place of the other.
        rest: places of further tenants.
        difference: turns of the one less turns of the other.
    """
    ahead = mine < other
    held = and_(begun, ahead, *[mine < place for place in rest])
    theirs = and_(begun, not_(ahead), *[other < place for place in rest])
    more = or_(held, and_(not_(ahead), not_(theirs)))
    return and_(implies(more, difference == 1), implies(not_(more), difference == 0))


def more_turns(unknowns: Any) -> tuple[str, Any]:
    """The turns of two who wait all the time differ by at most one, whatever the others do.

    Of the others one is the tenant of whom something happens, and one the foremost of all that are
    left. An event is a run of the function that the policy calls.
    """
    round_ = any_round(unknowns)
    mine, other, third, front = (
        unknowns.whole(f"place_{name}", None) for name in ("mine", "other", "third", "front")
    )
    difference, part = unknowns.whole("difference", None), unknowns.whole("part")
    rest = [third, front]
    places = [mine, other, third, front]
    known = and_(
        *[place <= round_.last for place in places],
        *[a != b for k, a in enumerate(places) for b in places[:k]],
    )
    first, second = (
        and_(*[place < p for p in places if p is not place]) for place in (mine, other)
    )
    leader = and_(*[third < p for p in (mine, other, front)])
    before = and_(known, pair(round_.begun, mine, other, rest, difference))
    # The head is asked: a turn begins unless it has.
    new = not_(round_.begun)
    visited = turns.visited(round_, *asked(unknowns))[0]
    counted = difference + if_else(and_(new, first), 1, 0) - if_else(and_(new, second), 1, 0)
    # The head, whose turn has begun, goes to the end.
    turned = turns.turned(round_, part)

    def moved(place: Any, head: Any) -> Any:
        return if_else(head, turned.last, place)

    ahead = and_(*[front < p for p in (mine, other, third)])
    ends = [moved(third, leader), moved(front, ahead)]
    # A tenant comes, or goes.
    joined = turns.joined(round_)
    gone = turns.departed(round_, leader)
    skipped = turns.passed(round_, unknowns.whole("rounds"), unknowns.whole("waiting", 1), part)
    return (
        "of two who wait the turns differ by at most one",
        implies(
            before,
            and_(
                pair(visited.begun, mine, other, rest, counted),
                implies(
                    round_.begun,
                    and_(
                        pair(
                            turned.begun,
                            moved(mine, first),
                            moved(other, second),
                            ends,
                            difference,
                        ),
                        turned.last > round_.last,
                    ),
                ),
                pair(joined.begun, mine, other, [*rest, joined.last], difference),
                joined.last > round_.last,
                pair(gone.begun, mine, other, [front], difference),
                implies(not_(leader), gone.begun == round_.begun),
                pair(skipped.begun, mine, other, rest, difference),
                skipped.last == round_.last,
            ),
        ),
    )


def asked(unknowns: Any) -> tuple[Any, ...]:
    """Some tenant, as the head that is asked."""
    return (
        any_account(unknowns, "head"),
        unknowns.whole("head_earned", None),
        unknowns.whole("head_quantum", 1),
        unknowns.whole("head_step"),
    )
