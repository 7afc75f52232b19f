"""`lineclear explore`: searches every behaviour of the scheduler at small scope.

Guarantees: exit code 0 only if every search was exhausted and found nothing; every count is printed with its bounds.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lineclear.cli.exits import INCONCLUSIVE, PASSED, REFUTED, UsageError
from lineclear.cli.files import need_distinct, need_file, replace, writing
from lineclear.cli.numbers import whole
from lineclear.cli.output import (
    add_backend,
    add_format,
    count,
    write_json,
    write_text,
)
from lineclear.cli.progress import Progress
from lineclear.cli.settings import SETTINGS, add_settings, read_settings

if TYPE_CHECKING:
    from lineclear.explore.bounds import RequestShape, SearchBounds
    from lineclear.explore.report import Report

EPILOG = """\
Without settings it searches the worlds of continuous integration, with --deep larger ones.
A request is PROMPT+MOST, then xN for N sequences, then pP for priority P: 1+3, 1+3x2, 2+2p1.

examples:
  lineclear explore
  lineclear explore --deep -o docs/explored.md
  lineclear explore --rules lineclear.evidence.faults:AnyFit --requests 3 --journal stall.jsonl
  lineclear explore --victim longest --num-gpu-blocks 4 --requests 3 --shapes 1+3 2+2
"""


def add_parser(subparsers: Any) -> None:
    """Adds the subcommand."""
    parser = subparsers.add_parser(
        "explore",
        help="search every behaviour at small scope: broken invariants, stuck states, cycles",
        description="Search every behaviour of the scheduler at small scope and under every choice "
        "of the environment.",
        epilog=EPILOG,
    )
    parser.add_argument(
        "--deep", action="store_true", help="larger worlds; takes minutes to hours"
    )
    parser.add_argument(
        "--requests", type=whole(1, 1000), metavar="N", help="requests live at once (default: 2)"
    )
    parser.add_argument(
        "--shapes", nargs="+", metavar="SHAPE", help="shapes of requests that may arrive"
    )
    parser.add_argument(
        "--max-states", type=whole(1), metavar="N", help="stop after this many states"
    )
    parser.add_argument("--journal", metavar="FILE",
                        help="write the first finding for `lineclear replay`")  # fmt: skip
    parser.add_argument(
        "-o", "--output", metavar="FILE", help="write bounds and counts as Markdown"
    )
    add_backend(parser)
    add_format(parser)
    add_settings(parser)


def run(arguments: argparse.Namespace) -> int:
    """Searches."""
    from lineclear.explore.report import markdown, summary, unreached
    from lineclear.explore.worlds import required
    from lineclear_spec.parallel import in_parallel

    need_distinct(config=arguments.config, output=arguments.output, journal=arguments.journal)
    for path in filter(None, (arguments.output, arguments.journal)):
        need_file(path)
    if arguments.deep:
        why = "--deep searches worlds of its own"
        arguments.parser.refuse_idle(why, "deep", "output", "journal", "format", "backend")
    chosen, whole = worlds(arguments)
    reports: list[Report] = []
    with Progress("searching the scheduler", len(chosen)) as progress:
        for report in in_parallel(summary, chosen):
            reports.append(report)
            progress.step()
    missing = unreached(reports, required()) if whole else []
    lines = [line for report in reports for line in report.lines()]
    lines += [f"NEVER SEEN in any search: {sentence}" for sentence in missing]
    code = PASSED
    if any(report.refuted for report in reports) or missing:
        code = REFUTED
    elif not all(report.graph.complete for report in reports):
        code = INCONCLUSIVE
    if arguments.output is not None:
        command = "lineclear explore" + " --deep" * arguments.deep + f" -o {arguments.output}"
        replace(Path(arguments.output), markdown(reports, command))
    if arguments.journal is not None:
        lines.append(save(reports, arguments.journal))
    if arguments.format == "json":
        searches = [report.as_dict() for report in reports]
        write_json(searches[0] if len(searches) == 1 else {"searches": searches})
    else:
        states = sum(report.graph.states for report in reports)
        transitions = sum(report.graph.transitions for report in reports)
        words = {PASSED: "nothing found", REFUTED: "FOUND, see above"}.get(
            code, "nothing found, but a bound was reached"
        )
        lines.append(
            f"{count(len(reports), 'search', 'searches')}, {count(states, 'state')}, "
            f"{count(transitions, 'transition')}: {words}"
        )
        write_text("\n".join(lines))
    return code


def worlds(arguments: argparse.Namespace) -> tuple[list[SearchBounds], bool]:
    """The worlds to search, and whether every situation must occur in them."""
    from lineclear.config import ConfigError
    from lineclear.explore.bounds import SearchBounds
    from lineclear.explore.small import LONG, SMALL
    from lineclear.explore.worlds import ci_worlds, deep_worlds

    names = ("config", "preset", *SETTINGS)
    given = [name for name in names if getattr(arguments, name) is not None]
    extra = [arguments.requests, arguments.shapes, arguments.max_states]
    if not given and extra == [None, None, None]:
        return (deep_worlds() if arguments.deep else ci_worlds()), not arguments.deep
    preset = {} if arguments.preset is None else {"preset": arguments.preset}
    shapes = tuple(map(shape, arguments.shapes)) if arguments.shapes else (LONG, shape("2+2"))
    try:
        bounds = SearchBounds(
            "as asked",
            read_settings(arguments, {**SMALL, **preset}),
            shapes,
            live=2 if arguments.requests is None else arguments.requests,
            max_states=200_000 if arguments.max_states is None else arguments.max_states,
        )
    except (ConfigError, ValueError) as error:
        raise UsageError(str(error)) from error
    refuse_rejected(bounds)
    return [bounds], False


def refuse_rejected(bounds: SearchBounds) -> None:
    """Rejects a request that the scheduler would reject: it would never arrive.

    Raises:
        UsageError: the request, and the reason.
    """
    from lineclear.explore.orders import request_of
    from lineclear.request import InvalidRequest, Rejected
    from lineclear.scheduler import Scheduler

    scheduler = Scheduler(bounds.config)
    for number, one in enumerate(bounds.shapes):
        try:
            answer = scheduler.add(request_of(one, number, timed=True))
        except InvalidRequest as error:
            raise UsageError(f"request {one}: {error}") from error
        if isinstance(answer, Rejected):
            raise UsageError(f"request {one} is rejected: {answer.reason}, or leave it out")


def shape(text: str) -> RequestShape:
    """Parses a request: PROMPT+MOST[xN][pPRIORITY]."""
    import re

    from lineclear.explore.bounds import RequestShape

    match = re.fullmatch(r"(\d+)\+(\d+)(?:x(\d+))?(?:p(-?\d+))?", text)
    if match is None:
        raise UsageError(f"write a request as PROMPT+MOST, with xN or pP, not {text!r}")
    prompt, most, n, priority = match.groups()
    return RequestShape(int(prompt), int(most), int(n or 1), int(priority or 0))


def save(reports: list[Report], path: str) -> str:
    """Writes the journal of the first finding; a cycle is repeated three times."""
    from lineclear.explore.report import record
    from lineclear.explore.witnesses import NOT_BEHIND

    for report in reports:
        moves = [
            (*finding.trace, *finding.cycle * 3)
            for finding in (*report.stuck, *report.livelocks, *report.starvation)
            if not finding.expected
        ]
        moves += [trace for trace, what in report.graph.violations if what == NOT_BEHIND]
        for trace in moves[:1]:
            with writing(path) as file:
                record(report.graph.bounds, trace, file)
            return f"the first finding is in {path}; show it with: lineclear replay {path}"
    return "no journal written: no finding has one"
