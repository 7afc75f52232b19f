# pyright: basic
"""Batches on a model: chunks, mixed steps and unknown tokens do not change the result."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from lineclear_gpu.batch import UNKNOWN, Batch, BatchError, Sampling
from lineclear_gpu.model import Model, load_model
from lineclear_gpu.plug import own_attention
from lineclear_gpu.pool import KVPool
from lineclear_gpu.runner import ModelRunner
from lineclear_gpu.shape import KVShape

SIZE, BLOCKS = 4, 40


@pytest.fixture(scope="module")
def model() -> Model:
    return load_model("tiny-gemma3")


def runner_of(model: Model, lanes: int = 8) -> ModelRunner:
    shape = KVShape(model.layers, model.kv_heads, model.head_dim, SIZE, model.dtype)
    pool = KVPool(shape, BLOCKS, 0, model.device)
    pool.poison(list(range(BLOCKS)))
    return ModelRunner(model, pool, lanes=lanes, check=True)


def batch_of(rows: list[tuple[int, list[int], int]], sample: list[int] | None = None) -> Batch:
    """Rows of (lane, tokens, first position); lane n holds blocks n, n + 8, n + 16 and so on."""
    lanes = np.array([lane for lane, _, _ in rows])
    tables = (lanes[:, None] + 8 * np.arange(5)).astype(np.int32)
    ends = [at + len(tokens) for _, tokens, at in rows]
    sampled = None if sample is None else np.array(sample, dtype=np.int64)
    parts = [np.array(tokens) for _, tokens, _ in rows]
    return Batch.of(parts, ends, tables, SIZE, lanes=lanes, sample_rows=sampled)


def sampling(lanes: list[int], sequences: list[int], temperature: float = 1.0) -> Sampling:
    count = len(lanes)
    return Sampling(
        lanes=np.array(lanes),
        seeds=np.full(count, 7),
        sequences=np.array(sequences),
        temperatures=np.full(count, temperature, dtype=np.float32),
        top_ps=np.full(count, 0.9, dtype=np.float32),
        top_ks=np.zeros(count, dtype=np.int64),
    )


def greedy(model: Model, tokens: list[int]) -> int:
    with own_attention(model.module), torch.inference_mode():
        ids = torch.tensor([tokens])
        return int(model.module(input_ids=ids, use_cache=False).logits[0, -1].argmax())


A, B, C = [5, 9, 200, 31, 7, 7, 8], [300, 2, 4], [17]


def test_mixed_rows_equal_the_library(model: Model) -> None:
    runner = runner_of(model)
    assert runner.forward(batch_of([(0, A[:5], 0)], sample=[])).tolist() == []
    found = runner.forward(batch_of([(0, A[5:], 5), (1, B, 0), (2, C, 0)]))
    assert found.tolist() == [greedy(model, tokens) for tokens in (A, B, C)]
    assert runner.newest[:3].tolist() == found.tolist()
    assert runner.logits is not None
    assert runner.logits.dtype == torch.float32


def test_a_token_that_only_the_device_knows(model: Model) -> None:
    runner = runner_of(model)
    first = runner.forward(batch_of([(0, A, 0), (1, B, 0)])).tolist()
    unknown = runner.forward(batch_of([(1, [UNKNOWN], 3), (0, [UNKNOWN], 7), (2, C, 0)])).tolist()
    assert unknown == [
        greedy(model, [*B, first[1]]),
        greedy(model, [*A, first[0]]),
        greedy(model, C),
    ]
    # The same, if the row first computes known tokens: a preempted sequence does.
    fresh = runner_of(model)
    fresh.newest[3] = first[0]
    assert fresh.forward(batch_of([(3, [*A, UNKNOWN], 0)])).tolist() == [unknown[1]]


def test_sampled_tokens_do_not_depend_on_the_batch(model: Model) -> None:
    together = runner_of(model)
    rows = [(0, A, 0), (1, B, 0), (2, C, 0)]
    found = together.forward(
        replace(batch_of(rows), sampling=sampling([0, 1, 2], [10, 11, 12]))
    ).tolist()
    for index, row in enumerate(rows):
        alone = replace(batch_of([row]), sampling=sampling([index], [10 + index]))
        assert runner_of(model).forward(alone).tolist() == [found[index]]
    chunked = runner_of(model)
    chunked.forward(batch_of([(0, A[:4], 0)], sample=[]))
    last = replace(batch_of([(1, B, 0), (0, A[4:], 4)]), sampling=sampling([1, 0], [11, 10]))
    assert chunked.forward(last).tolist() == [found[1], found[0]]


def test_branches_of_one_row_are_remembered_apart(model: Model) -> None:
    runner = runner_of(model)
    batch = replace(
        batch_of([(0, A, 0)], sample=[0, 0, 0, 0]),
        sampling=sampling([0, 5, 6, 7], [0, 1, 2, 3], temperature=3.0),
    )
    found = runner.forward(batch).tolist()
    assert len(set(found)) > 1
    assert [int(runner.newest[lane]) for lane in (0, 5, 6, 7)] == found
    warm = replace(batch, sampling=sampling([0, 5, 6, 7], [0, 1, 2, 3], temperature=0.0))
    assert runner.forward(warm).tolist() == [greedy(model, A)] * 4


def test_lanes_are_made_when_a_batch_names_them(model: Model) -> None:
    runner = runner_of(model, lanes=1)
    first = runner.forward(batch_of([(0, A, 0)])).tolist()
    second = runner.forward(batch_of([(0, [UNKNOWN], 7), (6, B, 0)])).tolist()
    assert second == [greedy(model, A + first), greedy(model, B)]
    assert int(runner.newest[6]) == second[1]


def test_the_pool_must_be_the_models(model: Model) -> None:
    shape = KVShape(model.layers, model.kv_heads, model.head_dim + 1, SIZE, model.dtype)
    with pytest.raises(ValueError, match="the pool's blocks are"):
        ModelRunner(model, KVPool(shape, 4, 0), lanes=1)


def test_a_batch_is_checked_if_asked_for(model: Model) -> None:
    batch: Any = batch_of([(0, A, 0)])
    with pytest.raises(BatchError, match="slots disagree"):
        runner_of(model).forward(replace(batch, slots=batch.slots + 1))
