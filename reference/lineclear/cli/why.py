"""`lineclear why`: which guard blocks each request of an engine, and what would lift it.

Guarantees: exit code 1 if nothing is scheduled any more (a standstill), if waiting can help no live request, or if
the log breaks a rule first, which is printed; 0 otherwise. It reads logs of any engine and journals of lineclear.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from lineclear.cli.exits import PASSED, REFUTED, UsageError
from lineclear.cli.numbers import whole
from lineclear.cli.output import add_format, write_json, write_text

EPILOG = """\
For each live request: the first guard that is false, with its numbers; the smallest change that
would make it true; and whether waiting can. Waiting cannot help if the guard is false even if every
other request ended now.

exit codes: 0 progress is possible, 1 nothing is scheduled any more, or waiting can help no live
request, or the log breaks a rule, 2 a line is malformed

examples:
  lineclear why run.jsonl                     at the end of the log
  lineclear why run.jsonl --at 1200           after event 1200
  lineclear why journal.jsonl --format json   a journal of lineclear simulate, for scripts
"""


def add_parser(subparsers: Any) -> None:
    """Adds the subcommand."""
    parser: argparse.ArgumentParser = subparsers.add_parser(
        "why",
        help="which guard blocks each request, and what would lift it",
        description="Show which guard blocks each live request, and what would lift it.",
        epilog=EPILOG,
    )
    parser.add_argument(
        "log", metavar="LOG", help="an event log, or a journal; - is standard input"
    )
    parser.add_argument(
        "--at",
        type=whole(0),
        metavar="N",
        help="after event N, 0 for before the first (default: at the end)",
    )
    add_format(parser)


def run(arguments: argparse.Namespace) -> int:
    """Reads the log and reports."""
    from lineclear.cli.conform import named
    from lineclear.cli.files import reading_errors
    from lineclear.conform.events import EventError
    from lineclear.journal.file import JournalError

    with named(arguments.log) as path, reading_errors(arguments.log):
        try:
            return report(path, arguments)
        except (EventError, JournalError) as error:
            raise UsageError(f"{arguments.log}, {error}") from error


def report(path: Path, arguments: argparse.Namespace) -> int:
    """Reads the log and reports why its requests do not progress.

    Raises:
        UsageError: it is a log of KV events, `--at` is past its end, or a line is malformed.
    """
    from lineclear.cli.conform import STDIN
    from lineclear.conform.events import EventError
    from lineclear.conform.observe import Observed
    from lineclear.conform.result import describe
    from lineclear.conform.source import Source
    from lineclear.conform.why import lines, why

    name = STDIN if arguments.log == "-" else arguments.log
    source = Source(path, name)
    if source.kind == "KV events":
        raise UsageError(
            f"{name}: KV cache events name no requests; give an event log or a journal"
        )
    observed = Observed(source.header, validate=source.kind == "event log")
    found: list[Any] = []
    for number, event in enumerate(source.events(), start=1):
        if arguments.at is not None and number > arguments.at:
            break
        try:
            found = observed.feed(event)
        except EventError as error:
            raise source.error(error) from None
        if found:
            break
    number = observed.checker.number
    if arguments.at is not None and number < arguments.at and not found:
        raise UsageError(f"--at {arguments.at}: the log has {number} events")
    answer = why(observed.snapshot())
    if arguments.format == "json":
        violations = [violation.json() for violation in found]
        write_json({"log": name, "event": number, **answer.json(), "violations": violations})
    else:
        text = [line for violation in found for line in [*describe(violation, source.line), ""]]
        write_text("\n".join([*text, f"{name}, after event {number}", *lines(answer)]))
    return REFUTED if found or answer.blocked else PASSED
