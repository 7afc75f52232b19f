"""The command `lineclear`: selects the subcommand and maps every ending to an exit code.

Guarantees: no heavy import before a subcommand runs; no traceback for a wrong argument, a missing
extra or a closed pipe; 0 only for what ran and passed, and an error of its own never with the code of a refutation.
"""

from __future__ import annotations

import argparse
import sys
import traceback
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from importlib import import_module
from typing import Any, NoReturn

from lineclear import __version__
from lineclear.cli.exits import BROKEN_PIPE, DEFECT, INTERRUPTED, USAGE, UsageError, missing_extra
from lineclear.cli.interrupts import kept_interrupts
from lineclear.cli.output import discard_output, open_streams

__all__ = ["COMMANDS", "main", "make_parser"]

#: In the order of `--help`; each is a module with `add_parser(subparsers)` and `run(arguments)`.
COMMANDS = (
    "check",
    "prove",
    "explore",
    "simulate",
    "compare",
    "policies",
    "run",
    "calibrate",
    "test",
    "replay",
    "conform",
    "why",
    "explain",
    "diagram",
)
#: Commands of the device package, which the scheduler never imports.
ELSEWHERE = {"run": "lineclear_gpu.command", "calibrate": "lineclear_gpu.calibrate"}

EPILOG = """\
exit codes:
  0  everything was proved or passed
  1  a check failed, a replay differs, or a generated file is stale
  2  invalid usage, or a missing input file or extra
  3  inconclusive: a solver gave no answer, a bound was reached first, or no request was accepted
  70 an error of lineclear itself, with its traceback
  130 and 141  interrupted; the reader of the output has gone

examples:
  lineclear check                          what CI runs: one screen
  lineclear prove swap_out                 every obligation of one action
  lineclear simulate trace.csv --num-gpu-blocks 512 --preemption-mode swap
  lineclear run --compare                  the same tokens under memory pressure?
  lineclear test my_module:make_scheduler  your own scheduler, driven and checked
  lineclear conform run.jsonl              does another scheduler keep the rules?
  lineclear why run.jsonl                  which guard blocks each request?
  lineclear policies                       which properties each policy satisfies
  lineclear explain conservation           what an invariant or an action means
  lineclear diagram lifecycle --format svg -o lifecycle.svg
"""


def one_line(text: str) -> str:
    """The text on one line, although what it quotes may hold line breaks."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text) + "\n"


class Parser(argparse.ArgumentParser):
    """A parser whose errors are one line and whose texts keep theirs; subcommands get one of the same kind."""

    def __init__(self, **given: Any) -> None:
        """See `argparse.ArgumentParser`."""
        super().__init__(formatter_class=argparse.RawDescriptionHelpFormatter, **given)
        self.set_defaults(parser=self)  # a subcommand's is its own
        self._written: list[argparse.Action] = []

    def error(self, message: str) -> NoReturn:
        """Says what is wrong with the arguments, and where they are explained."""
        self.exit(USAGE, one_line(f"{self.prog}: error: {message} (see {self.prog} --help)"))

    def _get_values(self, action: argparse.Action, arg_strings: list[str]) -> Any:
        """The values of an argument, and that it was written; refuses an empty one."""
        if "" in arg_strings and action.nargs != argparse.PARSER:
            raise argparse.ArgumentError(action, "it is empty: give it a value, or omit it")
        if action.option_strings or arg_strings:
            self._written.append(action)
        return super()._get_values(action, arg_strings)

    def refuse_idle(self, why: str, *used: str) -> None:
        """Raises if more was written than what is used, as it would have no effect.

        Args:
            why: what makes the others idle.
            used: names of the arguments that have an effect.

        Raises:
            UsageError: names the idle ones.
        """
        self.refuse(why, *{one.dest for one in self._actions} - set(used))

    def refuse(self, why: str, *idle: str) -> None:
        """Raises if an argument was written that has no effect, be it with its default's value.

        Args:
            why: what makes them idle.
            idle: names of the arguments that have no effect.

        Raises:
            UsageError: names those that were written.
        """
        found = [
            next(iter(one.option_strings), str(one.metavar or one.dest.upper()))
            for one in self._actions
            if one in self._written and one.dest in idle
        ]
        if found:
            raise UsageError(f"{why}: omit {', '.join(found)}")


def module_of(name: str) -> str:
    """The module of a command."""
    return ELSEWHERE.get(name, f"lineclear.cli.{name}")


def make_parser() -> argparse.ArgumentParser:
    """Builds the parser of the command and all its subcommands."""
    parser = Parser(
        prog="lineclear",
        description="A paged KV cache scheduler for LLM serving; every action is proved safe.",
        epilog=EPILOG,
    )
    parser.add_argument("--version", action="version", version=f"lineclear {__version__}")
    subparsers = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name in COMMANDS:
        import_module(module_of(name)).add_parser(subparsers)
    return parser


def complain(line: str) -> int:
    """Prints on one line why the command failed; returns the exit code for that."""
    sys.stderr.write(one_line(line))
    return USAGE


def backend(arguments: argparse.Namespace) -> AbstractContextManager[None]:
    """A context in which the command's work goes to the backend that was chosen."""
    name: str = getattr(arguments, "backend", "processes")
    if name == "processes":
        return nullcontext()
    from lineclear_spec.parallel import on_backend

    return on_backend(name)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command and returns its exit code. An error of lineclear itself is raised if `argv` is given."""
    try:
        return ended(argv)
    except Exception:  # Python would end with 1, which says that something was refuted
        if argv is not None:
            raise
        traceback.print_exc()
        return DEFECT


def ended(argv: Sequence[str] | None) -> int:
    """The exit code of one command, run with these arguments or with those of the process."""
    who = "lineclear"
    if not open_streams():
        return complain(f"{who}: standard output is closed: open it, with > FILE or > /dev/null")
    try:
        try:
            arguments, rest = make_parser().parse_known_args(argv)
            if rest:
                arguments.parser.error(f"unrecognized arguments: {' '.join(rest)}")
        except SystemExit as ended:  # argparse has written the help, the version or the error
            sys.stdout.flush()
            return ended.code if isinstance(ended.code, int) else USAGE
        command: str = arguments.command
        who = f"lineclear {command}"
        with kept_interrupts(), backend(arguments):
            status: int = import_module(module_of(command)).run(arguments)
        sys.stdout.flush()
    except UsageError as error:
        return complain(f"{who}: {error}")
    except ModuleNotFoundError as error:
        line = missing_extra(who, error)
        if line is None:
            raise
        return complain(line)
    except BrokenPipeError:
        discard_output()
        return BROKEN_PIPE
    except OSError as error:
        if error.filename is None:
            raise
        why = error.strerror or str(error)
        return complain(f"{who}: cannot read or write {error.filename}: {why}")
    except KeyboardInterrupt:
        # Workers whose answers a loop was not waiting for at that moment go on, and Python's exit would wait for them.
        processes = sys.modules.get("multiprocessing")  # loaded by those who have any
        for worker in processes.active_children() if processes else ():
            worker.kill()
        sys.stderr.write(f"{who}: interrupted\n")
        return INTERRUPTED
    return status
