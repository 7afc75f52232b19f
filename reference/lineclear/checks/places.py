"""Source locations, for annotations.

Guarantees: a path is relative to the working directory if the file lies under it.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

__all__ = ["place_of", "shown"]


def shown(path: str) -> str:
    """A path as annotations name it."""
    try:
        return Path(path).resolve().relative_to(Path.cwd()).as_posix()
    except ValueError:
        return path


def place_of(name: str) -> tuple[str, int]:
    """File and line of an action, a block step or a loop; ("", 0) for anything else."""
    from lineclear_spec.actions import ACTIONS
    from lineclear_spec.kernel import blocks

    found: Callable[..., Any] | None = (
        ACTIONS[name].body if name in ACTIONS else getattr(blocks, name, None)
    )
    if not inspect.isfunction(found):
        return "", 0
    return shown(found.__code__.co_filename), found.__code__.co_firstlineno
