"""What one step does, for the code that executes it.

Guarantees: a plan never changes; the rows of the decode batch are shared with the next plan as long as no sequence
joins or leaves that batch, so they cost nothing then.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from itertools import chain
from typing import Any, NamedTuple, overload

#: (request id, branch, block id) and (request id, branch, block ids of the whole table).
NewBlock = tuple[Hashable, int, int]
Table = tuple[Hashable, int, tuple[int, ...]]


class Scheduled(NamedTuple):
    """One sequence in a step.

    Attributes:
        request_id: the caller's id.
        branch: which sequence of the request, counted from 0.
        tokens: positions that the step computes.
        drafts: how many of them, the last ones, are drafts to be verified.
        start: first position, or None for a sequence that simply goes on by one token: its row is shared
            by many plans, and `Plan.start_of` says where it begins in each.
        samples: whether the step samples a token for it.
        prefill: whether it computes more than the newest token.
        offset: of a row without a start: its first position minus the number of steps issued before this one.
    """

    request_id: Hashable
    branch: int
    tokens: int
    drafts: int
    start: int | None
    samples: bool
    prefill: bool
    offset: int = 0


#: `new_row(Scheduled, fields)` is `Scheduled(*fields)` in half the time.
new_row: Callable[[type[Scheduled], tuple[Any, ...]], Scheduled] = getattr(tuple, "__new__")  # noqa: B009


#: Kind of an operation -> its stream. Operations of one stream run one after the other.
STREAMS = {"forward": "compute", "copy_block": "compute", "swap_out": "out", "swap_in": "in"}
#: Kind of a copy -> the tier that it reads and the one that it writes.
TIERS = {"swap_out": ("gpu", "cpu"), "swap_in": ("cpu", "gpu"), "copy_block": ("gpu", "gpu")}


class BlockOperation(NamedTuple):
    """One operation on blocks.

    Attributes:
        number: its id. Give that of a swap to `Scheduler.complete`; a forward and a block copy are not reported.
        kind: swap_out, swap_in, copy_block or forward.
        wait: it starts after every operation up to this number.
        request_id: whose blocks, None for a forward.
        blocks: (source, target) block ids; for a forward empty.
    """

    number: int
    kind: str
    wait: int
    request_id: Hashable | None
    blocks: tuple[tuple[int, int], ...]


class Joined(Sequence[Scheduled]):
    """Two tuples one after the other, without a copy."""

    __slots__ = ("first", "second")

    def __init__(self, first: tuple[Scheduled, ...], second: tuple[Scheduled, ...]) -> None:
        """The two."""
        self.first = first
        self.second = second

    def __len__(self) -> int:
        """Of both together."""
        return len(self.first) + len(self.second)

    @overload
    def __getitem__(self, index: int) -> Scheduled: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Scheduled, ...]: ...
    def __getitem__(self, index: int | slice) -> Scheduled | tuple[Scheduled, ...]:
        """As of one tuple."""
        if isinstance(index, slice):
            return (self.first + self.second)[index]
        size, count = len(self.first), len(self)
        if not -count <= index < count:
            raise IndexError(f"there are {count} rows, none at {index}")
        index %= count
        return self.first[index] if index < size else self.second[index - size]

    def __iter__(self) -> Iterator[Scheduled]:
        """The first, then the second."""
        return chain(self.first, self.second)

    def __repr__(self) -> str:
        """As a list."""
        return repr(list(self))


class NewBlocks(Sequence[NewBlock]):
    """New blocks of sequences in the decode batch: (request id, branch, block id), made of rows when it is read."""

    __slots__ = ("block_ids", "rows")

    def __init__(self, rows: tuple[Scheduled, ...], block_ids: tuple[int, ...]) -> None:
        """One block for each row."""
        self.rows = rows
        self.block_ids = block_ids

    def __len__(self) -> int:
        """How many blocks."""
        return len(self.block_ids)

    @overload
    def __getitem__(self, index: int) -> NewBlock: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[NewBlock, ...]: ...
    def __getitem__(self, index: int | slice) -> NewBlock | tuple[NewBlock, ...]:
        """As of a tuple."""
        if isinstance(index, slice):
            return tuple(NewBlocks(self.rows[index], self.block_ids[index]))
        row = self.rows[index]
        return row.request_id, row.branch, self.block_ids[index]

    def __iter__(self) -> Iterator[NewBlock]:
        """In the order in which the blocks were taken."""
        for row, block_id in zip(self.rows, self.block_ids, strict=True):
            yield row.request_id, row.branch, block_id

    def __eq__(self, other: object) -> bool:
        """Whether the other is a NewBlocks or a tuple of the same blocks in the same order; a list never equals it."""
        if isinstance(other, NewBlocks):
            other = tuple(other)
        return isinstance(other, tuple) and tuple(self) == other

    def __hash__(self) -> int:
        """As of the tuple."""
        return hash(tuple(self))

    def __repr__(self) -> str:
        """As the tuple."""
        return repr(tuple(self))


Pairs = tuple[tuple[int, int], ...]


class Plan(NamedTuple):
    """One step, or only block operations if `step` is None.

    Attributes:
        step: number of the step, None if nothing is computed.
        scheduled_seq_groups: one row for each sequence in the step, prefills first (vLLM's name; no row is a group).
        sampling: those of them that sample, in the order that `commit` expects tokens in.
        num_batched_tokens: positions that the step computes.
        num_prefill_groups: entries of scheduled_seq_groups that are prefills.
        operations: block operations in order, the forward last, each with what it waits for.
        new_blocks: (request id, branch, GPU block) of every entry appended to a table that the
            executor knows, since the last plan with a step; empty without a step.
        tables: (request id, branch, whole table) of every sequence whose table is new to the executor or has changed
            otherwise since then: admitted, swapped in, forked, copied on write. An empty one belongs to a branch that
            waits for its leader to compute the prompt again. Empty without a step.
        preempted: (request id, mode) of every request preempted since the last plan.
        time: when the plan was made, by the scheduler's clock.
        ended: every request that finished or was aborted since the last plan, so that an executor drops what it keeps
            of it. Its id may be in use again: what the plan says of that id otherwise is of the new request.
    """

    step: int | None
    scheduled_seq_groups: Joined
    sampling: Joined
    num_batched_tokens: int
    num_prefill_groups: int
    operations: tuple[BlockOperation, ...]
    new_blocks: Sequence[NewBlock]
    tables: tuple[Table, ...]
    preempted: tuple[tuple[Hashable, str], ...]
    time: float | None = None
    ended: tuple[Hashable, ...] = ()

    def __eq__(self, other: object) -> bool:
        """Whether it is the same object: a plan stands for one step, and none equals another."""
        return self is other

    def __ne__(self, other: object) -> bool:
        """Whether it is another object; a tuple would compare what they say."""
        return self is not other

    def __hash__(self) -> int:
        """As of any object."""
        return object.__hash__(self)

    def start_of(self, row: Scheduled) -> int:
        """The first position that a row of this plan computes."""
        if row.start is not None:
            return row.start
        assert self.step is not None  # a plan without a step has no rows
        return row.offset + self.step - 1

    def _pairs(self, kind: str) -> Pairs:
        return tuple(pair for o in self.operations if o.kind == kind for pair in o.blocks)

    @property
    def blocks_to_swap_in(self) -> Pairs:
        """(CPU block, GPU block) of every copy in."""
        return self._pairs("swap_in")

    @property
    def blocks_to_swap_out(self) -> Pairs:
        """(GPU block, CPU block) of every copy out."""
        return self._pairs("swap_out")

    @property
    def blocks_to_copy(self) -> Pairs:
        """(source, target) of every copy on write."""
        return self._pairs("copy_block")

    @property
    def ignored(self) -> tuple[Hashable, ...]:
        """Always empty. vLLM lists here requests that can never run; `add` rejects these and says why."""
        return ()

    @property
    def is_idle(self) -> bool:
        """Whether it computes nothing and moves nothing; it may report who ended or was preempted."""
        return self.step is None and not self.operations

    @property
    def is_empty(self) -> bool:
        """Whether an executor may pass it over: it computes and moves nothing, and nothing has changed."""
        news = self.new_blocks or self.tables or self.preempted or self.ended
        return self.is_idle and not news
