"""A stage of the check, its outcome, and the places in source files to which findings point.

Guarantees: an outcome is `passed` only if the stage says so; an exception becomes `unknown` with a finding.
"""

from __future__ import annotations

import inspect
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lineclear.config import Config

MODES = ("fast", "default", "deep")
STATUSES = ("passed", "refuted", "unknown", "skipped")


@dataclass(frozen=True, slots=True)
class Finding:
    """A finding to act on.

    Attributes:
        code: a key of `codes.CODES`.
        title: one line: what is broken, and by what.
        lines: details as text: a drawn trace, a report.
        file: source file that it points to, or "".
        line: line in that file, 0 if there is none.
        content: JSON data: the trace and the counterexample.
    """

    code: str
    title: str
    lines: tuple[str, ...] = ()
    file: str = ""
    line: int = 0
    content: Mapping[str, Any] = field(default_factory=dict[str, Any])


@dataclass(frozen=True, slots=True)
class ReportCase:
    """One line of a JUnit report: an obligation, an exploration, a family of mutants."""

    group: str
    name: str
    status: str
    message: str = ""


@dataclass(slots=True)
class Outcome:
    """The outcome of a stage.

    Attributes:
        name: name of the stage.
        status: passed, refuted, unknown or skipped.
        summary: one line with its figures.
        figures: the same as data.
        findings: findings; none if it passed, except notes.
        cases: the single checks.
        left_out: what this mode does not check, or "".
        seconds: wall time of the run that produced it.
        cached: whether an earlier run of the same sources produced it.
    """

    name: str
    status: str
    summary: str
    figures: dict[str, Any] = field(default_factory=dict[str, Any])
    findings: list[Finding] = field(default_factory=list[Finding])
    cases: list[ReportCase] = field(default_factory=list[ReportCase])
    left_out: str = ""
    seconds: float = 0.0
    cached: bool = False

    def __post_init__(self) -> None:
        """Rejects an unknown status."""
        if self.status not in STATUSES:
            raise ValueError(f"{self.status!r} is not a status; known: {', '.join(STATUSES)}")

    def as_dict(self) -> dict[str, Any]:
        """JSON form."""
        return asdict(self)

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Outcome:
        """Parses the form of `as_dict`."""
        rows = dict(content)
        found: list[dict[str, Any]] = rows.pop("findings")
        findings = [
            Finding(lines=tuple(row["lines"]), **{k: row[k] for k in row if k != "lines"})
            for row in found
        ]
        cases = [ReportCase(**row) for row in rows.pop("cases")]
        return cls(**rows, findings=findings, cases=cases)


@dataclass(slots=True)
class Context:
    """The input of a stage.

    Attributes:
        mode: fast, default or deep.
        config: the user's scheduler configuration, or None for the project's own.
        config_text: the text of the configuration, for the cache.
        policy: the only policy to check, or "" for everything.
        policy_text: a digest of its modules, for the cache; "" if unknown.
        root: where to look for generated files.
        step: called after each part.
        answers: folder of the solvers' earlier answers, None to ask everything.
        memo: data shared by the stages of one run.
    """

    mode: str = "default"
    config: Config | None = None
    config_text: str = ""
    policy: str = ""
    policy_text: str = ""
    root: Path = field(default_factory=Path)
    step: Callable[[str], None] = lambda _: None
    answers: Path | None = None
    memo: dict[str, Any] = field(default_factory=dict[str, Any])


@dataclass(frozen=True, slots=True)
class Stage:
    """One part of the check.

    Attributes:
        name: as printed, and as `--stage` takes it.
        run: the function.
        sources: packages on whose files the answer depends.
        packages: distributions whose versions it depends on.
        modes: the modes in which it runs; in others it is reported as skipped.
        cacheable: whether nothing else than sources, packages, mode, configuration and `extra` matters.
        extra: anything else the answer depends on, as text.
    """

    name: str
    run: Callable[[Context], Outcome]
    sources: tuple[str, ...] = ("lineclear_spec",)
    packages: tuple[str, ...] = ()
    modes: tuple[str, ...] = MODES
    cacheable: bool = True
    extra: Callable[[Context], str] = lambda _: ""


def run_stage(stage: Stage, context: Context) -> Outcome:
    """Runs the stage; an exception becomes a finding, a missing extra is raised.

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
    except Exception as error:  # a stage that fails gives no answer, so it must not pass
        what = f"{type(error).__name__}: {error}".splitlines()[0]
        finding = Finding("LC901", f"the stage {stage.name} raised {what}")
        outcome = Outcome(stage.name, "unknown", what, findings=[finding])
        outcome.cases.append(ReportCase(stage.name, stage.name, "unknown", what))
    outcome.seconds = round(time.monotonic() - started, 2)
    return outcome


def shown(path: str) -> str:
    """A path as annotations name it: relative to the working directory if the file lies under it."""
    try:
        return Path(path).resolve().relative_to(Path.cwd()).as_posix()
    except ValueError:
        return path


def place_of(name: str) -> tuple[str, int]:
    """File and line of an action, a block step or a loop; ("", 0) for anything else."""
    from lineclear_spec.actions import ACTIONS
    from lineclear_spec.kernel import blocks

    found: Callable[..., Any] | None = (
        ACTIONS[name].body if name in ACTIONS else getattr(blocks, name, None)
    )
    if not inspect.isfunction(found):
        return "", 0
    return shown(found.__code__.co_filename), found.__code__.co_firstlineno
