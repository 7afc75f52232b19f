"""Garbage is looked for less often while a simulation runs, which makes much and drops it without cycles."""

from __future__ import annotations

import gc
from collections.abc import Generator
from contextlib import contextmanager


@contextmanager
def seldom_collected() -> Generator[None]:
    """Python looks for cycles after 100,000 new objects, not after 700; as before behind the block."""
    before = gc.get_threshold()
    gc.set_threshold(100_000, 50, 100)
    try:
        yield
    finally:
        gc.set_threshold(*before)
