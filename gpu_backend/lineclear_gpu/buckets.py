"""Runs batches of any size by work recorded for a few sizes, using the next larger one.

Guarantees: padding rows hold each field's filling, in every run and during recording, so they touch no sequence's
data; results are copies. Work that cannot be recorded is reported once, with its reason.
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
from lineclear_gpu.staging import ALIGNED, TYPES, Staging

NUMPY = {kind: np.dtype(name) for name, kind in TYPES.items()}


def bucket_sizes(most: int) -> list[int]:
    """1, 2, 4, 8, then steps of 16 up to 256 and of 64 beyond; the last size is `most`."""
    sizes = [1, 2, 4, 8, *range(16, 257, 16), *range(320, most, 64)]
    return [size for size in sizes if size < most] + [most]


@dataclass(frozen=True, slots=True)
class Field:
    """One input of the work.

    Attributes:
        dtype: element type.
        filling: the value of padding rows.
        width: numbers per row, None for a single one. A run may give fewer.
        rows: number of rows in every bucket, None for the size of the bucket.
    """

    dtype: torch.dtype
    filling: int
    width: int | None = None
    rows: int | None = None

    def shape(self, size: int) -> tuple[int, ...]:
        """The shape of the field in a bucket of this size."""
        rows = size if self.rows is None else self.rows
        return (rows,) if self.width is None else (rows, self.width)


class Layout:
    """The inputs of one bucket: one buffer on the device, filled by one copy.

    Attributes:
        bytes: the whole buffer.
        inputs: the fields, as views of it.
    """

    def __init__(self, fields: Mapping[str, Field], size: int, device: torch.device) -> None:
        """Allocates the buffer."""
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
        """Writes the arrays into bytes on the host, and each field's filling into the rest."""
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
        graphs: records the work.
        sizes: sizes of the buckets, ascending.
        fields: the inputs, by name.
        work: computes a bucket.
        device: where the work runs.

    Attributes:
        refused: why recording failed, None if it has not.
    """

    def __init__(
        self,
        graphs: Graphs,
        sizes: list[int],
        fields: Mapping[str, Field],
        work: Work,
        device: torch.device,
    ) -> None:
        """Records nothing yet."""
        self.graphs = graphs
        self.sizes = sizes
        self.fields = dict(fields)
        self.work = work
        self.device = device
        self.refused: str | None = None
        self._staging = Staging(device)
        self._layouts: dict[int, Layout] = {}
        self._recorded: dict[tuple[int, Hashable], Recorded] = {}

    def close(self, why: str) -> None:
        """Frees everything recorded, at once; the device must be done with it.

        Args:
            why: the reason why nothing is recorded from now on.
        """
        self.refused = why
        for each in self._recorded.values():
            each.free()
        self._recorded.clear()
        self._layouts.clear()

    def fits(self, size: int, width: int) -> bool:
        """Whether a batch of this size, with fields of at most this width, fits a bucket."""
        widest = max((field.width or 0) for field in self.fields.values())
        return self.refused is None and 0 < size <= self.sizes[-1] and width <= widest

    def record(
        self, kinds: Iterable[Hashable], progress: Callable[[int, int], object] = lambda *_: None
    ) -> bool:
        """Records every bucket, largest first; returns whether all succeeded.

        Args:
            kinds: the kinds of runs.
            progress: called with the number of buckets recorded so far and in total.
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
        """Runs the work on these arrays; None if it cannot be recorded.

        Args:
            arrays: by field; the first one has a row for each row of the batch.
            kind: the kind of the run.
            count: number of leading rows of the result to return.
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
        """The recorded work of a bucket; records it first if necessary."""
        if self.refused is not None:
            return None
        found = self._recorded.get((size, kind))
        if found is None:
            layout = self._layouts.get(size)
            if layout is None:
                layout = self._layouts[size] = Layout(self.fields, size, self.device)
            # Recording runs the work: on fillings alone.
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
