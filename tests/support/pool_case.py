# pyright: basic
"""Rows over a poisoned pool, and softmax written out in float64."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from lineclear_gpu.attention import AttentionBackend, Rows
from lineclear_gpu.batch import Batch
from lineclear_gpu.kernels.storing import store_kv

#: Accepted relative L2 error, by type.
BOUNDS = {torch.float32: 1e-5, torch.float16: 2e-3, torch.bfloat16: 1e-2}
SIZE = 8


class Case:
    """Rows of (tokens, context) over a pool whose every other slot holds NaN."""

    def __init__(
        self,
        rows: Sequence[tuple[int, int]],
        heads: int = 4,
        kv_heads: int = 2,
        head_dim: int = 16,
        dtype: torch.dtype = torch.float32,
        seed: int = 0,
        size: int = SIZE,
    ) -> None:
        self.size = size
        generator = torch.Generator().manual_seed(seed)
        contexts = np.array([context for _, context in rows])
        widths = -(-contexts // size)
        order = torch.randperm(int(widths.sum()) + 3, generator=generator).numpy()
        tables = np.zeros((len(rows), int(widths.max()) + 1), dtype=np.int32)
        taken = 0
        for row, width in enumerate(widths):
            tables[row, :width] = order[taken : taken + width]
            taken += width
        zeros = [np.zeros(tokens, dtype=np.int64) for tokens, _ in rows]
        self.batch = Batch.of(zeros, contexts, tables, size)
        self.batch.check(size, len(order))
        self.pool = torch.full(
            (len(order), 3, 2, size, kv_heads, head_dim), float("nan"), dtype=dtype
        )
        self.layer = self.pool[:, 1]
        self.kv: list[Tensor] = []
        for row, context in enumerate(contexts):
            kv = torch.randn(context, 2, kv_heads, head_dim, generator=generator).to(dtype)
            at = np.arange(context)
            place = torch.from_numpy(tables[row, at // size].astype(np.int64) * size + at % size)
            store_kv(self.layer, kv[:, 0], kv[:, 1], place)
            self.kv.append(kv)
        self.query = torch.randn(
            len(self.batch.tokens), heads, head_dim, generator=generator, dtype=torch.float32
        ).to(dtype)
        self.scale = head_dim**-0.5

    def reference(self, window: int | None = None, cap: float | None = None) -> Tensor:
        """Softmax of every token's scores, in float64."""
        out = torch.zeros(self.query.shape, dtype=torch.float64)
        shared = self.query.shape[1] // self.layer.shape[3]
        for row, kv in enumerate(self.kv):
            own = slice(int(self.batch.row_starts[row]), int(self.batch.row_starts[row + 1]))
            keys, values = kv.double().repeat_interleave(shared, dim=2).unbind(1)
            scores = torch.einsum("thd,nhd->htn", self.query[own].double(), keys) * self.scale
            if cap is not None:
                scores = cap * torch.tanh(scores / cap)
            position = torch.from_numpy(self.batch.positions[own])[:, None]
            other = torch.arange(len(kv))
            seen = other <= position
            if window is not None:
                seen = seen & (other > position - window)
            weights = torch.softmax(scores.masked_fill(~seen, float("-inf")), dim=-1)
            out[own] = torch.einsum("htn,nhd->thd", weights, values)
        return out

    def error(
        self, backend: AttentionBackend, window: int | None = None, cap: float | None = None
    ) -> float:
        """Relative L2 error of a backend; NaN if it read a slot beyond a context."""
        rows = Rows.of(self.batch, self.size, self.query.dtype, torch.device("cpu"))
        given = (self.query, self.layer, rows, self.scale, window, cap)
        found = backend.attend(*given).double()
        wanted = self.reference(window, cap)
        again = backend.attend(*given).double()
        # data prepared for one layer serves another
        assert torch.allclose(found, again, 0.0, 0.0, equal_nan=True)
        return float((found - wanted).norm() / wanted.norm())


DECODE = [(1, context) for context in (1, 2, 7, 8, 9, 15, 16, 17, 63, 64, 65)]
CHUNKED = [(3, 3), (8, 8), (9, 9), (2, 9), (7, 16), (8, 16), (9, 17), (16, 33)]
MIXED = [(5, 5), (1, 9), (4, 20), (1, 8), (1, 40), (3, 24)]
