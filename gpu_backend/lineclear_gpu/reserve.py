"""Measures how much GPU memory a model takes besides its weights and blocks.

Guarantees: the largest step and, if steps are recorded, the largest bucket have run once when the
result is returned; the memory they took is released.
"""
# pyright: basic

from __future__ import annotations

import gc
from typing import Any

import numpy as np
import torch

from lineclear.config import Config
from lineclear_gpu.attention import AttentionBackend
from lineclear_gpu.batch import Batch
from lineclear_gpu.graphs import CudaGraphs
from lineclear_gpu.model import Model
from lineclear_gpu.pool import KVPool
from lineclear_gpu.runner import ModelRunner
from lineclear_gpu.shape import KVShape

#: Bytes of a graph that shares the memory of a larger one: kept by the driver for each.
GRAPH = 16 << 20


def largest_step(config: Config) -> Batch:
    """Prompts that fill a step's budget, with as many rows as may run, each in its own blocks."""
    tokens = min(config.max_num_batched_tokens, config.max_num_seqs * config.max_model_len)
    rows = -(-tokens // config.max_model_len)
    return prompt_step(rows, tokens // rows, config.block_size)


def prompt_step(rows: int, length: int, size: int) -> Batch:
    """Prompts of one length, each a row of its own in the first blocks of the pool.

    Args:
        rows: number of prompts.
        length: tokens of each.
        size: tokens of a block.
    """
    tables = np.arange(rows * -(-length // size), dtype=np.int32).reshape(rows, -1)
    tokens = np.zeros((rows, length), dtype=np.int64)
    return Batch.of(list(tokens), [length] * rows, tables, size)


def reserve(
    model: Model,
    config: Config,
    attention: AttentionBackend | None,
    record: bool,
    chunks: bool = True,
) -> int:
    """Bytes that activations and recorded steps take on the GPU.

    Args:
        model: the model.
        config: its settings.
        attention: attention backend; default: by device.
        record: whether steps are recorded.
        chunks: whether steps with prompt chunks are recorded, too, as they are by default.
    """
    cuda: Any = torch.cuda
    shape = KVShape(model.layers, model.kv_heads, model.head_dim, config.block_size, model.dtype)
    batch = largest_step(config)
    cuda.synchronize(model.device)
    cuda.empty_cache()
    pool = KVPool(shape, max(1, batch.tables.size), 0, model.device)
    graphs = CudaGraphs(model.device) if record else None
    runner = ModelRunner(
        model, pool, lanes=config.max_num_seqs, backend=attention, graphs=graphs,
        max_rows=config.max_num_seqs, max_tokens=config.max_num_batched_tokens if chunks else 0,
        max_len=config.max_model_len,
    )  # fmt: skip
    before = cuda.memory_allocated(model.device)
    cuda.reset_peak_memory_stats(model.device)
    runner.forward(batch)
    cuda.synchronize(model.device)
    found = cuda.max_memory_allocated(model.device) - before
    if runner.steps is not None and graphs is not None:
        for buckets in runner.steps.buckets():
            found += GRAPH * len(buckets.sizes)
            buckets.sizes = buckets.sizes[-1:]
        runner.record()
        found += graphs.bytes()
    runner.close()
    del runner, graphs, pool
    gc.collect()
    cuda.empty_cache()
    # Margin for what the allocator rounds up and splits.
    return int(found * 1.1) + (256 << 20)
