"""`lineclear conform`: checks the log of any scheduler against the rules that all must obey.

Guarantees: exit code 0 only if every event was checked and none breaks a rule, and with --strict only if every rule
was fully checked and a journal is whole; a malformed line is an error with its number, field and remedy.
"""

from __future__ import annotations

import argparse
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lineclear.cli.exits import INCONCLUSIVE, PASSED, REFUTED, UsageError
from lineclear.cli.files import (
    is_stream,
    need_distinct,
    need_file,
    reading,
    reading_errors,
    writing,
)
from lineclear.cli.output import write_json, write_text
from lineclear.cli.progress import Progress

if TYPE_CHECKING:
    from lineclear.checks.stage import Outcome
    from lineclear.conform.events import Event
    from lineclear.conform.header import Header
    from lineclear.conform.result import Conformance

FORMATS = ("text", "json", "junit", "github", "markdown")

EPILOG = """\
The first line identifies the format: an event log (docs/event_log.md), a journal of lineclear
simulate, or vLLM's KV cache events as JSON lines; - is standard input. Every rule that the log
leaves open is listed; none is assumed to hold.

exit codes: 0 conforms, 1 an event breaks a rule, 2 a line is malformed, 3 with --strict: a rule
could not be checked, or a journal was cut off

examples:
  lineclear conform run.jsonl                       does the engine obey the rules?
  lineclear conform run.jsonl --strict              and can the log decide all of them?
  lineclear conform run.jsonl --reduced short.jsonl a short log that breaks the same rules
  lineclear conform --rules                         the rules, with their codes
  lineclear simulate --journal j.jsonl && lineclear conform j.jsonl --write-log events.jsonl
  lineclear conform events.jsonl --level table      does the proved table allow it?
"""


def add_parser(subparsers: Any) -> None:
    """Adds the subcommand."""
    parser: argparse.ArgumentParser = subparsers.add_parser(
        "conform",
        help="check the event log of any scheduler",
        description="Check the event log of any scheduler against the rules of a paged KV cache.",
        epilog=EPILOG,
    )
    parser.add_argument("log", nargs="?", metavar="LOG", help="an event log, or a journal")
    parser.add_argument(
        "--level",
        choices=("rules", "table"),
        default="rules",
        help="rules: what every scheduler must obey; table: also replay through the proved table "
        "(default: rules)",
    )
    parser.add_argument(
        "--strict", action="store_true", help="exit with 3 if a rule could not be fully checked"
    )
    parser.add_argument("--rules", action="store_true", help="print the rules and exit")
    parser.add_argument(
        "--reduced", metavar="FILE", type=Path, help="write the reduced log of a violation"
    )
    parser.add_argument(
        "--write-log", metavar="FILE", type=Path, help="write a journal as an event log"
    )
    parser.add_argument(
        "--format", choices=FORMATS, default="text", help="format of the result (default: text)"
    )


def run(arguments: argparse.Namespace) -> int:
    """Reads the log and reports."""
    from lineclear.conform.events import EventError
    from lineclear.conform.result import conform
    from lineclear.conform.source import Source
    from lineclear.journal.file import JournalError

    if arguments.rules:
        arguments.parser.refuse_idle("--rules prints the rules and reads no log", "rules")
        write_text("\n".join(rules()))
        return PASSED
    if arguments.log is None:
        raise UsageError("give a LOG, or --rules")
    targets = {"write_log": arguments.write_log, "reduced": arguments.reduced}
    need_distinct(LOG=arguments.log, **targets)
    for target in filter(None, targets.values()):
        need_file(target)
    with named(arguments.log) as path, reading_errors(arguments.log):
        try:
            source = Source(path, STDIN if arguments.log == "-" else str(arguments.log))
            with Progress("events read", None) as progress:
                source.on_event = progress.step
                result = conform(source)
                table = [] if arguments.level == "rules" or result.violations else against(source)
                if arguments.write_log is not None:  # once nothing can be an error any more
                    write_log(arguments.write_log, source.header, source.events())
        except (EventError, JournalError) as error:
            raise UsageError(f"{arguments.log}, {error}") from error
    if arguments.reduced is not None and result.reduced is not None:
        write_log(arguments.reduced, result.reduced.header, result.reduced.events)
    code = code_of(result, table, strict=arguments.strict)
    report(arguments, result, table, code)
    return code


#: The name of a log that is read from a pipe.
STDIN = "standard input"


@contextmanager
def named(name: str) -> Generator[Path]:
    """Opens the file; copies standard input or a pipe, because a violation is read again."""
    if name != "-" and not is_stream(Path(name)):
        yield Path(name)
        return
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "log.jsonl"
        with path.open("w", encoding="utf-8") as file, reading(name) as given:
            file.writelines(given)
        yield path


def write_log(path: Path, header: Header, events: Iterable[Event]) -> None:
    """Writes an event log."""
    from lineclear.conform.reader import Writer

    with writing(path) as file:
        write = Writer(file, header, validate=False)
        for event in events:
            write(event)


def against(source: Any) -> list[str]:
    """What the proved table rejects; empty if it allows everything."""
    from lineclear.conform.table_level import TableError, replay_events

    try:
        return replay_events(source.header, source.events(), lambda: source.line)
    except TableError as error:
        raise UsageError(f"--level table: {error}") from error


def code_of(result: Conformance, table: list[str], *, strict: bool) -> int:
    """The exit code."""
    if result.violations or table:
        return REFUTED
    return INCONCLUSIVE if strict and (result.inconclusive or result.cut) else PASSED


def report(
    arguments: argparse.Namespace, result: Conformance, table: list[str], code: int
) -> None:
    """Writes the result in the requested format.

    Args:
        arguments: of the command.
        result: what the rules say.
        table: what the proved table says, line by line.
        code: the exit code.
    """
    from lineclear.conform.result import CUT, lines

    form, level = arguments.format, arguments.level
    if form == "text":
        text = lines(result)
        if level == "table" and not result.violations:
            text += ["", *(table or ["the proved table allows every event"])]
        if arguments.reduced is not None:
            done = "written" if result.reduced is not None else "not written, nothing to reduce"
            text += ["", f"{done}: {arguments.reduced}"]
        if code == INCONCLUSIVE:
            why = "the rules above could not be fully checked" if result.inconclusive else CUT
            text += ["", f"INCONCLUSIVE: {why}"]
        elif code == PASSED:
            text += ["", "no event breaks a rule that was checked"]
        write_text("\n".join(text))
    elif form == "json":
        content = {**result.json(), "level": level, "exit_code": code}
        write_json({**content, "table": table} if level == "table" else content)
    else:
        from lineclear.checks import formats

        outcome = outcome_of(result, table, strict=arguments.strict)
        if form == "junit":
            write_text(formats.junit([outcome], "conform"))
        elif form == "github":
            write_text(formats.github([outcome], code, "conform"))
        else:
            write_text(formats.markdown([outcome], level, code, "conform"))


def outcome_of(result: Conformance, table: list[str], *, strict: bool) -> Outcome:
    """The result as one stage, one case for each rule."""
    from lineclear.checks.stage import Finding, Outcome, ReportCase
    from lineclear.conform.result import CUT, describe, pictures

    broken = {violation.rule: violation for violation in result.violations}
    cases: list[ReportCase] = []
    for row in result.standings:
        if row.rule in broken:
            status, message = "refuted", broken[row.rule].message
        elif row.status == "checked":
            status, message = "passed", ""
        else:
            open_ = row.status != "not stated"
            status = "unknown" if strict and open_ else "skipped"
            message = f"{row.status}: {'; '.join(row.lacks)}"
        cases.append(ReportCase("conform", row.rule, status, message))
    findings = [
        Finding(
            violation.code,
            f"{violation.rule}: {violation.message}",
            (*describe(violation, result.line)[1:], *pictures(result)),
            result.path,
            result.line,
            violation.json(),
        )
        for violation in result.violations
    ]
    if result.cut:
        cases.append(ReportCase("conform", "end", "unknown" if strict else "skipped", CUT))
    if table:
        cases.append(ReportCase("conform", "table", "refuted", table[0]))
        findings.append(Finding("LC426", table[0], tuple(table[1:]), result.path, 0))
    worst = {case.status for case in cases}
    status = next((s for s in ("refuted", "unknown") if s in worst), "passed")
    open_rules = ", ".join(row.rule for row in result.inconclusive)
    return Outcome(
        "conform",
        status,
        f"{result.events:,} events"
        + (f"; not fully checked: {open_rules}" if open_rules else "")
        + (f"; {CUT}" if result.cut else ""),
        {"events": result.events},
        findings,
        cases,
    )


def rules() -> list[str]:
    """All rules, with codes and clauses."""
    from lineclear.conform.rules import RULES

    text: list[str] = []
    for rule in RULES.values():
        text.append(f"{rule.code} {rule.name:<15} {rule.sentence}")
        for clause, needs in rule.clauses.items():
            text.append(f"      {clause:<14} needs {', '.join(needs)}")
    return text
