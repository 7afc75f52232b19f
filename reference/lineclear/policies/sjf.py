"""Shortest job first, by a predicted length or, without one, by the cap; plain or with aging.

Guarantees: of two requests that wait the shorter goes first, by as much as the guess is right. With aging
(`seconds_per_token` above 0) a token that a request is longer counts as so many seconds of a later arrival, the order
still never changes, and none starves. Plain, an endless stream of short requests keeps a long one waiting.
"""

from __future__ import annotations

from lineclear.policies.units import need_seconds
from lineclear.policies.view import View
from lineclear_spec.logic import if_else, or_else, smaller


class ShortestJobFirst:
    """The fewest tokens to generate first.

    Args:
        seconds_per_token: seconds of arrival that one token is worth; 0 looks at lengths alone.
    """

    name = "sjf"

    def __init__(self, seconds_per_token: float = 0.0) -> None:
        """Rejects invalid values."""
        need_seconds("seconds_per_token", seconds_per_token)
        self.aged = seconds_per_token > 0
        self.may_starve = not self.aged
        self.seconds_per_token = seconds_per_token

    @staticmethod
    def length(request: View) -> int:
        """Tokens that it will generate: the guess, never above the cap, or the cap."""
        guess = or_else(request.predicted_tokens, request.max_tokens)
        length: int = smaller(guess, request.max_tokens)
        return length

    def key(self, request: View) -> float:
        """The shortest first."""
        length = self.length(request)
        aged = request.arrival_time + self.seconds_per_token * length
        place: float = if_else(self.aged, aged, length)
        return place

    def may_displace(self, waiting: View, running: View) -> bool:
        """Never: what runs goes on."""
        return False


class AgingShortestJobFirst(ShortestJobFirst):
    """The same with aging from the start.

    Args:
        seconds_per_token: seconds of arrival that one token is worth, more than 0.
    """

    name = "sjf_aging"

    def __init__(self, seconds_per_token: float = 0.05) -> None:
        """Rejects invalid values."""
        if seconds_per_token == 0:
            raise ValueError("seconds_per_token must be above 0; without aging it is sjf")
        super().__init__(seconds_per_token)
