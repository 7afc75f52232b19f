"""The requests of a workload that have not arrived, and what the scheduler learns of one that does.

Guarantees: a request comes in its turn, by the clock or as soon as one of the users has nothing else; the
scheduler learns its prompt and its cap, never its output.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import replace

from lineclear.config import Config
from lineclear.request import Request
from lineclear.workload.prefixes import prompt_names
from lineclear.workload.workload import Arrival, Workload


class ArrivalQueue:
    """Who has still to come, the next one first.

    Args:
        workload: whose requests; none has arrived yet.
    """

    def __init__(self, workload: Workload) -> None:
        self.users = workload.users
        self._left = deque(workload.requests)

    def take(self, live: int, now: float) -> Arrival | None:
        """The next request if it is there, else None; one that a user sends arrives now.

        Args:
            live: requests that have not ended.
            now: seconds.
        """
        if not self._left or not self._comes(self._left[0], live, now):
            return None
        arrival = self._left.popleft()
        return replace(arrival, arrival_time=now) if self.users else arrival

    def next_moment(self, live: int, now: float) -> float | None:
        """When the next request comes, in seconds; None if there is none.

        Args:
            live: requests that have not ended.
            now: seconds.
        """
        if not self._left:
            return None
        first = self._left[0]
        return now if self._comes(first, live, now) else first.arrival_time

    def by_the_clock(self) -> float:
        """When the clock brings a request, in seconds; infinity if it brings none: one that waits for a user
        comes after an end.
        """
        return self._left[0].arrival_time if self._left and not self.users else math.inf

    def _comes(self, arrival: Arrival, live: int, now: float) -> bool:
        """Whether the next request is there: by the clock, or because a user has nothing else."""
        if self.users:
            return live < self.users
        return arrival.arrival_time <= now


def request_of(arrival: Arrival, config: Config) -> Request:
    """What the scheduler learns of a request: its prompt and its cap, never its output."""
    cap = max(1, min(arrival.max_tokens, config.max_model_len - arrival.prompt_tokens))
    shares = config.prefix_caching != "off"
    return Request(
        request_id=arrival.request_id,
        prompt_tokens=arrival.prompt_tokens,
        max_tokens=cap,
        n=arrival.parallel,
        priority=arrival.priority,
        arrival_time=arrival.arrival_time,
        tenant=arrival.client or None,
        predicted_tokens=arrival.predicted_tokens,
        deadline=arrival.deadline,
        prefix_names=prompt_names(arrival, config.block_size) if shares else (),
    )
