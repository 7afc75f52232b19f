"""A multi-level feedback queue with skip-join (FastServe, arXiv 2305.05920).

Guarantees: short requests go before long ones without anybody predicting lengths, and who has
generated nothing for a while is promoted, and stays on the top until it has generated a quantum;
no later arrival goes before it there, so none starves.

A request joins the first level whose quantum covers its prompt, moves down a level each time it
has generated another quantum, and goes to the top when it has generated nothing for `promote_after`
steps, whether it waits or runs.
Levels change only for a request whose quantum runs out. A level goes by the tokens that were
generated, which no preemption takes away, and never by those that are computed again.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from lineclear.policies import feedback, method_lemmas
from lineclear.policies.feedback import Look
from lineclear.policies.view import View
from lineclear_spec.logic import both, given, implies, negate
from lineclear_spec.theorems import TABLE, Claims, Fact, Theorem, claim, of_any_order, unchecked

__all__ = ["MultiLevelFeedbackQueue"]

#: Levels at most: each is looked through whenever a request is.
MOST_LEVELS = 64


class MultiLevelFeedbackQueue:
    """The upper level first.

    Args:
        quantum: tokens of the top level; each level below has twice as many as the one above.
        levels: how many there are.
        promote_after: steps without a new token after which a request goes to the top.
    """

    name = "mlfq"

    def __init__(self, quantum: int = 64, levels: int = 6, promote_after: int = 512) -> None:
        """Rejects invalid values."""
        for label, value in (
            ("quantum", quantum),
            ("levels", levels),
            ("promote_after", promote_after),
        ):
            if type(value) is not int or value < 1:
                raise ValueError(f"{label} must be a whole number of at least 1, not {value!r}")
        if levels > MOST_LEVELS:
            raise ValueError(
                f"levels must be {MOST_LEVELS} at most, not {levels}: the last of so many begins "
                f"at 2**{MOST_LEVELS - 1} quanta; use fewer levels or a larger quantum"
            )
        self.quantum = quantum
        self.levels = levels
        self.promote_after = promote_after
        self.covers = feedback.covers(quantum, levels)
        # By number of the arrival:
        self.promoted: dict[int, int] = {}  # what it had generated when it was promoted
        self.seen: dict[
            int, tuple[int, int]
        ] = {}  # what it had generated at a step, first seen so

    def level(self, served: int) -> int:
        """The level of a request that was served so many tokens since it stood on the top."""
        found: int = feedback.level(served, self.covers)
        return found

    def base(self, request: View) -> int:
        """What its tokens are counted from: before its prompt, or its last promotion."""
        return self.promoted.get(request.number, -request.prompt_tokens)

    def served(self, request: View) -> int:
        """Its prompt and what it has generated, or what it has generated since it was promoted."""
        found: int = feedback.served(request.generated, self.base(request))
        return found

    def key(self, request: View) -> float:
        """The upper level first."""
        return self.level(self.served(request))

    def may_displace(self, waiting: View, running: View) -> bool:
        """Preempts for a request on an upper level."""
        return self.key(waiting) < self.key(running)

    def review(self, request: View) -> int:
        """Promotes who has generated nothing for so long; looks again when a quantum may be used up.

        Steps count from the last look at which something new was generated, also while it runs: a
        request that is admitted again and again, and preempted before its prompt is computed, still
        counts as waiting.
        """
        number, before = request.number, self.base(request)
        look, wait = self.looked_at(request)
        self.seen[number] = (look.generated, look.since)
        if look.base != before:
            self.promoted[number] = look.base
        return wait

    def looked_at(self, request: View) -> tuple[Look, int]:
        """What is remembered of it after a look, and steps until the next."""
        step, generated = request.step, request.generated
        seen, since = self.seen.get(request.number, (-1, step))
        look = feedback.looked(
            Look(seen, since, self.base(request)), generated, step, self.promote_after
        )
        wait: int = feedback.next_look(
            look, generated, step, self.promote_after, self.covers, negate(given(request.waiting))
        )
        return look, wait

    def ended(self, request: View) -> None:
        """Forgets it."""
        self.promoted.pop(request.number, None)
        self.seen.pop(request.number, None)


# ---- theorems ----------------------------------------------------------------------------------


class Promotions:
    """For any request, what `served` is counted from.

    A number of at least minus its prompt: just that if it was never promoted.
    """

    def __init__(self, unknowns: Any) -> None:
        """Starts without requests."""
        self.unknowns = unknowns
        self.found: dict[int, tuple[Any, Any]] = {}  # by identity, as a formula has no hash

    def get(self, number: Any, unpromoted: Any) -> Any:
        """The same answer for the same request, whatever it would be if it was never promoted."""
        if id(number) not in self.found:
            base = self.unknowns.whole(f"base_{len(self.found)}", None)
            self.found[id(number)] = (number, base)
        return self.found[id(number)][1]


def steps(policy: MultiLevelFeedbackQueue, unknowns: Any) -> list[tuple[str, Any]]:
    """The lemmas about a level, about all six at once, and about a look."""
    return [
        *feedback.lemmas(unknowns, policy.quantum, policy.covers),
        *method_lemmas.of_looks(MultiLevelFeedbackQueue, policy, unknowns),
    ]


TOP = Fact(
    "before a request on the top only earlier arrivals go, which are on the top",
    lambda first, second, policy: implies(
        both(policy.served(second) <= policy.quantum, first.order < second.order),
        both(first.arrival < second.arrival, policy.key(first) == 0),
    ),
)
STEPS = "order_mlfq/progress/"
ON_TOP = tuple(
    STEPS + label
    for label in (
        "a quantum that is",
        "within the first",
        "past the first",
        "a level is",
        "who is served",
        "before a request on the top",
        "a look that sees a new",
        "a look that sees nothing",
        "who was promoted",
        "the next look is",
        "of two looks",
        "the policy's own methods",
    )
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
    if theorem.name.endswith(".P5"):  # counts who passes, whatever the levels
        return replace(theorem, sentence=sentence, premises=premises)
    lasts = (STEPS + "a level lasts", STEPS + "the next look is")
    return replace(
        theorem,
        sentence=sentence,
        premises=(*premises, "F11", "F13"),
        rests_on=(*theorem.rests_on, *lasts),
    )


def of_six_levels(unknowns: Any) -> MultiLevelFeedbackQueue:
    """The policy with any quantum."""
    quantum = unknowns.whole("quantum", 1)
    made: MultiLevelFeedbackQueue = unchecked(
        MultiLevelFeedbackQueue,
        quantum=quantum,
        levels=6,
        covers=feedback.covers(quantum, 6),
        promoted=Promotions(unknowns),
    )
    return made


claim(
    Claims(
        "mlfq",
        of_six_levels,
        (
            *[
                of_a_moment(t)
                for t in of_any_order("mlfq")
                if not t.name.endswith((".P6b", ".P10"))
            ],
            Theorem(
                "mlfq.P6b",
                "the earliest arrival on the top is not preempted until "
                "it has generated its quantum",
                ("F1", "F2", "F3", "F5", "F6", "F7", "F8", "F11"),
                (TABLE, STEPS + "the order is ", STEPS + "a displaced request", *ON_TOP),
                "Levels",
            ),
            Theorem(
                "mlfq.P7",
                "every request comes to its end: each time that it has generated nothing for "
                "promote_after steps it generates a quantum before anybody who arrived later",
                ("F1", "F2", "F3", "F5", "F6", "F7", "F8", "F11"),
                (TABLE, STEPS + "the order is ", STEPS + "a displaced request", *ON_TOP),
                "Levels",
            ),
            Theorem(
                "mlfq.P10",
                "two requests may preempt each other in turn, as one is promoted after the other",
                (),
                (STEPS + "a preempted request may",),
                "Levels",
                holds=False,
            ),
        ),
        (TOP,),
        steps,
        feedback.RUNS,
        changes=True,
    )
)
