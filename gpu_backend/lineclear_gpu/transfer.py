# pyright: basic
"""Copies of blocks between the two pools.

Guarantees: every target row holds its source's bytes once the stream has passed the copy; nothing else changes. The
targets of one call are distinct and the call reads none of them. Order between calls is up to the streams.

On a GPU one driver call submits all copies (cuMemcpyBatchAsync), each a run of adjacent rows in both pools. Copies of
one call are not ordered among themselves, which is why targets must be distinct. Long lists are issued in pieces, the
first one short: the host prepares a piece while the copies before it run. Small blocks move faster by a kernel that
reads and writes host memory itself; `KERNEL_BELOW` is the limit, measured by `benchmarks/gpu.py`.
"""

from __future__ import annotations

import ctypes
from itertools import chain
from typing import Any

import numpy as np
import torch

from lineclear_gpu.kernels.copying import OVER_LINK, copy_rows_triton, has_triton
from lineclear_gpu.pool import KVPool

Pairs = list[tuple[int, int]]

#: Runs of fewer bytes than this, on average, are copied by a kernel.
KERNEL_BELOW = 128 * 1024

#: Copies in the first piece of a call, of small blocks and of others: a kernel takes as long to launch
#: as many small blocks to copy. Each next piece is longer by this factor.
FIRST_SMALL, FIRST, GROWTH = 256, 64, 2

#: Up to this many copies it pays to sort them before looking for runs.
SORTED_UP_TO = 2048


def runs(sources: Any, targets: Any) -> tuple[Any, Any, Any]:
    """Merges copies of rows that are adjacent on both sides.

    Args:
        sources: rows to copy from, int64. [copies]
        targets: rows to copy to, int64. [copies]

    Returns:
        First source, first target and number of rows of each run. [runs] each
    """
    sources, targets = np.asarray(sources), np.asarray(targets)
    if len(sources) <= SORTED_UP_TO:
        order = np.argsort(sources, kind="stable")
        sources, targets = sources[order], targets[order]
    breaks = np.flatnonzero((np.diff(sources) != 1) | (np.diff(targets) != 1)) + 1
    starts = np.concatenate(([0], breaks))
    lengths = np.diff(np.concatenate((starts, [len(sources)])))
    return sources[starts], targets[starts], lengths


class _Location(ctypes.Structure):
    _fields_ = (("kind", ctypes.c_int), ("id", ctypes.c_int))


class _Attributes(ctypes.Structure):
    """CUmemcpyAttributes: order of access to the source, location of both sides, flags."""

    _fields_ = (
        ("order", ctypes.c_int),
        ("source", _Location),
        ("target", _Location),
        ("flags", ctypes.c_uint),
    )


#: CU_MEMCPY_SRC_ACCESS_ORDER_STREAM: the source is read in stream order.
IN_STREAM_ORDER = 1


def driver_batch() -> Any:
    """The driver's batched copy, or None if it lacks one."""
    try:
        found = ctypes.CDLL("libcuda.so.1").cuMemcpyBatchAsync_v2
    except (OSError, AttributeError):
        return None
    found.restype = ctypes.c_int
    found.argtypes = [
        ctypes.c_void_p,
        ctypes.c_void_p,
        ctypes.c_void_p,
        ctypes.c_size_t,
        ctypes.c_void_p,
        ctypes.c_void_p,
        ctypes.c_size_t,
        ctypes.c_void_p,
    ]
    return found


class Transfer:
    """Copies rows between the pools.

    Args:
        pool: both pools.
        way: auto, batch, kernel or rows; auto decides by the size of the runs.

    Attributes:
        bytes_out: bytes copied to the host so far.
        bytes_in: bytes copied to the device so far.
    """

    WAYS = ("auto", "batch", "kernel", "rows")

    def __init__(self, pool: KVPool, way: str = "auto") -> None:
        """Looks for the driver's batched copy."""
        if way not in self.WAYS:
            raise ValueError(f"way must be one of {', '.join(self.WAYS)}, not {way!r}")
        self.pool = pool
        self.way = way
        self.cuda = pool.device.type == "cuda"
        self._batch = driver_batch() if self.cuda else None
        if way == "batch" and self._batch is None:
            raise RuntimeError("this driver has no cuMemcpyBatchAsync_v2; use way=kernel")
        self.bytes_out = 0
        self.bytes_in = 0

    def out(self, pairs: Pairs) -> None:
        """Copies device rows to the host; (device row, host row) each."""
        self.bytes_out += self._copy(self.pool.gpu_rows, self.pool.cpu_rows, pairs)

    def into(self, pairs: Pairs) -> None:
        """Copies host rows to the device; (host row, device row) each."""
        self.bytes_in += self._copy(self.pool.cpu_rows, self.pool.gpu_rows, pairs)

    def _copy(self, source: torch.Tensor, target: torch.Tensor, pairs: Pairs) -> int:
        """Copies on the current stream; returns the number of bytes.

        Raises:
            IndexError, ValueError: a row does not exist, or two copies have one target; no copy of
                this call is running then, though some may have been made.
        """
        begin, length = 0, FIRST_SMALL if source.shape[1] < KERNEL_BELOW else FIRST
        taken = np.zeros(target.shape[0] if length < len(pairs) else 0, dtype=np.bool_)
        while begin < len(pairs):
            piece = pairs[begin : begin + length]
            try:
                self._copy_piece(source, target, piece, taken)
            except (IndexError, ValueError):
                if begin and self.cuda:
                    torch.cuda.current_stream(self.pool.device).synchronize()
                raise
            begin += length
            length *= GROWTH
        return source.shape[1] * len(pairs)

    def _copy_piece(
        self, source: torch.Tensor, target: torch.Tensor, pairs: Pairs, taken: Any
    ) -> None:
        """Checks and issues some copies of a call.

        Args:
            source: rows of one pool.
            target: rows of the other.
            pairs: source and target row of each copy.
            taken: whether a row is the target of an earlier piece; empty if there is one piece.
        """
        flat = chain.from_iterable(pairs)
        table = np.fromiter(flat, dtype=np.int64, count=2 * len(pairs)).reshape(-1, 2)
        rows, places = table[:, 0], table[:, 1]  # [copies] each
        for side, tensor in ((rows, source), (places, target)):
            if side.min() < 0 or side.max() >= tensor.shape[0]:
                raise IndexError(f"block {side.min()}..{side.max()} of {tensor.shape[0]}")
        if np.bincount(places).max() > 1 or (len(taken) and taken[places].any()):
            raise ValueError("two copies of one call have the same target")
        if len(taken):
            taken[places] = True
        size = source.shape[1]
        if not self.cuda:
            target[torch.from_numpy(places)] = source[torch.from_numpy(rows)]
            return
        starts, ends, lengths = runs(rows, places)
        way = self.way
        if (
            way in ("auto", "batch")
            and not torch.cuda.current_stream(self.pool.device).cuda_stream
        ):
            way = "rows"  # the driver takes no batch on the legacy default stream
        if way == "auto":
            small = size * len(pairs) < KERNEL_BELOW * len(starts)
            reachable = self.pool.made in ("registered", "pinned") and has_triton()
            way = "rows" if self._batch is None else "batch"
            if small and reachable and len(pairs) > 2:
                way = "kernel"
        if way == "batch":
            self._by_batch(source, target, starts, ends, lengths)
        elif way == "kernel":
            pinned = torch.from_numpy(table.astype(np.int32)).pin_memory()
            sent = pinned.to(self.pool.device, non_blocking=True)
            copy_rows_triton(source, target, sent, *OVER_LINK)
        else:
            for start, end, length in zip(starts, ends, lengths, strict=True):
                target[end : end + length].copy_(source[start : start + length], non_blocking=True)

    def _by_batch(
        self, source: torch.Tensor, target: torch.Tensor, starts: Any, ends: Any, lengths: Any
    ) -> None:
        """One driver call for all runs."""
        size = source.shape[1]
        sources = np.ascontiguousarray(source.data_ptr() + starts * size, dtype=np.uint64)
        targets = np.ascontiguousarray(target.data_ptr() + ends * size, dtype=np.uint64)
        sizes = np.ascontiguousarray(lengths * size, dtype=np.uint64)
        attributes = _Attributes(order=IN_STREAM_ORDER)
        first = np.zeros(1, dtype=np.uint64)
        stream = torch.cuda.current_stream(self.pool.device).cuda_stream
        assert self._batch is not None
        status = self._batch(
            targets.ctypes.data,
            sources.ctypes.data,
            sizes.ctypes.data,
            len(sizes),
            ctypes.addressof(attributes),
            first.ctypes.data,
            1,
            stream,
        )
        if status:
            raise RuntimeError(f"cuMemcpyBatchAsync failed with code {status}")
