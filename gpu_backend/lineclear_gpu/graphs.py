"""Work that is recorded once and run again with one launch, on what its tensors hold by then.

Guarantees: a replay does what the recorded work did, to the same tensors; work that cannot be
recorded raises, and leaves nothing that would be replayed. It knows nothing about models.

On a GPU this is a CUDA graph. `RecordedGraphs` does the same on any device by keeping each operation
with its arguments: a number of the host that went into an operation is the same in every replay, and
work that reads a number back from the device is refused, as it is on a GPU.
"""
# pyright: basic

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

__all__ = ["CudaGraphs", "Graphs", "NotRecordable", "Recorded", "RecordedGraphs"]


class NotRecordable(RuntimeError):
    """Work that needs to know on the host what the device holds."""


@dataclass(frozen=True, eq=False)
class Recorded:
    """Work that can be run again.

    Attributes:
        replay: runs it, on the current stream.
        out: what it returns; the next replay overwrites it.
    """

    replay: Callable[[], object]
    out: Tensor


class Graphs(ABC):
    """A way to record work."""

    @abstractmethod
    def record(self, work: Callable[[], Tensor]) -> Recorded:
        """Runs the work once or more, and records it.

        Raises:
            NotRecordable, RuntimeError: it cannot be recorded.
        """

    def bytes(self) -> int:
        """Device memory that recorded work holds, 0 where nobody counts it."""
        return 0


class CudaGraphs(Graphs):
    """CUDA graphs that share one pool of memory, as they never run side by side.

    Args:
        device: which.
    """

    def __init__(self, device: torch.device) -> None:
        """Nothing is recorded."""
        self.device = device
        self._pool: Any = None
        self._bytes = 0

    def record(self, work: Callable[[], Tensor]) -> Recorded:
        """As the interface says; the work runs once before, which compiles its kernels."""
        cuda: Any = torch.cuda
        work()
        cuda.synchronize(self.device)
        cuda.empty_cache()
        if self._pool is None:
            self._pool = cuda.graph_pool_handle()
        before = cuda.mem_get_info(self.device)[0]
        graph: Any = cuda.CUDAGraph()
        with cuda.graph(graph, pool=self._pool, capture_error_mode="thread_local"):
            out = work()
        self._bytes += max(0, before - cuda.mem_get_info(self.device)[0])
        return Recorded(graph.replay, out)

    def bytes(self) -> int:
        """By how much the device's free memory shrank while graphs were recorded."""
        return self._bytes


class RecordedGraphs(Graphs):
    """Keeps operations and runs them again: a CUDA graph's stand-in where there is no GPU."""

    def record(self, work: Callable[[], Tensor]) -> Recorded:
        """As the interface says; the work runs once, while it is recorded."""
        recorder = Recorder()
        with recorder:
            out = work()
        return Recorded(recorder.replay, out)


#: Operations whose result the host would have to know.
READ_BACK = ("_local_scalar_dense", "nonzero", "item", "is_nonzero", "equal", "masked_select")


class Recorder(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Notes each operation that runs while it is active."""

    def __init__(self) -> None:
        """Nothing was noted."""
        super().__init__()  # type: ignore[no-untyped-call]
        self.steps: list[tuple[Any, tuple[Any, ...], dict[str, Any], list[Tensor]]] = []

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """Runs an operation and notes it."""
        given: dict[str, Any] = kwargs or {}
        inputs = [leaf for leaf in tree_leaves((args, given)) if isinstance(leaf, Tensor)]
        name = func._schema.name.split("::")[-1]
        masks = name in ("index", "index_put", "index_put_") and any(
            leaf.dtype == torch.bool for leaf in inputs[1:]
        )
        if name in READ_BACK or masks:
            raise NotRecordable(
                f"aten.{name} needs a number from the device while work is recorded"
            )
        found = func(*args, **given)
        outputs = [leaf for leaf in tree_leaves(found) if isinstance(leaf, Tensor)]
        storages = {leaf.untyped_storage().data_ptr() for leaf in inputs}
        writes = any(
            a.alias_info is not None and a.alias_info.is_write for a in func._schema.arguments
        )
        seen = all(leaf.untyped_storage().data_ptr() in storages for leaf in outputs)
        if writes:
            self.steps.append((func, args, given, []))
        elif outputs and not seen:  # a view needs no second run
            self.steps.append((func, args, given, outputs))
        return found

    def replay(self) -> None:
        """Runs every operation again, into the tensors that the first run made."""
        with torch.inference_mode():
            for func, args, given, outputs in self.steps:
                found = func(*args, **given)
                fresh = [leaf for leaf in tree_leaves(found) if isinstance(leaf, Tensor)]
                for target, source in zip(outputs, fresh, strict=bool(outputs)):
                    target.copy_(source)
