# pyright: basic, reportOptionalMemberAccess=false, reportArgumentType=false
"""New keys and values are stored into the slots of a layer.

Guarantees: each token with a slot is stored there, exactly; a slot of -1 is skipped; nothing else
changes. It knows nothing about sequences.
"""

from __future__ import annotations

import torch

try:
    import triton
    import triton.language as tl
except ImportError:  # torch does the work then
    triton = None

__all__ = ["store_every", "store_kv", "store_kv_triton"]

if triton is not None:

    @triton.jit
    def store_token(
        layer,
        keys,
        values,
        slots,
        block_stride,
        kv_stride,
        size,
        BLOCK_SIZE: tl.constexpr,
        WIDTH: tl.constexpr,
    ):
        """One token's keys and values of one layer.

        layer: [blocks, 2, block_size, heads * numbers]; keys, values: [tokens, heads * numbers];
        slots: block * block_size + offset, or -1. [tokens]
        """
        token = tl.program_id(0).to(tl.int64)
        slot = tl.load(slots + token).to(tl.int64)
        if slot >= 0:
            at = tl.arange(0, WIDTH)
            inside = at < size
            block = slot // BLOCK_SIZE
            place = block * block_stride + (slot % BLOCK_SIZE) * size + at
            key = tl.load(keys + token * size + at, mask=inside)
            value = tl.load(values + token * size + at, mask=inside)
            tl.store(layer + place, key, mask=inside)
            tl.store(layer + place + kv_stride, value, mask=inside)


def store_kv_triton(
    layer: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, slots: torch.Tensor
) -> None:
    """As `store_kv`, by the kernel."""
    tokens = slots.shape[0]
    if not tokens:
        return
    keys = keys.reshape(tokens, -1).contiguous()
    values = values.reshape(tokens, -1).contiguous()
    size = keys.shape[1]
    store_token[(tokens,)](
        layer,
        keys,
        values,
        slots,
        layer.stride(0),
        layer.stride(1),
        size,
        BLOCK_SIZE=layer.shape[2],
        WIDTH=triton.next_power_of_2(size),
    )


def store_kv(
    layer: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, slots: torch.Tensor
) -> None:
    """Stores the keys and values of new tokens.

    Args:
        layer: one layer of a pool. [blocks, 2, block_size, kv_heads, head_dim]
        keys: of the new tokens. [tokens, kv_heads, head_dim]
        values: of the new tokens. [tokens, kv_heads, head_dim]
        slots: block * block_size + offset of each, or -1 for none, int64. [tokens]
    """
    if layer.is_cuda and triton is not None:
        store_kv_triton(layer, keys, values, slots)
        return
    kept = slots >= 0
    if not bool(kept.all()):
        keys, values, slots = keys[kept], values[kept], slots[kept]
    store_every(layer, keys, values, slots)


def store_every(
    layer: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, slots: torch.Tensor
) -> None:
    """As `store_kv` where no slot is -1: the host need not look, so the work can be recorded."""
    if layer.is_cuda and triton is not None:
        store_kv_triton(layer, keys, values, slots)
        return
    blocks, offsets = slots // layer.shape[2], slots % layer.shape[2]
    layer[blocks, 0, offsets] = keys
    layer[blocks, 1, offsets] = values
