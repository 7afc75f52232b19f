# pyright: basic
"""The device's record of every sequence: tokens, block table, position. Turns plans into batches.

Guarantees: tables come from plans alone, so the book is an independent witness of the scheduler's
ledger. Building a batch of decoding sequences needs no loop over them.

A *lane* is the row of a sequence in arrays that stay from step to step, here and on the device: vLLM's
slot of the persistent batch.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from typing import Any

import numpy as np

from lineclear.monitor.hazards import Access
from lineclear.plan import NewBlocks, Plan, Scheduled
from lineclear_gpu.batch import UNKNOWN, Batch

Name = tuple[Hashable, int]


class Book:
    """All live sequences.

    Args:
        block_size: tokens in a block.
        max_model_len: tokens in a sequence, at most.
        lanes: initial capacity in sequences; it grows on demand.
    """

    def __init__(self, block_size: int, max_model_len: int, lanes: int = 64) -> None:
        """Starts empty."""
        self.block_size = block_size
        self.max_len = max_model_len + 1
        self.max_blocks = -(-max_model_len // block_size) + 1
        self.lane: dict[Name, int] = {}
        self.free: list[int] = list(range(lanes))[::-1]
        self.tokens = np.zeros((lanes, self.max_len), dtype=np.int64)  # [lanes, max_len]
        self.num_tokens = np.zeros(lanes, dtype=np.int64)  # number of known tokens. [lanes]
        # first position without KV. [lanes]
        self.num_dispatched_tokens = np.zeros(lanes, dtype=np.int64)
        self.tables = np.zeros((lanes, self.max_blocks), dtype=np.int32)  # [lanes, max_blocks]
        self.blocks = np.zeros(lanes, dtype=np.int64)  # number of entries of each table. [lanes]
        self._rows: tuple[Scheduled, ...] = ()  # the decode batch, and its lanes
        self._batch_lanes = np.zeros(0, dtype=np.int64)

    # ---- sequences -----------------------------------------------------------------------------

    def add(self, request_id: Hashable, prompt: Iterable[int]) -> int:
        """Adds an accepted request; returns the lane of its first sequence."""
        return self.add_branch(request_id, 0, prompt)

    def add_branch(self, request_id: Hashable, branch: int, prompt: Iterable[int]) -> int:
        """Adds a sequence with these tokens and without KV; returns its lane."""
        lane = self._take((request_id, branch))
        tokens = np.fromiter(prompt, dtype=np.int64)
        self.tokens[lane, : len(tokens)] = tokens
        self.num_tokens[lane] = len(tokens)
        return lane

    def fork(self, request_id: Hashable, parent: int, child: int) -> int:
        """Adds a branch with all tokens and KV of another; its table follows with a plan.

        If the step that forked before was lost, the branch of that step is replaced.
        """
        if (request_id, child) in self.lane:
            self.drop(request_id, child)
        source = self.lane[request_id, parent]
        lane = self._take((request_id, child))
        for array in (self.tokens, self.num_tokens, self.num_dispatched_tokens):
            array[lane] = array[source]
        return lane

    def learn(self, lane: int, tokens: list[int]) -> None:
        """Appends sampled tokens to a sequence."""
        known = int(self.num_tokens[lane])
        self.tokens[lane, known : known + len(tokens)] = tokens
        self.num_tokens[lane] = known + len(tokens)

    def learn_all(self, lanes: Any, tokens: Any) -> None:
        """Appends one token to each lane. [lanes] both"""
        self.tokens[lanes, self.num_tokens[lanes]] = tokens
        self.num_tokens[lanes] += 1

    def drop(self, request_id: Hashable, branch: int) -> None:
        """Frees the lane of a sequence that has ended."""
        self.free.append(self.lane.pop((request_id, branch)))

    def drop_request(self, request_id: Hashable, branches: Iterable[int]) -> None:
        """Frees the lanes of a request that has ended."""
        for branch in branches:
            if (request_id, branch) in self.lane:
                self.drop(request_id, branch)

    def history(self, request_id: Hashable, branch: int) -> list[int]:
        """All known tokens of a sequence."""
        lane = self.lane[request_id, branch]
        found: list[int] = self.tokens[lane, : self.num_tokens[lane]].tolist()
        return found

    def _take(self, name: Name) -> int:
        """Takes an empty lane."""
        if not self.free:
            size = len(self.num_tokens)
            for field in ("tokens", "num_tokens", "num_dispatched_tokens", "tables", "blocks"):
                array = getattr(self, field)
                setattr(self, field, np.concatenate((array, np.zeros_like(array))))
            self.free = list(range(size, 2 * size))[::-1]
        lane = self.lane[name] = self.free.pop()
        self.num_tokens[lane] = self.num_dispatched_tokens[lane] = self.blocks[lane] = 0
        self.tables[lane] = 0
        return lane

    # ---- plans ---------------------------------------------------------------------------------

    def batch(self, plan: Plan) -> Batch:
        """Applies a plan's table entries and turns its step into a batch.

        Raises:
            ValueError: a row of the plan is impossible: it has a position without a block or a
                token that was never sampled.
        """
        self._take_in(plan)
        groups = plan.scheduled_seq_groups
        steady = self._lanes_of(groups.second)
        if len(steady) and not len(groups.first):
            return self._decode_batch(plan, steady)
        return self._any_batch(plan, steady)

    def _any_batch(self, plan: Plan, steady: Any) -> Batch:
        """Rows of any length, then the decode batch. [rows] lanes"""
        groups = plan.scheduled_seq_groups
        first = [self.lane[row.request_id, row.branch] for row in groups.first]
        begins = [
            int(self.num_dispatched_tokens[lane]) if row.start is None else row.start
            for row, lane in zip(groups.first, first, strict=True)
        ]
        counts = [row.tokens for row in groups.first]
        lanes = np.concatenate((np.array(first, dtype=np.int64), steady))
        start = np.concatenate(
            (np.array(begins, dtype=np.int64), self.num_dispatched_tokens[steady])
        )
        count = np.concatenate((np.array(counts, dtype=np.int64), np.ones_like(steady)))
        starts = np.concatenate(([0], np.cumsum(count)))
        lengths = start + count
        row_of = np.repeat(np.arange(len(lanes)), count)
        positions = np.arange(int(starts[-1])) - np.repeat(starts[:-1] - start, count)
        owner = lanes[row_of]
        tokens = np.where(
            positions < self.num_tokens[owner], self.tokens[owner, positions], UNKNOWN
        )
        entries = positions // self.block_size
        if bool((entries >= self.blocks[owner]).any()):
            raise ValueError(f"step {plan.step}: a scheduled position has no block in its table")
        slots = self.tables[owner, entries].astype(np.int64) * self.block_size
        slots += positions % self.block_size
        self.num_dispatched_tokens[lanes] = lengths
        widest = int(-(-lengths.max() // self.block_size)) if len(lanes) else 0
        chosen = [k for k, row in enumerate(groups.first) if row.samples]
        sampling = np.concatenate(
            (np.array(chosen, dtype=np.int64), np.arange(len(first), len(lanes)))
        )
        return Batch(
            tokens=tokens,
            positions=positions,
            row_starts=starts,
            context_lens=lengths,
            tables=self.tables[lanes, :widest],
            slots=slots,
            lanes=lanes,
            sample_rows=sampling,
        )

    def _decode_batch(self, plan: Plan, lanes: Any) -> Batch:
        """One token for each row: the same with fewer operations."""
        positions = self.num_dispatched_tokens[lanes]
        contexts = positions + 1
        tokens = np.where(
            positions < self.num_tokens[lanes], self.tokens[lanes, positions], np.int64(UNKNOWN)
        )
        entries, offsets = np.divmod(positions, self.block_size)
        if bool((entries >= self.blocks[lanes]).any()):
            raise ValueError(f"step {plan.step}: a scheduled position has no block in its table")
        tables = self.tables[lanes, : int(entries.max()) + 1]
        rows = np.arange(len(lanes) + 1)
        slots = tables[rows[:-1], entries] * np.int64(self.block_size) + offsets
        self.num_dispatched_tokens[lanes] = contexts
        return Batch(
            tokens=tokens,
            positions=positions,
            row_starts=rows,
            context_lens=contexts,
            tables=tables,
            slots=slots,
            lanes=lanes,
            sample_rows=rows[:-1],
        )

    def _lanes_of(self, rows: tuple[Scheduled, ...]) -> Any:
        """Lanes of the decode batch; looked up only when it changes."""
        if rows is not self._rows:
            self._rows = rows
            self._batch_lanes = np.array(
                [self.lane[row.request_id, row.branch] for row in rows], dtype=np.int64
            )
        return self._batch_lanes

    def _take_in(self, plan: Plan) -> None:
        """Applies the table entries of a plan."""
        new = plan.new_blocks
        if isinstance(new, NewBlocks) and len(new) > 8:
            lanes = np.array(
                [self.lane[row.request_id, row.branch] for row in new.rows], dtype=np.int64
            )
            self.tables[lanes, self.blocks[lanes]] = new.block_ids
            self.blocks[lanes] += 1
        else:
            for request_id, branch, block_id in new:
                lane = self.lane[request_id, branch]
                self.tables[lane, self.blocks[lane]] = block_id
                self.blocks[lane] += 1
        for request_id, branch, block_ids in plan.tables:
            lane = self.lane[request_id, branch]
            self.tables[lane, : len(block_ids)] = block_ids
            self.blocks[lane] = len(block_ids)

    def accesses(self, batch: Batch) -> list[Access]:
        """The blocks that a forward reads and writes."""
        found: list[Access] = []
        size = self.block_size
        for row in range(len(batch.lanes)):
            length = int(batch.context_lens[row])
            first = length - int(batch.lengths[row])
            for entry in range(-(-length // size)):
                block_id = int(batch.tables[row, entry])
                found.append(Access("gpu", block_id, (entry + 1) * size > first))
        return found
