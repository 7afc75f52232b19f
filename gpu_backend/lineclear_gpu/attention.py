"""Attention of a step over the block pool: the interface, and gather + SDPA as its reference.

Guarantees: a row attends only to its own context. No slot beyond a context affects a result, whatever it holds, NaN
included: where lengths differ, padding is a valid slot of the same row, and is masked. A sliding window is a mask;
blocks that leave the window stay allocated. A soft cap replaces each score s by cap * tanh(s / cap), before masks.

Layers are views of the pool, [num_blocks, 2, block_size, kv_heads, head_dim], keys before values.
"""
# pyright: basic

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field

import numpy as np
import torch
import torch.nn.functional as functional
from torch import Tensor

from lineclear_gpu.batch import Batch

#: Decode rows are padded to one length unless that gathers more than this many times the slots.
PADDING = 1.5
#: The fast kernels need rows of a mask to start at multiples of this many elements.
ALIGNED = 16


@dataclass(eq=False)
class Rows:
    """The rows of a step for attention: host arrays and their copies on the device.

    Attributes:
        batch: the host arrays; None while a graph that serves any batch is recorded.
        tables: [R, W] int32, on the device.
        context_lens: [R] int64, on the device.
        row_starts: [R + 1] int64, on the device.
        slots: where new KV is stored.  [T] int64, on the device
        block_size: tokens per block.
        dtype: type of queries, keys and values.
        single: whether every row has one token. Sizes cannot show it: a recorded step has rows
            without tokens and tokens without a row.
        cache: what a backend prepares once per step and uses in every layer.
    """

    batch: Batch | None
    tables: Tensor
    context_lens: Tensor
    row_starts: Tensor
    slots: Tensor
    block_size: int
    dtype: torch.dtype
    single: bool
    cache: dict[object, object] = field(default_factory=dict)

    @property
    def device(self) -> torch.device:
        """The device of the pool."""
        return self.tables.device

    @property
    def host(self) -> Batch:
        """The host's arrays.

        Raises:
            RuntimeError: there are none, because a graph is being recorded.
        """
        if self.batch is None:
            raise RuntimeError(
                "this attention reads lengths on the host, so it cannot be recorded"
            )
        return self.batch

    @classmethod
    def of(cls, batch: Batch, block_size: int, dtype: torch.dtype, device: torch.device) -> Rows:
        """Rows of a batch, each array sent by itself; for tests and small tools.

        Args:
            batch: the rows on the host.
            block_size: tokens per block.
            dtype: type of the KV.
            device: where the arrays go.
        """
        names = ("tables", "context_lens", "row_starts", "slots")
        arrays = (torch.from_numpy(getattr(batch, name)).to(device) for name in names)
        tables, contexts, starts, slots = arrays
        single = bool((batch.lengths == 1).all())
        return cls(batch, tables, contexts, starts, slots, block_size, dtype, single)


class AttentionBackend(ABC):
    """Computes attention over the pool. One object serves one runner."""

    #: The name that users choose.
    name: str
    #: Whether it implements a soft cap; if not, models with one are rejected.
    caps = True

    @abstractmethod
    def attend(
        self,
        query: Tensor,
        layer: Tensor,
        rows: Rows,
        scale: float,
        window: int | None,
        cap: float | None = None,
    ) -> Tensor:
        """Attention output of each token; new KV is already in the layer.  [T, H, D]

        Args:
            query: [T, H, D]; H is a multiple of the layer's kv_heads, and heads that share a KV head lie together.
            layer: [num_blocks, 2, block_size, kv_heads, head_dim], any strides.
            rows: the rows of the step.
            scale: factor applied to the scores.
            window: how many positions back a token sees, itself included; None for all.
            cap: soft cap of the scaled scores; None for none.
        """


@dataclass(frozen=True, eq=False)
class DecodeGroup:
    """Decode rows computed in one call, padded to one length.

    Attributes:
        tokens: their tokens, None for every token in order.  [B]
        blocks: block of each position.  [B, N]
        offsets: offset of each position.  [B, N]
        behind: distance of each position to the newest one, negative in the padding.  [B, N]
        masks: added to the scores, by window.  [B, 1, 1, N]
    """

    tokens: Tensor | None
    blocks: Tensor
    offsets: Tensor
    behind: Tensor
    masks: dict[int | None, Tensor] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Stretch:
    """A row of several tokens.

    Attributes:
        start, end: its tokens.
        blocks: block of each position of its context.  [N]
        offsets: offset of each position.  [N]
        masks: added to the scores, by window.  [tokens, N]
    """

    start: int
    end: int
    blocks: Tensor
    offsets: Tensor
    masks: dict[int | None, Tensor] = field(default_factory=dict)

    @property
    def whole(self) -> bool:
        """Whether the row computes its whole context, from position 0."""
        return self.end - self.start == len(self.blocks)


def buckets(lengths: np.ndarray) -> list[np.ndarray]:
    """Row indices, grouped by padded length: one group, or one per power of two."""
    if lengths.max() * len(lengths) <= PADDING * lengths.sum():
        return [np.arange(len(lengths))]
    power = np.ceil(np.log2(np.maximum(lengths, 64))).astype(np.int64)
    return [np.flatnonzero(power == each) for each in np.unique(power)]


def weigh(
    queries: Tensor,
    keys: Tensor,
    values: Tensor,
    mask: Tensor,
    scale: float,
    cap: float | None,
) -> Tensor:
    """Attention with a mask that is added to the scores.  [B, H, T, D]

    Torch's scaled_dot_product_attention has no soft cap, so with one the scores are written out.

    Args:
        queries: [B, H, T, D]
        keys: [B, H, N, D]
        values: [B, H, N, D]
        mask: added to the scores, 0 or minus infinity; broadcast to [B, H, T, N].
        scale: factor of the scores.
        cap: soft cap of the scores, None for none.
    """
    if cap is None:
        return functional.scaled_dot_product_attention(
            queries, keys, values, attn_mask=mask, scale=scale
        )
    scores = torch.matmul(queries, keys.transpose(-1, -2)).float() * scale
    scores = cap * torch.tanh(scores / cap) + mask
    return torch.matmul(torch.softmax(scores, dim=-1).to(values.dtype), values)


class Gather(AttentionBackend):
    """Copies each row's KV out of the pool, then torch's scaled_dot_product_attention.

    Decode rows are batched into few calls: heads that share a KV head are passed as so many
    queries, so keys and values are not repeated. Rows of several tokens go one by one.
    """

    name = "gather"

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
        groups, stretches = self._parts(rows)
        if not stretches and len(groups) == 1 and groups[0].tokens is None:
            return self._decode(query, layer, groups[0], scale, window, cap)
        out = torch.empty_like(query, memory_format=torch.contiguous_format)
        for group in groups:
            chosen = query if group.tokens is None else query.index_select(0, group.tokens)
            result = self._decode(chosen, layer, group, scale, window, cap)
            if group.tokens is None:
                out.copy_(result)
            else:
                out.index_copy_(0, group.tokens, result)
        for stretch in stretches:
            part = query[stretch.start : stretch.end]
            result = self._prefill(part, layer, stretch, scale, window, cap)
            out[stretch.start : stretch.end] = result
        return out

    # ---- once a step ---------------------------------------------------------------------------

    def _parts(self, rows: Rows) -> tuple[list[DecodeGroup], list[Stretch]]:
        found = rows.cache.get(self)
        if found is None:
            found = rows.cache[self] = self._groups(rows), self._stretches(rows)
        return found  # type: ignore[return-value]

    def _groups(self, rows: Rows) -> list[DecodeGroup]:
        batch, size = rows.host, rows.block_size
        decodes = np.flatnonzero(batch.lengths == 1)
        if not len(decodes):
            return []
        groups: list[DecodeGroup] = []
        for bucket in buckets(batch.context_lens[decodes]):
            chosen = decodes[bucket]
            longest = int(batch.context_lens[chosen].max())
            longest += -longest % ALIGNED
            if len(chosen) == batch.rows:  # every row, in order: no index is needed
                tables, contexts, tokens = rows.tables, rows.context_lens, None
            else:
                index = torch.from_numpy(chosen).to(rows.device)
                tables = rows.tables.index_select(0, index)
                contexts = rows.context_lens.index_select(0, index)
                tokens = rows.row_starts.index_select(0, index)
            newest = (contexts - 1)[:, None]
            positions = torch.arange(longest, device=rows.device)
            behind = newest - positions
            valid = torch.minimum(positions, newest)
            blocks = tables.gather(1, valid // size).long()
            groups.append(DecodeGroup(tokens, blocks, valid % size, behind))
        return groups

    def _stretches(self, rows: Rows) -> list[Stretch]:
        batch, size = rows.host, rows.block_size
        found: list[Stretch] = []
        for row in np.flatnonzero(batch.lengths > 1).tolist():
            positions = torch.arange(int(batch.context_lens[row]), device=rows.device)
            blocks = rows.tables[row].long().index_select(0, positions // size)
            start, end = int(batch.row_starts[row]), int(batch.row_starts[row + 1])
            found.append(Stretch(start, end, blocks, positions % size))
        return found

    # ---- once a layer --------------------------------------------------------------------------

    def _decode(
        self,
        query: Tensor,
        layer: Tensor,
        group: DecodeGroup,
        scale: float,
        window: int | None,
        cap: float | None,
    ) -> Tensor:
        rows, heads, size = query.shape
        kv_heads = layer.shape[3]
        kv = layer[group.blocks, :, group.offsets]  # [B, N, 2, kv_heads, D]
        keys, values = kv.permute(2, 0, 3, 1, 4).unbind(0)  # [B, kv_heads, N, D]
        mask = group.masks.get(window)
        if mask is None:
            hidden = group.behind < 0
            if window is not None:
                hidden = hidden | (group.behind >= window)
            mask = torch.zeros(hidden.shape, dtype=query.dtype, device=query.device)
            mask = mask.masked_fill_(hidden, float("-inf"))[:, None, None]
            group.masks[window] = mask
        shared = heads // kv_heads
        queries = query.reshape(rows, kv_heads, shared, size)
        mask = mask.expand(rows, kv_heads, shared, mask.shape[-1])
        return weigh(queries, keys, values, mask, scale, cap).reshape(rows, heads, size)

    def _prefill(
        self,
        query: Tensor,
        layer: Tensor,
        stretch: Stretch,
        scale: float,
        window: int | None,
        cap: float | None,
    ) -> Tensor:
        shared = query.shape[1] // layer.shape[3]
        kv = layer[stretch.blocks, :, stretch.offsets]  # [N, 2, kv_heads, D]
        if shared > 1:
            kv = kv.repeat_interleave(shared, dim=2)
        keys, values = kv.permute(1, 2, 0, 3).unsqueeze(1).unbind(0)  # [1, H, N, D]
        context = keys.shape[2]
        if stretch.whole and cap is None and (window is None or window >= context):
            result = functional.scaled_dot_product_attention(
                query.transpose(0, 1)[None], keys, values, is_causal=True, scale=scale
            )
            return result[0].transpose(0, 1)
        mask = stretch.masks.get(window)
        if mask is None:
            tokens, width = len(query), context + -context % ALIGNED
            own = torch.arange(context - tokens, context, device=query.device)[:, None]
            behind = own - torch.arange(width, device=query.device)
            hidden = behind < 0
            if window is not None:
                hidden = hidden | (behind >= window)
            mask = torch.zeros(hidden.shape, dtype=query.dtype, device=query.device)
            mask = mask.masked_fill_(hidden, float("-inf"))[:, :context]
            stretch.masks[window] = mask
        result = weigh(query.transpose(0, 1)[None], keys, values, mask, scale, cap)
        return result[0].transpose(0, 1)
