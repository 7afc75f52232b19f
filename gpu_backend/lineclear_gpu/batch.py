"""The input of one forward, as arrays on the host.

Guarantees: a `Batch` is plain numpy data that describes a whole step: which positions each row computes, where its KV
lies, where new KV is stored, which rows are sampled and how. `check` rejects inconsistent arrays.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

Integers: TypeAlias = npt.NDArray[np.signedinteger[Any]]
Floats: TypeAlias = npt.NDArray[np.floating[Any]]

#: A token that only the device has yet: the newest one of the row's lane.
UNKNOWN = -1


class BatchError(ValueError):
    """Inconsistent arrays; the message names them."""


def slots_of(
    tables: Integers, row_starts: Integers, positions: Integers, block_size: int
) -> npt.NDArray[np.int64]:
    """The slot that stores each token's KV: block * block_size + offset.

    Args:
        tables: GPU blocks of each row, by position.  [R, W]
        row_starts: first token of each row, then T.  [R + 1]
        positions: position of each token in its sequence.  [T]
        block_size: tokens per block.
    """
    rows = np.repeat(np.arange(len(row_starts) - 1), np.diff(row_starts))
    blocks = tables[rows, positions // block_size].astype(np.int64)
    return blocks * block_size + positions % block_size


@dataclass(frozen=True, kw_only=True, eq=False)
class Sampling:
    """How S tokens are sampled.

    Attributes:
        lanes: the lane that stores each sampled token; all distinct.  [S] int64
        seeds: 64-bit seeds.  [S] int64
        sequences: number of the sampled sequence, within its seed.  [S] int64
        temperatures: 0 is greedy.  [S] float32
        top_ps: probability mass to sample from, 1 for all of it.  [S] float32
        top_ks: number of tokens to sample from, 0 for all of them.  [S] int64
    """

    lanes: Integers
    seeds: Integers
    sequences: Integers
    temperatures: Floats
    top_ps: Floats
    top_ks: Integers


@dataclass(frozen=True, kw_only=True, eq=False)
class Batch:
    """R rows with T tokens in total, from which S tokens are sampled.

    A row is one sequence and the positions of it that the step computes; they are its last ones, so
    a row computes positions context_lens[r] - (its tokens) up to context_lens[r] - 1.

    Attributes:
        tokens: token ids, or UNKNOWN where the token is the newest one of the row's lane, which a
            step in flight samples. Only the last token of a row may be unknown.  [T] int64
        positions: position of each token in its sequence.  [T] int64
        row_starts: first token of each row, then T.  [R + 1] int64
        context_lens: tokens of each row whose KV exists after this step.  [R] int64
        tables: GPU blocks of each row in order of position; what lies behind the last block that
            the context needs is not read.  [R, W] int32
        slots: where each token's KV is stored, block * block_size + offset.  [T] int64
        lanes: index of each row's newest token in device memory.  [R] int64
        sample_rows: the row of each sample; a row that forks is named once for each branch.  [S] int64
        sampling: how to sample; None is greedy, each sample stored in the lane of its row.
    """

    tokens: Integers
    positions: Integers
    row_starts: Integers
    context_lens: Integers
    tables: Integers
    slots: Integers
    lanes: Integers
    sample_rows: Integers
    sampling: Sampling | None = None

    @classmethod
    def of(
        cls,
        rows: Sequence[Integers],
        context_lens: Sequence[int] | Integers,
        tables: Integers,
        block_size: int,
        *,
        lanes: Integers | None = None,
        sample_rows: Integers | None = None,
        sampling: Sampling | None = None,
    ) -> Batch:
        """The batch of these rows; its other arrays follow from them.

        Args:
            rows: the tokens of each row, the last ones of its context.
            context_lens: as in the batch, like the others.
            tables: GPU blocks of each row.
            block_size: tokens per block.
            lanes: one for each row; 0, 1, 2 and so on if None.
            sample_rows: the row of each sample; each row once if None.
            sampling: how to sample.
        """
        each = np.arange(len(rows))
        contexts = np.asarray(context_lens, dtype=np.int64)
        lengths = np.array([len(tokens) for tokens in rows])
        starts: Integers = np.concatenate(([0], np.cumsum(lengths)))
        positions = np.arange(int(starts[-1])) + np.repeat(contexts - starts[1:], lengths)
        return cls(
            tokens=np.concatenate(rows),
            positions=positions,
            row_starts=starts,
            context_lens=contexts,
            tables=tables,
            slots=slots_of(tables, starts, positions, block_size),
            lanes=each if lanes is None else lanes,
            sample_rows=each if sample_rows is None else sample_rows,
            sampling=sampling,
        )

    @property
    def rows(self) -> int:
        """Number of rows, R."""
        return len(self.context_lens)

    @cached_property
    def lengths(self) -> Integers:
        """Number of tokens of each row.  [R]"""
        return np.diff(self.row_starts)

    @cached_property
    def last(self) -> Integers:
        """The token whose logits each sample is drawn from.  [S]"""
        return self.row_starts[self.sample_rows + 1] - 1

    @cached_property
    def greedy(self) -> bool:
        """Whether no sample needs a random number."""
        return self.sampling is None or not np.any(self.sampling.temperatures)

    @cached_property
    def sample_lanes(self) -> Integers:
        """The lane that stores each sample.  [S]"""
        return self.lanes[self.sample_rows] if self.sampling is None else self.sampling.lanes

    def part(self, first: int, last: int) -> Batch:
        """The rows from the first up to but without the last one, as a batch of their own."""
        begin, end = int(self.row_starts[first]), int(self.row_starts[last])
        mine = (self.sample_rows >= first) & (self.sample_rows < last)
        how = self.sampling
        if how is not None:
            how = Sampling(**{field.name: getattr(how, field.name)[mine] for field in fields(how)})
        return Batch(
            tokens=self.tokens[begin:end],
            positions=self.positions[begin:end],
            row_starts=self.row_starts[first : last + 1] - begin,
            context_lens=self.context_lens[first:last],
            tables=self.tables[first:last],
            slots=self.slots[begin:end],
            lanes=self.lanes[first:last],
            sample_rows=self.sample_rows[mine] - first,
            sampling=how,
        )

    def check(self, block_size: int, num_blocks: int) -> None:
        """Rejects inconsistent arrays.

        Raises:
            BatchError: which arrays, and how.
        """
        rows, tokens = len(self.context_lens), len(self.tokens)
        wanted = {
            "tokens": (tokens,),
            "positions": (tokens,),
            "slots": (tokens,),
            "row_starts": (rows + 1,),
            "context_lens": (rows,),
            "lanes": (rows,),
            "tables": (rows, self.tables.shape[-1]),
        }
        arrays = {name: getattr(self, name) for name in wanted}
        if self.sampling is not None:
            for field in fields(Sampling):
                arrays[f"sampling.{field.name}"] = getattr(self.sampling, field.name)
        for name, array in arrays.items():
            shape = wanted.get(name, (len(self.sample_rows),))
            if array.shape != shape:
                raise BatchError(f"{name} has the shape {array.shape}, not {shape}")
        lengths = self.lengths
        if rows == 0 or self.row_starts[0] != 0 or self.row_starts[-1] != tokens:
            raise BatchError("row_starts must start with 0 and end with the number of tokens")
        if lengths.min() < 1:
            raise BatchError("row_starts: every row must compute at least one token")
        ends = np.repeat(self.row_starts[1:], lengths)
        expected = np.repeat(self.context_lens, lengths) - (ends - np.arange(tokens))
        if not np.array_equal(self.positions, expected) or self.positions.min() < 0:
            raise BatchError("positions must be the last ones of each row's context")
        if -(-int(self.context_lens.max()) // block_size) > self.tables.shape[1]:
            raise BatchError("tables are too narrow for context_lens")
        if not np.array_equal(
            self.slots, slots_of(self.tables, self.row_starts, self.positions, block_size)
        ):
            raise BatchError("slots disagree with tables and positions")
        width = np.arange(self.tables.shape[1], dtype=np.int64)
        needed: npt.NDArray[np.bool_] = width * block_size < self.context_lens[:, None]
        named = self.tables[needed]
        if named.min() < 0 or named.max() >= num_blocks:
            raise BatchError(f"tables name a block outside the pool of {num_blocks}")
        if len(np.unique(self.slots)) != tokens:
            raise BatchError("slots: two tokens share a slot")
        unknown = np.flatnonzero(self.tokens < 0)
        if not np.isin(unknown, self.row_starts[1:] - 1).all():
            raise BatchError("tokens: only the last token of a row may be unknown")
        if len(np.unique(self.sample_lanes)) != len(self.sample_lanes):
            raise BatchError("lanes: two samples share a lane")
