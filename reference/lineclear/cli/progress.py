"""Progress of long work, on standard error: a bar on a terminal, otherwise a line now and then.

Guarantees of `Progress`: short work prints nothing, because the first line comes after `SILENCE` seconds; long work
prints a line in every such time, also while one part of it takes longer, as far as the part calls
`tick` or is done by other processes. `StatusLine` shows what it is given, at most once in its time.
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Any

#: Seconds between two lines where standard error is not a terminal, and before the first.
SILENCE = 20.0
#: Seconds after which a line on a terminal changes.
REDRAWN = 0.2


class Progress:
    """Work with a known number of steps.

    Args:
        title: name of the work.
        total: number of steps, None if it is not known.
    """

    def __init__(self, title: str, total: int | None) -> None:
        self.title = title
        self.total = total
        self.done = 0
        self._bar: object = None
        self._started = self._written = time.monotonic()

    def __enter__(self) -> Progress:
        self._started = self._written = time.monotonic()
        if sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import Progress as Bar

            bar = Bar(console=Console(stderr=True), transient=True)
            bar.start()
            self._task = bar.add_task(self.title, total=self.total)
            self._advance = bar.advance
            self._stop = bar.stop
            self._print = partial(bar.console.print, markup=False, highlight=False)
            self._bar = bar
        from lineclear_spec.parallel import while_waiting  # not for --help

        while_waiting.append(self.tick)
        return self

    def step(self, _: str = "") -> None:
        """Counts one step."""
        self.done += 1
        if self._bar is not None:
            self._advance(self._task)
            return
        self.tick()

    def tick(self, _: str = "") -> None:
        """Prints a line if it is time; counts nothing."""
        now = time.monotonic()
        if self._bar is None and now - self._written >= SILENCE:
            self._written = now
            whole = "" if self.total is None else f" of {self.total:,}"
            seconds = f"{now - self._started:.0f} s"
            sys.stderr.write(f"{self.title}: {self.done:,}{whole}, {seconds}\n")
            sys.stderr.flush()

    def say(self, line: str) -> None:
        """Prints a line at once, above the bar if there is one."""
        if self._bar is not None:
            self._print(line)
            return
        sys.stderr.write(line + "\n")
        sys.stderr.flush()

    def __exit__(self, *_: object) -> None:
        """Removes the bar."""
        from lineclear_spec.parallel import while_waiting

        while_waiting.remove(self.tick)
        if self._bar is not None:
            self._stop()


class StatusLine:
    """What is known of work at this moment: a line that changes on a terminal, elsewhere a line now and then.

    Args:
        seconds: between two lines where standard error is not a terminal; infinite for none anywhere.
    """

    def __init__(self, seconds: float) -> None:
        self._live: Any = None
        self._every = seconds
        self._shown = time.monotonic()

    def __enter__(self) -> StatusLine:
        if math.isfinite(self._every) and sys.stderr.isatty():
            from rich.console import Console
            from rich.live import Live

            self._live = Live(console=Console(stderr=True), transient=True, auto_refresh=False)
            self._live.start()
            self._every = REDRAWN
        return self

    def show(self, line: Callable[[float], str]) -> None:
        """Shows what `line` says, if it is time: it gets the seconds since it was asked last."""
        now = time.monotonic()
        passed = now - self._shown
        if passed < self._every:
            return
        self._shown = now
        if self._live is None:
            sys.stderr.write(line(passed) + "\n")
            sys.stderr.flush()
        else:
            from rich.text import Text

            self._live.update(Text(line(passed)), refresh=True)

    def __exit__(self, *_: object) -> None:
        """Removes the line."""
        if self._live is not None:
            self._live.stop()
