"""Steps in which every row computes one token and samples the next: recorded once a bucket.

Guarantees: a recorded step stores KV, attends and picks the most probable token exactly as the same
step launch by launch, up to rounding; rows that fill a bucket up read no KV and store theirs in the
pool's spare block, and their token in a lane that no sequence has. It knows nothing about plans.
"""
# pyright: basic

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lineclear_gpu.attention import AttentionBackend, Rows
from lineclear_gpu.batch import Batch
from lineclear_gpu.buckets import Buckets, Field, bucket_sizes
from lineclear_gpu.graphs import Graphs
from lineclear_gpu.kernels.storing import store_every
from lineclear_gpu.model import Model
from lineclear_gpu.paged import Paged
from lineclear_gpu.plug import Forward

__all__ = ["GREEDY", "SAMPLED", "Decodes", "records"]

#: A step that takes the most probable tokens; one whose logits are sampled from afterwards.
GREEDY, SAMPLED = "greedy", "sampled"


def records(backend: AttentionBackend) -> bool:
    """Whether a way to attend needs nothing of the host that changes from step to step."""
    return isinstance(backend, Paged)


class Decodes:
    """The recorded steps of one model over one pool.

    Args:
        graphs: how they are recorded.
        model: the model.
        pool: the blocks.
        backend: how to attend.
        memory: the newest token of each lane, and one more for rows that no sequence has.
        max_rows: rows of the largest bucket.
        max_len: tokens of the longest sequence.
    """

    def __init__(
        self,
        graphs: Graphs,
        model: Model,
        pool: Any,
        backend: AttentionBackend,
        memory: Tensor,
        max_rows: int,
        max_len: int,
    ) -> None:
        """Nothing is recorded."""
        self.model = model
        self.pool = pool
        self.backend = backend
        self.memory = memory
        size = self.block_size = int(pool.gpu.shape[3])
        trash = pool.trash
        fields = {
            "tokens": Field(torch.int64, 0),
            "positions": Field(torch.int64, 0),
            "slots": Field(torch.int64, trash * size),
            "context_lens": Field(torch.int64, 0),
            "lanes": Field(torch.int64, len(memory) - 1),
            "tables": Field(torch.int32, trash, -(-max_len // size)),
        }
        device = model.device
        self.buckets = Buckets(graphs, bucket_sizes(max_rows), fields, self._step, device)
        self._starts = torch.arange(max_rows + 1, device=device)
        self._logits: Tensor | None = None

    @property
    def refused(self) -> str | None:
        """Why nothing is recorded, None while all goes well."""
        return self.buckets.refused

    def serves(self, batch: Batch) -> bool:
        """Whether a step is one of those that are recorded."""
        rows = batch.rows
        return (
            len(batch.tokens) == rows == len(batch.sample_rows)
            and self.buckets.fits(rows, batch.tables.shape[1])
            and bool((batch.sample_rows == np.arange(rows)).all())
        )

    def record(self, progress: Callable[[int, int], object] = lambda *_: None) -> bool:
        """Records every greedy step; the others are recorded when one of them first runs."""
        with torch.inference_mode():
            return self.buckets.record((GREEDY,), progress)

    def run(self, batch: Batch) -> Tensor | None:
        """The most probable tokens, which are remembered if the step is greedy; None if refused.

        [R] int64
        """
        arrays = {
            "tokens": batch.tokens,
            "positions": batch.positions,
            "slots": batch.slots,
            "context_lens": batch.context_lens,
            "lanes": batch.lanes,
            "tables": batch.tables,
        }
        if not batch.greedy and self._logits is None:
            shape = (len(self._starts) - 1, self.model.vocab_size)
            self._logits = torch.empty(shape, dtype=torch.float32, device=self.model.device)
        return self.buckets.run(arrays, GREEDY if batch.greedy else SAMPLED)

    def logits(self, rows: int) -> Tensor:
        """Of the last step that was not greedy, in float32.  [rows, V]"""
        assert self._logits is not None
        return self._logits[:rows]

    def _step(self, inputs: dict[str, Tensor], kind: Hashable) -> Tensor:
        """What is recorded."""
        count = len(inputs["tokens"])
        rows = Rows(
            None,
            tables=inputs["tables"],
            context_lens=inputs["context_lens"],
            row_starts=self._starts[: count + 1],
            slots=inputs["slots"],
            block_size=self.block_size,
            dtype=self.model.dtype,
        )
        known = self.memory.index_select(0, inputs["lanes"])
        tokens = torch.where(inputs["tokens"] < 0, known, inputs["tokens"])
        forward = Forward(rows, self.pool.layer, self.backend, store_every, self.model.windows)
        scores = self.model.scores(tokens, inputs["positions"], None, forward)
        if kind == SAMPLED:
            self.logits(count).copy_(scores)
        best = scores.argmax(dim=-1)
        if kind == GREEDY:
            self.memory.index_copy_(0, inputs["lanes"], best)
        return best
