"""What is claimed of the policy in `policies/mlfq.py`: theorems, and the facts that they rest on."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from lineclear.policies import feedback
from lineclear.policies.claims import method_lemmas
from lineclear.policies.mlfq import MultiLevelFeedbackQueue
from lineclear_spec.liveness.theorems import (
    TABLE,
    Claims,
    Fact,
    Theorem,
    claim,
    of_any_order,
    unchecked,
)
from lineclear_spec.logic import and_, implies


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
        and_(policy.served(second) <= policy.quantum, first.order < second.order),
        and_(first.arrival < second.arrival, policy.key(first) == 0),
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
                "promote_after steps it generates a quantum before any request that arrived later",
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
