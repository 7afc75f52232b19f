"""A snapshot of an engine from its event log, at any event: the input of `why`.

Guarantees: it is derived from the checker's state and two counters for each live request; memory
does not grow with the length of the log.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

from lineclear.conform.checker import Checker
from lineclear.conform.events import Event, RequestId
from lineclear.conform.header import Header
from lineclear.conform.progress_rules import IDLE
from lineclear.conform.schema import free_lists
from lineclear.conform.state import DEFAULT, ENDLESS, LoggedRequest, LogState
from lineclear.conform.why import RequestState, Snapshot


class Observed:
    """A checker that records when each request last kept a token.

    Args:
        header: header of the log.
        validate: see `Checker`.
    Attributes:
        checker: checks the rules.
        calls: number of steps and idle calls so far.
    """

    def __init__(self, header: Header, *, validate: bool = True) -> None:
        self.checker = Checker(header, validate=validate)
        self.calls = 0
        self._last: dict[Hashable, int] = {}
        self._best: dict[Hashable, int] = {}
        self._lists: set[Hashable] | None = None  # the engine's queues at the last check
        self._free: int | None = None
        self._kept = 0

    def feed(self, event: Event) -> list[Any]:
        """Feeds one event; returns its violations."""
        found = self.checker.feed(event)
        kind = event["e"]
        if kind in ("step", "idle"):  # also the one that breaks a rule, as the checker counts it
            self.calls += 1
        if found:
            return found
        self._lists = self._lists if kind in ("idle", "settle") else None
        self._free = self._free if kind in ("idle", "settle") else None
        if kind == "step":
            for row in event["rows"]:
                if row[3]:
                    self._progress(row[0])
        elif kind == "submit":
            self._last[event["r"]] = self.calls
            self._best[event["r"]] = event["prompt"]
        elif kind in ("finish", "abort", "fail"):
            self._last.pop(event["r"], None)
            self._best.pop(event["r"], None)
            self._kept = self.calls
        elif kind == "check":
            self._checked(event)
        return found

    def _progress(self, r: RequestId) -> None:
        live = self.checker.state.live.get(r)
        best = 0 if live is None else sum(q.best for q in live.sequences.values())
        if best > self._best.get(r, 0) or best >= ENDLESS:
            self._best[r] = best
            self._last[r] = self._kept = self.calls

    def _checked(self, event: Event) -> None:
        if "waiting" in event and "running" in event:
            self._lists = {*event["waiting"], *event["running"]}
        if "free" in event:
            self._free = len(free_lists(event["free"]).get(DEFAULT, []))

    def snapshot(self) -> Snapshot:
        """The state of the engine after the events so far."""
        checker, state, header = self.checker, self.checker.state, self.checker.header
        pool = state.pools[DEFAULT]
        held = pool.held.keys()
        settles = "settle" not in checker.omitted
        busy = {row[0] for _, rows in state.flights for row in rows if settles}
        copying: dict[int, int] = {}
        for copy in state.copies.values():
            for where, block in (*copy.src, *copy.dst):
                for table in where.held.get(block, ()):
                    copying[id(table.sequence.live)] = copy.op
        total = pool.last - pool.first
        free = total - len(held | pool.published.keys())
        return Snapshot(
            blocks=total,
            block_size=header.block_size,
            free=free if self._free is None else self._free,
            cached=len(pool.published.keys() - held),
            requests=tuple(
                self._request(state, live, live.r in busy, copying.get(id(live)))
                for live in state.live.values()
            ),
            max_seqs=header.max_seqs,
            max_tokens=header.max_tokens,
            chunk=header.chunk,
            in_flight=len(state.flights) if settles else 0,
            open_copies=tuple(state.copies),
            ordered=header.order is not None,
            idle=state.idle,
            dry=self.calls - self._kept,
            held=len(held),
            leaving=len(
                {
                    b
                    for live in state.leaving.values()
                    for name, b in live.blocks()
                    if name == DEFAULT
                }
            ),
            patience=IDLE + header.max_steps_in_flight,
        )

    def _request(
        self, state: LogState, live: LoggedRequest, busy: bool, copy: int | None
    ) -> RequestState:
        pool = state.pools[DEFAULT]
        blocks = live.blocks()
        mine = {block for name, block in blocks if name == DEFAULT}
        alone = [b for b in mine if all(t.sequence.live is live for t in pool.held.get(b, ()))]
        known = max(q.num_tokens for q in live.sequences.values())
        return RequestState(
            request_id=live.r,
            phase=live.phase,
            num_tokens=live.prompt if known >= ENDLESS else known,
            num_computed_tokens=min(q.frontier for q in live.sequences.values()),
            blocks=len(mine),
            alone=len(alone),
            limit=None if live.limit >= ENDLESS else live.limit,
            seats=len(live.sequences),
            width=live.n,
            elsewhere=sum(name != DEFAULT for name, _ in blocks),
            place=live.place,
            in_flight=busy,
            copy=copy,
            queued=self._lists is None or live.r in self._lists,
            still=self.calls - self._last.get(live.r, self.calls),
        )
