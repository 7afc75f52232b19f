# pyright: basic
"""A forward that raises: which rows fail, which tokens the others get, and what a retry reads."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from lineclear_gpu.batch import UNKNOWN, Batch, Sampling
from lineclear_gpu.forwards import ForwardRunner

SIZE = 4


class Runner:
    """Samples 100 + the last token of each row, and stores it in the lane of the sample.

    Args:
        raises: whether a batch raises.
        late: whether it does so after everything was stored.
    """

    def __init__(self, raises: Callable[[Batch], bool], *, late: bool = False) -> None:
        self.newest = torch.full((16,), -1, dtype=torch.int64)
        self.raises = raises
        self.late = late
        self.ran: list[int] = []

    def forward(self, batch: Batch) -> torch.Tensor:
        batch.check(SIZE, 64)
        self.ran.append(batch.rows)
        raises = self.raises(batch)
        if raises and not self.late:
            raise RuntimeError("two\nlines")
        tokens = batch.tokens.copy()
        known = self.newest.numpy()[np.repeat(batch.lanes, batch.lengths)]
        tokens = np.where(tokens == UNKNOWN, known, tokens)
        sampled = torch.from_numpy(100 + tokens[batch.last])
        self.newest[torch.from_numpy(batch.sample_lanes.copy())] = sampled
        if raises:
            raise RuntimeError("two\nlines")
        return sampled


def batch_of(
    rows: list[tuple[int, list[int]]], samples: list[tuple[int, int]] | None = None, start: int = 0
) -> Batch:
    """Rows as (lane, tokens), samples as (row, lane); each row has a block of its own."""
    count = len(rows)
    tables = np.arange(count * 2, dtype=np.int32).reshape(count, 2)
    how = None
    if samples is not None:
        zeros = np.zeros(len(samples), dtype=np.int64)
        lanes = np.array([lane for _, lane in samples])
        how = Sampling(
            lanes=lanes, seeds=zeros, sequences=zeros, top_ks=zeros,
            temperatures=zeros.astype(np.float32), top_ps=zeros.astype(np.float32),
        )  # fmt: skip
    chosen = range(count) if samples is None else [row for row, _ in samples]
    return Batch.of(
        [np.array(tokens, dtype=np.int64) for _, tokens in rows],
        [start + len(tokens) for _, tokens in rows],
        tables,
        SIZE,
        lanes=np.array([lane for lane, _ in rows]),
        sample_rows=np.array(list(chosen), dtype=np.int64),
        sampling=how,
    )


def holds(*lanes: int) -> Callable[[Batch], bool]:
    return lambda batch: bool(set(lanes) & set(batch.lanes.tolist()))


ROWS = [(lane, [lane, lane + 1]) for lane in (3, 5, 7, 9, 11)]


@pytest.mark.parametrize("late", [False, True])
def test_only_rows_that_raise_alone_fail(late: bool) -> None:
    for bad in ([], [3], [11], [5, 9], [3, 5, 7, 9, 11]):
        runner = Runner(holds(*bad), late=late)
        sampled = ForwardRunner(runner).run(batch_of(ROWS))
        assert sorted(sampled.failed) == [(lane - 3) // 2 for lane in bad]
        assert set(sampled.failed.values()) <= {"RuntimeError: two lines"}
        assert (sampled.error is None) == (not bad)
        wanted = [0 if lane in bad else 101 + lane for lane, _ in ROWS]
        assert sampled.tokens.tolist() == wanted
        assert len(runner.ran) <= 2 * len(ROWS) - 1
        for lane, _ in ROWS:  # a step in flight may read it: a token of the vocabulary
            assert runner.newest[lane] >= 0


def test_a_batch_that_is_too_large_fails_no_request() -> None:
    runner = Runner(lambda batch: batch.rows > 2)
    sampled = ForwardRunner(runner).run(batch_of(ROWS))
    assert (sampled.failed, sampled.error) == ({}, "RuntimeError: two lines")
    assert sampled.tokens.tolist() == [101 + lane for lane, _ in ROWS]


def test_a_row_that_forks_and_one_that_samples_nothing_keep_their_places() -> None:
    samples = [(0, 3), (0, 12), (2, 7), (4, 11), (4, 13)]
    sampled = ForwardRunner(Runner(holds(7))).run(batch_of(ROWS, samples))
    assert sampled.failed == {2: "RuntimeError: two lines"}
    assert sampled.tokens.tolist() == [104, 104, 0, 112, 112]


@pytest.mark.parametrize("late", [False, True])
def test_a_retry_reads_the_tokens_of_the_forward_before_it(late: bool) -> None:
    """The one that raised late has stored its own tokens in the lanes already."""
    fails: list[bool] = [False, True]
    runner = Runner(lambda batch: bool(fails) and fails.pop(0), late=late)
    run = ForwardRunner(runner).run
    first = run(batch_of(ROWS))
    assert first.error is None
    second = run(batch_of([(lane, [UNKNOWN]) for lane, _ in ROWS], start=2))
    assert second.failed == {}
    assert second.tokens.tolist() == [201 + lane for lane, _ in ROWS]
    third = run(batch_of([(lane, [UNKNOWN]) for lane, _ in ROWS], start=3))
    assert third.tokens.tolist() == [301 + lane for lane, _ in ROWS]


def test_tokens_that_cannot_be_fetched_are_computed_again(monkeypatch: pytest.MonkeyPatch) -> None:
    fails = [True]

    def fetch(tensor: torch.Tensor) -> Any:
        if fails.pop() if fails else False:
            raise RuntimeError("no pinned memory")
        return tensor

    monkeypatch.setattr("lineclear_gpu.forwards.fetch", fetch)
    sampled = ForwardRunner(Runner(holds())).run(batch_of(ROWS))
    assert sampled.failed == {}
    assert sampled.tokens.tolist() == [101 + lane for lane, _ in ROWS]


def test_a_part_of_a_batch_is_a_batch() -> None:
    samples = [(0, 3), (2, 7), (2, 12)]
    whole = batch_of(ROWS, samples)
    part = whole.part(1, 3)
    part.check(SIZE, 64)
    assert part.lanes.tolist() == [5, 7]
    assert part.tokens.tolist() == [5, 6, 7, 8]
    assert part.sample_rows.tolist() == [1, 1]
    assert part.sample_lanes.tolist() == [7, 12]
