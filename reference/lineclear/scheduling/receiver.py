"""Calls what the caller of a scheduler gave: for events of the prefix cache, and for names of output.

Invariant: an exception of it does not come out of the middle of a step, where it would leave the scheduler
half changed: the next call of the scheduler raises it. It may not call the scheduler meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from lineclear.scheduling.policy_adapter import PolicyAdapter


class Receiver:
    """Calls one function until it fails.

    Args:
        receive: the function.
        adapter: keeps the exception for the next call of the scheduler.
    """

    __slots__ = ("adapter", "failed", "receive")

    def __init__(self, receive: Callable[..., object], adapter: PolicyAdapter) -> None:
        """It has received nothing."""
        self.receive = receive
        self.adapter = adapter
        self.failed = False

    def __call__(self, *arguments: Any) -> Any:
        """Passes the arguments on, unless it has failed: what it received would have a gap. What it answers, None if it
        fails.
        """
        answers = self.each((arguments,))
        return answers[0] if answers else None

    def each(self, calls: Iterable[tuple[Any, ...]]) -> list[Any]:
        """Passes the arguments of each call on, until it fails. What it answers, to one after another."""
        answers: list[Any] = []
        if self.failed:
            return answers
        adapter, receive = self.adapter, self.receive
        asking, refused = adapter.asking, adapter.reentrancy_error
        adapter.asking = True
        try:
            for arguments in calls:
                answers.append(receive(*arguments))
        except BaseException as error:  # the next call raises it
            self.failed = True
            adapter.interruption = adapter.interruption or error
        finally:
            adapter.asking, adapter.reentrancy_error = asking, refused
        return answers
