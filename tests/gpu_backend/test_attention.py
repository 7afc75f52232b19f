# pyright: basic
"""Attention over a poisoned pool against softmax written out in float64."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import Tensor

from lineclear_gpu.attention import AttentionBackend, Gather, Group, Rows, buckets
from lineclear_gpu.batch import Batch, slots_of
from lineclear_gpu.kernels.storing import store_kv
from lineclear_gpu.varlen import Packed, Varlen, usable

#: Relative L2 error that is accepted, by type.
BOUNDS = {torch.float32: 1e-5, torch.float16: 2e-3, torch.bfloat16: 1e-2}
SIZE = 8


class Case:
    """Rows of (tokens, context) over a pool whose every other slot holds NaN."""

    def __init__(
        self,
        rows: Sequence[tuple[int, int]],
        heads: int = 4,
        kv_heads: int = 2,
        head_dim: int = 16,
        dtype: torch.dtype = torch.float32,
        seed: int = 0,
    ) -> None:
        generator = torch.Generator().manual_seed(seed)
        counts = [tokens for tokens, _ in rows]
        contexts = np.array([context for _, context in rows])
        starts = np.concatenate(([0], np.cumsum(counts)))
        widths = -(-contexts // SIZE)
        order = torch.randperm(int(widths.sum()) + 3, generator=generator).numpy()
        tables = np.zeros((len(rows), int(widths.max()) + 1), dtype=np.int32)
        taken = 0
        for row, width in enumerate(widths):
            tables[row, :width] = order[taken : taken + width]
            taken += width
        positions = np.concatenate(
            [np.arange(context - tokens, context) for tokens, context in rows]
        )
        self.batch = Batch(
            tokens=np.zeros(int(starts[-1]), dtype=np.int64),
            positions=positions,
            row_starts=starts,
            context_lens=contexts,
            tables=tables,
            slots=slots_of(tables, starts, positions, SIZE),
            lanes=np.arange(len(rows)),
            sample_rows=np.arange(len(rows)),
        )
        self.batch.check(SIZE, len(order))
        self.pool = torch.full(
            (len(order), 3, 2, SIZE, kv_heads, head_dim), float("nan"), dtype=dtype
        )
        self.layer = self.pool[:, 1]
        self.kv: list[Tensor] = []
        for row, context in enumerate(contexts):
            kv = torch.randn(context, 2, kv_heads, head_dim, generator=generator).to(dtype)
            at = np.arange(context)
            place = torch.from_numpy(tables[row, at // SIZE].astype(np.int64) * SIZE + at % SIZE)
            store_kv(self.layer, kv[:, 0], kv[:, 1], place)
            self.kv.append(kv)
        self.query = torch.randn(
            int(starts[-1]), heads, head_dim, generator=generator, dtype=torch.float32
        ).to(dtype)
        self.scale = head_dim**-0.5

    def reference(self, window: int | None = None) -> Tensor:
        """Softmax of every token's scores, in float64."""
        out = torch.zeros(self.query.shape, dtype=torch.float64)
        shared = self.query.shape[1] // self.layer.shape[3]
        for row, kv in enumerate(self.kv):
            own = slice(int(self.batch.row_starts[row]), int(self.batch.row_starts[row + 1]))
            keys, values = kv.double().repeat_interleave(shared, dim=2).unbind(1)
            scores = torch.einsum("thd,nhd->htn", self.query[own].double(), keys) * self.scale
            position = torch.from_numpy(self.batch.positions[own])[:, None]
            other = torch.arange(len(kv))
            seen = other <= position
            if window is not None:
                seen = seen & (other > position - window)
            weights = torch.softmax(scores.masked_fill(~seen, float("-inf")), dim=-1)
            out[own] = torch.einsum("htn,nhd->thd", weights, values)
        return out

    def error(self, backend: AttentionBackend, window: int | None = None) -> float:
        """Relative L2 error of a backend; NaN if a slot behind a context was read."""
        rows = Rows.of(self.batch, SIZE, self.query.dtype, torch.device("cpu"))
        found = backend.attend(self.query, self.layer, rows, self.scale, window).double()
        wanted = self.reference(window)
        again = backend.attend(self.query, self.layer, rows, self.scale, window).double()
        assert torch.allclose(
            found, again, 0.0, 0.0, equal_nan=True
        )  # what was prepared for one layer serves another
        return float((found - wanted).norm() / wanted.norm())


DECODE = [(1, context) for context in (1, 2, 7, 8, 9, 15, 16, 17, 63, 64, 65)]
CHUNKED = [(3, 3), (8, 8), (9, 9), (2, 9), (7, 16), (8, 16), (9, 17), (16, 33)]
MIXED = [(5, 5), (1, 9), (4, 20), (1, 8), (1, 40), (3, 24)]


@pytest.mark.parametrize("rows", [DECODE, CHUNKED, MIXED, [(1, 1)]], ids=str)
@pytest.mark.parametrize("window", [None, 1, 5, 8, 1000])
def test_rows_at_the_boundaries_of_blocks(rows: list[tuple[int, int]], window: int | None) -> None:
    assert Case(rows).error(Gather(), window) < BOUNDS[torch.float32]


@pytest.mark.parametrize("dtype", list(BOUNDS), ids=str)
@pytest.mark.parametrize("shared", [1, 3, 4, 8])
@pytest.mark.parametrize("head_dim", [64, 80, 128])
def test_types_heads_and_sizes(dtype: torch.dtype, shared: int, head_dim: int) -> None:
    case = Case(MIXED, heads=2 * shared, kv_heads=2, head_dim=head_dim, dtype=dtype)
    assert case.error(Gather()) < BOUNDS[dtype]
    assert case.error(Gather(), 7) < BOUNDS[dtype]


def test_rows_of_very_different_lengths_are_padded_apart() -> None:
    rows = [(1, 3)] * 20 + [(1, 700), (1, 129)]
    assert len(buckets(np.array([context for _, context in rows]))) == 3
    assert len(buckets(np.array([100, 90, 110]))) == 1
    assert Case(rows).error(Gather()) < BOUNDS[torch.float32]


class Sees(Gather):
    """Broken on purpose: padding is not a slot of the row, or a mask is off by one."""

    def __init__(self, how: str) -> None:
        self.how = how

    def _groups(self, rows: Rows) -> list[Group]:
        groups = super()._groups(rows)
        for group in groups:
            if self.how == "padding":
                group.offsets.copy_(torch.arange(group.offsets.shape[1]) % rows.block_size)
            if self.how == "newest":
                group.behind.sub_(1)
            if self.how == "mask":
                group.behind.clamp_(min=0)
        return groups


@pytest.mark.parametrize("how", ["padding", "newest", "mask"])
def test_each_guard_is_seen_to_fail(how: str) -> None:
    error = Case(DECODE[1:]).error(Sees(how))
    assert not error < 1e-2
    assert Case(DECODE[1:]).error(Sees("nothing")) < BOUNDS[torch.float32]


# ---- rows packed for torch's flash kernel --------------------------------------------------------


def plain(
    query: Tensor, keys: Tensor, values: Tensor, packed: Packed, scale: float, window: int | None
) -> Tensor:
    """What the flash kernel is documented to do, row by row."""
    out = torch.empty_like(query)
    shared = query.shape[1] // keys.shape[1]
    bounds = zip(
        pairwise(packed.query_starts.tolist()),
        pairwise(packed.context_starts.tolist()),
        strict=True,
    )
    for (start, end), (first, last) in bounds:
        own = torch.arange(last - first - (end - start), last - first)[:, None]
        behind = own - torch.arange(last - first)
        seen = (behind >= 0) & (behind < (window or 10**9))
        key, value = (each[first:last].repeat_interleave(shared, 1) for each in (keys, values))
        scores = torch.einsum("thd,nhd->htn", query[start:end], key) * scale
        weights = torch.softmax(scores.masked_fill(~seen, float("-inf")), dim=-1)
        out[start:end] = torch.einsum("htn,nhd->thd", weights, value)
    return out


@pytest.mark.parametrize("rows", [DECODE, CHUNKED, MIXED], ids=str)
@pytest.mark.parametrize("window", [None, 5])
def test_packed_rows(rows: list[tuple[int, int]], window: int | None) -> None:
    assert Case(rows).error(Varlen(plain), window) < BOUNDS[torch.float32]


def test_where_the_flash_kernel_is_usable() -> None:
    cuda, cpu = torch.device("cuda"), torch.device("cpu")
    assert usable(torch.bfloat16, cuda, 80)
    assert not usable(torch.float32, cuda, 64)
    assert not usable(torch.bfloat16, cpu, 64)
    assert not usable(torch.bfloat16, cuda, 264)


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_the_flash_kernel_on_a_gpu(dtype: torch.dtype) -> None:
    device = torch.device("cuda")
    for head_dim in (64, 80, 128):
        for rows in (DECODE, CHUNKED, MIXED):
            case = Case(rows, heads=8, kv_heads=2, head_dim=head_dim, dtype=dtype)
            sent = Rows.of(case.batch, SIZE, dtype, device)
            query, layer = case.query.to(device), case.pool.to(device)[:, 1]
            for window in (None, 7):
                found = Varlen().attend(query, layer, sent, case.scale, window).double().cpu()
                wanted = case.reference(window)
                assert float((found - wanted).norm() / wanted.norm()) < BOUNDS[dtype]


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", list(BOUNDS), ids=str)
def test_on_a_gpu(dtype: torch.dtype) -> None:
    torch.set_float32_matmul_precision("highest")
    device = torch.device("cuda")
    for head_dim in (64, 80, 128):
        case = Case(DECODE + CHUNKED, heads=8, kv_heads=2, head_dim=head_dim, dtype=dtype)
        rows = Rows.of(case.batch, SIZE, dtype, device)
        query, layer = case.query.to(device), case.pool.to(device)[:, 1]
        for window in (None, 7):
            found = Gather().attend(query, layer, rows, case.scale, window).double().cpu()
            wanted = case.reference(window)
            assert float((found - wanted).norm() / wanted.norm()) < BOUNDS[dtype]
