"""The interface of a scheduler under test, and its arguments.

Guarantees: the tests use four methods and one attribute. Block ids, request ids and token ids are
plain values; the scheduler's own classes are never read.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

#: The token that `execute` returns for a row that samples nothing.
NO_TOKEN = -1


@dataclass(frozen=True, slots=True)
class Row:
    """One request's part of a forward pass.

    Attributes:
        request_id: its request.
        start: first computed position; earlier positions are read from the cache.
        tokens: number of computed positions, at least 1.
        table: ids of the blocks that hold positions 0 to start + tokens - 1, in order; it may be longer.
        samples: whether a token is sampled after the last position.
    """

    request_id: str
    start: int
    tokens: int
    table: Sequence[int]
    samples: bool


@dataclass(frozen=True, slots=True)
class Copy:
    """The content of one block is copied to another, before the forward pass of the same call."""

    source: int
    target: int


@dataclass(frozen=True, slots=True)
class Observation:
    """A scheduler's own view of its state between two calls.

    Attributes:
        tables: blocks of each request that holds any.
        free: ids of the blocks that are neither held nor cached, each once.
        cached: blocks that a later request may find by their content: block id -> the key under
            which it is found, or None if the key is not known. A cached block may be held too.
        waiting: waiting requests, the next first; None if unknown.
        running: every other live request; None if unknown.
        extra: anything else that determines the next steps; it distinguishes states in the
            exhaustive search and is printed with a finding.
    """

    tables: Mapping[str, Sequence[int]]
    free: Collection[int]
    cached: Mapping[int, Hashable] = field(default_factory=dict[int, Hashable])
    waiting: Sequence[str] | None = None
    running: Sequence[str] | None = None
    extra: Mapping[str, Hashable] = field(default_factory=dict[str, Hashable])


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The sizes of a scheduler, and the switches in which schedulers differ legitimately.

    Small sizes find more: a few blocks of a few tokens put every request under memory pressure.

    Attributes:
        blocks: blocks of the pool, host blocks included.
        block_size: tokens per block.
        max_seqs: maximum rows of a step.
        max_tokens: maximum tokens of a step.
        first_block: the lowest block id.
        host_blocks: how many of the blocks, those with the highest ids, are on the host: a swapped
            request may hold them, a row may not name them.
        max_len: prompt plus new tokens of the longest submitted request; None for the longest that
            must be served: it fits into the device's blocks alone and, without chunks, into one step.
        oversize: whether requests that can never fit are submitted too; they must be rejected.
        chunked: whether a prompt may be computed in several steps.
        same_step_hits: whether a row may read what another row of the same step writes.
        dying_steps: steps during which an aborted or ended request may still hold blocks and may
            still have rows, at most 4; 0 if it holds nothing when the call returns.
        in_flight: maximum steps in flight; with 2, a request may have one row past its end,
            and its end may be reported one step later.
        order: "fcfs" if waiting requests are admitted in order of arrival, or None.
        stop_token: a token that ends a request when it is sampled, or None.
        aborts: whether `abort` may be called; if not, the scheduler needs no such method.
    """

    blocks: int
    block_size: int
    max_seqs: int
    max_tokens: int
    first_block: int = 0
    host_blocks: int = 0
    max_len: int | None = None
    oversize: bool = False
    chunked: bool = True
    same_step_hits: bool = False
    dying_steps: int = 0
    in_flight: int = 1
    order: str | None = None
    stop_token: int | None = None
    aborts: bool = True

    def __post_init__(self) -> None:
        """Rejects sizes that cannot be tested.

        Raises:
            ValueError: with the name, the value and the valid values.
        """
        for name, least in (
            ("blocks", 1),
            ("block_size", 1),
            ("max_seqs", 1),
            ("max_tokens", 1),
            ("first_block", 0),
            ("host_blocks", 0),
            ("dying_steps", 0),
            ("in_flight", 1),
        ):
            if getattr(self, name) < least:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be at least {least}")
        if self.host_blocks >= self.blocks:
            raise ValueError(
                f"host_blocks is {self.host_blocks} of {self.blocks} blocks; the device needs one"
            )
        if self.dying_steps > 4:
            raise ValueError(f"dying_steps is {self.dying_steps}; it must be at most 4")
        if self.order not in (None, "fcfs"):
            raise ValueError(f"order is {self.order!r}; it must be None or 'fcfs'")

    @property
    def device_blocks(self) -> int:
        """Number of blocks that rows may name."""
        return self.blocks - self.host_blocks

    @property
    def longest(self) -> int:
        """Prompt plus new tokens of the longest request that must be served.

        The last token needs no slot in the cache.
        """
        fits = self.device_blocks * self.block_size + 1
        if self.max_len is not None:
            return min(fits, self.max_len)
        return fits if self.chunked else min(fits, self.max_tokens + 1)

    @property
    def block_ids(self) -> range:
        """Every block id."""
        return range(self.first_block, self.first_block + self.blocks)

    @property
    def device_ids(self) -> range:
        """The block ids that rows may name."""
        return range(self.first_block, self.first_block + self.device_blocks)


class Execute(Protocol):
    """Runs one forward pass."""

    def __call__(self, rows: Iterable[Row], copies: Iterable[Copy] = ()) -> list[int]:
        """Copies these blocks, then computes these rows.

        Returns:
            One token for each row, in order; NO_TOKEN for a row that samples nothing.
        """
        ...


@runtime_checkable
class SchedulerUnderTest(Protocol):
    """A scheduler, or an adapter to one."""

    limits: Limits

    def submit(self, request_id: str, prompt: list[int], max_new: int, /) -> bool:
        """Submits a request; False if it is rejected."""
        ...

    def abort(self, request_id: str, /) -> None:
        """Ends a live request."""
        ...

    def step(self, execute: Execute, /) -> Iterable[str]:
        """One step: calls `execute` at most once; returns the requests that ended in it."""
        ...

    def observe(self) -> Observation:
        """The current state. The tests neither change nor keep it."""
        ...


#: Creates the scheduler under test; each call creates a new one.
Make = Callable[[], SchedulerUnderTest]
