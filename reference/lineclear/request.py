"""What a caller submits, what it gets back, and every error of the scheduler.

Guarantees: a `Request` that exists has sizes that make sense. It knows nothing about the
scheduler.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from typing import NamedTuple

__all__ = [
    "Accepted",
    "Finished",
    "InvalidRequest",
    "Output",
    "PlanError",
    "Rejected",
    "Request",
    "SampledError",
    "SchedulerError",
]


class SchedulerError(ValueError):
    """A call that can't be carried out; nothing has changed."""


class InvalidRequest(SchedulerError):
    """A request whose sizes or whose id can't be meant."""


class PlanError(SchedulerError):
    """A plan that is foreign, stale or out of order."""


class SampledError(SchedulerError):
    """Sampled tokens that do not match the plan."""


def integral(name: str, value: object) -> None:
    """Refuses what is not a whole number."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise InvalidRequest(f"{name} must be a whole number, not {value!r}")


def whole(name: str, value: object, least: int) -> None:
    """Refuses what is not a whole number of at least `least`."""
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise InvalidRequest(f"{name} must be a whole number of at least {least}, not {value!r}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One request; lengths only, the scheduler stores no token ids.

    Attributes:
        request_id: any hashable value, unique among live requests.
        prompt_tokens: tokens of the prompt, at least 1.
        max_tokens: tokens to generate at most, at least 1.
        n: sequences the request may have at once (parallel sampling, beams).
        priority: higher is more important.
        arrival_time: seconds, for metrics and for policies; not used by the default order.
    """

    request_id: Hashable
    prompt_tokens: int
    max_tokens: int
    n: int = 1
    priority: int = 0
    arrival_time: float = 0.0

    def __post_init__(self) -> None:
        """Refuses sizes that can't be meant."""
        prompt, most, n = self.prompt_tokens, self.max_tokens, self.n
        if type(prompt) is type(most) is type(n) is type(self.priority) is int and (
            prompt >= 1 and most >= 1 and n >= 1
        ):
            return
        whole("prompt_tokens", self.prompt_tokens, 1)
        whole("max_tokens", self.max_tokens, 1)
        whole("n", self.n, 1)
        integral("priority", self.priority)


class Accepted(NamedTuple):
    """The request waits."""

    request_id: Hashable


@dataclass(frozen=True, slots=True)
class Rejected:
    """The request was turned away, for this reason, and left no trace."""

    request_id: Hashable
    reason: str

    def __bool__(self) -> bool:
        """False."""
        return False


@dataclass(frozen=True, slots=True)
class Output:
    """One finished branch: generated tokens and why it ended (stop, length, pruned)."""

    branch: int
    generated_tokens: int
    reason: str


@dataclass(frozen=True, slots=True)
class Finished:
    """One finished request.

    Attributes:
        request_id: the caller's id, free to be used again.
        reason: of the branch that ended last: stop, length or pruned.
        outputs: every branch, in the order of their ends.
        preemptions: how often the request was preempted.
        time: when it ended, by the scheduler's clock.
    """

    request_id: Hashable
    reason: str
    outputs: tuple[Output, ...]
    preemptions: int
    time: float | None = None
