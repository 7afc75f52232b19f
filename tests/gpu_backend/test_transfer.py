# pyright: basic, reportArgumentType=false
"""Pools and copies between them: exact bytes, nothing else touched."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lineclear_gpu.kernels.copying import copy_rows
from lineclear_gpu.kernels.storing import store_kv
from lineclear_gpu.pool import KVPool, PoolError, blocks_for
from lineclear_gpu.shape import KVShape
from lineclear_gpu.transfer import Transfer, runs

SHAPE = KVShape(3, 2, 5, 4, torch.float16)


def filled(gpu: int = 12, cpu: int = 9, shape: KVShape = SHAPE) -> KVPool:
    """Random bytes in both pools."""
    pool = KVPool(shape, gpu, cpu)
    torch.manual_seed(0)
    for rows in (pool.gpu_rows, pool.cpu_rows):
        rows.copy_(torch.randint(0, 256, rows.shape, dtype=torch.uint8))
    return pool


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_a_block_is_one_contiguous_row_in_both_pools(dtype: torch.dtype) -> None:
    shape = KVShape(3, 2, 5, 4, dtype)
    pool = KVPool(shape, 7, 5)
    assert shape.block_bytes == 3 * 2 * 4 * 2 * 5 * dtype.itemsize
    assert pool.gpu.shape == (7, 3, 2, 4, 2, 5)
    assert pool.gpu_rows.shape == (7, shape.block_bytes)
    assert pool.gpu_rows.data_ptr() == pool.gpu.data_ptr()
    assert pool.cpu_rows.data_ptr() == pool.cpu.data_ptr()
    pool.layer(1)[4, 0, 2, 1, 3] = 7
    assert float(pool.gpu[4, 1, 0, 2, 1, 3]) == 7
    pool.cpu[3] = pool.gpu[4]
    assert torch.equal(pool.cpu_rows[3], pool.gpu_rows[4])


@given(st.permutations(range(9)), st.permutations(range(12)), st.integers(1, 9))
def test_a_round_trip_keeps_every_byte_and_touches_nothing_else(
    host: list[int], device: list[int], count: int
) -> None:
    pool = filled()
    before, other = pool.gpu_rows.clone(), pool.cpu_rows.clone()
    transfer = Transfer(pool)
    pairs = list(zip(device[:count], host[:count], strict=True))
    transfer.out(pairs)
    assert torch.equal(pool.gpu_rows, before)  # the source is unchanged
    for place in range(9):
        at = [left for left, right in pairs if right == place]
        assert torch.equal(pool.cpu_rows[place], before[at[0]] if at else other[place])
    targets = device[::-1][:count]
    transfer.into([(right, target) for (_, right), target in zip(pairs, targets, strict=True)])
    for (left, _), target in zip(pairs, targets, strict=True):
        assert torch.equal(pool.gpu_rows[target], before[left])
    for place in set(range(12)) - set(targets):
        assert torch.equal(pool.gpu_rows[place], before[place])
    assert transfer.bytes_out == transfer.bytes_in == count * SHAPE.block_bytes


@given(
    st.lists(st.tuples(st.integers(0, 40), st.integers(0, 40)), min_size=1, max_size=30).map(
        lambda pairs: list({t: (s, t) for s, t in pairs}.values())
    )
)
def test_runs_are_the_copies_and_never_cross_a_gap(pairs: list[tuple[int, int]]) -> None:
    sources, targets = (np.array(side, dtype=np.int64) for side in zip(*pairs, strict=True))
    starts, ends, lengths = runs(sources, targets)
    made = [
        (int(start) + k, int(end) + k)
        for start, end, length in zip(starts, ends, lengths, strict=True)
        for k in range(int(length))
    ]
    assert sorted(made) == sorted(pairs)
    side_by_side = sum(1 for s, t in pairs if (s + 1, t + 1) in pairs)
    assert len(starts) >= len(pairs) - side_by_side


@pytest.mark.parametrize(
    ("pairs", "error"),
    [
        ([(1, 2), (3, 2)], ValueError),
        ([(12, 0)], IndexError),
        ([(0, 9)], IndexError),
        ([(-1, 0)], IndexError),
    ],
)
def test_a_copy_that_cannot_be_is_refused_and_moves_nothing(
    pairs: list[tuple[int, int]], error: type[Exception]
) -> None:
    pool = filled()
    before = pool.cpu_rows.clone()
    with pytest.raises(error):
        Transfer(pool).out(pairs)
    assert torch.equal(pool.cpu_rows, before)


def test_a_long_list_is_copied_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lineclear_gpu.transfer.FIRST_SMALL", 2)
    monkeypatch.setattr("lineclear_gpu.transfer.FIRST", 3)
    lengths: list[int] = []
    own = Transfer._copy_piece

    def piece(self: Transfer, source: Any, target: Any, pairs: Any, taken: Any) -> None:
        lengths.append(len(pairs))
        own(self, source, target, pairs, taken)

    monkeypatch.setattr(Transfer, "_copy_piece", piece)
    pool = filled()
    before, other = pool.gpu_rows.clone(), pool.cpu_rows.clone()
    transfer = Transfer(pool)
    pairs = [(11 - k, (5 * k) % 9) for k in range(8)]
    transfer.out(pairs)
    assert lengths == [2, 4, 2]
    assert transfer.bytes_out == 8 * SHAPE.block_bytes
    for source, target in pairs:
        assert torch.equal(pool.cpu_rows[target], before[source])
    (left,) = set(range(9)) - {target for _, target in pairs}
    assert torch.equal(pool.cpu_rows[left], other[left])
    for wrong, error in (((0, pairs[0][1]), ValueError), ((12, left), IndexError)):
        with pytest.raises(error):  # in a later piece: a target of the first, a row that is not
            transfer.out([*pairs[:7], wrong])
    assert transfer.bytes_out == 8 * SHAPE.block_bytes
    monkeypatch.setattr("lineclear_gpu.transfer.KERNEL_BELOW", 0)
    lengths.clear()
    transfer.out(pairs)
    assert lengths == [3, 5]


def test_blocks_are_copied_inside_the_pool() -> None:
    pool = filled()
    before = pool.gpu_rows.clone()
    copy_rows(pool.gpu_rows, [(3, 7), (3, 8), (0, 11)])
    for source, target in ((3, 7), (3, 8), (0, 11)):
        assert torch.equal(pool.gpu_rows[target], before[source])
    untouched = [place for place in range(12) if place not in (7, 8, 11)]
    assert torch.equal(pool.gpu_rows[untouched], before[untouched])


@pytest.mark.parametrize("block_size", [8, 16, 32])
@pytest.mark.parametrize("head_dim", [64, 80])
def test_new_keys_and_values_are_stored_and_nothing_else_changes(
    block_size: int, head_dim: int
) -> None:
    pool = filled(shape=KVShape(2, 3, head_dim, block_size, torch.float32))
    pool.gpu.normal_()
    before = pool.gpu.clone()
    torch.manual_seed(1)
    slots = torch.randperm(12 * block_size)[:42]
    keys, values = torch.randn(42, 3, head_dim), torch.randn(42, 3, head_dim)
    store_kv(pool.layer(1), keys, values, slots)
    wanted = before.clone()
    for token, slot in enumerate(slots.tolist()):
        block, offset = divmod(slot, block_size)
        wanted[block, 1, 0, offset] = keys[token]
        wanted[block, 1, 1, offset] = values[token]
    assert torch.equal(pool.gpu, wanted)


@pytest.mark.parametrize(
    ("sizes", "said"),
    [
        ({"num_gpu_blocks": 0}, "at least 1 GPU block"),
        ({"num_gpu_blocks": 1 << 40}, r"are [\d,]+ bytes; [\d,]+ of [\d,]+ are free on cpu"),
        ({"num_cpu_blocks": 1 << 40}, r"the host has [\d,]+ to spare: ask for [\d,]+ at most"),
        ({"device": "cuda"}, "there is no CUDA device here"),
    ],
)
def test_too_little_memory_is_told_with_the_numbers_before_anything_is_allocated(
    sizes: dict[str, Any], said: str
) -> None:
    if sizes.get("device") == "cuda" and torch.cuda.is_available():
        pytest.skip("there is a CUDA device")
    with pytest.raises(PoolError, match=said):
        KVPool(SHAPE, **{"num_gpu_blocks": 4, "num_cpu_blocks": 4, **sizes})


def test_blocks_are_counted_by_utilization() -> None:
    some, more = (blocks_for(SHAPE, "cpu", share) for share in (0.8, 0.9))
    assert 0 < some < more
    with pytest.raises(PoolError, match="gpu_memory_utilization"):
        blocks_for(SHAPE, "cpu", 0)
    with pytest.raises(PoolError, match="no room for one block"):
        blocks_for(SHAPE, "cpu", 1e-9)


@pytest.mark.parametrize(
    "sizes",
    [
        {"layers": 0},
        {"kv_heads": 1.5},
        {"block_size": 257},
        {"block_size": True},
        {"dtype": torch.int8},
    ],
)
def test_an_invalid_shape_is_refused(sizes: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="must be"):
        KVShape(**{"layers": 1, "kv_heads": 1, "head_dim": 4, "block_size": 8, **sizes})
