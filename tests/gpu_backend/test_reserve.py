# pyright: basic
"""Memory that a model takes besides its weights and blocks: the measured step, and what remains."""

from __future__ import annotations

import pytest
import torch

from lineclear.config import Config
from lineclear_gpu import pool
from lineclear_gpu.pool import PoolError, blocks_for
from lineclear_gpu.reserve import largest_step, reserve
from lineclear_gpu.shape import KVShape


@pytest.mark.parametrize(
    ("budget", "seqs", "length"), [(64, 8, 96), (2048, 4, 100), (512, 64, 16)]
)
def test_the_largest_step_is_as_large_as_may_be(budget: int, seqs: int, length: int) -> None:
    config = Config(
        block_size=8, max_num_seqs=seqs, max_num_batched_tokens=budget, max_model_len=length,
        num_gpu_blocks=4096, enable_chunked_prefill=True,
    )  # fmt: skip
    batch = largest_step(config)
    batch.check(8, batch.tables.size)
    assert batch.rows <= seqs
    assert batch.lengths.max() <= length
    assert min(budget, seqs * length) - batch.rows < len(batch.tokens) <= budget


def test_reserved_bytes_are_no_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    shape = KVShape(1, 1, 8, 8)
    monkeypatch.setattr(pool, "available", lambda device: (900_000, 1_000_000))
    plain = blocks_for(shape, "cpu", 0.9)
    kept = blocks_for(shape, "cpu", 0.9, 100 * shape.block_bytes)
    assert plain - kept == 100
    assert plain == int(800_000 / shape.block_bytes) - pool.SPARE_BLOCKS
    with pytest.raises(PoolError, match="are kept for activations and graphs"):
        blocks_for(shape, "cpu", 0.9, 900_000)


@pytest.mark.gpu
def test_what_is_measured_is_given_back() -> None:
    from lineclear_gpu.model import load_model

    model = load_model("tiny-llama", device="cuda", dtype=torch.float32)
    config = Config(max_num_seqs=16, max_num_batched_tokens=512, max_model_len=512)
    reserve(model, config, None, True)
    before = torch.cuda.memory_allocated()
    found = reserve(model, config, None, True)
    assert torch.cuda.memory_allocated() <= before + (1 << 20)
    assert 1 << 20 < found < 4 << 30
