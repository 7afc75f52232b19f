"""`lineclear test`: drives any scheduler in a machine that checks its decisions.

Guarantees: exit code 0 only if requests were accepted and served and no rule was broken; a finding
is printed with the command that reproduces it.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lineclear.cli.exits import INCONCLUSIVE, PASSED, REFUTED, UsageError
from lineclear.cli.files import need_distinct, need_new, replace, writing
from lineclear.cli.numbers import SEED, real, whole
from lineclear.cli.output import add_backend, write_json, write_text
from lineclear.cli.progress import StatusLine

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lineclear.testing.campaign import Campaign
    from lineclear.testing.failure import Action, Failure

EPILOG = """\
TARGET is a function that creates a scheduler, or an adapter to one: four methods and its limits.
docs/test_your_scheduler.md shows how to write it.

exit codes:
  0  requests were served and no rule was broken
  1  a rule is broken
  2  there is no such scheduler
  3  inconclusive: no request was accepted, an exhaustive search did not reach its bounds, or a
     worker process died

examples:
  lineclear test my_module:make_scheduler
  lineclear test adapters/engine.py:make_scheduler --seconds 600 --seed 7
  lineclear test my_module:make_scheduler --exhaustive --requests 2
  lineclear test my_module:make_scheduler --seed 7 --run 123
  lineclear test my_module:make_scheduler --emit-test tests/test_found.py --log found.jsonl
  lineclear test my_module:make_scheduler --format junit > report.xml
"""

FORMATS = ("text", "json", "junit", "github")
#: Seconds between two lines about a search, where standard error is not a terminal.
LINES = 15.0


def add_parser(subparsers: Any) -> None:
    """Adds the subcommand."""
    parser = subparsers.add_parser(
        "test",
        help="drive any scheduler at random or exhaustively, and check its decisions",
        description="Drive any scheduler under memory pressure, check every block that it "
        "allocates and every position that it reads, and shrink findings.",
        epilog=EPILOG,
    )
    parser.add_argument("target", metavar="TARGET", help="MODULE:FUNCTION or FILE.py:FUNCTION")
    parser.add_argument("--seconds", type=real(above=0), default=60.0, metavar="S",
                        help="search time, without shrinking (default: 60)")  # fmt: skip
    parser.add_argument(
        "--seed", type=SEED, default=0, metavar="N", help="seed of the random runs (default: 0)"
    )
    parser.add_argument("--run", type=whole(0), metavar="N", help="only the run with this number")
    parser.add_argument("--exhaustive", action="store_true",
                        help="search every behaviour at small scope, shortest first")  # fmt: skip
    parser.add_argument("--requests", type=whole(1, 1000), default=3, metavar="N",
                        help="requests of the exhaustive search (default: 3)")  # fmt: skip
    parser.add_argument("--workers", type=whole(1, 1024), metavar="N",
                        help="processes of random runs (default: one for each core)")  # fmt: skip
    parser.add_argument("--format", choices=FORMATS, default="text",
                        help="output format (default: text)")  # fmt: skip
    parser.add_argument("--emit-test", type=Path, metavar="FILE",
                        help="write the finding as a regression test")  # fmt: skip
    parser.add_argument("--log", type=Path, metavar="FILE",
                        help="write the finding as an event log, for `lineclear conform`")  # fmt: skip

    add_backend(parser)


def run(arguments: argparse.Namespace) -> int:
    """Searches and reports."""
    from lineclear.testing.campaign import Campaign, once, search_all, search_random
    from lineclear.testing.target import TargetError, commit_of, make_of

    why, used = (
        ("--exhaustive tries every choice", "exhaustive requests seconds")
        if arguments.exhaustive
        else ("--run repeats one run", "run seed")
        if arguments.run is not None
        else ("random runs draw their requests", "seed seconds workers backend")
    )
    always = ("target", "format", "emit_test", "log")
    arguments.parser.refuse_idle(why, *always, *used.split())
    need_distinct(emit_test=arguments.emit_test, log=arguments.log)
    for path in (arguments.emit_test, arguments.log):
        if path is not None:
            need_new(path)
    try:
        make = make_of(arguments.target)
    except TargetError as error:
        raise UsageError(str(error)) from error
    mode = "exhaustive" if arguments.exhaustive else "random"
    campaign = Campaign(arguments.target, mode, arguments.seed)
    begin = time.monotonic()
    try:
        with StatusLine(LINES) as shown:

            def tell(line: str) -> None:
                shown.show(lambda _: f"{time.monotonic() - begin:.0f} s: {line}")

            if arguments.exhaustive:
                search_all(campaign, arguments.seconds, requests=arguments.requests, progress=tell)
            elif arguments.run is not None:
                once(campaign, arguments.run, tell)
            else:
                search_random(
                    campaign, arguments.seconds, workers=arguments.workers, progress=tell
                )
    except KeyboardInterrupt:
        sys.stderr.write(f"interrupted: {figures(campaign)}\n")
        raise
    campaign.commit = commit_of(arguments.target)
    if campaign.failure is not None:
        from lineclear.testing.emit import emit_test, write_log

        if arguments.emit_test is not None:
            again = command(campaign, arguments)
            test = emit_test(
                arguments.target, campaign.failure, campaign.actions, again, campaign.commit
            )
            replace(arguments.emit_test, test)
        if arguments.log is not None:
            with writing(arguments.log) as file:
                write_log(file, make, campaign.actions)
    report(campaign, arguments)
    return code_of(campaign)


def code_of(campaign: Campaign) -> int:
    """The exit code."""
    return REFUTED if campaign.failure else PASSED if campaign.conclusive else INCONCLUSIVE


def command(campaign: Campaign, arguments: argparse.Namespace) -> str:
    """The command that reproduces the finding."""
    parts = ["lineclear test", campaign.target]
    if campaign.mode == "exhaustive":
        parts.append(f"--exhaustive --requests {arguments.requests}")
    else:
        parts.append(f"--seed {campaign.seed}")
        if campaign.number is not None:
            parts.append(f"--run {campaign.number}")
    return " ".join(parts)


def figures(campaign: Campaign) -> str:
    """What was tried, in numbers."""
    seen = campaign.exhausted
    if seen is not None:
        ended = "exhausted" if seen.complete else "not exhausted"
        return (
            f"{seen.states:,} states, {ended}; {seen.transitions:,} transitions, depth "
            f"{seen.depth}, {seen.scope}, {campaign.seconds:.1f} s"
        )
    tally = campaign.tally
    return (
        f"{tally.runs:,} runs, {tally.steps:,} steps, {tally.accepted:,} of {tally.submitted:,} "
        f"requests accepted, {tally.preempted:,} preempted, {tally.hits:,} blocks found in the "
        f"cache, {campaign.seconds:.1f} s"
    )


def report(campaign: Campaign, arguments: argparse.Namespace) -> None:
    """Writes the result in the requested format."""
    from lineclear.checks import formats

    again = command(campaign, arguments)
    if arguments.format == "json":
        write_json(as_dict(campaign, again))
    elif arguments.format == "junit":
        write_text(formats.junit([as_outcome(campaign, again)], "test"))
    elif arguments.format == "github":
        write_text(formats.github([as_outcome(campaign, again)], code_of(campaign), "test"))
    else:
        write_text("\n".join(lines(campaign, arguments, again)))


def lines(campaign: Campaign, arguments: argparse.Namespace, again: str) -> list[str]:
    """The result as text."""
    text = [f"{campaign.target}: {figures(campaign)}"]
    failure = campaign.failure
    if failure is None:
        if campaign.conclusive:
            text.append("no rule was broken; this is a test, not a proof")
        elif campaign.died is not None:
            text.append(
                f"INCONCLUSIVE: a worker process died during runs {campaign.died[0]} to "
                f"{campaign.died[-1]}, by a crash, by exit, or for lack of memory; repeat them one by "
                f"one: {again} --run {campaign.died[0]}"
            )
        elif campaign.exhausted is not None:
            text.append("nothing found so far: raise --seconds, or lower --requests or the limits")
        else:
            text.append("INCONCLUSIVE: no request was accepted, so nothing was tested")
        return text
    text += [
        "",
        f"{failure.code} {failure}",
        "",
        "actions, then steps until every request has ended:",
    ]
    text += [f"  {action!r}" for action in campaign.actions]
    shrunk = campaign.shrunk
    if shrunk is not None and campaign.first is not None:
        text += [
            "",
            f"shrunk from {len(campaign.first.actions)} actions to {len(campaign.actions)} in "
            f"{shrunk.replays} replays, {campaign.shrinking:.1f} s"
            + ("" if shrunk.complete else ", not to the end"),
        ]
        if campaign.first.message != failure.message:
            text.append(f"first seen as: {campaign.first.message}")
        text += [f"another finding while shrinking: {other.rule} at {other.place}: {other.message}"
                 for other in shrunk.slipped]  # fmt: skip
    commit = f"   (commit {campaign.commit})" if campaign.commit else ""
    text += ["", f"again:   {again}{commit}"]
    if arguments.emit_test is not None:
        text.append(f"written: {arguments.emit_test}")
    if arguments.log is not None:
        text.append(f"written: {arguments.log}; lineclear conform {arguments.log}")
    text.append(f"lineclear explain {failure.code}")
    return text


def failure_fields(failure: Failure, actions: Sequence[Action]) -> dict[str, Any]:
    """A failure, as JSON data."""
    return {
        "rule": failure.rule,
        "code": failure.code,
        "place": failure.place,
        "message": failure.message,
        "state": list(failure.state),
        "actions": [list(action) for action in actions],
    }


def as_dict(campaign: Campaign, again: str) -> dict[str, Any]:
    """The result, as JSON data."""
    from lineclear import __version__

    tally, seen, shrunk = campaign.tally, campaign.exhausted, campaign.shrunk
    content: dict[str, Any] = {
        "tool": "lineclear",
        "version": __version__,
        "target": campaign.target,
        "commit": campaign.commit or None,
        "mode": campaign.mode,
        "seed": campaign.seed,
        "exit_code": code_of(campaign),
        "seconds": round(campaign.seconds, 3),
        "again": again,
    }
    if seen is not None:
        content |= {"states": seen.states, "transitions": seen.transitions, "depth": seen.depth,
                    "complete": seen.complete, "scope": seen.scope}  # fmt: skip
    else:
        content |= {"runs": tally.runs, "steps": tally.steps, "events": tally.events,
                    "submitted": tally.submitted, "accepted": tally.accepted,
                    "preempted": tally.preempted, "hits": tally.hits}  # fmt: skip
    content["finding"] = None
    if campaign.died is not None:
        content["died_in_runs"] = [campaign.died[0], campaign.died[-1]]
    if campaign.first is not None and campaign.failure is not None:
        content["finding"] = {
            **failure_fields(campaign.failure, campaign.actions),
            "run": campaign.number,
            "first": failure_fields(campaign.first, campaign.first.actions),
            "replays": 0 if shrunk is None else shrunk.replays,
            "shrinking_seconds": round(campaign.shrinking, 3),
            "others": []
            if shrunk is None
            else [failure_fields(other, other.actions) for other in shrunk.slipped],
        }
    return content


def as_outcome(campaign: Campaign, again: str) -> Any:
    """The result as a stage of `check`, for the shared formats."""
    from lineclear.checks.stage import Finding, Outcome, ReportCase

    failure = campaign.failure
    status = "passed" if campaign.conclusive else "unknown"
    outcome = Outcome(
        campaign.target, "refuted" if failure else status, figures(campaign),
        seconds=round(campaign.seconds, 2),
    )  # fmt: skip
    message = outcome.summary
    if failure is not None:
        message = f"{failure.rule}: {failure.message}"
        trace = [f"{action!r}" for action in campaign.actions]
        file, _, line = failure.place.rpartition(":")
        outcome.findings.append(
            Finding(
                failure.code,
                message,
                (*failure.state, *trace, f"again: {again}"),
                file if line.isdecimal() else "",
                int(line) if line.isdecimal() else 0,
            )
        )
    outcome.cases.append(ReportCase(campaign.target, campaign.mode, outcome.status, message))
    return outcome
