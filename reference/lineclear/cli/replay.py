"""`lineclear replay`: runs a journal again through the action table alone.

Guarantees: exit code 0 only if every recorded action was allowed again and every invariant held.
It knows nothing about the scheduler that wrote the journal.
"""

from __future__ import annotations

import argparse
from importlib import import_module
from typing import Any

from lineclear.cli.output import add_format

__all__ = ["add_parser", "run"]


def add_parser(subparsers: Any) -> None:
    """Adds the subcommand."""
    parser = subparsers.add_parser(
        "replay",
        help="run a journal again through the action table",
        description="Run a journal again through the action table and check every invariant.",
    )
    parser.add_argument("journal", metavar="JOURNAL", help="a file that simulate --journal wrote")
    parser.add_argument("--step", type=int, metavar="N", help="stop there and print the state")
    add_format(parser)


def run(arguments: argparse.Namespace) -> int:
    """Replays the journal."""
    return int(import_module("lineclear.journal").run(arguments))
