"""Requests that decode one token in every step, counted together in arrays instead of one by one.

Guarantees: what is counted is what counting each row by itself counts; a test runs both. A request's counters are in
the arrays or in its own record, never in both: who reads them elsewhere calls `put_back` first.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from lineclear.plan import Plan, Scheduled
from lineclear.simulation.metrics import Collector
from lineclear.simulation.sampler import SimulatedRequest

Rows = tuple[Scheduled, ...]
#: Not in the arrays.
NOWHERE = -1


@dataclass(frozen=True, slots=True)
class Split:
    """Rows, of which some are counted together.

    Attributes:
        rows: all of them.
        slots: of those that are.  [counted] int64
        counted: their places in `rows`.
        others: places of the others.
    """

    rows: Rows
    slots: Any
    counted: list[int]
    others: list[int]


class Decodes:
    """The counters of requests with one sequence that decode one token in every step.

    Args:
        live: the requests that have not ended.
        collector: counts what operators look at.

    Attributes:
        enabled: False to count each row by itself, for the test that holds the two together.
    """

    enabled = True

    def __init__(self, live: Mapping[Hashable, SimulatedRequest], collector: Collector) -> None:
        self.live = live
        self.collector = collector
        self._free: list[int] = []
        self._computed: Any = np.zeros(0, dtype=np.int64)  # positions, by slot
        self._left: Any = np.zeros(0, dtype=np.int64)  # tokens to generate
        self._last: Any = np.zeros(0)  # when its newest token was committed
        self._stall: Any = np.zeros(0)  # the longest time between two of its tokens
        self._scheduled: Split | None = None  # of the newest step
        self._sampled: Split | None = None  # of the newest commit

    # ---- one step ------------------------------------------------------------------------------

    def schedule(self, rows: Rows) -> tuple[int, Iterable[Scheduled]]:
        """A step computes the next position of each row.

        Returns:
            The positions computed so far of the rows that are counted here, and the other rows.
        """
        self._scheduled = known = self.split(rows)
        computed = self._computed[known.slots] + 1
        self._computed[known.slots] = computed
        return int(computed.sum()), [rows[at] for at in known.others]

    def sample(self, plan: Plan, dropped: set[int], now: float) -> tuple[list[int], Iterable[int]]:
        """A commit gives each row a token.

        Args:
            plan: of the step; its rows are the second part of `plan.sampling`.
            dropped: positions in `plan.sampling` whose token is not kept.
            now: seconds.

        Returns:
            Positions in `plan.sampling` whose request stops there, and those that are not counted here.
        """
        rows, before = plan.sampling.second, len(plan.sampling.first)
        if dropped:
            return [], range(before + len(rows))
        self._sampled = known = self.split(rows)
        slots = known.slots
        gaps = now - self._last[slots]
        left = self._left[slots] - 1
        self._left[slots] = left
        self._last[slots] = now
        self._stall[slots] = np.maximum(self._stall[slots], gaps)
        self.collector.gaps.frombytes(gaps.tobytes())
        self.collector.generated_tokens += len(slots)
        stopped: list[int] = []
        for place in np.flatnonzero(left == 0).tolist():
            at = known.counted[place]
            live = self.live[rows[at].request_id]
            if live.targets[0] < live.cap:
                stopped.append(before + at)
        return stopped, [*range(before), *(before + at for at in known.others)]

    # ---- several steps -------------------------------------------------------------------------

    def before_an_end(self, rows: Rows) -> int:
        """Steps that each row may take before one of them stops; 0 unless all are counted here."""
        self._scheduled = known = self.split(rows)
        return 0 if known.others else int(self._left[known.slots].min()) - 1

    def go_on(self, rows: Rows, moments: list[float]) -> int:
        """Several steps were computed and committed, each with a token of each row.

        Args:
            rows: those that `before_an_end` was asked for.
            moments: when the first step began, and when each ended.

        Returns:
            The positions of the rows that were computed before.
        """
        slots, steps = self.split(rows).slots, len(moments) - 1
        first = moments[1] - self._last[slots]
        later = np.repeat(np.diff(np.array(moments[1:])), len(slots))
        before = int(self._computed[slots].sum())
        self._computed[slots] += steps
        self._left[slots] -= steps
        self._last[slots] = moments[-1]
        longest = np.maximum(first, later.max(initial=0.0))
        self._stall[slots] = np.maximum(self._stall[slots], longest)
        self.collector.gaps.frombytes(first.tobytes())
        self.collector.gaps.frombytes(later.tobytes())
        self.collector.generated_tokens += steps * len(slots)
        return before

    # ---- in and out ----------------------------------------------------------------------------

    def split(self, rows: Rows) -> Split:
        """Which rows are counted here; those that can be are taken in."""
        for known in (self._scheduled, self._sampled):
            if known is not None and known.rows is rows:
                return known
        live = self.live
        requests = [live.get(row.request_id) for row in rows]
        slots = [NOWHERE if request is None else request.slot for request in requests]
        counted, others = list(range(len(rows))), list[int]()
        if NOWHERE in slots:
            for at, request in enumerate(requests):
                if request is not None and request.slot == NOWHERE:
                    self._take_in(request, rows[at])
                    slots[at] = request.slot
            others = [at for at, slot in enumerate(slots) if slot == NOWHERE]
            counted = [at for at, slot in enumerate(slots) if slot != NOWHERE]
            slots = [slots[at] for at in counted]
        return Split(rows, np.array(slots, dtype=np.int64), counted, others)

    def _take_in(self, request: SimulatedRequest, row: Scheduled) -> None:
        """Moves a request's counters to the arrays, if it can be counted there."""
        times = self.collector.times[row.request_id]
        if (
            not self.enabled
            or len(request.targets) > 1
            or row.tokens != 1
            or row.drafts
            or row.prefill
            or row.start is not None
            or times.last_token is None
            or times.preempted_at is not None
            or request.done(0)
        ):
            return
        if not self._free:
            size = len(self._left)
            self._free = list(range(2 * size + 63, size - 1, -1))
            for name in ("_computed", "_left", "_last", "_stall"):
                array = getattr(self, name)
                more = np.zeros(size + 64, dtype=array.dtype)
                setattr(self, name, np.concatenate((array, more)))
        slot = request.slot = self._free.pop()
        self._computed[slot] = request.computed
        self._left[slot] = request.targets[0] - request.generated[0]
        self._last[slot] = times.last_token
        self._stall[slot] = times.stall

    def put_back(self, request: SimulatedRequest) -> None:
        """Moves a request's counters back to its record, if they are in the arrays."""
        slot = request.slot
        if slot == NOWHERE:
            return
        times = self.collector.times[request.arrival.request_id]
        generated = request.targets[0] - int(self._left[slot])
        times.tokens += generated - request.generated[0]
        times.last_token = float(self._last[slot])
        times.stall = float(self._stall[slot])
        request.generated[0] = generated
        request.computed = int(self._computed[slot])
        request.fresh = 1
        request.slot = NOWHERE
        self._free.append(slot)
        self._scheduled = self._sampled = None

    def put_back_all(self) -> None:
        """Moves all counters back."""
        for request in self.live.values():
            self.put_back(request)
