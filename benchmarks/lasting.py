"""The cost of requests while they wait, and what they leave behind when they end.

Guarantees: memory is counted by Python's own allocator.
"""

from __future__ import annotations

import gc
import time
import tracemalloc
from typing import Any

from lineclear.config import Config
from lineclear.request import Request
from lineclear.scheduler import Scheduler

#: Number of requests with traced memory: tracing is slow, and each costs the same.
TRACED = 20_000
#: Live requests while others come and go.
LIVE = 64


def scheduler() -> Scheduler:
    """A scheduler without running requests."""
    return Scheduler(Config(num_gpu_blocks=1024, max_model_len=4096))


def add(to: Scheduler, numbers: range) -> None:
    """Adds requests of a common size."""
    for number in numbers:
        to.add(Request(request_id=number, prompt_tokens=500, max_tokens=100))


def held() -> int:
    """Bytes in use, without garbage."""
    gc.collect()
    return tracemalloc.get_traced_memory()[0]


def waiting(count: int) -> dict[str, Any]:
    """Seconds to create and add this many requests, and bytes that each holds while it waits."""
    traced = min(count, TRACED)
    tracemalloc.start()
    one = scheduler()
    before = held()
    add(one, range(traced))
    each = (held() - before) / traced
    tracemalloc.stop()
    del one
    all_of_them = scheduler()
    start = time.perf_counter()
    add(all_of_them, range(count))
    seconds = time.perf_counter() - start
    return {"requests": count, "seconds": round(seconds, 3), "bytes_per_request": round(each)}


def finished(count: int) -> dict[str, Any]:
    """Bytes in use after this many short requests that were not in use after half as many.

    The first half fills bounded structures, such as the journal in memory.
    """
    one = scheduler()
    tracemalloc.start()
    come_and_go(one, range(count // 2))
    before = held()
    come_and_go(one, range(count // 2, count))
    grown = held() - before
    tracemalloc.stop()
    ended = count - count // 2
    return {"requests": count, "bytes": grown, "bytes_per_request": round(grown / ended, 3)}


def come_and_go(one: Scheduler, numbers: range) -> None:
    """Requests of a few tokens, added as others end; finally all have ended."""
    coming = iter(numbers)
    last = False
    while one.entries or not last:
        while not last and len(one.entries) < LIVE:
            number = next(coming, None)
            if number is None:
                last = True
            else:
                one.add(Request(request_id=number, prompt_tokens=5, max_tokens=1 + number % 3))
        plan = one.schedule()
        one.commit(plan, [0] * len(plan.sampling))
