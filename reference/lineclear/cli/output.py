"""Output of every command: results on standard output, progress on standard error.

Guarantees: JSON is one object and ends with a line break; colour is used on a terminal only, and
never if NO_COLOR is set. rich is imported only for a console.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console

from lineclear.cli.exits import UsageError

__all__ = [
    "add_backend",
    "add_format",
    "console",
    "count",
    "need_file",
    "need_folder",
    "reason",
    "replace",
    "write_json",
    "write_text",
]


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


def reason(error: OSError | UnicodeDecodeError) -> str:
    """Why a file could not be read or written, in a few words."""
    if isinstance(error, UnicodeDecodeError):
        return "not valid UTF-8"
    return error.strerror or str(error)


def need_folder(path: str | Path) -> None:
    """Raises, before any work, if files cannot be written into a folder.

    The folder need not exist: then its nearest parent must be a writable folder.

    Raises:
        UsageError: names the path and the reason, on one line.
    """
    folder = Path(path).absolute()
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    try:
        handle, name = tempfile.mkstemp(dir=folder, prefix=".lineclear-")
    except OSError as error:
        raise UsageError(f"cannot write to {path}: {reason(error)}") from error
    os.close(handle)
    os.unlink(name)


def need_file(path: str | Path) -> None:
    """Raises, before any work, if a file cannot be written.

    Raises:
        UsageError: names the path and the reason, on one line.
    """
    target = Path(path)
    if target.is_dir():
        raise UsageError(f"cannot write {path}: it is a folder")
    if target.exists() and not target.is_file():
        return  # a terminal, a pipe, /dev/null
    if not target.absolute().parent.is_dir():
        raise UsageError(f"cannot write {path}: folder {target.parent} does not exist")
    need_folder(target.absolute().parent)


def replace(path: Path, text: str) -> None:
    """Writes a temporary file and renames it, so that a reader never sees half of it.

    Raises:
        UsageError: the file cannot be written; it is unchanged.
    """
    temporary: str | None = None
    try:
        mode = path.stat().st_mode & 0o777 if path.exists() else 0o644
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        with os.fdopen(handle, "w", encoding="utf-8", newline="\n") as file:
            file.write(text)
        os.chmod(temporary, mode)
        os.replace(temporary, path)
    except OSError as error:
        if temporary is not None and os.path.exists(temporary):
            os.unlink(temporary)
        raise UsageError(f"cannot write {path}: {reason(error)}") from error


def write_text(text: str) -> None:
    """Writes a result, ended by exactly one line break; escapes what the output cannot encode."""
    whole = text.rstrip("\n") + "\n"
    try:
        sys.stdout.write(whole)
    except UnicodeEncodeError:  # half of a surrogate pair from a file, or an ASCII terminal
        code = sys.stdout.encoding or "utf-8"
        sys.stdout.write(whole.encode(code, "backslashreplace").decode(code))


def write_json(result: Mapping[str, Any]) -> None:
    """Writes a result as one JSON object, keys in the order given."""
    write_text(json.dumps(result, indent=2, ensure_ascii=False))


def console(*, error: bool = False) -> Console:
    """A rich console; rich itself handles NO_COLOR and output to anything but a terminal."""
    from rich.console import Console

    return Console(stderr=error, highlight=False, soft_wrap=False)
