"""A multi-level feedback queue with skip-join (FastServe, arXiv 2305.05920).

Guarantees: short requests go before long ones without anybody predicting lengths, and who has
waited for a while is promoted, so a request waits a bounded time for its first service. It knows
nothing about time: quanta are tokens, waiting is counted in steps.

A request joins the first level whose quantum covers its prompt, moves down a level each time it
has generated another quantum, and goes to the top when it has waited for `promote_after` steps.
Levels change for whom a quantum runs out, and for nobody else.
"""

from __future__ import annotations

from lineclear.view import View

__all__ = ["MultiLevelFeedbackQueue"]


class MultiLevelFeedbackQueue:
    """The upper level first.

    Args:
        quantum: tokens of the top level; each level below has twice as many as the one above.
        levels: how many there are.
        promote_after: steps between two looks at a request that may have to be promoted.
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
        self.promoted: dict[int, int] = {}  # number of the arrival -> generated when promoted

    def level(self, served: int) -> int:
        """The level of a request that was served so many tokens since it stood on the top."""
        covered, level = self.quantum, 0
        while level < self.levels - 1 and served > covered:
            level += 1
            covered += self.quantum << level
        return level

    def served(self, request: View) -> int:
        """Its prompt and what it has generated, or what it has generated since it was promoted."""
        base = self.promoted.get(request.number)
        if base is None:
            return request.prompt_tokens + request.generated
        return request.generated - base

    def key(self, request: View) -> float:
        """The upper level first."""
        return self.level(self.served(request))

    def may_displace(self, waiting: View, running: View) -> bool:
        """Whoever is on an upper level."""
        return self.key(waiting) < self.key(running)

    def review(self, request: View) -> int | None:
        """Promotes who has waited; looks again when a quantum may have run out."""
        if request.waiting is not None:
            if request.waiting < self.promote_after:
                return self.promote_after - request.waiting
            self.promoted[request.number] = request.generated
            return self.promote_after
        served, covered = self.served(request), self.quantum
        for level in range(1, self.levels):
            if served <= covered:
                return covered - served + 1
            covered += self.quantum << level
        return None

    def ended(self, request: View) -> None:
        """Forgets it."""
        self.promoted.pop(request.number, None)
