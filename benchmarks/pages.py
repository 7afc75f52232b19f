"""A benchmark whose tables are a page of docs/.

Guarantees: what is written is what would be printed, under the page's head.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable
from pathlib import Path


def page(
    path: Path,
    head: str,
    tables: Callable[[argparse.Namespace], Iterable[str]],
    parser: argparse.ArgumentParser,
) -> int:
    """Runs it, and prints the tables or writes the page.

    Args:
        path: of the page.
        head: what stands above the tables.
        tables: their lines, by the arguments.
        parser: of the arguments.
    """
    parser.add_argument("--write", action="store_true", help=f"writes docs/{path.name}")
    arguments = parser.parse_args()
    lines = list(tables(arguments))
    if arguments.write:
        path.write_text("\n".join([head.rstrip(), *lines]) + "\n")
    else:
        print("\n".join(lines))
    return 0
