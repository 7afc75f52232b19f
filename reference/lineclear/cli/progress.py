"""Progress of long work, on standard error and on a terminal only.

Guarantees: nothing is written where nobody watches. It knows nothing about the work.
"""

from __future__ import annotations

import sys
from types import TracebackType

__all__ = ["Progress"]


class Progress:
    """A bar with a known number of steps, drawn by rich.

    Args:
        title: what is being done.
        total: steps.
    """

    def __init__(self, title: str, total: int) -> None:
        self.title = title
        self.total = total
        self._bar: object = None

    def __enter__(self) -> Progress:
        if sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import Progress as Bar

            bar = Bar(console=Console(stderr=True), transient=True)
            bar.start()
            self._task = bar.add_task(self.title, total=self.total)
            self._advance = bar.advance
            self._stop = bar.stop
            self._bar = bar
        return self

    def step(self, _: str = "") -> None:
        """One step is done."""
        if self._bar is not None:
            self._advance(self._task)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Takes the bar away."""
        if self._bar is not None:
            self._stop()
