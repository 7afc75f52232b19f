"""Output of every command: results on standard output, progress on standard error.

Guarantees: JSON is one object and ends with a line break; text has no colour.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Mapping
from typing import Any

from lineclear.cli.exits import UsageError


def add_format(parser: argparse.ArgumentParser) -> None:
    """Adds `--format text|json`."""
    parser.add_argument(
        "--format",
        choices=("text", "json"),
        default="text",
        help="output format (default: text)",
    )


def add_backend(parser: argparse.ArgumentParser) -> None:
    """Adds `--backend processes|ray`."""
    parser.add_argument(
        "--backend",
        choices=("processes", "ray"),
        default="processes",
        help="where to run work: the cores of this machine, or the Ray cluster of RAY_ADDRESS "
        "(default: processes)",
    )


def count(number: int, noun: str, several: str = "") -> str:
    """A number with its noun: "1 state", "2 states"; `several` is an irregular plural."""
    return f"{number:,} {noun if number == 1 else several or noun + 's'}"


def discard_output() -> None:
    """Sends what standard output still holds to nowhere: flushing it at exit would fail again."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def emit(text: str) -> None:
    """Writes to standard output; escapes what it cannot encode.

    Raises:
        UsageError: it cannot take the text, as on a full disk.
        BrokenPipeError: its reader has gone.
    """
    try:
        try:
            sys.stdout.write(text)
        except UnicodeEncodeError:  # half of a surrogate pair from a file, or an ASCII terminal
            code = sys.stdout.encoding or "utf-8"
            sys.stdout.write(text.encode(code, "backslashreplace").decode(code))
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        discard_output()
        raise UsageError(f"cannot write the result: {error.strerror or error}") from error


def write_text(text: str) -> None:
    """Writes a result, ended by exactly one line break."""
    emit(text.rstrip("\n") + "\n")


def write_json(result: Mapping[str, Any]) -> None:
    """Writes a result as one JSON object, keys in the order given."""
    emit(json.dumps(result, indent=2, ensure_ascii=False) + "\n")


def open_streams() -> bool:
    """Whether standard output is open. Standard streams that the caller has closed are opened on the null device.

    Python has no such stream then, and the next file that is opened would get its number.
    """
    has_output = sys.stdout is not None
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(os.open(os.devnull, os.O_RDWR), mode, encoding="utf-8"))
    return has_output
