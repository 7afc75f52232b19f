"""What several test modules look at and is dear to compute: computed once in a run, whatever the workers."""

from __future__ import annotations

import fcntl
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar, cast

import pytest

T = TypeVar("T")


def once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], T]) -> T:
    """What `make` gives: of the first process of this run that asks; the others wait for it and read it.

    Args:
        factory: of this run's temporary folders.
        name: of the value; each has a folder of its own.
        make: computes it, given the folder; it must be picklable. What it raises is raised, and the next one
            that asks computes it again.
    """
    base = factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        base = base.parent  # that of the run; each worker has one below it
    folder = base / f"shared-{name}"
    folder.mkdir(exist_ok=True)
    kept = folder / "value.pickle"
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not kept.exists():
            value = make(folder)
            written = folder / "written"
            written.write_bytes(pickle.dumps(value))
            written.rename(kept)
        return cast("T", pickle.loads(kept.read_bytes()))
