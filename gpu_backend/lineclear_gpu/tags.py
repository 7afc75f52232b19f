# pyright: basic
"""A forward without a model: writes a tag into every slot, and checks the tags written before.

Guarantees: a tag names what comes before a position, the position and the token there, so a read of
KV of another position or branch, or of a free block, shows, and so does a read of another request's,
unless both have the same root: the life of a request, or for requests that share blocks their salt.
The expected tags come from the book, not from how blocks moved.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from lineclear_gpu.batch import UNKNOWN, Batch
from lineclear_gpu.book import Book
from lineclear_gpu.buckets import Buckets, Field
from lineclear_gpu.graphs import Graphs
from lineclear_gpu.pool import KVPool
from lineclear_gpu.staging import Staging

#: Tags are whole numbers below this; float32 holds them exactly.
TOKENS = 1 << 20
#: Numbers of a slot that hold the tag: what comes before, position, token.
WIDTH = 3
#: What comes before is a number of so many bits, which float32 holds exactly.
BITS = 24
#: Odd factors that mix tokens.
GOLDEN, SPREAD = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xBF58476D1CE4E5B9)


def sampled_token(seed: int, life: Any, branch: Any, position: Any) -> Any:
    """The token sampled for a sequence: a function of its arguments. Arrays or whole numbers.

    Args:
        seed: seed of the run.
        life: number of the request.
        branch: number of the branch.
        position: position of the token.
    """
    mixed = np.asarray(seed * 0x9E3779B97F4A7C15 % (1 << 64), dtype=np.uint64)
    with np.errstate(over="ignore"):
        for part in (life, branch, position):
            mixed = (mixed ^ np.asarray(part).astype(np.uint64)) * np.uint64(0xBF58476D1CE4E5B9)
            mixed = mixed ^ (mixed >> np.uint64(29))
    return (mixed % np.uint64(TOKENS)).astype(np.int64)


def prefixes(roots: Any, tokens: Any) -> Any:
    """A number for the root and all tokens before each position, of `BITS` bits.

    Args:
        roots: of the sequences.  [rows]
        tokens: of the sequences; what lies behind a position does not count for it.  [rows, positions]
    """
    with np.errstate(over="ignore"):
        places = np.arange(1, tokens.shape[1] + 1, dtype=np.uint64) * GOLDEN
        factors = (places ^ (places >> np.uint64(29))) * SPREAD | np.uint64(1)
        each = (tokens.astype(np.uint64) + np.uint64(1)) * factors
        before = np.cumsum(each, axis=1) - each + roots.astype(np.uint64)[:, None] * GOLDEN
        before = (before ^ (before >> np.uint64(32))) * SPREAD
    return (before >> np.uint64(64 - BITS)).astype(np.int64)


class TagRunner:
    """Writes and checks tags.

    Args:
        pool: its KV must have at least 3 float32 numbers per slot.
        book: gives the expected content.
        seed: seed of the sampled tokens.
        graphs: records steps, None to launch kernel by kernel.
        max_rows: rows of the largest step.
        max_tokens: tokens of the largest step.

    Attributes:
        lives: request number of the sequence in each lane. [lanes]
        roots: what its tags begin from. [lanes]
        branches: branch number of the sequence in each lane. [lanes]
    """

    def __init__(
        self,
        pool: KVPool,
        book: Book,
        seed: int = 0,
        graphs: Graphs | None = None,
        max_rows: int = 64,
        max_tokens: int = 256,
    ) -> None:
        """Starts without tags."""
        shape = pool.shape
        if shape.dtype is not torch.float32 or shape.kv_heads * shape.head_dim < WIDTH:
            raise ValueError(f"tags need a float32 pool with at least {WIDTH} numbers in a slot")
        self.pool = pool
        self.book = book
        self.seed = seed
        self.lives: dict[int, int] = {}
        self.roots: dict[int, int] = {}
        self.branches: dict[int, int] = {}
        self.newest = torch.zeros(1024, dtype=torch.int64, device=pool.device)  # [lanes]
        # Keys and values of the first and the last layer hold the tag.
        self.layers = slice(0, None, max(1, shape.layers - 1))
        self.view = pool.whole.flatten(4)  # [blocks, layers, 2, block_size, numbers]
        self._staging = Staging(pool.device)
        self.graphs = graphs
        self.max_rows, self.max_tokens = max_rows, max_tokens
        self._record()

    def _record(self) -> None:
        """Records steps again, over the current lanes."""
        self.recorded: RecordedTags | None = None
        if self.graphs is not None:
            self.recorded = RecordedTags(self, self.graphs)

    def lane(self, lane: int, life: int, branch: int, root: int | None = None) -> None:
        """Assigns a lane to a sequence.

        Args:
            lane: of the book.
            life: number of its request.
            branch: number of the sequence.
            root: what its tags begin from; the life if None.
        """
        self.lives[lane] = life
        self.roots[lane] = life if root is None else root
        self.branches[lane] = branch
        if lane >= len(self.newest):
            self.newest = torch.cat((self.newest, torch.zeros_like(self.newest)))
            self._record()

    def prepare(self, batch: Batch) -> Callable[[], tuple[torch.Tensor, torch.Tensor]]:
        """The forward of a batch, to be called in stream order.

        It returns the sampled tokens and, for each row, how many slots that it read hold wrong
        tags. [samples], [rows]
        """
        book, size = self.book, self.book.block_size
        lives = np.array([self.lives[int(lane)] for lane in batch.lanes], dtype=np.int64)
        branches = np.array([self.branches[int(lane)] for lane in batch.lanes], dtype=np.int64)
        roots = np.array([self.roots[int(lane)] for lane in batch.lanes], dtype=np.int64)
        before = prefixes(roots, book.tokens[batch.lanes])
        if self.recorded is not None:
            return self.recorded.prepare(batch, lives, branches, before)
        first = batch.context_lens - batch.lengths
        # Every position before the first input: its slot and its expected tag.
        row = np.repeat(np.arange(len(first)), first)
        position = np.arange(len(row)) - np.repeat(np.cumsum(first) - first, first)
        lane = batch.lanes[row]
        wanted = np.stack((before[row, position], position, book.tokens[lane, position]), axis=1)
        inputs = np.repeat(np.arange(len(first)), batch.lengths)
        tags = np.stack((before[inputs, batch.positions], batch.positions, batch.tokens), axis=1)
        unknown = np.flatnonzero(batch.tokens == UNKNOWN)
        sampled = sampled_token(
            self.seed,
            lives[batch.sample_rows],
            branches[batch.sample_rows],
            batch.context_lens[batch.sample_rows],
        )
        arrays = {
            "read": batch.tables[row, position // size].astype(np.int64),
            "read_at": position % size,
            "row": row,
            "wanted": wanted.astype(np.float32),
            "write": batch.slots // size,
            "write_at": batch.slots % size,
            "tags": tags.astype(np.float32),
            "unknown": unknown,
            "unknown_lanes": batch.lanes[inputs[unknown]],
            "sampled": sampled,
            "sampled_lanes": batch.lanes[batch.sample_rows],
        }
        rows = len(first)
        # Sent in stream order, so that the copies are on the forward's own stream.
        return lambda: self._forward(rows, self._staging.send(arrays))

    def _forward(self, rows: int, sent: dict[str, Any]) -> tuple[torch.Tensor, torch.Tensor]:
        """Checks, writes and samples."""
        tags = sent["tags"]
        wrong = torch.zeros(rows, dtype=torch.int64, device=self.pool.device)
        # Indices on both sides of slices come first in the result. [slots, layers, 2, numbers]
        found = self.view[sent["read"], self.layers, :, sent["read_at"], :WIDTH]
        bad = (found != sent["wanted"][:, None, None]).flatten(1).any(dim=1)
        wrong.index_add_(0, sent["row"], bad.to(torch.int64))
        if len(sent["unknown"]):
            newest = self.newest[sent["unknown_lanes"]].to(torch.float32)
            tags[sent["unknown"], 2] = newest
        self.view[sent["write"], self.layers, :, sent["write_at"], :WIDTH] = tags[:, None, None]
        self.newest[sent["sampled_lanes"]] = sent["sampled"]
        return sent["sampled"], wrong


class RecordedTags:
    """The same forward, recorded for some numbers of tokens, like a model's steps.

    Args:
        tags: writes and checks.
        graphs: records it.
    """

    def __init__(self, tags: TagRunner, graphs: Graphs) -> None:
        """Records nothing yet."""
        self.tags = tags
        book, rows = tags.book, tags.max_rows
        self.width = -(-(book.max_len - 1) // book.block_size)
        spare_lane = len(tags.newest)
        self.memory = torch.cat((tags.newest, tags.newest[:1]))
        tags.newest = self.memory[:spare_lane]
        whole, number = torch.int64, torch.float32
        each = {
            "tokens": Field(whole, 0),
            "positions": Field(whole, 0),
            "slots": Field(whole, tags.pool.trash * book.block_size),
            "token_before": Field(whole, 0),
            "lanes": Field(whole, spare_lane),
        }
        fixed = {
            "before": Field(number, 0, self.width * book.block_size, rows=rows),
            "first": Field(whole, 0, rows=rows),
            "tables": Field(torch.int32, tags.pool.trash, self.width, rows=rows),
            "history": Field(number, 0, self.width * book.block_size, rows=rows),
            "sample_lanes": Field(whole, spare_lane, rows=rows),
            "sampled": Field(whole, 0, rows=rows),
        }
        most = tags.max_tokens
        sizes = sorted({max(1, most // 8), max(1, most // 2), most})
        self.buckets = Buckets(graphs, sizes, {**each, **fixed}, self._step, tags.pool.device)

    def prepare(
        self, batch: Batch, lives: Any, branches: Any, before: Any
    ) -> Callable[[], tuple[torch.Tensor, torch.Tensor]]:
        """See `TagRunner.prepare`."""
        tags, book = self.tags, self.tags.book
        rows = batch.sample_rows
        history = np.zeros((batch.rows, self.width * book.block_size), dtype=np.float32)
        expected = np.zeros_like(history)
        count = min(history.shape[1], book.tokens.shape[1])
        history[:, :count] = book.tokens[batch.lanes, :count]
        expected[:, :count] = before[:, :count]
        inputs = np.repeat(np.arange(batch.rows), batch.lengths)
        arrays = {
            "tokens": batch.tokens,
            "positions": batch.positions,
            "slots": batch.slots,
            "token_before": before[inputs, batch.positions],
            "lanes": np.repeat(batch.lanes, batch.lengths),
            "before": expected,
            "first": batch.context_lens - batch.lengths,
            "tables": batch.tables,
            "history": history,
            "sample_lanes": batch.lanes[rows],
            "sampled": sampled_token(
                tags.seed, lives[rows], branches[rows], batch.context_lens[rows]
            ),
        }
        most = tags.max_rows

        def forward() -> tuple[torch.Tensor, torch.Tensor]:
            with torch.inference_mode():
                found = self.buckets.run(arrays, "tags", 2 * most)
            if found is None:
                raise RuntimeError(f"the tags could not be recorded: {self.buckets.refused}")
            return found[most : most + len(rows)], found[: batch.rows]

        return forward

    def _step(self, inputs: dict[str, torch.Tensor], _: Any) -> torch.Tensor:
        """Checks, writes and samples."""
        tags, size = self.tags, self.tags.book.block_size
        view, layers = tags.view, tags.layers
        position = torch.arange(inputs["history"].shape[1], device=view.device)
        blocks = inputs["tables"].long().index_select(1, position // size)  # [rows, positions]
        found = view[blocks, layers, :, position % size, :WIDTH]
        places = position.float().expand_as(inputs["history"])
        wanted = torch.stack((inputs["before"], places, inputs["history"]), dim=-1)
        bad = (found != wanted[:, :, None, None]).flatten(2).any(dim=2)
        wrong = (bad & (position < inputs["first"][:, None])).sum(dim=1)
        known = self.memory.index_select(0, inputs["lanes"])
        token = torch.where(inputs["tokens"] < 0, known, inputs["tokens"])
        written = torch.stack((inputs["token_before"], inputs["positions"], token), dim=-1).float()
        slots = inputs["slots"]
        view[slots // size, layers, :, slots % size, :WIDTH] = written[:, None, None]
        self.memory.index_copy_(0, inputs["sample_lanes"], inputs["sampled"])
        return torch.cat((wrong, inputs["sampled"]))
