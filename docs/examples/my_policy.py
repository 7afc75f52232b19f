"""Short answers first, but a request that has waited long enough precedes all of them."""

from lineclear import View
from lineclear_spec.logic import or_else


class ShortAnswersFirst:
    """The fewest tokens to generate first; one token more counts as arriving so much later.

    Args:
        seconds_per_token: how much later.
    """

    name = "short_answers"

    def __init__(self, seconds_per_token: float = 0.05) -> None:
        self.seconds_per_token = seconds_per_token

    def length(self, request: View) -> int:
        """The predicted number of tokens to generate."""
        return or_else(request.predicted_tokens, request.max_tokens)

    def key(self, request: View) -> float:
        """Its place in the waiting queue: the smallest goes first."""
        return request.arrival_time + self.seconds_per_token * self.length(request)

    def may_displace(self, waiting: View, running: View) -> bool:
        """Whether a waiting request may preempt a running one that it precedes."""
        return waiting.priority > running.priority
