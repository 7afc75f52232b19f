# pyright: basic
"""Memory layout of one block's KV.

Guarantees: every size is a whole number of bytes, computed exactly.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}


class PoolError(ValueError):
    """A pool that cannot be allocated; the message gives the numbers on one line."""


@dataclass(frozen=True, slots=True)
class KVShape:
    """Keys and values of all layers for the tokens of one block.

    Attributes:
        layers: attention layers.
        kv_heads: heads of keys and values in each layer.
        head_dim: numbers in one head's key or value.
        block_size: tokens in a block, 1 to 256; attention kernels want 8 or more.
        dtype: float32, float16 or bfloat16.
    """

    layers: int
    kv_heads: int
    head_dim: int
    block_size: int
    dtype: torch.dtype = torch.float32

    def __post_init__(self) -> None:
        """Rejects invalid sizes.

        Raises:
            PoolError: names the size, its value and its limit.
        """
        for name in ("layers", "kv_heads", "head_dim", "block_size"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise PoolError(f"{name} must be a whole number of at least 1, not {value!r}")
        if self.block_size > 256:
            raise PoolError(f"block_size must be at most 256, not {self.block_size}")
        if self.dtype not in DTYPES.values():
            raise PoolError(f"dtype must be one of {', '.join(DTYPES)}, not {self.dtype}")

    @property
    def of_block(self) -> tuple[int, int, int, int, int]:
        """Shape of one block: layers, keys and values, slots, heads, numbers."""
        return (self.layers, 2, self.block_size, self.kv_heads, self.head_dim)

    @property
    def token_bytes(self) -> int:
        """Bytes of one token's KV in all layers."""
        return 2 * self.layers * self.kv_heads * self.head_dim * self.dtype.itemsize

    @property
    def block_bytes(self) -> int:
        """Bytes of one block; a block is one contiguous row of a pool."""
        return self.token_bytes * self.block_size
