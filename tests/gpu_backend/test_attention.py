# pyright: basic
"""Attention over a poisoned pool against softmax written out in float64."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from pool_case import BOUNDS, CHUNKED, DECODE, MIXED, SIZE, Case

from lineclear_gpu.attention import DecodeGroup, Gather, Rows, buckets
from lineclear_gpu.kernels.plans import MEASURED, decode_plan, splits_for
from lineclear_gpu.paged import Paged, attend_by_table, token_rows


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


@pytest.mark.parametrize("rows", [DECODE, CHUNKED, MIXED], ids=str)
@pytest.mark.parametrize("window", [None, 5])
@pytest.mark.parametrize("backend", [Gather, Paged])
def test_a_soft_cap(
    backend: type[Gather], rows: list[tuple[int, int]], window: int | None
) -> None:
    case = Case(rows, heads=6, kv_heads=2)
    assert case.error(backend(), window, 0.7) < BOUNDS[torch.float32]
    plain, capped = case.reference(window), case.reference(window, 0.7)
    assert float((plain - capped).norm() / capped.norm()) > 0.02  # leaving it out shows


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_a_soft_cap_in_sixteen_bits(dtype: torch.dtype) -> None:
    case = Case(MIXED, heads=8, kv_heads=2, head_dim=80, dtype=dtype)
    for backend in (Gather(), Paged()):
        assert case.error(backend, 7, 0.7) < BOUNDS[dtype]
        assert case.error(backend, None, 50.0) < BOUNDS[dtype]


def test_rows_of_very_different_lengths_are_padded_apart() -> None:
    rows = [(1, 3)] * 20 + [(1, 700), (1, 129)]
    assert len(buckets(np.array([context for _, context in rows]))) == 3
    assert len(buckets(np.array([100, 90, 110]))) == 1
    assert Case(rows).error(Gather()) < BOUNDS[torch.float32]


class Sees(Gather):
    """Broken on purpose: padding outside the row, or a mask off by one."""

    def __init__(self, how: str) -> None:
        self.how = how

    def _groups(self, rows: Rows) -> list[DecodeGroup]:
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


# ---- the pool in place -----------------------------------------------------------------------------


@pytest.mark.parametrize("rows", [DECODE, CHUNKED, MIXED], ids=str)
@pytest.mark.parametrize("window", [None, 1, 5, 1000])
def test_the_pool_in_place(rows: list[tuple[int, int]], window: int | None) -> None:
    assert Case(rows, heads=6, kv_heads=2).error(Paged(), window) < BOUNDS[torch.float32]


@pytest.mark.parametrize("cap", [None, 0.7])
@pytest.mark.parametrize("window", [None, 5])
def test_each_token_as_a_row_of_its_own_and_rows_that_fill_up(
    window: int | None, cap: float | None
) -> None:
    """A recorded step on a CPU: empty rows and tokens beyond the last row give zeros."""
    case = Case(MIXED)
    sent = Rows.of(case.batch, SIZE, torch.float32, torch.device("cpu"))
    more = torch.cat((case.query, torch.full((3, 4, 16), 2.0)))
    ends = torch.cat((sent.row_starts, sent.row_starts[-1:].expand(2)))
    contexts = torch.cat((sent.context_lens, torch.zeros(2, dtype=torch.int64)))
    tables = torch.cat((sent.tables, torch.zeros(2, sent.tables.shape[1], dtype=torch.int32)))
    chosen, seen = token_rows(tables, contexts, ends, len(more))
    assert seen[-3:].tolist() == [0, 0, 0]
    found = attend_by_table(more, case.layer, chosen, seen, case.scale, window, cap)
    assert not found[-3:].any()
    wanted = case.reference(window, cap)
    assert float((found[:-3].double() - wanted).norm() / wanted.norm()) < BOUNDS[torch.float32]


# ---- rows packed for torch's flash kernel --------------------------------------------------------


def test_all_programs_that_a_plan_is_meant_for_run_at_once() -> None:
    """On 228 KiB of shared memory: a stage beyond the first two holds a tile of keys and one of values."""
    for width, plans in MEASURED.items():
        for most, (tile, _, stages) in plans:
            assert decode_plan(width, most * 132, 132, 1).tile == tile
            if most <= 5:
                assert most * ((stages // 2) * 2 * tile * width + (8 << 10)) <= 228 << 10
        assert decode_plan(width, 1000 * 132, 132, 1).stages == 3


@pytest.mark.parametrize(("rows", "wanted"), [(1, 64), (8, 4), (32, 1), (300, 1)])
def test_contexts_are_split_where_programs_are_few(rows: int, wanted: int) -> None:
    assert splits_for(rows, 8, 1 << 20, 132) == wanted
    assert splits_for(rows, 8, 300, 132) == 1


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", list(BOUNDS), ids=str)
def test_on_a_gpu(dtype: torch.dtype) -> None:
    torch.set_float32_matmul_precision("highest")
    device = torch.device("cuda")
    for head_dim in (64, 80, 128):
        case = Case(DECODE + CHUNKED, heads=8, kv_heads=2, head_dim=head_dim, dtype=dtype)
        rows = Rows.of(case.batch, SIZE, dtype, device)
        query, layer = case.query.to(device), case.pool.to(device)[:, 1]
        for window, cap in ((None, None), (7, None), (None, 0.7), (7, 50.0)):
            found = Gather().attend(query, layer, rows, case.scale, window, cap).double().cpu()
            wanted = case.reference(window, cap)
            assert float((found - wanted).norm() / wanted.norm()) < BOUNDS[dtype]


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", list(BOUNDS), ids=str)
@pytest.mark.parametrize("head_dim", [64, 80, 96, 128, 256])
def test_the_pool_in_place_on_a_gpu(dtype: torch.dtype, head_dim: int) -> None:
    device = torch.device("cuda")
    for rows in (DECODE, CHUNKED, MIXED, [(1, 3000), (1, 17), (300, 700), (1, 1)]):
        case = Case(rows, heads=8, kv_heads=2, head_dim=head_dim, dtype=dtype)
        sent = Rows.of(case.batch, SIZE, dtype, device)
        query, layer = case.query.to(device), case.pool.to(device)[:, 1]
        for window, cap in ((None, None), (7, None), (None, 0.7), (7, 50.0)):
            found = Paged().attend(query, layer, sent, case.scale, window, cap).double().cpu()
            wanted = case.reference(window, cap)
            error = float((found - wanted).norm() / wanted.norm())
            assert error < BOUNDS[dtype], (rows, window, cap, error)
