"""`lineclear check`: everything that continuous integration should ask, on one screen.

Guarantees: exit code 0 only if every part ran and passed. It knows nothing about how a part works.
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
        "check",
        help="what CI runs: prove everything, one screen",
        description="Prove every obligation, refute every mutant, and say what is not proved.",
        epilog="example:\n  lineclear check --format json",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_format(parser)


def run(arguments: argparse.Namespace) -> int:
    """Runs every part."""
    return int(import_module("lineclear_spec.prove").check(arguments))
