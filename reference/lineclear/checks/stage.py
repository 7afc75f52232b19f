"""A stage of the check, and what it answers.

Guarantees: an outcome is `passed` only if the stage says so itself; whatever raises is `unknown`
with a finding. It knows nothing about any particular stage.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lineclear.config import Config

__all__ = ["MODES", "Case", "Context", "Finding", "Outcome", "Stage", "run_stage"]

MODES = ("fast", "default", "deep")
STATUSES = ("passed", "refuted", "unknown", "skipped")


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that a reader should act on.

    Attributes:
        code: a key of `codes.CODES`.
        title: one line: what is broken, and by whom.
        lines: more of it, for people: a drawn trace, a report.
        file: source file that it points to, or "".
        line: line in that file, 0 if there is none.
        content: for scripts: the trace and whatever saves the counterexample.
    """

    code: str
    title: str
    lines: tuple[str, ...] = ()
    file: str = ""
    line: int = 0
    content: Mapping[str, Any] = field(default_factory=dict[str, Any])


@dataclass(frozen=True, slots=True)
class Case:
    """One line of a JUnit report: an obligation, an exploration, a family of mutants."""

    group: str
    name: str
    status: str
    message: str = ""


@dataclass(slots=True)
class Outcome:
    """What came of a stage.

    Attributes:
        name: the stage's.
        status: passed, refuted, unknown or skipped.
        summary: one line with its figures.
        figures: the same for scripts.
        findings: what is to be acted on; none if it passed, notes aside.
        cases: what was asked, one by one.
        left_out: what this mode does not ask, or "".
        seconds: wall time, of the run that found it.
        cached: whether it was found by an earlier run of the same sources.
    """

    name: str
    status: str
    summary: str
    figures: dict[str, Any] = field(default_factory=dict[str, Any])
    findings: list[Finding] = field(default_factory=list[Finding])
    cases: list[Case] = field(default_factory=list[Case])
    left_out: str = ""
    seconds: float = 0.0
    cached: bool = False

    def __post_init__(self) -> None:
        """Refuses a status that nobody knows."""
        if self.status not in STATUSES:
            raise ValueError(f"{self.status!r} is no status: {', '.join(STATUSES)}")

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Outcome:
        """What `as_dict` made."""
        rows = dict(content)
        found: list[dict[str, Any]] = rows.pop("findings")
        findings = [
            Finding(lines=tuple(row["lines"]), **{k: row[k] for k in row if k != "lines"})
            for row in found
        ]
        cases = [Case(**row) for row in rows.pop("cases")]
        return cls(**rows, findings=findings, cases=cases)


@dataclass(slots=True)
class Context:
    """What a stage may ask.

    Attributes:
        mode: fast, default or deep.
        config: the user's scheduler configuration, or None for the project's own.
        config_text: what the configuration was read from, for the cache.
        policy: the policy that alone is checked, or "" for everything.
        policy_text: a digest of the modules that it is made of, for the cache; "" if unknown.
        root: where to look for generated files.
        step: told of each part that is done.
        memo: what stages of one run share.
    """

    mode: str = "default"
    config: Config | None = None
    config_text: str = ""
    policy: str = ""
    policy_text: str = ""
    root: Path = field(default_factory=Path)
    step: Callable[[str], None] = lambda _: None
    memo: dict[str, Any] = field(default_factory=dict[str, Any])


@dataclass(frozen=True, slots=True)
class Stage:
    """One part of the check.

    Attributes:
        name: as printed, and as `--stage` takes it.
        run: does it.
        sources: what the answer depends on: `spec`, `reference`, or a module of `lineclear`, which
            stands for all that it may import.
        packages: distributions whose versions it depends on.
        modes: in which it runs; elsewhere it is skipped and said to be.
        cacheable: whether nothing else than sources, packages, mode, configuration and `extra`
            matters.
        extra: whatever else the answer depends on, as text.
    """

    name: str
    run: Callable[[Context], Outcome]
    sources: tuple[str, ...] = ("spec",)
    packages: tuple[str, ...] = ()
    modes: tuple[str, ...] = MODES
    cacheable: bool = True
    extra: Callable[[Context], str] = lambda _: ""


def run_stage(stage: Stage, context: Context) -> Outcome:
    """The stage's outcome; an error of its own is a finding, a missing extra is raised.

    Raises:
        ModuleNotFoundError: an optional package is missing.
    """
    if context.mode not in stage.modes:
        modes = " or ".join(f"--{mode}" for mode in stage.modes if mode != "default")
        return Outcome(
            stage.name, "skipped", "not run in this mode", left_out=f"only with {modes}"
        )
    started = time.monotonic()
    try:
        outcome = stage.run(context)
    except ModuleNotFoundError:
        raise
    except Exception as error:  # a check that fails says nothing, and must not say passed
        what = f"{type(error).__name__}: {error}".splitlines()[0]
        finding = Finding("LC901", f"the stage {stage.name} ended with {what}")
        outcome = Outcome(stage.name, "unknown", what, findings=[finding])
        outcome.cases.append(Case(stage.name, stage.name, "unknown", what))
    outcome.seconds = round(time.monotonic() - started, 2)
    return outcome
