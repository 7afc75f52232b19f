"""`lineclear diagram`: draws the lifecycle, the action table or the matrix.

Guarantees: it never overwrites a file that it did not generate, and writes files atomically.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from lineclear.cli.exits import PASSED, UsageError
from lineclear.cli.files import compared, need_file, read, replace
from lineclear.cli.output import write_text

SUBJECTS = ("lifecycle", "actions", "matrix")
FORMATS = ("mermaid", "dot", "svg", "md", "json")
SUFFIXES = {
    ".mmd": "mermaid",
    ".gv": "dot",
    ".dot": "dot",
    ".svg": "svg",
    ".json": "json",
    ".md": "",  # the default of the subject
}

EPILOG = """\
A handwritten Markdown file can contain a diagram between two marker lines:
  <!-- lineclear diagram lifecycle --format mermaid -->
  <!-- end of diagram -->
-o then replaces, and --check compares, only the text between them. A file that is not there is made,
with the diagram alone; one that is neither is left as it is, with exit code 2.

examples:
  lineclear diagram lifecycle                               Mermaid, on standard output
  lineclear diagram lifecycle --format svg -o lifecycle.svg
  lineclear diagram lifecycle -o README.md --check          exit 1 if README.md is stale
  lineclear diagram matrix --format md
"""


def add_parser(subparsers: Any) -> None:
    """Adds the subcommand."""
    parser = subparsers.add_parser(
        "diagram",
        help="draw the lifecycle, the action table or the matrix",
        description="Draw the lifecycle, the action table, or the proof obligations of each action.",
        epilog=EPILOG,
    )
    parser.add_argument("subject", choices=SUBJECTS)
    parser.add_argument(
        "--format",
        choices=FORMATS,
        help="default: by the suffix of FILE, else mermaid for the lifecycle, md for the rest",
    )
    parser.add_argument(
        "-o",
        "--output",
        metavar="FILE",
        type=Path,
        help="write a new file, or one that this command wrote; of a Markdown file with marker lines the text between",
    )
    parser.add_argument(
        "--check", action="store_true", help="write nothing; exit 1 if FILE is stale"
    )


def run(arguments: argparse.Namespace) -> int:
    """Draws, writes or compares."""
    from lineclear.report.diagrams import draw, embed

    subject: str = arguments.subject
    path: Path | None = arguments.output
    if arguments.check and path is None:
        raise UsageError("--check needs the file to compare: -o FILE")
    if path is not None and not arguments.check:
        need_file(path)
    form = arguments.format or default_format(subject, path)
    usual = SUFFIXES.get(path.suffix) if path is not None else None
    if usual and usual != form:
        raise UsageError(
            f"{path}: its suffix is that of {usual}, not of {form}: omit --format, or rename FILE"
        )
    drawn = draw(subject, form)
    if path is None:
        write_text(drawn)
        return PASSED
    old = read(path)
    try:
        new = embed(old, subject, form, drawn, path)
    except ValueError as error:
        raise UsageError(str(error)) from error
    if arguments.check:
        return compared(path, old, new, f"lineclear diagram {subject} --format {form} -o {path}")
    if old != new:
        replace(path, new)
    return PASSED


def default_format(subject: str, path: Path | None) -> str:
    """The format for a file's suffix, or the subject's default.

    Raises:
        UsageError: no format has that suffix.
    """
    usual = "mermaid" if subject == "lifecycle" else "md"
    if path is None:
        return usual
    if path.suffix not in SUFFIXES:
        known = ", ".join(SUFFIXES)
        raise UsageError(
            f"{path}: {f'no format has the suffix {path.suffix}' if path.suffix else 'it has no suffix'}; "
            f"use one of {known}, or give --format"
        )
    return SUFFIXES[path.suffix] or usual
