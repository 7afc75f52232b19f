"""`lineclear prove`: asks the solver for every obligation of the action table.

Guarantees: exit code 0 only if everything asked for is proved. It knows nothing about obligations.
"""

from __future__ import annotations

import argparse
from importlib import import_module
from typing import Any

from lineclear.cli.output import add_format

__all__ = ["add_parser", "run"]

EPILOG = """\
examples:
  lineclear prove                              everything
  lineclear prove swap_out swap_in             two actions
  lineclear prove --invariant conservation     one invariant, every action
"""


def add_parser(subparsers: Any) -> None:
    """Adds the subcommand."""
    parser = subparsers.add_parser(
        "prove",
        help="prove the action table for any number of requests and blocks",
        description="Prove the action table for any number of requests, blocks and tokens.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("actions", nargs="*", metavar="ACTION", help="default: every action")
    parser.add_argument(
        "--invariant", action="append", default=[], metavar="NAME", help="may be given again"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the solver (default: 0)")
    add_format(parser)


def run(arguments: argparse.Namespace) -> int:
    """Proves what was asked for."""
    return int(import_module("lineclear_spec.prove").run(arguments))
