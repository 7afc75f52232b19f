"""Work on every core that this process may use.

Guarantees: results come in the order of the jobs. It knows nothing about the work.
"""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import TypeVar

__all__ = ["in_parallel"]

Job = TypeVar("Job")
Result = TypeVar("Result")


def cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def in_parallel(
    function: Callable[[Job], Result], jobs: Sequence[Job], workers: int | None = None
) -> Iterable[Result]:
    """Results of the jobs in order; with one worker, in this process."""
    count = min(len(jobs), workers or cores())
    if count <= 1:
        yield from map(function, jobs)
        return
    method = "fork" if "fork" in multiprocessing.get_all_start_methods() else "spawn"
    with ProcessPoolExecutor(count, mp_context=multiprocessing.get_context(method)) as pool:
        yield from pool.map(function, jobs)
