# pyright: basic
"""What stands in for a GPU's streams and graphs where there is none.

Guarantees: delayed streams run their jobs in any order that the waits allow. Recorded graphs keep
each operation with its arguments: a host number that enters an operation is the same in every
replay, and work that reads a number back from the device is rejected, as on a GPU.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from device_orders import Shuffled
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from lineclear.testing.operations import Dispatched, OperationRecord, Order
from lineclear_gpu.attention import Gather
from lineclear_gpu.graphs import Graphs, Recorded
from lineclear_gpu.streams import Job, Streams

#: Stream -> one kind of operation that runs on it, as orders name it.
KINDS = {"compute": "forward", "out": "swap_out", "in": "swap_in"}


class DelayedStreams(Streams):
    """Streams that hold jobs back and run them in any order that the waits allow.

    `lineclear.testing` computes which orders the waits allow, as for the test device.

    Args:
        order: picks the next of several runnable jobs; drawn from the seed if None.
        seed: seed of the built-in order, if no order is given.
    """

    def __init__(self, order: Order | None = None, seed: int = 0) -> None:
        super().__init__()
        self.record = OperationRecord()
        self.jobs: dict[int, Job] = {}
        self.ran: list[int] = []  # numbers, in the order run
        self.queued: dict[str, int] = {}  # stream -> the last job given to it
        self._order = order or Shuffled(seed)

    def give(self, number: int, stream: str, after: list[int], job: Job) -> None:
        earlier = self.queued.get(stream)
        before = (*after, *([] if earlier is None else [earlier]))
        self.queued[stream] = number
        self.jobs[number] = job
        self.record.dispatch(Dispatched(number, KINDS[stream], after=before))
        while ready := self.record.ready():
            chosen = self._order.pick(ready, frozenset(), self.record)
            if chosen is None:
                break
            self._run(chosen.number)

    def _run(self, number: int) -> None:
        """Runs one job."""
        self.record.ran(number)
        self.record.reported([number])
        self.ran.append(number)
        self._do(number, self.jobs.pop(number))

    def done(self, number: int) -> bool:
        """Whether it has run."""
        return number not in self.record.waiting

    def wait(self, number: int) -> None:
        """Runs jobs until this one has run."""
        while number in self.record.waiting:
            wanted = self.record.needed(number)
            chosen = self._order.pick(self.record.ready(), wanted, self.record)
            if chosen is None:
                raise RuntimeError(
                    f"{type(self._order).__name__} never runs an operation that is waited for"
                )
            self._run(chosen.number)


class RecordedGraphs(Graphs):
    """Keeps operations and runs them again: stands in for CUDA graphs without a GPU."""

    def _record(self, work: Callable[[], Tensor]) -> Recorded:
        """See `Graphs.record`; the work runs once, while it is recorded."""
        recorder = Recorder()
        with recorder:
            out = work()
        return Recorded(recorder.replay, out, recorder.steps.clear)


#: Operations that return a device value to the host.
READ_BACK = ("_local_scalar_dense", "nonzero", "item", "is_nonzero", "equal", "masked_select")


class Recorder(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Records each operation that runs while it is active."""

    def __init__(self) -> None:
        """Starts empty."""
        super().__init__()  # type: ignore[no-untyped-call]
        self.steps: list[tuple[Any, tuple[Any, ...], dict[str, Any], list[Tensor]]] = []

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """Runs and records an operation."""
        given: dict[str, Any] = kwargs or {}
        inputs = [leaf for leaf in tree_leaves((args, given)) if isinstance(leaf, Tensor)]
        name = func._schema.name.split("::")[-1]
        masks = name in ("index", "index_put", "index_put_") and any(
            leaf.dtype == torch.bool for leaf in inputs[1:]
        )
        if name in READ_BACK or masks:
            raise RuntimeError(
                f"aten.{name} reads a number from the device while work is recorded"
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
        elif outputs and not seen:  # a view need not run again
            self.steps.append((func, args, given, outputs))
        return found

    def replay(self) -> None:
        """Runs every operation again, into the tensors of the first run."""
        with torch.inference_mode():
            for func, args, given, outputs in self.steps:
                found = func(*args, **given)
                fresh = [leaf for leaf in tree_leaves(found) if isinstance(leaf, Tensor)]
                for target, source in zip(outputs, fresh, strict=bool(outputs)):
                    target.copy_(source)


class NoCap(Gather):
    """Broken on purpose: leaves the soft cap out."""

    def attend(
        self, query: Any, layer: Any, rows: Any, scale: float, window: Any, cap: Any = None
    ) -> Any:
        return super().attend(query, layer, rows, scale, window)
