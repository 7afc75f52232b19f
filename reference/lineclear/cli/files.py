"""Files that a command reads and writes, each through one of these functions.

Guarantees: what can't be read, or can't be written, is one line that names the path; a target is
checked before the work, and afterwards it is whole or as it was.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from lineclear.cli.exits import PASSED, REFUTED, UsageError
from lineclear.cli.output import write_text


def reason(error: OSError | UnicodeDecodeError) -> str:
    """Why a file could not be read or written, in a few words."""
    if isinstance(error, UnicodeDecodeError):
        return "not valid UTF-8"
    return error.strerror or str(error)


@contextmanager
def reading_errors(path: str | Path) -> Generator[None]:
    """Turns what reading a file may raise in the body into one line.

    Raises:
        UsageError: the file cannot be read.
    """
    try:
        yield
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"cannot read {path}: {reason(error)}") from error


@contextmanager
def reading(path: str | Path) -> Generator[TextIO]:
    """Opens a file, or standard input for `-`, for reading as UTF-8.

    Raises:
        UsageError: it cannot be read, at once or further down.
    """
    with reading_errors(path):
        if str(path) == "-":
            yield sys.stdin
            return
        with open(path, encoding="utf-8") as file:
            yield file


def read(path: str | Path) -> str | None:
    """The file's text, or None if it does not exist or is a device, which may never end.

    Raises:
        UsageError: it cannot be read.
    """
    if not os.path.lexists(path) or is_stream(Path(path)):
        return None
    with reading(path) as file:
        return file.read()


def need_folder(path: str | Path) -> None:
    """Raises, before any work, if files cannot be written into a folder.

    The folder need not exist: then its nearest parent must be a writable folder.

    Raises:
        UsageError: names the path and the reason, on one line.
    """
    folder = Path(path).absolute()
    try:
        while not os.path.lexists(folder) and folder != folder.parent:
            folder = folder.parent
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
    if target.exists() and not os.access(target, os.W_OK):
        raise UsageError(f"cannot write {path}: Permission denied")
    if is_stream(target):
        return
    if not target.absolute().parent.is_dir():
        raise UsageError(f"cannot write {path}: folder {target.parent} does not exist")
    try:
        need_folder(target.absolute().parent)
        os.stat(target)  # a name that is too long
    except FileNotFoundError:
        return
    except OSError as error:
        raise UsageError(f"cannot write {path}: {reason(error)}") from error


def need_distinct(**paths: str | Path | None) -> None:
    """Raises, before any work, if one file has two uses, of which one would overwrite the other.

    Args:
        paths: by the name of the argument, which an option has with hyphens; a device may have several uses.

    Raises:
        UsageError: names the later use, the path and the earlier one.
    """
    uses: dict[str, str] = {}
    for name, path in paths.items():
        if path is None or is_stream(Path(path)):
            continue
        option = name if name.isupper() else f"--{name.replace('_', '-')}"
        first = uses.setdefault(os.path.realpath(path), option)
        if first != option:
            raise UsageError(f"{option} {path} is the file of {first}: name another file")


def need_new(path: str | Path) -> None:
    """Raises, before any work, if a file cannot be written or is there already.

    Raises:
        UsageError: names the path and the reason, on one line.
    """
    need_file(path)
    if os.path.lexists(path):
        raise UsageError(f"{path} exists: remove it first")


def is_stream(path: Path) -> bool:
    """Whether a path is a terminal, a pipe or a device, which is written as it is."""
    return path.exists() and not path.is_file() and not path.is_dir()


@contextmanager
def writing(path: str | Path) -> Generator[TextIO]:
    """Opens a file that takes the path's place if the body ends; otherwise the path is as it was.

    Raises:
        UsageError: it cannot be written.
    """
    need_file(path)
    target = Path(os.path.realpath(path))
    if is_stream(target):
        try:
            with open(target, "w", encoding="utf-8", newline="\n") as file:
                yield file
        except OSError as error:
            raise UsageError(f"cannot write {path}: {reason(error)}") from error
        return
    mode = target.stat().st_mode & 0o777 if target.exists() else 0o644
    temporary: str | None = None
    try:
        handle, temporary = tempfile.mkstemp(dir=target.parent, prefix=".lineclear-")
        with os.fdopen(handle, "w", encoding="utf-8", newline="\n") as file:
            yield file
        os.chmod(temporary, mode)
        os.replace(temporary, target)
        temporary = None
    except OSError as error:
        raise UsageError(f"cannot write {path}: {reason(error)}") from error
    finally:
        if temporary is not None:
            os.unlink(temporary)


def compared(path: Path, old: str | None, new: str, command: str) -> int:
    """The exit code for a generated file; says what is wrong with it, and which command writes it.

    Args:
        path: the file.
        old: its text, None if there is none.
        new: what it should be.
        command: writes it.
    """
    if old == new:
        return PASSED
    write_text(f"{path} is {'missing' if old is None else 'stale'}: {command}")
    return REFUTED


def need_page(path: Path | None, command: str, *, check: bool) -> None:
    """Raises, before any work, if the page that a command writes cannot be put there, or nothing can be compared.

    Raises:
        UsageError: names the path and the remedy, on one line.
    """
    if path is None:
        if check:
            raise UsageError("--check needs the file to compare: -o FILE")
    elif not check:
        need_file(path)
        old = read(path)
        if old and command not in old[:200]:
            raise UsageError(f"{path} was not generated by this command: remove it first")


def put_page(path: Path | None, page: str, command: str, *, check: bool) -> int:
    """Prints a page, writes it or compares it with the file; the exit code.

    Args:
        path: the file, None to print.
        page: its text.
        command: writes it, but for `-o`; its first lines name it.
        check: whether to compare.
    """
    if path is None:
        write_text(page)
        return PASSED
    if check:
        return compared(path, read(path), page, f"{command} -o {path}")
    need_page(path, command, check=False)
    replace(path, page)
    return PASSED


def replace(path: Path, text: str) -> None:
    """Writes a whole text.

    Raises:
        UsageError: the file cannot be written; it is unchanged.
    """
    with writing(path) as file:
        file.write(text)
