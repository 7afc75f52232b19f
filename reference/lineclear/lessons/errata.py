"""Where the lesson is wrong, number by number, and the scene that shows it.

Guarantees: figures are taken from the claims of the lessons when they were run, so a number that is quoted here is
one that a run gave; what breaks is an invariant, a property or premise by its name, or nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lineclear.lessons.errata_list import ERRATA, Erratum
from lineclear.lessons.lesson import LessonResult

__all__ = ["ERRATA", "Erratum", "Settled", "settle"]


@dataclass(frozen=True, slots=True)
class Settled:
    """An erratum with the figures of the run that shows it.

    Attributes:
        erratum: which one.
        written: the lesson's figure, "" if it has none.
        found: the figure here.
    """

    erratum: Erratum
    written: str
    found: str

    @property
    def command(self) -> str:
        """What shows it, "" if it is no matter of figures."""
        lesson = self.erratum.lesson
        return f"lineclear simulate --lesson {lesson}" if lesson else ""

    def json(self) -> dict[str, Any]:
        """Everything, as plain data."""
        erratum = self.erratum
        return {
            "number": erratum.number,
            "says": erratum.says,
            "right": erratum.right,
            "breaks": list(erratum.breaks),
            "guard": erratum.guard or None,
            "lesson": erratum.lesson or None,
            "shown_by": erratum.shown_by or None,
            "written": self.written or None,
            "found": self.found or None,
        }


def settle(results: Mapping[str, LessonResult]) -> list[Settled]:
    """Every erratum with its figures.

    Args:
        results: each lesson that was run, by its name.

    Raises:
        LookupError: an erratum names a claim or a state that there is not, or not once.
    """
    return [settled(erratum, results) for erratum in ERRATA]


def settled(erratum: Erratum, results: Mapping[str, LessonResult]) -> Settled:
    """One erratum with its figures."""
    if not erratum.lesson:
        return Settled(erratum, "", "")
    lesson = results[erratum.lesson]
    claims = [c for c in lesson.claims if c.what.startswith(erratum.shown_by)]
    states = [(f, b) for f, b in lesson.breaches if f.where == erratum.shown_by]
    if len(claims) + len(states) != 1:
        raise LookupError(
            f"erratum {erratum.number}: {len(claims) + len(states)} claims or states of "
            f"{erratum.lesson} are called {erratum.shown_by!r}"
        )
    if claims:
        return Settled(erratum, str(claims[0].written), str(claims[0].found))
    figures, breaches = states[0]
    return Settled(erratum, figures.text(), "; ".join(breach.arithmetic for breach in breaches))
