"""`lineclear replay`: runs a journal again through the action table alone.

Guarantees: exit code 0 only if every recorded action was allowed again, every invariant held after
every step, and the last state is the recorded one. It knows nothing about the scheduler that wrote
the journal.
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from lineclear.cli.exits import INCONCLUSIVE, PASSED, REFUTED, UsageError
from lineclear.cli.output import add_format, write_json, write_text

if TYPE_CHECKING:
    from lineclear_spec.ledger import Ledger

__all__ = ["add_parser", "run"]

EPILOG = """\
A journal that was cut off is replayed as far as it goes; the exit code is 3.

examples:
  lineclear simulate --journal run.jsonl    write a journal
  lineclear replay run.jsonl                run it again, every invariant checked at every step
  lineclear replay run.jsonl --step 40      the state after 40 steps
"""


def add_parser(subparsers: Any) -> None:
    """Adds the subcommand."""
    parser = subparsers.add_parser(
        "replay",
        help="run a journal again through the action table",
        description="Run a journal again through the action table and check every invariant.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("journal", metavar="JOURNAL", help="a file that simulate --journal wrote")
    parser.add_argument(
        "--step", type=int, metavar="N", help="stop when step N was issued and print the state"
    )
    add_format(parser)


def run(arguments: argparse.Namespace) -> int:
    """Replays the journal."""
    from lineclear.audit import Violation, audit_ledger
    from lineclear.observer import Observer
    from lineclear.record import JournalError, replay, state

    path: str = arguments.journal
    stop: int | None = arguments.step
    if stop is not None and stop < 0:
        raise UsageError("--step counts from 0, the state before the first step")
    checks = 0
    violations: list[str] = []

    observer: Observer | None = None

    def after(name: str, done: tuple[object, ...], ledger: Ledger) -> bool:
        nonlocal checks, observer
        observer = observer or Observer(ledger)
        try:
            observer(name, done)
            if name in ("", "issue_step"):
                checks += 1
                audit_ledger(ledger)
                observer.check()
        except Violation as violation:
            violations.append(f"step {ledger.steps}: {violation}")
        return bool(violations) or (name in ("", "issue_step") and ledger.steps == stop)

    try:
        with open(path, encoding="utf-8") as file:
            again = replay(file, after)
    except JournalError as error:
        write_text(f"{path}, {error}")
        return REFUTED
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"cannot read {path}: it is no UTF-8 text") from error
    from lineclear.blocked import blocked

    steps = again.ledger.steps
    if stop is not None and steps < stop and not violations:
        raise UsageError(f"--step {stop}: {path} has {steps} steps")
    content = {
        "journal": path,
        "actions": again.actions,
        "steps": steps,
        "invariant_checks": checks,
        "violations": violations,
        "complete": again.complete,
        "held": blocked(again.ledger),
    }
    if arguments.format == "json":
        write_json(content if stop is None else {**content, "state": state(again.ledger)})
    else:
        write_text("\n".join(lines(content, state(again.ledger), stop)))
    if violations:
        return REFUTED
    return PASSED if again.complete or stop is not None else INCONCLUSIVE


def lines(content: dict[str, Any], state: dict[str, Any], stop: int | None) -> list[str]:
    """The result, for people; with the state if it was asked for."""
    text = [
        f"{content['journal']}: {content['actions']:,} actions, {content['steps']:,} steps, "
        f"every invariant checked {content['invariant_checks']:,} times, "
        f"{len(content['violations'])} violations"
    ]
    text += [f"  {violation}" for violation in content["violations"]]
    if stop is None:
        ended = "the last state is the recorded one"
        text.append(ended if content["complete"] else "the journal was cut off here")
        return [*text, *kept(content["held"])]
    for tier in ("gpu", "cpu"):
        text.append(f"{tier}: {state[tier]['free']} of {state[tier]['total']} blocks free")
    for request in state["requests"]:
        text.append(
            f"request {request['id']}: {request['phase']}, prompt {request['prompt']}, "
            f"limit {request['limit']}"
        )
        for sequence in request["sequences"]:
            table = zip(sequence["table"], sequence["references"], strict=True)
            text.append(
                f"  sequence {sequence['id']}: {sequence['known']} tokens known, "
                f"{sequence['computed']} computed, room for {sequence['slots']}; blocks "
                f"{' '.join(f'{p}x{n}' if n > 1 else str(p) for p, n in table) or 'none'}"
            )
    return [*text, *kept(content["held"])]


def kept(held: list[dict[str, Any]], most: int = 12) -> list[str]:
    """Who is live, what each holds, and which guard of the table keeps it."""
    text = [f"live: {len(held)}"] if held else []
    for request in held[:most]:
        guard = request["guard"]
        why = f"kept by: {guard}" if guard else "no guard of the table keeps it"
        blocks = f"{request['gpu_blocks']} GPU and {request['cpu_blocks']} CPU blocks"
        figures = ", ".join(f"{name} {value}" for name, value in request["figures"].items())
        text.append(
            f"  request {request['request']} ({request['phase']}) holds {blocks}; {why}"
            + (f" ({figures})" if figures else "")
        )
    return [*text, *([f"  ... and {len(held) - most} more"] if len(held) > most else [])]
