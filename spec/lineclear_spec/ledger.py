"""The state of the scheduler, and the few primitives that may change it.

Guarantees: every block of a tier is free or backs exactly one `Block`, and the plain data here
changes only through the methods marked *primitive*; everything else is read.

A table names `Block` records, not places in a pool: swapping a block out changes its tier and its
place and leaves every table that names it alone, so sharing survives a swap. Block steps are those
of `kernel.py`, written once; each operator that they are written in, each primitive and each
question has a second reading on formulas, and docs/trust.md lists them.
"""

from __future__ import annotations

from itertools import repeat
from typing import TYPE_CHECKING, Any, TypeVar

from lineclear_spec.kernel import Kernel
from lineclear_spec.lifecycle import EVENTS
from lineclear_spec.records import (
    FORWARD,
    GPU,
    Block,
    Broken,
    Limits,
    Operation,
    Pool,
    Refused,
    Request,
    Sequence,
    Several,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Reversible

__all__ = ["Ledger"]

T = TypeVar("T")
#: A record without a call of its `__init__`.
bare = object.__new__
NONE_DUE: Several[Sequence] = Several(())


class Ledger(Kernel):
    """Requests, sequences, tables and two pools; the reader of `actions/` that runs."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.gpu = Pool("GPU", limits.gpu_blocks)
        self.cpu = Pool("CPU", limits.cpu_blocks)
        self.pools = (self.gpu, self.cpu)  # by tier
        self.waiting: dict[Request, None] = {}
        self.running: dict[Request, None] = {}
        self.swapped: dict[Request, None] = {}
        self.queues: tuple[dict[Request, None] | None, ...] = (
            None,
            self.waiting,
            self.running,
            self.swapped,
            None,
        )
        self.batch: dict[Sequence, None] = {}  # the steady sequences
        self.batch_changes = 0  # grows whenever the batch does or shrinks
        self.boundaries: dict[
            int, dict[Sequence, None]
        ] = {}  # step -> steady sequences whose table is full then
        self.endings: dict[
            int, dict[Sequence, None]
        ] = {}  # step -> steady sequences that reach their limit then
        self.operations: dict[int, Operation] = {}  # decided and not complete
        self.issued = 0  # number of the last operation decided
        self.done = 0  # every operation up to this number is complete
        self.carried = 0  # every operation up to this number is in a plan
        self.barrier = 0  # the next forward waits for every operation up to this number
        self.steps = 0  # steps issued
        self.settled = 0  # steps committed, first in, first out
        self.step_tokens = 0  # tokens in the step that is being built, steady sequences aside
        self.step_sequences = 0  # sequences in it, steady sequences aside
        self.step_operations: dict[int, int] = {}  # step in flight -> its forward
        self.requests_made = 0
        self.sequences_made = 0
        self.grown: list[
            tuple[Sequence, int]
        ] = []  # entries added since the last plan: (sequence, place)
        self.journal: Callable[[str, tuple[object, ...]], None] | None = None

    # ---- reading -----------------------------------------------------------------------------------------------

    def need(self, tokens: int) -> int:
        """Blocks that `tokens` positions occupy; the only place where tokens become blocks."""
        return -(-tokens // self.limits.block_size)

    def block_of(self, position: int) -> int:
        """Index of the table entry that `position` falls into."""
        return position // self.limits.block_size

    def due(self) -> Several[Sequence]:
        """Steady sequences whose table is full, so that the next step needs one block for each."""
        due = self.boundaries.get(self.steps)
        return Several(due) if due else NONE_DUE

    def ended(self) -> bool:
        """Whether some steady sequence has every position it may ever need, so that a step would
        overrun it.
        """
        return bool(self.endings.get(self.steps))

    def allowed(self, event: str, request: Request) -> bool:
        """Whether the lifecycle has a transition for the event from the request's phase."""
        return request.phase in EVENTS[event][0]

    def worst_case(self, request: Request) -> int:
        """Blocks that the request holds at most, in an otherwise empty pool.

        After a recompute its branches share only the full blocks of the prompt; the last token of
        a sequence needs no KV, so p + m tokens peak at p + m - 1 positions.
        """
        shared = self.block_of(request.prompt)
        return shared + request.parallel * (self.need(request.limit - 1) - shared)

    def retired(self) -> int:
        """The last number up to which every operation is complete."""
        return min(self.operations, default=self.issued + 1) - 1

    # ---- guards and control ------------------------------------------------------------------------------------

    def require(self, condition: bool, guard: str) -> None:
        """A guard: refuse the action unless the condition holds."""
        if not condition:
            raise Refused(guard)

    def demand(self, condition: bool, what: str) -> None:
        """A primitive's precondition: implied by guards and invariants, so never false."""
        if not condition:
            raise Broken(what)

    def branch(self, condition: bool, then: Callable[[], None]) -> None:
        """Run `then` if the condition holds."""
        if condition:
            then()

    def is_open(self, number: int) -> bool:
        """Whether the operation is decided and not complete."""
        return number in self.operations

    def complete(self, number: int) -> bool:
        """Whether every operation up to this number is complete."""
        return min(self.operations, default=number + 1) > number

    def wait_of(self, number: int) -> int:
        """What an open operation waits for."""
        return self._open(number).wait

    def is_copy(self, number: int) -> bool:
        """Whether an open operation is a copy and no forward."""
        return self._open(number).kind != FORWARD

    def _open(self, number: int) -> Operation:
        """The open operation that a question is about."""
        operation = self.operations.get(number)
        if operation is None:
            raise Broken(f"operation {number} is not open")
        return operation

    def forward_of(self, step: int) -> int:
        """The number of the forward of a step in flight."""
        number = self.step_operations.get(step)
        if number is None:
            raise Broken(f"step {step} is not in flight")
        return number

    @property
    def batch_size(self) -> int:
        """Steady sequences."""
        return len(self.batch)

    # ---- primitives --------------------------------------------------------------------------------------------

    def move(self, request: Request, event: str) -> None:
        """Primitive: take the lifecycle's transition, and change queues with it."""
        source, target = self.queues[request.phase], EVENTS[event][1]
        if source is not None:
            del source[request]
        request.phase = target
        into = self.queues[target]
        if into is not None:
            into[request] = None

    def add_member(self, request: Request) -> Sequence:
        """Primitive: a new sequence that belongs to the request and holds nothing."""
        self.sequences_made += 1
        sequence = Sequence(self.sequences_made, request)
        sequence.alive = True
        request.members.append(sequence)
        return sequence

    def remove_members(self, request: Request) -> None:
        """Primitive: the request has no sequence any more."""
        for sequence in request.members:
            sequence.alive = False
        request.members.clear()

    def remove_member(self, sequence: Sequence) -> None:
        """Primitive: the sequence leaves its request; the others keep their order."""
        sequence.alive = False
        sequence.request.members.remove(sequence)

    def new_request(self, prompt: int, limit: int, parallel: int) -> Request:
        """Primitive: a request with a fresh id; new, and in no queue."""
        self.requests_made += 1
        return Request(self.requests_made, prompt, limit, parallel)

    def join(self, sequence: Sequence, offset: int) -> None:
        """Primitive: the sequence becomes steady; its counters become offset plus clock."""
        sequence.offset = offset
        sequence.steady = True
        self.batch[sequence] = None
        self.batch_changes += 1
        self._mark(
            self.boundaries, len(sequence.table) * self.limits.block_size - offset, sequence
        )
        self._mark(self.endings, sequence.request.limit - 1 - offset, sequence)

    def leave(self, sequence: Sequence) -> None:
        """Primitive: the sequence is no longer steady; the caller has written its counters down."""
        offset = sequence.offset
        self._unmark(
            self.boundaries, len(sequence.table) * self.limits.block_size - offset, sequence
        )
        self._unmark(self.endings, sequence.request.limit - 1 - offset, sequence)
        sequence.steady = False
        del self.batch[sequence]
        self.batch_changes += 1

    @staticmethod
    def _mark(calendar: dict[int, dict[Sequence, None]], step: int, sequence: Sequence) -> None:
        calendar.setdefault(step, {})[sequence] = None

    @staticmethod
    def _unmark(calendar: dict[int, dict[Sequence, None]], step: int, sequence: Sequence) -> None:
        bucket = calendar[step]
        del bucket[sequence]
        if not bucket:
            del calendar[step]

    def advance(self, number: int) -> None:
        """Primitive: the clock of issued steps moves, and with it every steady sequence by one token.

        A sequence that was due has been given its block, so its table is full again a block size
        of steps later.
        """
        grown = self.boundaries.pop(self.steps, None)
        if grown:
            after = self.steps + self.limits.block_size
            bucket = self.boundaries.get(after)
            if bucket is None:
                self.boundaries[after] = grown
            else:
                bucket.update(grown)
        self.steps += 1
        self.step_operations[self.steps] = number

    def decide(self, kind: str, request: Request | None) -> int:
        """Primitive: number a new operation, open until it is closed; it travels with the next
        plan.
        """
        self.issued += 1
        self.operations[self.issued] = Operation(self.issued, kind, request)
        return self.issued

    def order(self, number: int, wait: int) -> None:
        """Primitive: the operation starts after every operation up to `wait`."""
        if not 0 <= wait < number:
            raise Broken(f"operation {number} can't wait for {wait}")
        self.operations[number].wait = wait

    def close(self, number: int) -> None:
        """Primitive: the operation is complete; of forwards, that of the oldest step in flight."""
        if self.operations.pop(number).kind == FORWARD:
            oldest = self.step_operations.pop(self.settled + 1, None)
            if oldest != number:
                raise Broken(f"forward {number} is not that of step {self.settled + 1}: {oldest}")

    def forget_copy(self, number: int) -> None:
        """Primitive: the request that a copy moved waits for it no longer."""
        request = self.operations[number].request
        if request is not None and request.copy == number:
            request.copy = 0

    def void_samples(self, request: Request) -> None:
        """Primitive: what steps issued so far sample for the request is worthless and will be
        dropped.
        """
        for sequence in request.members:
            sequence.void = self.steps
            sequence.promised_samples = 0
            sequence.drafts = 0
            sequence.last_samples = 0
            sequence.previous_samples = 0
            sequence.late_drafts = 0

    def write_kv(self, sequence: Sequence, tokens: int) -> None:
        """Primitive, ghost: the step being built writes the KV of the next `tokens` positions."""

    def share_kv(self, parent: Sequence, child: Sequence, count: int) -> None:
        """Primitive, ghost: the child has the KV of the first `count` blocks of the parent."""

    def lose_kv(self, sequence: Sequence) -> None:
        """Primitive, ghost: the sequence has no KV."""

    # ---- operators ---------------------------------------------------------------------------------------------

    always: staticmethod[[Any], Iterator[Any]] = staticmethod(repeat)
    listed: staticmethod[[Iterable[Any]], list[Any]] = staticmethod(list)
    ordered: staticmethod[[Iterable[Any]], dict[Any, None]] = staticmethod(dict.fromkeys)

    @staticmethod
    def backwards(records: Reversible[T]) -> list[T]:
        """The records, last one first."""
        return list(reversed(records))

    @staticmethod
    def select(condition: Callable[[T], bool], records: Iterable[T]) -> list[T]:
        """The records of which the condition holds."""
        return list(filter(condition, records))

    @staticmethod
    def all_of(condition: Callable[[T], bool], records: Iterable[T]) -> bool:
        """Whether the condition holds of every record."""
        return all(map(condition, records))

    @staticmethod
    def all_from(condition: Callable[[Block], bool], table: list[Block], first: int) -> bool:
        """Whether the condition holds of the block of every entry from the first one on."""
        return all(map(condition, table[first:]))

    @staticmethod
    def each(records: Iterable[T], body: Callable[[T], None]) -> None:
        """Run `body` for each record; it reads and writes that record alone."""
        for record in records:
            body(record)

    @staticmethod
    def places(tier: int, blocks: Iterable[Block]) -> list[int]:
        """The places of blocks of one tier."""
        return [block.place for block in blocks]

    @staticmethod
    def new_blocks(sequences: Iterable[Sequence], places: Iterable[int]) -> list[Block]:
        """New blocks at GPU places just taken, each of the request of its sequence and named by it once."""
        blocks: list[Block] = []
        for sequence, place in zip(sequences, places, strict=False):
            block = bare(Block)  # every field is written here, so no call of `__init__`
            block.request = sequence.request
            block.tier = GPU
            block.place = place
            block.ref = 1
            blocks.append(block)
        return blocks

    @staticmethod
    def relocate(blocks: Iterable[Block], tier: int, places: Iterable[int]) -> None:
        """The blocks live at these places of the tier; every table that names them still does."""
        for block, place in zip(blocks, places, strict=True):
            block.tier = tier
            block.place = place

    @staticmethod
    def count_up(sequence: Sequence, blocks: Iterable[Block]) -> None:
        """One more entry names each of the blocks: one of the sequence's table."""
        for block in blocks:
            block.ref += 1

    @staticmethod
    def count_down(sequence: Sequence, blocks: Iterable[Block]) -> None:
        """One entry less names each of the blocks: the one of the sequence's table."""
        for block in blocks:
            block.ref -= 1

    @staticmethod
    def remove_all(held: dict[Block, None], blocks: Iterable[Block]) -> None:
        """Blocks that no entry names any more leave their request."""
        for block in blocks:
            del held[block]

    @staticmethod
    def hold_each(sequences: Iterable[Sequence], blocks: Iterable[Block]) -> None:
        """Each block is held by the request of its sequence."""
        for sequence, block in zip(sequences, blocks, strict=True):
            sequence.request.held[block] = None

    @staticmethod
    def append_each(sequences: Iterable[Sequence], blocks: Iterable[Block]) -> None:
        """Append each block to the table of its sequence."""
        for sequence, block in zip(sequences, blocks, strict=True):
            sequence.table.append(block)

    def grew(self, sequences: Iterable[Sequence], places: Iterable[int]) -> None:
        """The next plan tells that these places were appended to the tables of these sequences."""
        self.grown.extend(zip(sequences, places, strict=False))

    def note_copies(
        self, source_tier: int, sources: list[int], target_tier: int, targets: list[int]
    ) -> None:
        """The operation decided last copies each source place to the target place beside it."""
        self.operations[self.issued].blocks.extend(zip(sources, targets, strict=True))
