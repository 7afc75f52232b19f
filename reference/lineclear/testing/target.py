"""Loads the scheduler that a command names: a module or a file, and a function in it.

Guarantees: the name determines what is loaded, in any process; an error says what to change.
"""

from __future__ import annotations

import subprocess
import sys
from functools import cache
from importlib import import_module, util
from pathlib import Path
from types import ModuleType
from typing import Any, cast

from lineclear.testing.protocol import Limits, Make

METHODS = ("submit", "abort", "step", "observe")
#: With `Limits(aborts=False)`.
NEEDED = ("submit", "step", "observe")


class TargetError(Exception):
    """There is no such scheduler; the message says on one line what to change."""


def module_of(name: str) -> ModuleType:
    """Imports a module by its name, also from the working directory, or by its file."""
    if name.endswith(".py") or "/" in name:
        path = Path(name).resolve()
        if not path.is_file():
            raise TargetError(f"{name}: no such file")
        stem = path.stem
        loaded = sys.modules.get(stem)
        if loaded is not None and getattr(loaded, "__file__", None) == str(path):
            return loaded
        if loaded is not None or stem in sys.stdlib_module_names:  # it must not replace that one
            stem = f"scheduler_in_{stem}"
            loaded = sys.modules.get(stem)
            if loaded is not None and getattr(loaded, "__file__", None) == str(path):
                return loaded
        spec = util.spec_from_file_location(stem, path)
        if spec is None or spec.loader is None:
            raise TargetError(f"{name}: not a Python file")
        module = util.module_from_spec(spec)
        sys.modules[stem] = module
        if str(path.parent) not in sys.path:  # neighbours are importable, as for a script
            sys.path.insert(0, str(path.parent))
        spec.loader.exec_module(module)
        return module
    if "" not in sys.path and str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    return import_module(name)


@cache
def load(target: str) -> Make:
    """The function that creates the scheduler; MODULE:FUNCTION or FILE.py:FUNCTION.

    Raises:
        TargetError: there is no such function.
    """
    name, colon, function = target.rpartition(":")
    if not colon or not name or not function:
        raise TargetError(f"{target}: write MODULE:FUNCTION or FILE.py:FUNCTION")
    try:
        module = module_of(name)
    except ModuleNotFoundError as error:
        raise TargetError(f"{name}: {error}") from error
    except TargetError:
        raise
    except (Exception, SystemExit) as error:
        raise TargetError(f"{name} raises {type(error).__name__}: {error}") from error
    made: Any = getattr(module, function, None)
    if made is None:
        raise TargetError(f"{name} has no function {function}")
    if not callable(made):
        raise TargetError(f"{target} is not a function: give one that creates a scheduler")
    return cast("Make", made)


def scheduler(target: str) -> Make:
    """The function of a file that creates the scheduler, for tests that `lineclear test` wrote."""
    return load(target)


def make_of(target: str) -> Make:
    """The function, after one trial call.

    Raises:
        TargetError: its result is not a scheduler that can be tested.
    """
    make = load(target)
    try:
        made: Any = make()
    except (Exception, SystemExit) as error:
        raise TargetError(f"{target} raises {type(error).__name__}: {error}") from error
    limits: Any = getattr(made, "limits", None)
    needed = METHODS if getattr(limits, "aborts", True) else NEEDED
    lacking = [name for name in needed if not callable(getattr(made, name, None))]
    if lacking:
        raise TargetError(
            f"{target} returns an object of {type(made).__name__} without {', '.join(lacking)}; "
            "docs/test_your_scheduler.md has an example"
        )
    if not isinstance(limits, Limits):
        raise TargetError(
            f"{target} returns an object of {type(made).__name__} without `limits`, a lineclear.testing.Limits"
        )
    return make


def commit_of(target: str) -> str:
    """The commit of the sources, with "+" if they differ from it; "" if there is none.

    An adapter's module may have a function `sources` that returns the folder of the engine.
    """
    try:
        module: Any = sys.modules.get(load(target).__module__)
        file = getattr(module, "__file__", None)
        folder = Path(file).parent if file else Path.cwd()
        if hasattr(module, "sources"):
            folder = Path(module.sources())
        found = git(folder, "rev-parse", "--short=12", "HEAD")
        changed = git(folder, "status", "--porcelain", "--untracked-files=no")
    except (OSError, subprocess.SubprocessError, TargetError):
        return ""
    return found + "+" * bool(changed)


def git(folder: Path, *arguments: str) -> str:
    """The output of git."""
    done = subprocess.run(
        ["git", "-C", str(folder), *arguments],
        check=True,
        capture_output=True,
        text=True,
        timeout=5,
    )
    return done.stdout.strip()
