"""Longest prefill last: short prompts first, so that few wait for a long one; plain or with aging.

Guarantees: of two requests that wait the one with the shorter prompt goes first. With aging
(`seconds_per_token` above 0) a token of prompt counts as so many seconds of a later arrival, and
none starves. Plain, an endless stream of short prompts keeps a long one waiting.
"""

from __future__ import annotations

from lineclear.policies.view import View
from lineclear_spec.logic import if_else

__all__ = ["LongestPrefillLast"]


class LongestPrefillLast:
    """The shortest prompt first.

    Args:
        seconds_per_token: seconds of arrival that one token is worth; 0 looks at prompts alone.
    """

    name = "lpl"

    def __init__(self, seconds_per_token: float = 0.0) -> None:
        """Rejects invalid values."""
        if isinstance(seconds_per_token, bool) or not 0 <= seconds_per_token < float("inf"):
            raise ValueError(
                f"seconds_per_token must be a number of at least 0, not {seconds_per_token!r}"
            )
        self.aged = seconds_per_token > 0
        self.may_starve = not self.aged
        self.seconds_per_token = seconds_per_token

    def key(self, request: View) -> float:
        """The shortest prompt first."""
        prompt = request.prompt_tokens
        aged = request.arrival_time + self.seconds_per_token * prompt
        place: float = if_else(self.aged, aged, prompt)
        return place

    def may_displace(self, waiting: View, running: View) -> bool:
        """Never: what runs goes on."""
        return False
