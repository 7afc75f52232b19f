"""Attention on a GPU with torch's flash kernel, for rows of any length, on gathered KV.

Guarantees: each row's context is copied out of the pool exactly, without padding, so no slot
beyond it is read. One call serves decodes and chunks together; heads that share a KV head are not
repeated. Only 16-bit types on a GPU: see `usable`.
"""
# pyright: basic

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from lineclear_gpu.attention import AttentionBackend, Rows

__all__ = ["Packed", "Varlen", "usable"]


@dataclass(frozen=True, eq=False)
class Packed:
    """Concatenated rows.

    Attributes:
        blocks: block of every position of every context.  [sum of contexts]
        offsets: offset of the same.  [sum of contexts]
        query_starts: first token of each row, then T.  [R + 1] int32
        context_starts: first position of each row's context, then their sum.  [R + 1] int32
        longest_query: tokens of the longest row.
        longest_context: positions of the longest context.
    """

    blocks: Tensor
    offsets: Tensor
    query_starts: Tensor
    context_starts: Tensor
    longest_query: int
    longest_context: int


#: (query [T, H, D], keys, values [N, kv_heads, D], packed, scale, window) -> [T, H, D]
Kernel = Callable[[Tensor, Tensor, Tensor, Packed, float, "int | None"], Tensor]


def flash(
    query: Tensor, keys: Tensor, values: Tensor, packed: Packed, scale: float, window: int | None
) -> Tensor:
    """Torch's kernel; a row's last token is aligned with the last position of its context.

    Args:
        query: [T, H, D]
        keys: [N, kv_heads, D]
        values: [N, kv_heads, D]
        packed: where each row's tokens and positions begin.
        scale: factor of the scores.
        window: tokens that a position attends to, None for all.
    """
    found = torch.ops.aten._flash_attention_forward(
        query,
        keys,
        values,
        packed.query_starts,
        packed.context_starts,
        packed.longest_query,
        packed.longest_context,
        0.0,
        True,
        False,
        scale=scale,
        window_size_left=-1 if window is None else window - 1,
        window_size_right=0,
    )
    result: Tensor = found[0]
    return result


def usable(dtype: torch.dtype, device: torch.device, head_dim: int) -> bool:
    """Whether torch's kernel supports these."""
    half = dtype in (torch.float16, torch.bfloat16)
    return device.type == "cuda" and half and head_dim % 8 == 0 and head_dim <= 256


class Varlen(AttentionBackend):
    """Gathers every context, then calls one kernel for rows of any length.

    Args:
        kernel: replaces torch's, in tests on the CPU.
    """

    name = "varlen"
    caps = False  # the operator of torch's kernel has no argument for it

    def __init__(self, kernel: Kernel = flash) -> None:
        """Prepares nothing yet."""
        self.kernel = kernel

    def attend(
        self,
        query: Tensor,
        layer: Tensor,
        rows: Rows,
        scale: float,
        window: int | None,
        cap: float | None = None,
    ) -> Tensor:
        """See `AttentionBackend.attend`.

        Raises:
            ValueError: there is a soft cap.
        """
        if cap is not None:
            raise ValueError("varlen attention has no soft cap; use paged or gather attention")
        found = rows.cache.get(self)
        if not isinstance(found, Packed):
            found = rows.cache[self] = self.pack(rows)
        keys, values = layer[found.blocks, :, found.offsets].unbind(1)  # [N, kv_heads, D]
        return self.kernel(query, keys, values, found, scale, window)

    @staticmethod
    def pack(rows: Rows) -> Packed:
        """Block and offset of every position."""
        contexts = rows.host.context_lens
        total = int(contexts.sum())
        ends = rows.context_lens.cumsum(0)
        row = torch.repeat_interleave(
            torch.arange(len(contexts), device=rows.device), rows.context_lens, output_size=total
        )
        starts = torch.nn.functional.pad(ends, (1, 0))
        position = torch.arange(total, device=rows.device) - starts[row]
        return Packed(
            blocks=rows.tables[row, position // rows.block_size].long(),
            offsets=position % rows.block_size,
            query_starts=rows.row_starts.int(),
            context_starts=starts.int(),
            longest_query=int(np.max(rows.host.lengths)),
            longest_context=int(contexts.max()),
        )
