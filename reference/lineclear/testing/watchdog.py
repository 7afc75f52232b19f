"""A call that does not return is interrupted.

Guarantees: whatever timer was set before is set again afterwards. Where the platform has no timer,
and outside the main thread, a call may take as long as it wants.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Generator
from contextlib import contextmanager
from types import FrameType

__all__ = ["TookTooLong", "returns_within"]


class TookTooLong(BaseException):
    """No `Exception`: the code that is interrupted must not catch it."""


def interrupt(number: int, frame: FrameType | None) -> None:
    """What the timer does."""
    raise TookTooLong


@contextmanager
def returns_within(seconds: float) -> Generator[None]:
    """Raises TookTooLong in the body after so many seconds."""
    usable = hasattr(signal, "setitimer") and (
        threading.current_thread() is threading.main_thread()
    )
    if not usable:
        yield
        return
    handler = signal.signal(signal.SIGALRM, interrupt)
    timer = signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, *timer)
        signal.signal(signal.SIGALRM, handler)
