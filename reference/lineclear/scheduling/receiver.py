"""Calls what the caller of a scheduler gave: for events of the prefix cache, for names of output, for keys of blocks.

Invariant: an exception of it does not come out of the middle of a step, where it would leave the scheduler
half changed: the next call of the scheduler raises it, or, if it is one of a key, it is reported. It may not call the
scheduler meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from lineclear.scheduling.eviction import BlockUse, EvictionKey
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


class AskedKey:
    """A key of blocks that the caller gave. Its errors are those of the key: `PrefixCache` reports the first and
    asks no more.

    Args:
        key: the function.
        adapter: keeps what is no `Exception` for the next call of the scheduler.
    """

    __slots__ = ("adapter", "key")

    def __init__(self, key: EvictionKey, adapter: PolicyAdapter) -> None:
        """Keeps the function."""
        self.key = key
        self.adapter = adapter

    def __call__(self, use: BlockUse) -> float:
        """The key.

        Raises:
            Exception: it raised, or called the scheduler.
        """
        adapter = self.adapter
        asking, refused = adapter.asking, adapter.reentrancy_error
        adapter.asking, adapter.reentrancy_error = True, None
        try:
            answer = self.key(use)
            if adapter.reentrancy_error is not None:
                raise adapter.reentrancy_error
        except BaseException as error:
            if isinstance(error, Exception):
                raise
            adapter.interruption = adapter.interruption or error  # the next call raises it
            raise RuntimeError(f"{type(error).__name__} came out of it") from error
        finally:
            adapter.asking, adapter.reentrancy_error = asking, refused
        return answer
