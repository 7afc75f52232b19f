"""`lineclear simulate`: runs the scheduler on a workload and reports what its users would see.

Guarantees: exit code 0 only if no invariant was violated. It knows nothing about scheduling.
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
        "simulate",
        help="run the scheduler on a workload",
        description="Run the scheduler on a workload: a trace file, or the embedded one.",
    )
    parser.add_argument(
        "workload", nargs="?", metavar="WORKLOAD", help="default: the embedded one"
    )
    add_format(parser)


def run(arguments: argparse.Namespace) -> int:
    """Runs the simulation."""
    return int(import_module("lineclear.simulate").run(arguments))
