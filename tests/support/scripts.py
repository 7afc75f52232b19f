"""A file as a module, whatever folder it is in."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any


def module_of(path: Path, name: str = "", *, listed: bool = False) -> Any:
    """The module that a file makes, under its own name or another; listed: `sys.modules` has it and keeps it."""
    spec = importlib.util.spec_from_file_location(name or path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    if listed:
        sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module
