"""Sends the arrays of a step to the device: packed, one copy, three buffers in rotation.

Guarantees: a pinned buffer is rewritten only after the copy that reads it is done, however late
that copy is (race R9 of the backend's rules: metadata rewritten while its copy is in flight).
Without a GPU the arrays are copied as they are.
"""
# pyright: basic

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

BUFFERS = 3
#: torch.cuda, whose events carry no types.
cuda: Any = torch.cuda
#: Every array starts at a multiple of this many bytes.
ALIGNED = 16

TYPES: dict[str, torch.dtype] = {
    "int32": torch.int32,
    "int64": torch.int64,
    "float32": torch.float32,
    "float64": torch.float64,
}


class Buffer:
    """Pinned bytes, and the event of the copy that last read them."""

    __slots__ = ("array", "event", "host")

    def __init__(self, size: int) -> None:
        """Allocates a buffer that no copy reads."""
        self.host = torch.empty(size, dtype=torch.uint8, pin_memory=True)
        self.array = self.host.numpy()
        self.event: Any = cuda.Event()


class Staging:
    """Sends arrays to a device, on the stream that is current there.

    Args:
        device: the target device.
        buffers: number of steps in transit before the host waits.
    """

    def __init__(self, device: torch.device, buffers: int = BUFFERS) -> None:
        """Memory is allocated with the first step."""
        self.device = device
        self._ring: list[Buffer | None] = [None] * buffers
        self._turn = 0

    def send(self, arrays: Mapping[str, np.ndarray[Any, Any]]) -> dict[str, Tensor]:
        """Copies of the arrays on the device, of the same types, shapes and names.

        The host's arrays may change as soon as this returns.
        """
        if self.device.type != "cuda":
            return {name: torch.from_numpy(array.copy()) for name, array in arrays.items()}
        places: dict[str, tuple[int, int]] = {}
        total = 0
        for name, array in arrays.items():
            places[name] = total, array.nbytes
            total += -(-array.nbytes // ALIGNED) * ALIGNED
        buffer = self._next(max(total, ALIGNED))
        for name, array in arrays.items():
            start, size = places[name]
            buffer.array[start : start + size] = (
                np.ascontiguousarray(array).reshape(-1).view(np.uint8)
            )
        sent = self._copy(buffer, max(total, ALIGNED))
        buffer.event.record()
        return {
            name: sent[start : start + size]
            .view(TYPES[arrays[name].dtype.name])
            .view(arrays[name].shape)
            for name, (start, size) in places.items()
        }

    def into(self, target: Tensor, write: Callable[[Any], object]) -> None:
        """Copies bytes to a byte tensor on the device, on its current stream.

        Args:
            target: the bytes of earlier work on the stream may still be read when this returns.
            write: fills a host array of as many bytes.
        """
        size = target.numel()
        if self.device.type != "cuda":
            array = np.empty(size, dtype=np.uint8)
            write(array)
            target.copy_(torch.from_numpy(array))
            return
        buffer = self._next(size)
        write(buffer.array[:size])
        target.copy_(buffer.host[:size], non_blocking=True)
        buffer.event.record()

    def _copy(self, buffer: Buffer, size: int) -> Tensor:
        """Copies bytes to the device, in stream order."""
        sent = torch.empty(size, dtype=torch.uint8, device=self.device)
        return sent.copy_(buffer.host[:size], non_blocking=True)

    def _next(self, size: int) -> Buffer:
        self._turn = (self._turn + 1) % len(self._ring)
        buffer = self._ring[self._turn]
        if buffer is not None:
            buffer.event.synchronize()
        if buffer is None or len(buffer.host) < size:
            buffer = self._ring[self._turn] = Buffer(max(4096, 2 * size))
        return buffer


def fetch(tensor: Tensor) -> Tensor:
    """A copy on the host, valid once the current stream has passed it.

    The allocator reuses the pinned memory only after the copy is done.
    """
    if tensor.device.type != "cuda":
        return tensor
    host = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True)
    return host.copy_(tensor, non_blocking=True)
