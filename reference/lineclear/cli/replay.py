"""`lineclear replay`: replays a journal, or a saved counterexample, through the table alone.

Guarantees: exit code 0 only if every recorded action was allowed again, every invariant held after
every step, and the last state equals the recorded one.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lineclear.cli.exits import INCONCLUSIVE, PASSED, REFUTED, UsageError
from lineclear.cli.files import is_stream, need_new, reading, replace
from lineclear.cli.numbers import whole
from lineclear.cli.output import add_format, count, write_json, write_text
from lineclear.cli.progress import Progress

if TYPE_CHECKING:
    from lineclear.checks.counterexample import Counterexample
    from lineclear_spec.kernel.ledger import Ledger

EPILOG = """\
A journal that was cut off, also within its last line, is replayed up to there; the exit code is then 3.

examples:
  lineclear simulate --journal run.jsonl    write a journal
  lineclear replay run.jsonl                replay it, checking every invariant at every step
  lineclear replay run.jsonl --step 40      the state after 40 steps
  zcat run.jsonl.gz | lineclear replay -    from standard input
  lineclear replay .lineclear/LC401-7f3a21c0.itf.json            a counterexample of lineclear check
  lineclear replay FILE.itf.json --step 3                        its state after 3 actions
  lineclear replay FILE.itf.json --emit-test tests/test_it.py    write it as a test
"""


def add_parser(subparsers: Any) -> None:
    """Adds the subcommand."""
    parser = subparsers.add_parser(
        "replay",
        help="replay a journal through the action table",
        description="Replay a journal through the action table and check every invariant.",
        epilog=EPILOG,
    )
    parser.add_argument(
        "journal",
        metavar="JOURNAL",
        help="a journal of simulate --journal, or a counterexample; - is standard input",
    )
    parser.add_argument(
        "--step",
        type=whole(0),
        metavar="N",
        help="stop after step N is issued, 0 for before the first, and print the state",
    )
    parser.add_argument(
        "--emit-test", metavar="FILE", type=Path, help="write a counterexample as a pytest file"
    )
    add_format(parser)


def run(arguments: argparse.Namespace) -> int:
    """Replays the journal."""
    from lineclear.journal.file import JournalError, NotAJournal, replay, state

    path: str = arguments.journal
    saved = counterexample(path)
    if saved is not None:
        return again_counterexample(saved, arguments)
    if arguments.emit_test is not None:
        raise UsageError(f"--emit-test needs a counterexample; {path} is not one")
    stop: int | None = arguments.step
    found: list[str] = []
    try:
        with reading(path) as file, Progress("steps replayed", None) as progress:
            again = replay(file, checking(found, progress.step, stop))
    except NotAJournal as error:
        raise UsageError(f"{path}, {error}") from error
    except JournalError as error:
        write_text(f"{path}, {error}")
        return REFUTED
    from lineclear.monitor.blocked import blocked

    steps = again.ledger.steps
    violations = [f"step {steps}: {violation}" for violation in found]
    if stop is not None and steps < stop and not violations:
        raise UsageError(f"--step {stop}: {path} has {steps} steps")
    content = {
        "journal": path,
        "actions": again.actions,
        "steps": steps,
        "invariant_checks": progress.done,
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


def checking(
    broken: list[str], step: Callable[[], object] = lambda: None, stop: int | None = None
) -> Callable[[str, tuple[object, ...], Ledger], bool]:
    """What `replay` calls after each action: it checks every invariant before the first step and after each, and calls
    `step` then, up to the step `stop` or the first violation, which is added to `broken`.
    """
    from lineclear.monitor.audit import InvariantViolation, audit_ledger
    from lineclear.monitor.observer import Observer

    observer: Observer | None = None

    def after(name: str, done: tuple[object, ...], ledger: Ledger) -> bool:
        nonlocal observer
        observer = observer or Observer(ledger)
        try:
            observer(name, done)
            if name in ("", "issue_step"):
                step()
                audit_ledger(ledger)
                observer.check()
        except InvariantViolation as violation:
            broken.append(str(violation))
        return bool(broken) or (name in ("", "issue_step") and ledger.steps == stop)

    return after


def counterexample(path: str) -> Counterexample | None:
    """The counterexample in a file, or None if it holds something else."""
    from lineclear.checks.counterexample import CounterexampleError
    from lineclear.checks.itf import read

    if path == "-" or is_stream(Path(path)):
        return None  # a pipe is read only once
    with reading(path) as file:
        head = file.read(200)
        text = head + file.read() if head[:1] == "{" and '"#meta"' in head else ""
    try:
        return read(text) if text else None
    except CounterexampleError as error:
        raise UsageError(f"{path}: {error}") from error


def again_counterexample(saved: Counterexample, arguments: argparse.Namespace) -> int:
    """Executes a counterexample; returns 1 while it breaks a rule."""
    from lineclear.checks.counterexample import CounterexampleError
    from lineclear.checks.itf import emit_test

    target: Path | None = arguments.emit_test
    stop: int | None = arguments.step
    if stop is not None and not 0 <= stop <= len(saved.trace or saved.moves):
        raise UsageError(f"--step {stop}: it has {len(saved.trace or saved.moves)} actions")
    if target is not None:
        need_new(target)
        try:
            replace(target, emit_test(saved))
        except CounterexampleError as error:
            raise UsageError(f"{arguments.journal}: {error}") from error
    if saved.kind == "scheduler":
        return again_moves(saved, arguments.format, stop, target)
    try:
        seen = saved.execute(stop)
        from lineclear_spec.report.picture import table

        drawn = table(seen.rows)
    except CounterexampleError as error:
        raise UsageError(f"{arguments.journal}: {error}: the table has changed") from error
    content = {
        "file": arguments.journal,
        **saved.as_dict(),
        "broken": list(seen.broken),
        "refused": seen.refused or None,
    }
    if arguments.format == "json":
        write_json({**content, "states": seen.states})
    else:
        mutant = f" without {saved.mutant}" if saved.mutant else ""
        found = f"now broken: {', '.join(seen.broken)}" if seen.broken else "no rule is broken now"
        text = [f"{saved.rule} broken: {saved.what}{mutant}", "", *drawn, "", found]
        text += [f"refused: {seen.refused}"] if seen.refused else []
        if stop is not None:
            state = seen.states[-1]
            text += [f"{name}: {state[name]}" for name in state if name != "action"]
        text += [f"written: {target}"] if target is not None else []
        write_text("\n".join(text))
    return REFUTED if seen.breaks else PASSED


def again_moves(saved: Counterexample, form: str, stop: int | None, target: Path | None) -> int:
    """Replays the journal of a scheduler's counterexample through the table, checking every
    invariant, and repeats the environment's moves on the current scheduler.

    Args:
        saved: the counterexample.
        form: text or json.
        stop: number of the last action to replay, None for all.
        target: file for the journal, None for none.
    """
    from lineclear.checks.again import occurs
    from lineclear.journal.file import JournalError, replay

    broken: list[str] = []
    try:
        if saved.journal:
            # They were saved without the ends of lines.
            replay((f"{line}\n" for line in saved.journal), checking(broken))
    except JournalError as error:
        broken.append(str(error))
    found = occurs(saved.again) if saved.again else ""
    content = {**saved.as_dict(), "broken": broken, "found": found}
    if form == "json":
        write_json(content)
    else:
        moves = saved.moves if stop is None else saved.moves[:stop]
        text = [f"{saved.rule} broken: {saved.what}", "", *[f"  {move}" for move in moves], ""]
        text.append(
            f"now broken: {broken[0]}"
            if broken
            else f"found again with the same environment: {found}"
            if found
            else "the table allows every action of it, and no invariant is broken: the broken rule "
            "is not one of the table's"
        )
        text += [f"written: {target}"] if target is not None else []
        write_text("\n".join(text))
    return REFUTED if broken or found else PASSED


def lines(content: dict[str, Any], state: dict[str, Any], stop: int | None) -> list[str]:
    """The result as text; with the state on request."""
    text = [
        f"{content['journal']}: {count(content['actions'], 'action')}, {count(content['steps'], 'step')}, "
        f"every invariant checked {count(content['invariant_checks'], 'time')}, "
        f"{count(len(content['violations']), 'violation')}"
    ]
    text += [f"  {violation}" for violation in content["violations"]]
    if stop is None:
        ended = "the last state equals the recorded one"
        text.append(ended if content["complete"] else "the journal is truncated here")
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
                f"  sequence {sequence['id']}: {sequence['num_tokens']} tokens known, "
                f"{sequence['num_computed_tokens']} computed, room for {sequence['num_allocated_slots']}; blocks "
                f"{' '.join(f'{p}x{n}' if n > 1 else str(p) for p, n in table) or 'none'}"
            )
    return [*text, *kept(content["held"])]


def kept(held: list[dict[str, Any]], most: int = 12) -> list[str]:
    """Live requests, what each holds, and which guard of the table blocks it."""
    text = [f"live: {len(held)}"] if held else []
    for request in held[:most]:
        guard = request["guard"]
        why = f"blocked by: {guard}" if guard else "no guard of the table blocks it"
        blocks = f"{request['gpu_blocks']} GPU and {request['cpu_blocks']} CPU blocks"
        figures = ", ".join(f"{name} {value}" for name, value in request["figures"].items())
        text.append(
            f"  request {request['request']} ({request['phase']}) holds {blocks}; {why}"
            + (f" ({figures})" if figures else "")
        )
    return [*text, *([f"  ... and {len(held) - most} more"] if len(held) > most else [])]
