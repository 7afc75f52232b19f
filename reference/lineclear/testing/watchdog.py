"""Interrupts a call that does not return.

Guarantees: a timer set before is restored afterwards. Where the platform has no timer, and outside
the main thread, a call has no time limit.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Generator
from contextlib import contextmanager
from types import FrameType


class TookTooLong(BaseException):
    """Not an `Exception`, so that the interrupted code does not catch it."""


def interrupt(number: int, frame: FrameType | None) -> None:
    """The timer's handler."""
    raise TookTooLong


@contextmanager
def returns_within(seconds: float) -> Generator[None]:
    """Raises TookTooLong in the body after this many seconds."""
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
