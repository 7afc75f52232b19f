# pyright: basic
"""Inconsistent arrays of a step are rejected by name."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from lineclear_gpu.batch import Batch, BatchError, Sampling, slots_of

SIZE, BLOCKS = 4, 9


def good() -> Batch:
    """A chunk of positions 3 to 5, and a decode of position 8 whose token is not known yet."""
    tables = np.array([[5, 2, 0], [1, 7, 3]], dtype=np.int32)
    rows = [np.array([11, 12, 13]), np.array([-1])]
    lanes, sampled = np.array([4, 2]), np.array([1])
    return Batch.of(rows, [6, 9], tables, SIZE, lanes=lanes, sample_rows=sampled)


def test_a_good_batch() -> None:
    batch = good()
    batch.check(SIZE, BLOCKS)
    assert batch.slots.tolist() == [5 * 4 + 3, 2 * 4, 2 * 4 + 1, 3 * 4]
    assert (batch.rows, batch.lengths.tolist(), batch.last.tolist()) == (2, [3, 1], [3])
    assert batch.greedy
    assert batch.sample_lanes.tolist() == [2]


def sampling(**changes: Any) -> Sampling:
    fields: dict[str, Any] = {
        "lanes": np.array([2]),
        "seeds": np.array([0]),
        "sequences": np.array([0]),
        "temperatures": np.array([0.5], dtype=np.float32),
        "top_ps": np.array([1.0], dtype=np.float32),
        "top_ks": np.array([0]),
    }
    return Sampling(**{**fields, **changes})


def test_a_row_may_be_sampled_from_more_than_once() -> None:
    two = sampling(
        lanes=np.array([2, 6]),
        **{name: np.zeros(2) for name in ("seeds", "sequences", "temperatures")},
        **{name: np.ones(2) for name in ("top_ps", "top_ks")},
    )
    batch = replace(good(), sample_rows=np.array([1, 1]), sampling=two)
    batch.check(SIZE, BLOCKS)
    assert batch.sample_lanes.tolist() == [2, 6]
    assert batch.greedy
    assert not replace(good(), sampling=sampling()).greedy


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"tokens": np.array([1, 2, 3])}, "positions has the shape"),
        ({"row_starts": np.array([0, 3, 3])}, "row_starts must start with 0"),
        ({"row_starts": np.array([0, 4, 4])}, "at least one token"),
        ({"positions": np.array([3, 4, 6, 8])}, "positions must be the last ones"),
        ({"context_lens": np.array([6, 10])}, "positions must be the last ones"),
        ({"slots": np.array([23, 8, 10, 12])}, "slots disagree with tables"),
        ({"tokens": np.array([11, -1, 13, -1])}, "only the last token"),
        ({"lanes": np.array([4])}, "lanes has the shape"),
        ({"sampling": sampling(top_ps=np.ones(2))}, r"sampling\.top_ps has the shape"),
    ],
    ids=str,
)
def test_contradictions(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(BatchError, match=said):
        replace(good(), **changes).check(SIZE, BLOCKS)


def test_tables() -> None:
    with pytest.raises(BatchError, match="outside the pool"):
        good().check(SIZE, 7)
    batch = good()
    narrow = replace(batch, tables=batch.tables[:, :2])
    with pytest.raises(BatchError, match="too narrow"):
        narrow.check(SIZE, BLOCKS)
    shared = np.array([[5, 3, 0], [1, 7, 3]], dtype=np.int32)
    positions = np.array([2, 3, 4, 8])
    both = replace(
        batch,
        tables=shared,
        positions=positions,
        context_lens=np.array([5, 9]),
        slots=slots_of(shared, batch.row_starts, positions, SIZE),
    )
    with pytest.raises(BatchError, match="two tokens share a slot"):
        both.check(SIZE, BLOCKS)


def test_two_samples_in_one_lane() -> None:
    batch = replace(good(), sample_rows=np.array([1, 1]))
    with pytest.raises(BatchError, match="two samples share a lane"):
        batch.check(SIZE, BLOCKS)
