"""The feedback queue in whole numbers: levels, looks and promotions, as pure functions.

Guarantees: these functions run in the policy (`mlfq.py`) and on formulas in its lemmas (`lemmas`). What
is remembered of a request is changed by `looked` alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from lineclear_spec.logic import and_, if_else, implies, not_, or_, smaller


class Look(NamedTuple):
    """The memory of one request.

    Attributes:
        generated: tokens it had generated at the step `since`; -1 before the first look.
        since: the step at which that was first seen, or at which it was promoted.
        base: what `served` counts from: minus its prompt, or what it had generated when it was promoted last.
    """

    generated: int
    since: int
    base: int


def served(generated: Any, base: Any) -> Any:
    """Its prompt and what it has generated, or what it has generated since it was promoted."""
    return generated - base


def used_up(served: Any, covered: Any) -> Any:
    """Whether the quanta of a level and of those above it are used up."""
    return served > covered


def covers(quantum: Any, levels: int) -> tuple[Any, ...]:
    """Tokens of each level and of those above it, but for the last, which has no end."""
    return tuple([quantum * (2 ** (upper + 1) - 1) for upper in range(levels - 1)])


def level(served: Any, covers: Sequence[Any]) -> Any:
    """The level of a request that was served so many tokens since it stood on the top, 0."""
    found: Any = 0
    for covered in covers:
        found = found + if_else(used_up(served, covered), 1, 0)
    return found


def overdue(look: Look, step: Any, promote_after: Any) -> Any:
    """Whether so many steps have gone by that it is promoted if it has generated nothing new."""
    return step - look.since >= promote_after


def looked(look: Look, generated: Any, step: Any, promote_after: Any) -> Look:
    """After a look at a request that has generated so many tokens by this step.

    Args:
        look: what is remembered of the request.
        generated: tokens that it has generated.
        step: the step.
        promote_after: steps without a new token after which it is promoted.
    """
    new = generated != look.generated
    late = overdue(look, step, promote_after)
    again = or_(new, late)
    return Look(
        if_else(again, generated, look.generated),
        if_else(again, step, look.since),
        if_else(and_(late, not_(new)), generated, look.base),
    )


def next_look(
    look: Look, generated: Any, step: Any, promote_after: Any, covers: Sequence[Any], runs: Any
) -> Any:
    """Steps until the next look: when it would be promoted, or a running one's quantum used up.

    Args:
        look: what is remembered of the request.
        generated: tokens that it has generated.
        step: the step.
        promote_after: steps without a new token after which it is promoted.
        covers: tokens of each level and of those above it, but for the last.
        runs: whether it runs.
    """
    late = promote_after - (step - look.since)
    count = served(generated, look.base)
    found = late
    for covered in reversed(covers):
        found = if_else(used_up(count, covered), found, smaller(late, covered - count + 1))
    return if_else(runs, found, late)


#: The functions that run in the policy and that its lemmas run on formulas.
RUNS = (served, used_up, covers, level, overdue, looked, next_look)


# ---- lemmas ------------------------------------------------------------------------------------


def lemmas(unknowns: Any, quantum: Any, covered_by: Sequence[Any]) -> list[tuple[str, Any]]:
    """The lemmas about a level, and about what a look stores."""
    count, more, covered = (unknowns.whole(name) for name in ("served", "more", "covered"))
    here, there = level(count, covered_by), level(more, covered_by)
    return [
        (
            "a quantum that is used up stays so",
            implies(used_up(count, covered), used_up(count + more, covered)),
        ),
        (
            "within the first quantum none is used up, so that it is the top",
            implies(count <= quantum, level(count, covered_by) == 0),
        ),
        ("past the first quantum it is not the top", implies(count > quantum, here >= 1)),
        ("a level is between the top and the last", and_(here >= 0, here <= len(covered_by))),
        ("who is served goes down, never up", here <= level(count + more, covered_by)),
        (
            "a preempted request may preempt the other, once it is promoted",
            implies(and_(here < there, here >= 1), level(0 * more, covered_by) < here),
        ),
        *looks(unknowns, quantum, covered_by),
    ]


def looks(unknowns: Any, quantum: Any, covered_by: Sequence[Any]) -> list[tuple[str, Any]]:
    """The lemmas about a look, and about the time of the next one."""
    generated, step, added, steps = map(
        unknowns.whole, ("generated", "step", "added", "further_steps")
    )
    after, runs = unknowns.whole("promote_after", 1), unknowns.truth("runs")
    look = Look(unknowns.whole("seen", -1), unknowns.whole("since"), unknowns.whole("base", None))
    known = and_(look.since <= step, look.generated <= generated, look.base <= generated)
    waited = step - look.since
    then = looked(look, generated, step, after)
    count = served(generated, then.base)
    wait = next_look(then, generated, step, after, covered_by, runs)
    second = looked(then, generated, step + wait, after)
    waiting = next_look(then, generated, step, after, covered_by, False)
    return [
        (
            "a look that sees a new token counts from then, and promotes no request",
            implies(
                and_(known, generated > look.generated),
                and_(then.generated == generated, then.since == step, then.base == look.base),
            ),
        ),
        (
            "a look that sees nothing new promotes after promote_after steps, and then alone",
            implies(
                and_(known, generated == look.generated),
                and_(
                    implies(
                        waited >= after,
                        and_(
                            then.base == generated,
                            then.since == step,
                            then.generated == generated,
                        ),
                    ),
                    implies(
                        waited < after,
                        and_(
                            then.base == look.base,
                            then.since == look.since,
                            then.generated == look.generated,
                        ),
                    ),
                ),
            ),
        ),
        (
            "who was promoted is on the top until it has generated a quantum",
            implies(
                and_(known, generated == look.generated, waited >= after, added <= quantum),
                level(served(generated + added, then.base), covered_by) == 0,
            ),
        ),
        (
            "the next look is after a step at least, and promote_after steps at most",
            implies(known, and_(wait >= 1, wait <= after, step + wait <= then.since + after)),
        ),
        (
            "of two looks at a request that waits and generates nothing the second promotes it",
            implies(
                and_(known, not_(runs)),
                and_(
                    second.base == generated,
                    waiting == wait,
                    step + wait - look.since >= after,
                    step + wait <= step + after,
                ),
            ),
        ),
        (
            "a level lasts until the next look, for who generates a token in a step at most",
            implies(
                and_(known, runs, added <= steps, steps < wait),
                level(count + added, covered_by) == level(count, covered_by),
            ),
        ),
    ]
