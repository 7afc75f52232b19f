"""The whole lesson: every example in its order, then where it is wrong, number by number, and the scene that shows it.

Guarantees: each example is run once; figures are taken from the claims of these runs, so a number that is quoted here
is one that a run gave; what breaks is an invariant, a property or premise by its name, or nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lineclear.lessons import LESSONS
from lineclear.lessons.errata_list import ERRATA, Erratum
from lineclear.lessons.lesson import LessonResult, tell

RULE = "=" * 99


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


@dataclass(frozen=True, slots=True)
class Everything:
    """Every lesson that was run.

    Attributes:
        results: by name, in order.
        errata: with their figures.
    """

    results: dict[str, LessonResult]
    errata: tuple[Settled, ...]

    @property
    def violations(self) -> tuple[str, ...]:
        """What did not hold in any run here."""
        return tuple(
            v for result in self.results.values() for run in result.runs for v in run.violations
        )

    @property
    def right(self) -> int:
        """Figures of the lesson that stand."""
        return sum(claim.right for result in self.results.values() for claim in result.claims)

    @property
    def figures(self) -> int:
        """Figures that were compared."""
        return sum(len(result.claims) for result in self.results.values())

    def summary(self) -> str:
        """One line."""
        steps = sum(len(run.rows) for result in self.results.values() for run in result.runs)
        return (
            f"{len(self.results)} examples, {steps} steps with every invariant checked, "
            f"{len(self.violations)} violations; {self.right} of {self.figures} figures of the "
            f"lesson are right; {len(self.errata)} errata"
        )

    def json(self) -> dict[str, Any]:
        """Everything, as plain data."""
        return {
            "lessons": [result.json() for result in self.results.values()],
            "errata": [settled.json() for settled in self.errata],
            "figures": self.figures,
            "right": self.right,
            "violations": list(self.violations),
        }

    def text(self) -> str:
        """For people."""
        lines: list[str] = []
        for result in self.results.values():
            lines += [result.text(), "", RULE, ""]
        lines.append("errata: what the lesson says, what is right, what breaks, which example")
        for settled in self.errata:
            erratum = settled.erratum
            lines.append(f"  {erratum.number:2}  {erratum.says}: {erratum.right}")
            shown = f"--lesson {erratum.lesson}" if erratum.lesson else erratum.guard
            lines.append(f"      breaks {', '.join(erratum.breaks) or 'nothing'}; {shown}")
            if erratum.lesson:
                lines.append(f"      {settled.written} there, {settled.found} here")
        return "\n".join([*lines, "", self.summary()])


def tell_all() -> Everything:
    """Runs every lesson."""
    results = {name: tell(lesson) for name, lesson in LESSONS.items()}
    return Everything(results, tuple(settle(results)))
