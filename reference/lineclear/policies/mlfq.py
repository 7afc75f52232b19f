"""A multi-level feedback queue with skip-join (FastServe, arXiv 2305.05920).

Guarantees: short requests go before long ones without anybody predicting lengths, and who has
generated nothing for a while is promoted, and stays on the top until it has generated a quantum;
nobody who arrived later goes before it there, so none starves. It knows nothing about time: quanta
are tokens, waiting is counted in steps.

A request joins the first level whose quantum covers its prompt, moves down a level each time it
has generated another quantum, and goes to the top when it has generated nothing for `promote_after`
steps, whether it waits or runs.
Levels change for whom a quantum runs out, and for nobody else. A level goes by the tokens that were
generated, which no preemption takes away, and never by those that are computed again.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from lineclear.view import View
from lineclear_spec.logic import both, either, implies, negate
from lineclear_spec.theorems import TABLE, Claims, Fact, Theorem, claim, of_any_order, unchecked

__all__ = ["MultiLevelFeedbackQueue", "used_up"]


class MultiLevelFeedbackQueue:
    """The upper level first.

    Args:
        quantum: tokens of the top level; each level below has twice as many as the one above.
        levels: how many there are.
        promote_after: steps without a new token after which a request goes to the top.
    """

    name = "mlfq"

    def __init__(self, quantum: int = 64, levels: int = 6, promote_after: int = 512) -> None:
        """Refuses what can't be meant."""
        for label, value in (
            ("quantum", quantum),
            ("levels", levels),
            ("promote_after", promote_after),
        ):
            if type(value) is not int or value < 1:
                raise ValueError(f"{label} must be a whole number of at least 1, not {value!r}")
        self.quantum = quantum
        self.levels = levels
        self.promote_after = promote_after
        # By number of the arrival:
        self.promoted: dict[int, int] = {}  # what it had generated when it was promoted
        self.seen: dict[
            int, tuple[int, int]
        ] = {}  # what it had generated at a step, first seen so

    def level(self, served: int) -> int:
        """The level of a request that was served so many tokens since it stood on the top."""
        level, covered = 0, 0
        for upper in range(self.levels - 1):
            covered += self.quantum * 2**upper
            level += either(used_up(served, covered), 1, 0)
        return level

    def served(self, request: View) -> int:
        """Its prompt and what it has generated, or what it has generated since it was promoted."""
        # Until it is promoted it counts from before its prompt.
        return request.generated - self.promoted.get(request.number, -request.prompt_tokens)

    def key(self, request: View) -> float:
        """The upper level first."""
        return self.level(self.served(request))

    def may_displace(self, waiting: View, running: View) -> bool:
        """Whoever is on an upper level."""
        return self.key(waiting) < self.key(running)

    def review(self, request: View) -> int | None:
        """Promotes who has generated nothing for so long; looks again when a quantum may be used up.

        Steps count from the last look at which something new was generated, also while it runs: who
        is let in again and again, and gives way before its prompt is computed, waits all the same.
        """
        number, step = request.number, request.step
        generated, since = self.seen.get(number, (-1, step))
        overdue = step - since >= self.promote_after
        if request.generated != generated or overdue:
            self.seen[number] = (request.generated, step)
            since = step
        if request.generated == generated and overdue:
            self.promoted[number] = request.generated
        look = self.promote_after - (step - since)
        if request.waiting is not None:
            return look
        served, covered = self.served(request), self.quantum
        for level in range(1, self.levels):
            if served <= covered:
                return min(look, covered - served + 1)
            covered += self.quantum << level
        return look

    def ended(self, request: View) -> None:
        """Forgets it."""
        self.promoted.pop(request.number, None)
        self.seen.pop(request.number, None)


def used_up(served: Any, covered: Any) -> Any:
    """Whether the quanta of a level and of those above it are used up."""
    return served > covered


# ---- theorems ----------------------------------------------------------------------------------


class Promotions:
    """For any request, what `served` is counted from.

    A number of at least minus its prompt: just that if it was never promoted.
    """

    def __init__(self, unknowns: Any) -> None:
        """Nobody was asked about."""
        self.unknowns = unknowns
        self.found: dict[int, tuple[Any, Any]] = {}  # by identity, as a formula has no hash

    def get(self, number: Any, _: Any) -> Any:
        """The same answer for the same request."""
        if id(number) not in self.found:
            base = self.unknowns.whole(f"base_{len(self.found)}", None)
            self.found[id(number)] = (number, base)
        return self.found[id(number)][1]


def steps(policy: MultiLevelFeedbackQueue, unknowns: Any) -> list[tuple[str, Any]]:
    """What becomes of a level: one quantum at a time for any number of them, and all six at once."""
    served, more, covered = (unknowns.whole(name) for name in ("served", "more", "covered"))
    here, there = policy.level(served), policy.level(more)
    return [
        (
            "a quantum that is used up stays so",
            implies(used_up(served, covered), used_up(served + more, covered)),
        ),
        (
            "within the first quantum none is used up, so that it is the top",
            implies(
                both(served <= policy.quantum, policy.quantum <= covered),
                negate(used_up(served, covered)),
            ),
        ),
        (
            "a level is between the top and the last",
            both(here >= 0, here <= policy.levels - 1),
        ),
        ("who is served goes down, never up", here <= policy.level(served + more)),
        (
            "whoever gave way may make the other give way, once it is promoted",
            implies(both(here < there, here >= 1), policy.level(0 * more) < here),
        ),
    ]


TOP = Fact(
    "before a request on the top only earlier arrivals go, which are on the top",
    lambda first, second, policy: implies(
        both(policy.served(second) <= policy.quantum, first.order < second.order),
        both(first.arrival < second.arrival, policy.key(first) == 0),
    ),
)
STEPS = "order_mlfq/progress/"
ON_TOP = (
    STEPS + "a quantum that is",
    STEPS + "within the first",
    STEPS + "a level is",
    STEPS + "who is served",
    STEPS + "before a request on the top",
)


def of_a_moment(theorem: Theorem) -> Theorem:
    """The same of the order as it is at a moment."""
    if theorem.name.endswith(".P6a"):  # a request changes its level once without a token: promoted
        premises = tuple(["F11" if name == "F4" else name for name in theorem.premises])
        return replace(
            theorem, premises=premises, rests_on=(*theorem.rests_on, STEPS + "who is served")
        )
    if not theorem.name.endswith((".P4", ".P4'", ".P5")):
        return theorem
    premises = tuple([name for name in theorem.premises if name != "F4"])
    sentence = f"at every moment, by the levels of that moment: {theorem.sentence}"
    return replace(theorem, sentence=sentence, premises=premises)


claim(
    Claims(
        "mlfq",
        lambda unknowns: unchecked(
            MultiLevelFeedbackQueue,
            quantum=unknowns.whole("quantum", 1),
            levels=6,
            promoted=Promotions(unknowns),
        ),
        (
            *[
                of_a_moment(t)
                for t in of_any_order("mlfq")
                if not t.name.endswith((".P6b", ".P10"))
            ],
            Theorem(
                "mlfq.P6b",
                "the earliest arrival on the top gives way to nobody until "
                "it has generated its quantum",
                ("F1", "F2", "F3", "F5", "F6", "F7", "F8", "F11"),
                (TABLE, STEPS + "the order is ", STEPS + "whoever is displaced", *ON_TOP),
                "Levels",
            ),
            Theorem(
                "mlfq.P7",
                "every request comes to its end: each time that it has generated nothing for "
                "promote_after steps it generates a quantum before anybody who arrived later",
                ("F1", "F2", "F3", "F5", "F6", "F7", "F8", "F11"),
                (TABLE, STEPS + "the order is ", STEPS + "whoever is displaced", *ON_TOP),
                "Levels",
            ),
            Theorem(
                "mlfq.P10",
                "two requests may make each other give way in turn, as one is promoted after the other",
                (),
                (STEPS + "whoever gave way may",),
                "Levels",
                holds=False,
            ),
        ),
        (TOP,),
        steps,
        changes=True,
    )
)
