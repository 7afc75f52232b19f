"""Runs the checker of the event log for a machine.

Guarantees: a machine's run is checked against exactly the rules for a log from a file; the rules
of the model are about content, which no log has.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from typing import NoReturn

from lineclear.conform import Checker, Header, PoolSize
from lineclear.testing.difference import HOST, Event
from lineclear.testing.protocol import Limits, Row

#: Called with the rule and the message; it raises.
Fail = Callable[[str, str], NoReturn]
LogLine = Callable[[Event], object]


def header_of(limits: Limits) -> Header:
    """The log's header for this scheduler."""
    pools = {}
    if limits.host_blocks:
        first = limits.first_block + limits.device_blocks
        pools = {HOST: PoolSize(limits.host_blocks, first)}
    return Header(
        blocks=limits.device_blocks,
        block_size=limits.block_size,
        first_id=limits.first_block,
        pools=pools,
        max_seqs=limits.max_seqs,
        max_tokens=limits.max_tokens,
        max_steps_in_flight=limits.in_flight,
        drafts=limits.in_flight - 1,
        same_step_hits=limits.same_step_hits,
        chunk=1,
        patience=4 + 2 * (limits.dying_steps + limits.in_flight),
        order=limits.order,
    )


class Judge:
    """The rules, and the events so far.

    Args:
        limits: limits of the scheduler.
        record: called with every event before it is checked.
    """

    def __init__(self, limits: Limits, record: LogLine | None = None) -> None:
        self.limits = limits
        self.header = header_of(limits)
        self.checker = Checker(self.header, validate=False)
        self.record = record
        self.number = 0
        self.committed = 0
        self.hits = 0

    @property
    def counts(self) -> Counter[str]:
        """Number of events by kind."""
        return self.checker.counts

    def feed(self, event: Event, fail: Fail) -> None:
        """Checks one event; calls `fail`, which raises, for the first rule that it breaks."""
        if self.record is not None:
            self.record(event)
        if event["e"] == "hit":
            self.hits += len(event["blocks"])
        for violation in self.checker.feed(event):
            fail(f"{violation.rule}.{violation.clause}", violation.message)

    def step(self, rows: Sequence[Row], keeps: Sequence[bool], fail: Fail) -> None:
        """A forward pass over these rows; `keeps`: whether the token of each is kept."""
        self.number += 1
        listed = [
            [row.request_id, row.start, row.tokens, int(kept)]
            for row, kept in zip(rows, keeps, strict=True)
        ]
        self.feed({"e": "step", "n": self.number, "rows": listed}, fail)

    def settle(self, fail: Fail) -> None:
        """The forward pass was executed; its step is committed `in_flight` - 1 steps later."""
        if self.number - self.committed >= self.limits.in_flight:
            self.committed += 1
            self.feed({"e": "settle", "n": self.committed}, fail)

    def progress_key(self) -> Hashable:
        """The checker's memory beyond the observed state."""
        return self.number - self.committed
