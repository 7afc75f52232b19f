"""A request as a policy sees it.

Guarantees: reading it costs little, it cannot be written to, and nothing that a policy does to it
reaches the scheduler. It knows nothing about blocks.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import NoReturn

from lineclear.request import Request

__all__ = ["View"]


class View:
    """What the caller asked for, and how far the request has come.

    Attributes:
        request: what the caller asked for.
        number: of its arrival, counted from 1; no two are equal.
        generated: tokens that its first sequence has generated.
        preemptions: how often it was preempted.
        step: steps issued so far.
        waiting: steps issued since it began to wait, None if it runs.
    """

    __slots__ = ("generated", "number", "preemptions", "request", "step", "waiting")
    request: Request
    number: int
    generated: int
    preemptions: int
    step: int
    waiting: int | None

    def __init__(
        self,
        request: Request,
        number: int,
        generated: int = 0,
        preemptions: int = 0,
        step: int = 0,
        waiting: int | None = 0,
    ) -> None:
        """As things stand."""
        set_request(self, request)
        set_number(self, number)
        set_generated(self, generated)
        set_preemptions(self, preemptions)
        set_step(self, step)
        set_waiting(self, waiting)

    def __setattr__(self, name: str, value: object) -> NoReturn:
        """Refuses."""
        raise AttributeError(f"a policy cannot change {name}: a view is read-only")

    def __delattr__(self, name: str) -> NoReturn:
        """Refuses."""
        raise AttributeError(f"a policy cannot change {name}: a view is read-only")

    def __reduce__(self) -> tuple[object, ...]:
        """A copy is made by the constructor, for a policy that keeps views and is copied."""
        return type(self), tuple([getattr(self, name) for name in FIELDS])

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
        """Whom its service is charged to."""
        return self.request.tenant

    @property
    def predicted_tokens(self) -> int | None:
        """How many tokens it will generate, by somebody's guess."""
        return self.request.predicted_tokens

    @property
    def deadline(self) -> float | None:
        """When it should be done."""
        return self.request.deadline


FIELDS = ("request", "number", "generated", "preemptions", "step", "waiting")
# As with `Request`: the slots' own setters, since ordinary assignment is refused.
set_request, set_number, set_generated, set_preemptions, set_step, set_waiting = (
    getattr(View, name).__set__ for name in FIELDS
)
