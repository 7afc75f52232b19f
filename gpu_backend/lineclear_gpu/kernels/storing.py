# pyright: basic, reportOptionalMemberAccess=false, reportArgumentType=false
"""Stores new keys and values into the slots of a layer.

Guarantees: each token is stored exactly in its slot; nothing else changes. The host reads no slot, so that storing can
be recorded.
"""

from __future__ import annotations

import torch

try:
    import triton
    import triton.language as tl
except ImportError:  # torch is used instead
    triton = None

if triton is not None:

    @triton.jit
    def store_token(
        layer,
        keys,
        values,
        slots,
        block_stride,
        kv_stride,
        key_stride,
        key_head,
        value_stride,
        value_head,
        size,
        HEAD: tl.constexpr,
        BLOCK_SIZE: tl.constexpr,
        WIDTH: tl.constexpr,
    ):
        """One token's keys and values of one layer.

        Args:
            layer: [blocks, 2, block_size, heads * numbers]
            keys: [tokens, heads, HEAD]
            values: [tokens, heads, HEAD]
            slots: block * block_size + offset. [tokens]
            block_stride, kv_stride, key_stride, key_head, value_stride, value_head: strides, in numbers.
            size: numbers of a token's keys.
            HEAD: numbers of a head.
            BLOCK_SIZE: tokens per block.
            WIDTH: the power of two from `size` on.
        """
        token = tl.program_id(0).to(tl.int64)
        slot = tl.load(slots + token).to(tl.int64)
        at = tl.arange(0, WIDTH)
        inside = at < size
        block = slot // BLOCK_SIZE
        place = block * block_stride + (slot % BLOCK_SIZE) * size + at
        head, number = at // HEAD, at % HEAD
        key = tl.load(keys + token * key_stride + head * key_head + number, mask=inside)
        value = tl.load(values + token * value_stride + head * value_head + number, mask=inside)
        tl.store(layer + place, key, mask=inside)
        tl.store(layer + place + kv_stride, value, mask=inside)


def store_kv_triton(
    layer: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, slots: torch.Tensor
) -> None:
    """Implements `store_kv` with the kernel.

    Args:
        layer: see `store_kv`.
        keys: see `store_kv`.
        values: see `store_kv`.
        slots: see `store_kv`.
    """
    tokens = slots.shape[0]
    if not tokens:
        return
    if keys.stride(2) != 1 or values.stride(2) != 1:
        keys, values = keys.contiguous(), values.contiguous()
    size = keys.shape[1] * keys.shape[2]
    store_token[(tokens,)](
        layer,
        keys,
        values,
        slots,
        layer.stride(0),
        layer.stride(1),
        keys.stride(0),
        keys.stride(1),
        values.stride(0),
        values.stride(1),
        size,
        HEAD=keys.shape[2],
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
        slots: block * block_size + offset of each, int64. [tokens]
    """
    if layer.is_cuda and triton is not None:
        store_kv_triton(layer, keys, values, slots)
        return
    blocks, offsets = slots // layer.shape[2], slots % layer.shape[2]
    layer[blocks, 0, offsets] = keys
    layer[blocks, 1, offsets] = values
