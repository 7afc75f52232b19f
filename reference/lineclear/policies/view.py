"""A request as a policy sees it.

Guarantees: reading it costs little, it cannot be written to, and nothing that a policy does to it
reaches the scheduler.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import NamedTuple

from lineclear.request import Request


class View(NamedTuple):
    """What the caller asked for, and how far the request has come.

    Attributes:
        request: what the caller asked for.
        number: of its arrival, counted from 1; no two are equal.
        generated: tokens that its first sequence has generated.
        preemptions: how often it was preempted.
        step: steps issued so far.
        waiting: steps issued since it began to wait, None if it runs.
    """

    request: Request
    number: int
    generated: int = 0
    preemptions: int = 0
    step: int = 0
    waiting: int | None = 0

    @property
    def request_id(self) -> Hashable:
        """The caller's id."""
        return self.request.request_id

    @property
    def prompt_tokens(self) -> int:
        """Tokens of the prompt."""
        return self.request.prompt_tokens

    @property
    def max_tokens(self) -> int:
        """Tokens to generate at most."""
        return self.request.max_tokens

    @property
    def n(self) -> int:
        """Sequences that it may have at once."""
        return self.request.n

    @property
    def priority(self) -> int:
        """Higher is more important."""
        return self.request.priority

    @property
    def arrival_time(self) -> float:
        """Seconds, as the caller said."""
        return self.request.arrival_time

    @property
    def tenant(self) -> Hashable:
        """The tenant that its service is charged to."""
        return self.request.tenant

    @property
    def predicted_tokens(self) -> int | None:
        """A guess of how many tokens it will generate."""
        return self.request.predicted_tokens

    @property
    def deadline(self) -> float | None:
        """When it should be done."""
        return self.request.deadline
