"""Calls that are not broken off in the middle, and between whose parts no other call comes.

Guarantees: within a section Ctrl-C waits for its end, so that an interrupted step is a whole one; only
a second Ctrl-C does not. What is put off, such as the abort of a stream that the garbage collector
finds while a step runs, is done at the end of the section. After a section that was broken off all
the same, by a second Ctrl-C or by an error in the middle of a step, every later one is refused: its state is not known.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from typing import Any


class EngineError(RuntimeError):
    """The engine cannot continue, or was called with invalid arguments."""


class Section:
    """A context manager; it may be entered again within itself."""

    def __init__(self) -> None:
        """Nothing runs."""
        self.broken: str | None = None  # what broke a section off
        self._depth = 0
        self._later: list[Callable[[], object]] = []
        self._held = False  # Ctrl-C waits
        self._interrupted = False  # and has come

    def after(self, call: Callable[[], object]) -> None:
        """Makes a call now, or at the end of the section that runs; never if one was broken off."""
        if self._depth:
            self._later.append(call)
        elif self.broken is None:
            with self:
                call()

    def __enter__(self) -> None:
        """Begins.

        Raises:
            EngineError: an earlier section was broken off.
        """
        if self.broken is not None:
            raise EngineError(
                f"{self.broken} broke off a step, and the engine's state is not known: make a new one"
            )
        self._depth += 1
        if self._depth == 1:
            self._hold()

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        if self._depth > 1:
            self._depth -= 1
            return
        try:
            if error is not None and not isinstance(error, Exception):
                self.broken = type(error).__name__
            while self._later and self.broken is None:
                self._later.pop(0)()
        finally:
            self._depth = 0
            self._release()

    def _hold(self) -> None:
        """Notes Ctrl-C; where a program handles it itself, or in a thread that never gets it, does not."""
        main = threading.current_thread() is threading.main_thread()
        if main and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            self._held, self._interrupted = True, False
            signal.signal(signal.SIGINT, self._note)

    def _note(self, *_: Any) -> None:
        if self._interrupted:
            raise KeyboardInterrupt
        self._interrupted = True

    def _release(self) -> None:
        if not self._held:
            return
        self._held = False
        signal.signal(signal.SIGINT, signal.default_int_handler)
        if self._interrupted and self.broken is None:
            raise KeyboardInterrupt
