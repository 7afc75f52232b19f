"""Batches of any size, each run by work that was recorded for the next larger one of a few sizes.

Guarantees: the rows that fill a bucket up hold each field's filling, in every run and while work is
recorded, so that they touch nothing that a sequence owns; what a run returns is a copy. Work that
can't be recorded is said once, with its reason. It knows nothing about what the fields mean.
"""
# pyright: basic

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lineclear_gpu.graphs import Graphs, Recorded
from lineclear_gpu.staging import ALIGNED, Staging

__all__ = ["Buckets", "Field", "bucket_sizes"]

NUMPY: dict[torch.dtype, Any] = {
    torch.int32: np.int32,
    torch.int64: np.int64,
    torch.float32: np.float32,
}


def bucket_sizes(most: int) -> list[int]:
    """1, 2, 4, 8, then steps of 16 up to 256 and of 64 beyond; the last one is `most`."""
    sizes = [1, 2, 4, 8, *range(16, 257, 16), *range(320, most, 64)]
    return [size for size in sizes if size < most] + [most]


@dataclass(frozen=True, slots=True)
class Field:
    """One input of the work.

    Attributes:
        dtype: of its numbers.
        filling: what a row holds that no sequence has.
        width: numbers in a row, None for a single one. A run may give fewer.
        rows: how many it has in every bucket, None if that is the size of the bucket.
    """

    dtype: torch.dtype
    filling: int
    width: int | None = None
    rows: int | None = None

    def shape(self, size: int) -> tuple[int, ...]:
        """Of the field in a bucket of this size."""
        rows = size if self.rows is None else self.rows
        return (rows,) if self.width is None else (rows, self.width)


class Layout:
    """The inputs of one bucket: one piece of memory on the device, filled by one copy.

    Attributes:
        bytes: all of it.
        inputs: the fields, as views of it.
    """

    def __init__(self, fields: Mapping[str, Field], size: int, device: torch.device) -> None:
        """Nothing is filled."""
        self.places: list[tuple[str, int, int, Any, tuple[int, ...], int]] = []
        begin = 0
        for name, field in fields.items():
            shape, kind = field.shape(size), NUMPY[field.dtype]
            end = begin + int(np.prod(shape)) * field.dtype.itemsize
            self.places.append((name, begin, end, kind, shape, field.filling))
            begin = end + -end % ALIGNED
        self.bytes = torch.zeros(begin, dtype=torch.uint8, device=device)
        self.inputs = {
            name: self.bytes[begin:end].view(fields[name].dtype).view(shape)
            for name, begin, end, _, shape, _ in self.places
        }

    def write(self, host: Any, arrays: Mapping[str, np.ndarray[Any, Any]]) -> None:
        """Fills bytes on the host: with the arrays, and what is left of a field with its filling."""
        for name, begin, end, kind, shape, filling in self.places:
            field = host[begin:end].view(kind).reshape(shape)
            array = arrays.get(name)
            if array is None:
                field.fill(filling)
                continue
            rows = len(array)
            if array.ndim == 1:
                field[:rows] = array
            else:
                width = array.shape[1]
                field[:rows, :width] = array
                field[:rows, width:] = filling
            field[rows:] = filling


#: (inputs of one bucket by name, what kind of run) -> a tensor with a row for each of the bucket's
Work = Callable[[dict[str, Tensor], Hashable], Tensor]


class Buckets:
    """Recorded work for several sizes.

    Args:
        graphs: how work is recorded.
        sizes: of the buckets, ascending.
        fields: the inputs, by name.
        work: computes a bucket.
        device: where.

    Attributes:
        refused: why nothing is recorded, None while all goes well.
    """

    def __init__(
        self,
        graphs: Graphs,
        sizes: list[int],
        fields: Mapping[str, Field],
        work: Work,
        device: torch.device,
    ) -> None:
        """Nothing is recorded."""
        self.graphs = graphs
        self.sizes = sizes
        self.fields = dict(fields)
        self.work = work
        self.device = device
        self.refused: str | None = None
        self._staging = Staging(device)
        self._layouts: dict[int, Layout] = {}
        self._recorded: dict[tuple[int, Hashable], Recorded] = {}

    def fits(self, size: int, width: int) -> bool:
        """Whether a batch of this size, with fields of at most so many numbers, has a bucket."""
        widest = max((field.width or 0) for field in self.fields.values())
        return self.refused is None and 0 < size <= self.sizes[-1] and width <= widest

    def record(
        self, kinds: Iterable[Hashable], progress: Callable[[int, int], object] = lambda *_: None
    ) -> bool:
        """Records every bucket, the largest first; whether all of them could be.

        Args:
            kinds: what kinds of runs.
            progress: is called with the number of buckets that are recorded and that will be.
        """
        wanted = [(size, kind) for kind in kinds for size in reversed(self.sizes)]
        for count, (size, kind) in enumerate(wanted, 1):
            if self._find(size, kind) is None:
                return False
            progress(count, len(wanted))
        return True

    def run(
        self, arrays: Mapping[str, np.ndarray[Any, Any]], kind: Hashable, count: int
    ) -> Tensor | None:
        """What the work makes of these arrays; None if it can't be recorded.

        Args:
            arrays: by field; the first one has a row for each of the batch.
            kind: of the run.
            count: rows of the result that are wanted, from the first on.
        """
        size = self.sizes[bisect_left(self.sizes, len(arrays[next(iter(self.fields))]))]
        recorded = self._find(size, kind)
        if recorded is None:
            return None
        layout = self._layouts[size]
        self._staging.into(layout.bytes, lambda host: layout.write(host, arrays))
        recorded.replay()
        return recorded.out[:count].clone()

    def _find(self, size: int, kind: Hashable) -> Recorded | None:
        """The recorded work of a bucket, recorded now if it is not."""
        if self.refused is not None:
            return None
        found = self._recorded.get((size, kind))
        if found is None:
            layout = self._layouts.get(size)
            if layout is None:
                layout = self._layouts[size] = Layout(self.fields, size, self.device)
            # The work runs while it is recorded: on what no sequence has.
            self._staging.into(layout.bytes, lambda host: layout.write(host, {}))
            try:
                found = self.graphs.record(lambda: self.work(layout.inputs, kind))
            except Exception as error:
                text = str(error).strip() or type(error).__name__
                self.refused = text.splitlines()[0]
                self._recorded.clear()
                return None
            self._recorded[size, kind] = found
        return found
