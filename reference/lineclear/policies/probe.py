"""Probes a policy with requests of every kind to find which fields it reads.

Guarantees: the requests are the same on every run. What a method looks at only under conditions
that none of them meets is not seen.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

from lineclear.policies.view import View
from lineclear.request import Request

#: What changes as time goes by, and what a caller says of time.
CLOCKS = frozenset({"step", "waiting", "arrival_time", "deadline", "request"})


def views(count: int) -> Iterator[View]:
    """Requests of every kind, at every moment of their life, drawn from a fixed seed."""
    draw = random.Random(0)
    for number in range(1, count + 1):
        arrived = draw.choice((0.0, 1.5 * number, 0.01 * number))
        most = draw.choice((1, 7, draw.randint(1, 4000)))
        request = Request(
            request_id=f"r{number}",
            prompt_tokens=draw.choice((1, 9, draw.randint(1, 4000))),
            max_tokens=most,
            n=draw.choice((1, 1, 2)),
            priority=draw.choice((0, 1, -3, 100)),
            arrival_time=arrived,
            tenant=draw.choice((None, "a", "b")),
            predicted_tokens=draw.choice((None, 0, 7, most)),
            deadline=draw.choice((None, 0.0, 7.0, arrived + 5.0)),
        )
        waiting = draw.choice((None, 0, draw.randint(0, 2000)))
        generated = draw.randint(0, most - 1)
        yield View(request, number, generated, draw.randint(0, 3), draw.randint(0, 5000), waiting)


class Spy:
    """A request whose reader is noted."""

    def __init__(self, request: Any, noted: set[str]) -> None:
        """Nothing is read yet."""
        self._request = request
        self._noted = noted

    def __getattr__(self, name: str) -> Any:
        """Reads a field of the request, and notes that it was read."""
        self._noted.add(name)
        return getattr(self._request, name)


def reads(policy: Any) -> frozenset[str]:
    """The fields that the deciding methods read, up to an error of the method."""
    noted: set[str] = set()
    before: Any = None
    for view in views(100):
        spy = Spy(view, noted)
        questions: list[tuple[str, tuple[Any, ...]]] = [
            ("key", (spy,)),
            ("rank", (spy,)),
            ("review", (spy,)),
            ("share", (spy, 64, 2)),
            ("may_displace", (spy, spy if before is None else before)),
        ]
        for method, arguments in questions:
            if hasattr(policy, method):
                try:
                    getattr(policy, method)(*arguments)
                except Exception:
                    continue
        before = spy
    return frozenset(noted)
