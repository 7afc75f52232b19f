# pyright: basic
"""Progress of a run on standard error: speed, memory, queues and preemptions since the last update.

Guarantees: nothing is written to standard output, and nothing at all when quiet. rich is imported only on a terminal.
"""

from __future__ import annotations

import sys
import time
from typing import Any

#: Seconds between two updates on a terminal, and between two lines elsewhere.
PICTURES, LINES = 0.2, 10.0


class ProgressView:
    """Progress on standard error: a live view on a terminal, otherwise a line now and then."""

    def __init__(self, engine: Any, quiet: bool) -> None:
        self.engine = engine
        self.quiet = quiet
        self.tokens = 0
        self.begin = self.drawn = time.perf_counter()
        self._last = (0, 0, 0.0)  # tokens, steps and seconds of waiting at the last update
        self._live: Any = None

    def __enter__(self) -> ProgressView:
        if not self.quiet and sys.stderr.isatty():
            from rich.console import Console
            from rich.live import Live

            self._live = Live(console=Console(stderr=True), transient=True)
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live is not None:
            self._live.stop()

    def show(self, deltas: list[Any]) -> None:
        """Updates the figures; redraws if it is time."""
        self.tokens += sum(len(delta.token_ids) for delta in deltas)
        now = time.perf_counter()
        passed = now - self.drawn
        if self.quiet or passed < (LINES if self._live is None else PICTURES):
            return
        line = self.line(passed)
        self.drawn = now
        if self._live is None:
            sys.stderr.write(line + "\n")
        else:
            self._live.update(line)

    def line(self, passed: float) -> str:
        """The figures of the last `passed` seconds."""
        engine = self.engine
        tokens, steps, waited = self._last
        self._last = (self.tokens, engine.steps, engine.executor.waited)
        done = max(1, engine.steps - steps)
        device = (engine.executor.waited - waited) / done * 1e3
        step = passed / done * 1e3
        ledger, counters = engine.scheduler.ledger, engine.scheduler.counters
        used = 1 - (ledger.gpu.free + len(ledger.resting)) / ledger.gpu.total
        return (
            f"{(self.tokens - tokens) / passed:,.0f} tokens/s   step {engine.steps:,}, "
            f"{step:.2f} ms (host {max(0.0, step - device):.2f}, device waited for {device:.2f})   "
            f"KV {used:.0%}   {len(ledger.running)} running, {len(ledger.waiting)} waiting, "
            f"{len(ledger.swapped)} swapped   preempted: {counters.preemptions['swap']} swap, "
            f"{counters.preemptions['recompute']} recompute"
        )
