"""What every command writes to: results on standard output, progress on standard error.

Guarantees: JSON is one object and ends with a line break; colour is used on a terminal only, and
never if NO_COLOR is set. It knows nothing about the results. rich is imported when a console is
asked for.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["add_backend", "add_format", "console", "write_json", "write_text"]


def add_format(parser: argparse.ArgumentParser) -> None:
    """Adds `--format text|json`."""
    parser.add_argument(
        "--format",
        choices=("text", "json"),
        default="text",
        help="text for people, json for scripts (default: text)",
    )


def add_backend(parser: argparse.ArgumentParser) -> None:
    """Adds `--backend processes|ray`."""
    parser.add_argument(
        "--backend",
        choices=("processes", "ray"),
        default="processes",
        help="where work is spread: the cores of this machine, or the Ray cluster of RAY_ADDRESS "
        "(default: processes)",
    )


def write_text(text: str) -> None:
    """Writes a result, ended by exactly one line break."""
    sys.stdout.write(text.rstrip("\n") + "\n")


def write_json(result: Mapping[str, Any]) -> None:
    """Writes a result as one JSON object, keys in the order given."""
    sys.stdout.write(json.dumps(result, indent=2, ensure_ascii=False) + "\n")


def console(*, error: bool = False) -> Console:
    """A rich console; it honours NO_COLOR and output that is no terminal by itself."""
    from rich.console import Console

    return Console(stderr=error, highlight=False, soft_wrap=False)
