"""A multi-level feedback queue with skip-join (FastServe, arXiv 2305.05920).

Guarantees: short requests go before long ones without anybody predicting lengths, and who has
generated nothing for a while is promoted, and stays on the top until it has generated a quantum;
no later arrival goes before it there, so none starves.

A request joins the first level whose quantum covers its prompt, moves down a level each time it has generated another
quantum, and goes to the top when it has generated nothing for `promote_after` steps, whether it waits or runs. Levels
change only for a request whose quantum runs out. A level goes by the tokens that were generated, which no preemption
takes away, and never by those that are computed again.
"""

from __future__ import annotations

from lineclear.policies import feedback
from lineclear.policies.feedback import Look
from lineclear.policies.view import View
from lineclear_spec.logic import given, not_

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

        Steps count from the last look at which something new was generated, also while it runs: a request that is
        admitted again and again, and preempted before its prompt is computed, still counts as waiting.
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
            look, generated, step, self.promote_after, self.covers, not_(given(request.waiting))
        )
        return look, wait

    def ended(self, request: View) -> None:
        """Forgets it."""
        self.promoted.pop(request.number, None)
        self.seen.pop(request.number, None)
