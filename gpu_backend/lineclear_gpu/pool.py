# pyright: basic
"""The two block pools: rows of bytes on the GPU and on the host.

Guarantees: a block is one contiguous row in either pool, of the same bytes, so moving a block is one copy; sizes are
checked before anything is allocated. Rows on the host are registered with the device if possible, so that it copies
from and to them directly. Free lists and reference counts belong to the ledger alone.
"""

from __future__ import annotations

import weakref
from typing import Any

import torch

from lineclear_gpu.shape import KVShape, PoolError

__all__ = ["KVPool", "PoolError", "blocks_for"]

#: Host bytes left free when the size of the CPU pool is checked.
SPARE = 1 << 28
#: Spare device blocks behind those of the pool.
SPARE_BLOCKS = 1


class KVPool:
    """KV blocks on a device and on the host.

    Args:
        shape: what a block holds.
        num_gpu_blocks: rows on the device.
        num_cpu_blocks: rows on the host.
        device: device of the GPU pool; `cpu` for tests.

    Attributes:
        whole: the pool on the device, followed by a spare block.
        gpu: the pool on the device. [num_gpu_blocks, layers, 2, block_size, kv_heads, head_dim]
        cpu: the pool on the host. [num_cpu_blocks, layers, 2, block_size, kv_heads, head_dim]
        gpu_rows: the same memory as bytes. [num_gpu_blocks, block_bytes]
        cpu_rows: the same memory as bytes. [num_cpu_blocks, block_bytes]
        made: how the host memory was allocated: registered, pinned or plain.
    """

    def __init__(
        self,
        shape: KVShape,
        num_gpu_blocks: int,
        num_cpu_blocks: int,
        device: torch.device | str = "cpu",
    ) -> None:
        """Checks the sizes and allocates; all bytes are zero."""
        self.shape = shape
        self.device = torch.device(device)
        if num_gpu_blocks < 1 or num_cpu_blocks < 0:
            raise PoolError(
                f"a pool needs at least 1 GPU block and 0 CPU blocks, not {num_gpu_blocks} and "
                f"{num_cpu_blocks}"
            )
        if self.device.type == "cuda" and not torch.cuda.is_available():
            raise PoolError("there is no CUDA device here; use device cpu")
        wanted = (num_gpu_blocks + SPARE_BLOCKS) * shape.block_bytes
        free, total = available(self.device)
        if wanted > free:
            raise PoolError(
                f"{num_gpu_blocks:,} blocks of {shape.block_bytes:,} bytes and a spare one are "
                f"{wanted:,} bytes; {free:,} of {total:,} are free on {self.device}: ask for "
                f"{max(0, free // shape.block_bytes - SPARE_BLOCKS):,} blocks at most"
            )
        host = num_cpu_blocks * shape.block_bytes
        spare = available(torch.device("cpu"))[0] - SPARE
        if self.device.type == "cpu":
            spare -= wanted
        if num_cpu_blocks and host > spare:
            raise PoolError(
                f"{num_cpu_blocks:,} CPU blocks of {shape.block_bytes:,} bytes are {host:,} "
                f"bytes; the host has {max(0, spare):,} to spare: ask for "
                f"{max(0, spare) // shape.block_bytes:,} at most"
            )
        self.whole = torch.zeros(
            (num_gpu_blocks + SPARE_BLOCKS, *shape.of_block), dtype=shape.dtype, device=self.device
        )
        self.gpu = self.whole[:num_gpu_blocks]
        self.cpu_rows, self.made = host_rows(num_cpu_blocks, shape.block_bytes, self.device)
        self.cpu = self.cpu_rows.view(shape.dtype).view(num_cpu_blocks, *shape.of_block)
        self.gpu_rows = self.gpu.view(num_gpu_blocks, -1).view(torch.uint8)
        # Memory that stays registered after it is freed cannot be registered again.
        registered = self.made == "registered"
        self._release = weakref.finalize(self, release, self.cpu_rows) if registered else None

    @property
    def num_gpu_blocks(self) -> int:
        """Number of blocks on the device."""
        return self.gpu.shape[0]

    @property
    def num_cpu_blocks(self) -> int:
        """Number of blocks on the host."""
        return self.cpu.shape[0]

    @property
    def trash(self) -> int:
        """The spare block, into which padding rows store; no plan can name it."""
        return self.gpu.shape[0]

    def layer(self, index: int) -> torch.Tensor:
        """One layer's keys and values, the spare block last.

        [num_gpu_blocks + 1, 2, block_size, kv_heads, head_dim]
        """
        return self.whole[:, index]

    def poison(self, blocks: list[int]) -> None:
        """Overwrites device blocks with NaN, so that any read of one shows.

        It is done when this returns: it runs on the current stream, and operations on streams of
        their own are not ordered behind that one.
        """
        if blocks:
            self.gpu[torch.tensor(blocks, device=self.device)] = float("nan")
            if self.device.type == "cuda":
                torch.cuda.synchronize(self.device)

    def close(self) -> None:
        """Unregisters host memory; so does deleting the pool."""
        if self._release is not None:
            self._release()


def blocks_for(
    shape: KVShape, device: torch.device | str, utilization: float = 0.9, reserved: int = 0
) -> int:
    """Number of blocks that fit into this share of the device's memory, weights included.

    Args:
        shape: what a block holds.
        device: the device.
        utilization: usable share of the device's memory.
        reserved: bytes of it kept for anything but blocks.

    Raises:
        PoolError: not even one fits.
    """
    if not 0 < utilization <= 1:
        raise PoolError(f"gpu_memory_utilization must be above 0 and at most 1, not {utilization}")
    free, total = available(torch.device(device))
    room = int(total * utilization) - (total - free) - reserved
    count = max(0, room) // shape.block_bytes - SPARE_BLOCKS
    if count < 1:
        raise PoolError(
            f"{total - free:,} of {total:,} bytes are in use already and {reserved:,} are kept for "
            f"activations and graphs; at a utilization of {utilization} there is no room for one "
            f"block of {shape.block_bytes:,}"
        )
    return count


# ---- memory ------------------------------------------------------------------------------------


def available(device: torch.device) -> tuple[int, int]:
    """Free and total bytes of the device; of the host if it is the CPU."""
    if device.type == "cuda":
        free, total = torch.cuda.mem_get_info(device)
        return int(free), int(total)
    try:
        with open("/proc/meminfo", encoding="ascii") as file:
            lines = dict(line.split(":", 1) for line in file)
        return tuple(int(lines[name].split()[0]) * 1024 for name in ("MemAvailable", "MemTotal"))  # type: ignore[return-value]
    except (OSError, KeyError, ValueError):
        return 1 << 62, 1 << 62  # unknown: let the allocation fail


def host_rows(rows: int, row_bytes: int, device: torch.device) -> tuple[torch.Tensor, str]:
    """Rows of bytes on the host, and how they were allocated: registered, pinned or plain.

    Touching pages and registering them takes a quarter of the time of pinned allocation.

    Returns:
        A tensor of uint8, and how it was allocated. [rows, row_bytes]
    """
    if device.type != "cuda" or rows == 0:
        return torch.zeros((rows, row_bytes), dtype=torch.uint8), "plain"
    made = torch.empty((rows, row_bytes), dtype=torch.uint8)
    made.zero_()  # touches every page
    runtime: Any = torch.cuda.cudart()  # type: ignore[no-untyped-call]
    status = runtime.cudaHostRegister(made.data_ptr(), made.numel(), 0)
    if int(status) == 0:
        return made, "registered"
    del made
    return torch.zeros((rows, row_bytes), dtype=torch.uint8).pin_memory(), "pinned"


def release(rows: torch.Tensor) -> None:
    """Unregisters memory that is no longer used."""
    runtime: Any = torch.cuda.cudart()  # type: ignore[no-untyped-call]
    torch.cuda.synchronize()
    runtime.cudaHostUnregister(rows.data_ptr())
