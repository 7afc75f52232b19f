"""Attention that reads the pool in place: our kernels on a GPU, torch elsewhere.

Guarantees: for rows of one token, launches depend on no host value but the sizes of the arrays, so a captured step
serves every step of the same sizes. Rows of length 0, which pad a captured step, give zeros.
"""
# pyright: basic

from __future__ import annotations

import torch
from torch import Tensor

from lineclear_gpu.attention import AttentionBackend, Gather, Rows
from lineclear_gpu.kernels.copying import has_triton
from lineclear_gpu.kernels.paged import paged_attention


class Paged(AttentionBackend):
    """Reads keys and values through the block tables, without copying them."""

    name = "paged"

    def __init__(self) -> None:
        """Prepares nothing yet."""
        self._rest = Gather()
        self._processors: dict[torch.device, int] = {}

    def attend(
        self,
        query: Tensor,
        layer: Tensor,
        rows: Rows,
        scale: float,
        window: int | None,
        cap: float | None = None,
    ) -> Tensor:
        """See `AttentionBackend.attend`."""
        if query.is_cuda:
            return paged_attention(
                query,
                layer,
                rows.tables,
                rows.context_lens,
                rows.row_starts,
                scale,
                window,
                cap,
                single=rows.single,
                processors=self.processors(query.device),
            )
        if rows.batch is not None and not rows.single:
            return self._rest.attend(query, layer, rows, scale, window, cap)
        tables, contexts = rows.tables, rows.context_lens
        if not rows.single:  # each token as a row of its own
            tables, contexts = token_rows(tables, contexts, rows.row_starts, len(query))
        return attend_by_table(query, layer, tables, contexts, scale, window, cap)

    def processors(self, device: torch.device) -> int:
        """Number of multiprocessors of a device."""
        found = self._processors.get(device)
        if found is None:
            found = torch.cuda.get_device_properties(device).multi_processor_count
            self._processors[device] = found
        return found


def token_rows(
    tables: Tensor, contexts: Tensor, starts: Tensor, tokens: int
) -> tuple[Tensor, Tensor]:
    """The table of each token and the number of positions it sees; 0 beyond the rows.

    [T, W] int32, [T] int64

    Args:
        tables: block ids of each row. [rows, W] int32
        contexts: positions of each row, those of this step included. [rows]
        starts: index of the first token of each row. [rows + 1]
        tokens: T, tokens of the batch, padding included.
    """
    token = torch.arange(tokens, device=tables.device)
    row = torch.searchsorted(starts[1:].contiguous(), token, right=True)
    inside = row < len(contexts)
    row = row.clamp(max=len(contexts) - 1)
    seen = contexts[row] - (starts[row + 1] - 1 - token)
    return tables[row], torch.where(inside, seen, 0)


def attend_by_table(
    query: Tensor,
    layer: Tensor,
    tables: Tensor,
    contexts: Tensor,
    scale: float,
    window: int | None,
    cap: float | None = None,
) -> Tensor:
    """Rows of one token each, in torch: gathers every entry of the tables.  [R, H, D]

    Args:
        query: [R, H, D]
        layer: [num_blocks, 2, block_size, kv_heads, D]
        tables: [R, W] int32
        contexts: 0 gives zeros.  [R] int64
        scale: factor applied to the scores.
        window: how many positions back a token sees, itself included; None for all.
        cap: soft cap of the scaled scores; None for none.
    """
    rows, heads, size = query.shape
    block_size, kv_heads = layer.shape[2], layer.shape[3]
    newest = (contexts - 1)[:, None]
    positions = torch.arange(tables.shape[1] * block_size, device=tables.device)
    behind = newest - positions  # [R, N]
    hidden = behind < 0
    if window is not None:
        hidden = hidden | (behind >= window)
    valid = torch.minimum(positions, newest.clamp(min=0))
    blocks = tables.gather(1, valid // block_size).long()
    kv = layer[blocks, :, valid % block_size]  # [R, N, 2, kv_heads, D]
    keys, values = kv.permute(2, 0, 3, 1, 4).unbind(0)  # [R, kv_heads, N, D]
    queries = query.reshape(rows, kv_heads, heads // kv_heads, size)
    scores = torch.matmul(queries, keys.transpose(-1, -2)).float() * scale
    if cap is not None:
        scores = cap * torch.tanh(scores / cap)
    scores = scores.masked_fill(hidden[:, None, None], float("-inf"))
    weights = torch.softmax(scores, dim=-1).to(values.dtype)
    found = torch.matmul(weights, values).reshape(rows, heads, size)
    return torch.where((contexts > 0)[:, None, None], found, 0.0).to(query.dtype)


def paged_here(device: torch.device) -> bool:
    """Whether the kernels can be compiled for a device."""
    return device.type == "cuda" and has_triton()
