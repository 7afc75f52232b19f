"""Longest prefill last: short prompts first, so that few wait for a long one; plain or with aging.

Guarantees: of two requests that wait the one with the shorter prompt goes first. With aging
(`seconds_per_token` above 0) a token of prompt counts as so many seconds of a later arrival, and
none starves. Plain, an endless stream of short prompts keeps a long one waiting.
"""

from __future__ import annotations

from lineclear.policies.sjf import ShortestJobFirst
from lineclear.policies.view import View


class LongestPrefillLast(ShortestJobFirst):
    """The shortest prompt first; the arguments are those of `ShortestJobFirst`."""

    name = "lpl"

    @staticmethod
    def length(request: View) -> int:
        """Tokens of its prompt."""
        return request.prompt_tokens
