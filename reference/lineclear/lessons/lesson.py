"""A worked example: what the lesson writes, what a run does, and where the two differ.

Guarantees: a claim is right exactly if both figures are equal and break no invariant.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from lineclear.lessons.figures import FigureBreach, StateFigures
from lineclear.lessons.run import SceneRun
from lineclear.lessons.scene import Scene


@dataclass(frozen=True, slots=True)
class Claim:
    """One figure of the lesson beside the one that was found.

    Attributes:
        what: the quantity.
        written: what the lesson gives.
        found: what a run or the arithmetic gives.
        invariant: the invariant, property or premise that the lesson's figure breaks, if any.
        why: the arithmetic or the rule, in a few words.
    """

    what: str
    written: int | float | str
    found: int | float | str
    invariant: str = ""
    why: str = ""

    @property
    def right(self) -> bool:
        """Whether the lesson's figure stands."""
        return self.written == self.found and not self.invariant


@dataclass(frozen=True, slots=True)
class Lesson:
    """One example of the lesson.

    Attributes:
        name: as `--lesson` takes it.
        title: what it is about.
        changed: what had to be changed so that it can happen, "" if nothing.
        written: the states that the lesson gives.
        scenes: the runs that show it.
        claims: compares the lesson's figures with the runs.
        block_size: tokens of a block.
        table: what was measured, heads first, if anything was.
    """

    name: str
    title: str
    changed: str
    written: tuple[StateFigures, ...]
    scenes: tuple[Scene, ...]
    claims: Callable[[Sequence[SceneRun]], list[Claim]]
    block_size: int = 16
    table: Callable[[], list[list[str]]] = list


@dataclass(frozen=True, slots=True)
class LessonResult:
    """A lesson that was run.

    Attributes:
        lesson: which one.
        runs: one for each scene.
        breaches: what each state of the lesson breaks.
        claims: its figures beside ours.
        table: what was measured, heads first, if anything was.
    """

    lesson: Lesson
    runs: tuple[SceneRun, ...]
    breaches: tuple[tuple[StateFigures, tuple[FigureBreach, ...]], ...]
    claims: tuple[Claim, ...]
    table: tuple[tuple[str, ...], ...] = ()

    @property
    def broken(self) -> tuple[str, ...]:
        """Every invariant or property that the lesson's figures break, each once."""
        names = [breach.invariant for _, found in self.breaches for breach in found]
        names += [claim.invariant for claim in self.claims if claim.invariant]
        return tuple(dict.fromkeys(names))

    def json(self) -> dict[str, Any]:
        """Everything, as plain data."""
        return {
            "lesson": self.lesson.name,
            "title": self.lesson.title,
            "changed": self.lesson.changed,
            "runs": [run.json() for run in self.runs],
            "written": [
                {
                    "where": figures.where,
                    "state": figures.text(),
                    "breaks": [{"invariant": b.invariant, "why": b.arithmetic} for b in found],
                }
                for figures, found in self.breaches
            ],
            "claims": [
                {
                    "what": claim.what,
                    "written": claim.written,
                    "found": claim.found,
                    "right": claim.right,
                    "invariant": claim.invariant or None,
                    "why": claim.why,
                }
                for claim in self.claims
            ],
            "measured": [dict(zip(self.table[0], row, strict=True)) for row in self.table[1:]],
            "invariants_broken": list(self.broken),
        }

    def text(self) -> str:
        """The trace, the lesson's states and its figures, for people."""
        lines = [f"{self.lesson.name}: {self.lesson.title}"]
        if self.lesson.changed:
            lines += ["", f"changed so that it can happen: {self.lesson.changed}"]
        for run in self.runs:
            lines += ["", *run.lines()]
        if self.table:
            lines += ["", *aligned(self.table)]
        if self.breaches:
            lines += ["", "the states that the lesson writes"]
        for figures, found in self.breaches:
            lines.append(f"  {figures.where}: {figures.text()}")
            lines += [f"    breaks {b.invariant}: {b.arithmetic}" for b in found]
            if not found:
                lines.append("    breaks nothing")
        lines += ["", "its figures beside these runs"]
        for claim in self.claims:
            here = "cannot be" if claim.written == claim.found else f"{claim.found} here"
            mark = "right" if claim.right else here
            lines.append(f"  {claim.what}: {claim.written} ({mark})")
            if claim.why:
                breaks = f"breaks {claim.invariant}: " if claim.invariant else ""
                lines.append(f"    {breaks}{claim.why}")
        total = sum(claim.right for claim in self.claims)
        lines += [
            "",
            f"{total} of {len(self.claims)} figures are right; broken: "
            f"{', '.join(self.broken) or 'none'}",
        ]
        return "\n".join(lines)


def aligned(table: Sequence[Sequence[str]]) -> list[str]:
    """A table in columns, numbers to the right."""
    widths = [max(len(row[k]) for row in table) for k in range(len(table[0]))]
    return [
        "  " + "  ".join(cell.rjust(w) if k else cell.ljust(w) for k, (cell, w) in
                         enumerate(zip(row, widths, strict=True)))
        for row in table
    ]  # fmt: skip


def tell(lesson: Lesson) -> LessonResult:
    """Runs the scenes, judges the states and compares the figures."""
    runs = tuple(scene.run() for scene in lesson.scenes)
    breaches = tuple((figures, figures.broken(lesson.block_size)) for figures in lesson.written)
    table = tuple(tuple(row) for row in lesson.table())
    return LessonResult(lesson, runs, breaches, tuple(lesson.claims(runs)), table)
