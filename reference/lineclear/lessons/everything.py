"""The whole lesson: every example in its order, then every erratum with its figures.

Guarantees: each example is run once; errata quote these runs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from lineclear.lessons import LESSONS
from lineclear.lessons.errata import Settled, settle
from lineclear.lessons.lesson import LessonResult, tell

RULE = "=" * 99


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
