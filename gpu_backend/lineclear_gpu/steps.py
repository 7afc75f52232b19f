"""Recorded steps: decode-only ones, and small ones with prompt chunks.

Guarantees: a recorded step stores KV, attends and takes the most probable tokens exactly as the
same step launched kernel by kernel, up to rounding. Padding reads no KV; it stores its KV in the
pool's spare block and its token in a lane that no sequence has.

A decode-only step is recorded for some numbers of rows. A step with prompt chunks is recorded for
some numbers of tokens; it has as many rows as may ever run, most of them empty.
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
from lineclear_gpu.kernels.storing import store_kv
from lineclear_gpu.model import Model
from lineclear_gpu.paged import Paged
from lineclear_gpu.plug import ForwardContext
from lineclear_gpu.pool import KVPool

#: Steps that take the most probable tokens; steps whose logits are sampled afterwards.
GREEDY, SAMPLED = "greedy", "sampled"
#: Tokens of the largest recorded step with chunks: beyond it launches are cheap in comparison.
MOST_TOKENS = 2048


def records(backend: AttentionBackend) -> bool:
    """Whether an attention backend needs no host value that changes from step to step."""
    return isinstance(backend, Paged)


def mixed_sizes(most: int) -> list[int]:
    """Token counts of the recorded steps with chunks, for steps of at most `most` tokens."""
    sizes = [64, 128, 192, 256, 384, 512, 768, 1024, 1536, MOST_TOKENS]
    return [size for size in sizes if size < most] + ([most] if most <= MOST_TOKENS else [])


class Steps:
    """The recorded steps of one model over one pool.

    Args:
        graphs: records them.
        model: the model.
        pool: the blocks.
        backend: computes attention.
        memory: the newest token of each lane, and one more lane for padding rows.
        max_rows: rows of the largest step.
        max_tokens: tokens of the largest step; 0 to record only decode-only steps.
        max_len: tokens of the longest sequence.
    """

    def __init__(
        self,
        graphs: Graphs,
        model: Model,
        pool: KVPool,
        backend: AttentionBackend,
        memory: Tensor,
        max_rows: int,
        max_tokens: int,
        max_len: int,
    ) -> None:
        """Records nothing yet."""
        self.model = model
        self.pool = pool
        self.backend = backend
        self.memory = memory
        self.max_rows = max_rows
        size = self.block_size = int(pool.gpu.shape[3])
        trash, spare_lane, width = pool.trash, len(memory) - 1, -(-max_len // size)
        device = model.device
        each = {
            "tokens": Field(torch.int64, 0),
            "positions": Field(torch.int64, 0),
            "slots": Field(torch.int64, trash * size),
            "lanes": Field(torch.int64, spare_lane),
        }
        self.decodes = Buckets(
            graphs,
            bucket_sizes(max_rows),
            {
                **each,
                "context_lens": Field(torch.int64, 0),
                "tables": Field(torch.int32, trash, width),
            },
            self._decode,
            device,
        )
        self.mixed: Buckets | None = None
        if max_tokens:
            self.mixed = Buckets(
                graphs,
                mixed_sizes(max_tokens),
                {
                    **each,
                    "context_lens": Field(torch.int64, 0, rows=max_rows),
                    "tables": Field(torch.int32, trash, width, rows=max_rows),
                    "row_starts": Field(torch.int64, 0, rows=max_rows + 1),
                    "last": Field(torch.int64, 0, rows=max_rows),
                    "sample_lanes": Field(torch.int64, spare_lane, rows=max_rows),
                },
                self._mixed,
                device,
            )
        self._starts = torch.arange(max_rows + 1, device=device)
        self._logits: Tensor | None = None

    @property
    def refused(self) -> str | None:
        """Why recording failed, None if it has not."""
        return self.decodes.refused

    def buckets(self) -> list[Buckets]:
        """All buckets."""
        return [self.decodes] if self.mixed is None else [self.decodes, self.mixed]

    def close(self) -> None:
        """Frees all recorded steps; every later one is launched. The device must be done."""
        for each in self.buckets():
            each.close("its recorded steps were freed")

    def record(self, progress: Callable[[int, int], object] = lambda *_: None) -> bool:
        """Records every greedy step; others are recorded on first use."""
        total = sum(len(each.sizes) for each in self.buckets())
        done = 0

        def one_more(*_: int) -> None:
            nonlocal done
            done += 1
            progress(done, total)

        with torch.inference_mode():
            return all(each.record((GREEDY,), one_more) for each in self.buckets())

    def run(self, batch: Batch) -> Tensor | None:
        """The most probable tokens; a greedy step also stores them in their lanes.  [S] int64

        None if the step is not recorded.
        """
        rows, samples, tokens = batch.rows, len(batch.sample_rows), len(batch.tokens)
        kind = GREEDY if batch.greedy else SAMPLED
        if kind == SAMPLED and self._logits is None:
            shape = (self.max_rows, self.model.vocab_size)
            self._logits = torch.empty(shape, dtype=torch.float32, device=self.model.device)
        arrays: dict[str, np.ndarray[Any, Any]] = {
            "tokens": batch.tokens,
            "positions": batch.positions,
            "slots": batch.slots,
            "lanes": batch.lanes,
            "context_lens": batch.context_lens,
            "tables": batch.tables,
        }
        width = batch.tables.shape[1]
        if tokens == rows == samples and bool((batch.sample_rows == np.arange(rows)).all()):
            if not self.decodes.fits(rows, width):
                return None
            return self.decodes.run(arrays, kind, rows)
        fits = self.mixed is not None and self.mixed.fits(tokens, width)
        if not fits or not 0 < samples <= self.max_rows or rows > self.max_rows:
            return None
        assert self.mixed is not None
        starts = np.full(self.max_rows + 1, tokens, dtype=np.int64)
        starts[: rows + 1] = batch.row_starts
        arrays["row_starts"] = starts
        arrays["lanes"] = np.repeat(batch.lanes, batch.lengths)
        arrays["last"] = batch.last
        arrays["sample_lanes"] = batch.sample_lanes
        return self.mixed.run(arrays, kind, samples)

    def logits(self, samples: int) -> Tensor:
        """Logits of the last step that was not greedy, in float32.  [samples, V]"""
        assert self._logits is not None
        return self._logits[:samples]

    # ---- what is recorded ----------------------------------------------------------------------

    def _decode(self, inputs: dict[str, Tensor], kind: Hashable) -> Tensor:
        """Rows of one token each, all sampled."""
        starts = self._starts[: len(inputs["tokens"]) + 1]
        return self._step(inputs, starts, None, inputs["lanes"], kind)

    def _mixed(self, inputs: dict[str, Tensor], kind: Hashable) -> Tensor:
        """Rows of any length."""
        return self._step(
            inputs, inputs["row_starts"], inputs["last"], inputs["sample_lanes"], kind
        )

    def _step(
        self,
        inputs: dict[str, Tensor],
        starts: Tensor,
        keep: Tensor | None,
        lanes: Tensor,
        kind: Hashable,
    ) -> Tensor:
        rows = Rows(
            None,
            tables=inputs["tables"],
            context_lens=inputs["context_lens"],
            row_starts=starts,
            slots=inputs["slots"],
            block_size=self.block_size,
            dtype=self.model.dtype,
            single=keep is None,
        )
        known = self.memory.index_select(0, inputs["lanes"])
        tokens = torch.where(inputs["tokens"] < 0, known, inputs["tokens"])
        forward = ForwardContext(
            rows, self.pool.layer, self.backend, store_kv, self.model.windows, self.model.cap
        )
        scores = self.model.scores(tokens, inputs["positions"], keep, forward)
        if kind == SAMPLED:
            self.logits(len(scores)).copy_(scores)
        best = scores.argmax(dim=-1)
        if kind == GREEDY:
            self.memory.index_copy_(0, lanes, best)
        return best
