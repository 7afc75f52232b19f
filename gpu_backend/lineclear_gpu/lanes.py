# pyright: basic
"""The lanes of sequences: their sampling parameters, and which of them a step samples.

Guarantees: from a sequence's first run on, its lane holds its sampling parameters. A request that
forks is sampled once per branch, each in a lane of its own.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import replace
from typing import Any

import numpy as np

from lineclear.plan import Plan
from lineclear_gpu.batch import Batch, Sampling
from lineclear_gpu.book import Book
from lineclear_gpu.flights import DecodeRows, EngineRequest

#: More tokens than any vocabulary has: all of them.
MOST_TOP_K = 1 << 31


class Lanes:
    """The sampling parameters of every lane.

    Args:
        book: gives each sequence its lane.
        live: the live requests.
        lanes: initial capacity in sequences; it grows on demand.
    """

    def __init__(self, book: Book, live: dict[Hashable, EngineRequest], lanes: int) -> None:
        """Starts without sequences."""
        self.book = book
        self.live = live
        self.decode_rows: DecodeRows | None = (
            None  # of the last step that was the decode batch alone
        )
        # By lane: temperature, top_p, top_k, seed and number of the sequence.  [lanes] each
        self._temperature = np.zeros(lanes, dtype=np.float32)
        self._top_p = np.ones(lanes, dtype=np.float32)
        self._top_k = np.zeros(lanes, dtype=np.int64)
        self._seed = np.zeros(lanes, dtype=np.int64)
        self._sequence = np.zeros(lanes, dtype=np.int64)

    def enter(self, request_id: Hashable, branch: int) -> None:
        """Gives a lane to a sequence that runs for the first time, or for the first time again."""
        live = self.live[request_id]
        tokens = live.output.prompt_token_ids
        if live.params.n == 1:  # the branches of a group fork, and differ, behind the prompt
            tokens = tokens + live.output.outputs[branch].token_ids
        self._settle(live, branch, self.book.add_branch(request_id, branch, tokens))

    def sampled(
        self, plan: Plan, batch: Batch
    ) -> tuple[list[tuple[EngineRequest, int]], list[int], Batch]:
        """The request and branch of each sample; a request that forks is sampled once per branch."""
        groups = plan.scheduled_seq_groups
        steady = not len(groups.first)
        known = self.decode_rows
        if steady and known is not None and groups.second is known.rows:
            sampled = self._with_sampling(batch, batch.sample_rows, batch.sample_lanes)
            return known.who, known.widths, sampled
        self.decode_rows = None
        who = [(self.live[row.request_id], row.branch) for row in plan.sampling]
        widths = [1 if live.forked else live.params.n for live, _ in who]
        rows = batch.sample_rows
        lanes = batch.lanes[rows]
        if any(width > 1 for width in widths):
            wide: list[int] = []
            each: list[int] = []
            for position, (live, branch) in enumerate(who):
                wide += [int(rows[position])] * widths[position]
                each.append(int(lanes[position]))
                for child in range(1, widths[position]):
                    name = live.output.request_id
                    self._settle(live, child, self.book.fork(name, branch, child))
                    each.append(live.lanes[child])
            rows, lanes = np.array(wide, dtype=np.int64), np.array(each, dtype=np.int64)
        elif steady:
            self.decode_rows = DecodeRows(groups.second, who, widths)
        return who, widths, self._with_sampling(batch, rows, lanes)

    def _settle(self, live: EngineRequest, branch: int, lane: int) -> None:
        """Stores a lane's sampling parameters."""
        live.lanes[branch] = lane
        while lane >= len(self._seed):
            for name in ("_temperature", "_top_p", "_top_k", "_seed", "_sequence"):
                array = getattr(self, name)
                setattr(self, name, np.concatenate((array, np.zeros_like(array))))
        params = live.params
        self._temperature[lane] = params.temperature
        self._top_p[lane] = params.top_p
        self._top_k[lane] = min(params.top_k, MOST_TOP_K)
        self._seed[lane] = live.seed
        self._sequence[lane] = live.first + branch

    def _with_sampling(self, batch: Batch, rows: Any, lanes: Any) -> Batch:
        """The batch, with samples drawn from these rows for these lanes."""
        if len(rows) == len(batch.sample_rows) and not self._temperature[lanes].any():
            return batch  # greedy, unchanged
        return replace(batch, sample_rows=rows, sampling=self._how(lanes))

    def _how(self, lanes: Any) -> Sampling:
        """The sampling parameters of these lanes."""
        return Sampling(
            lanes=lanes,
            seeds=self._seed[lanes],
            sequences=self._sequence[lanes],
            temperatures=self._temperature[lanes],
            top_ps=self._top_p[lanes],
            top_ks=self._top_k[lanes],
        )
