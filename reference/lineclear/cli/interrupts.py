"""Ctrl-C in every part of the work, also where Python would drop it.

Guarantees: an interrupt that Python can't raise, because it came in a finalizer or a callback, is
raised a moment later, until the command sees it; nothing is printed about it.
"""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

#: Seconds until an interrupt is raised again: finalizers of formulas end in microseconds.
AGAIN = 0.01


@contextmanager
def kept_interrupts() -> Generator[None]:
    """Raises a dropped KeyboardInterrupt again, in the body."""
    if threading.current_thread() is not threading.main_thread() or not hasattr(signal, "SIGALRM"):
        yield
        return
    print_dropped = sys.unraisablehook

    def dropped(what: Any) -> None:
        if isinstance(what.exc_value, KeyboardInterrupt):
            signal.setitimer(signal.ITIMER_REAL, AGAIN)
        else:
            print_dropped(what)

    before = signal.signal(signal.SIGALRM, signal.default_int_handler)
    sys.unraisablehook = dropped
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        sys.unraisablehook = print_dropped
        signal.signal(signal.SIGALRM, before)
