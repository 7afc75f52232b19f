"""Records work once and replays it with one launch, on the current content of its tensors.

Guarantees: a replay does what the recorded work did, to the same tensors. Work that cannot be recorded raises and
leaves nothing to replay; other work can be recorded afterwards. The garbage collector is off while work is recorded:
it may free graphs of an engine that is gone, which CUDA forbids during a capture and which makes the capture fail.

On a GPU this is a CUDA graph; tests stand in for it on any device (`tests/support/stand_ins.py`).
"""
# pyright: basic

from __future__ import annotations

import gc
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Recorded:
    """Work that can be replayed.

    Attributes:
        replay: runs it, on the current stream.
        out: its result; the next replay overwrites it.
        free: releases what the device holds for it; it cannot be replayed afterwards.
    """

    replay: Callable[[], object]
    out: Tensor
    free: Callable[[], object] = lambda: None


@contextmanager
def collector_off() -> Iterator[None]:
    """No garbage is collected inside; afterwards it is if it was before."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


class Graphs(ABC):
    """Records work."""

    def record(self, work: Callable[[], Tensor]) -> Recorded:
        """Runs the work at least once and records it.

        Raises:
            RuntimeError: the work cannot be recorded.
        """
        with collector_off():
            return self._record(work)

    @abstractmethod
    def _record(self, work: Callable[[], Tensor]) -> Recorded:
        """Implements `record`, while no garbage is collected."""

    def bytes(self) -> int:
        """Device memory held by recorded work, 0 where it is not measured."""
        return 0


class CudaGraphs(Graphs):
    """CUDA graphs that share one memory pool, because they never run concurrently.

    Args:
        device: the GPU.
    """

    def __init__(self, device: torch.device) -> None:
        """Starts without graphs."""
        self.device = device
        self._pool: Any = None
        self._bytes = 0

    def _record(self, work: Callable[[], Tensor]) -> Recorded:
        """See `Graphs.record`; the work runs once before, which compiles its kernels."""
        cuda: Any = torch.cuda
        if self._pool is None:
            gc.collect()  # graphs of engines that are gone give their memory back
        work()
        cuda.synchronize(self.device)
        cuda.empty_cache()
        if self._pool is None:
            self._pool = cuda.graph_pool_handle()
        before = cuda.mem_get_info(self.device)[0]
        graph: Any = cuda.CUDAGraph()
        stream = cuda.current_stream(self.device)
        try:
            with cuda.graph(graph, pool=self._pool, capture_error_mode="thread_local"):
                out = work()
        except Exception:
            # If the capture itself failed, torch left its stream current and its generator as if
            # it were still capturing: no model could be run or recorded after it.
            cuda.set_stream(stream)
            fresh = torch.Generator(self.device)
            fresh.manual_seed(torch.initial_seed())
            index = self.device.index if self.device.index is not None else cuda.current_device()
            cuda.default_generators[index].graphsafe_set_state(fresh.graphsafe_get_state())
            raise
        self._bytes += max(0, before - cuda.mem_get_info(self.device)[0])
        return Recorded(graph.replay, out, graph.reset)

    def bytes(self) -> int:
        """How much the device's free memory shrank during recording."""
        return self._bytes
