"""The state of the scheduler, and the few primitives that may change it.

Guarantees: every block of a tier is free or backs exactly one `Block`, and the plain data here
changes only through the methods marked *primitive*; everything else is read. It knows nothing
about policies, queues' order, token ids, clocks on the wall or devices.

A table names `Block` records, not places in a pool: swapping a block out changes its tier and its
place and leaves every table that names it alone, so sharing survives a swap. Each primitive has a
second interpretation on formulas in `symbolic.py`; docs/trust.md lists them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lineclear_spec.lifecycle import EVENTS, Phase
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
    from collections.abc import Callable

__all__ = ["Ledger"]

NONE_DUE: Several[Sequence] = Several(())


class Ledger:
    """Requests, sequences, tables and two pools; the reader of `actions/` that runs."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.gpu = Pool("GPU", limits.gpu_blocks)
        self.cpu = Pool("CPU", limits.cpu_blocks)
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

    def reach(self, sequence: Sequence) -> int:
        """Positions computed or being computed by a step that was decided."""
        return sequence.offset + self.steps if sequence.steady else sequence.reach_tokens

    def in_flight(self, sequence: Sequence) -> int:
        """Positions that steps not yet committed are computing."""
        settled = self.settled
        if sequence.steady:
            return self.steps - settled
        last = sequence.last_step
        return (sequence.last_tokens if last > settled else 0) + (
            sequence.previous_tokens if last > settled + 1 else 0
        )

    def computed(self, sequence: Sequence) -> int:
        """Positions whose KV is valid: every step that computes them is committed."""
        return self.reach(sequence) - self.in_flight(sequence)

    def known(self, sequence: Sequence) -> int:
        """Prompt and generated tokens."""
        return sequence.offset + self.settled + 1 if sequence.steady else sequence.known_tokens

    def promised(self, sequence: Sequence) -> int:
        """Steps in flight that will sample a token for the sequence."""
        return self.steps - self.settled if sequence.steady else sequence.promised_samples

    def owed(self, sequence: Sequence) -> int:
        """Samples of committed steps that are still to come."""
        if sequence.steady:
            return 0
        last, settled = sequence.last_step, self.settled
        coming = (sequence.last_samples if last > settled else 0) + (
            sequence.previous_samples if last > settled + 1 else 0
        )
        return sequence.promised_samples - coming

    def slots(self, sequence: Sequence) -> int:
        """Positions that the table has room for; a block is taken for each block size of them
        begun.
        """
        return sequence.offset + self.steps if sequence.steady else sequence.slot_tokens

    def due(self) -> Several[Sequence]:
        """Steady sequences whose table is full, so that the next step needs one block for each."""
        due = self.boundaries.get(self.steps)
        return Several(due) if due else NONE_DUE

    def ended(self) -> bool:
        """Whether some steady sequence has every position it may ever need, so that a step would
        overrun it.
        """
        return bool(self.endings.get(self.steps))

    def writable(self, sequence: Sequence) -> bool:
        """Whether every block that the next positions fall into is named by this sequence alone."""
        table = sequence.table
        return all(
            table[i].ref == 1 for i in range(self.block_of(self.computed(sequence)), len(table))
        )

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

    def repeat(
        self, loop: str, count: int, step: Callable[[int], None], *arguments: object
    ) -> None:
        """Run `step` for 0 .. count - 1; `loop` names the contract that it is proved against."""
        for k in range(count):
            step(k)

    def leader(self, request: Request) -> Sequence:
        """The first sequence of a request."""
        return request.members[0]

    def blocks(self, request: Request) -> list[Block]:
        """The distinct blocks that the request's tables name."""
        return list(request.held)

    def runs(self, sequence: Sequence) -> bool:
        """Whether the sequence is alive and its request runs."""
        return sequence.alive and sequence.request.phase == Phase.RUNNING

    def on_gpu(self, request: Request) -> bool:
        """Whether the request runs, so that its blocks are GPU blocks."""
        return request.phase == Phase.RUNNING

    def idle(self, request: Request) -> bool:
        """Whether no sequence of the request is steady or in the step being built."""
        steps = self.steps
        return all(
            not sequence.steady and sequence.last_step <= steps for sequence in request.members
        )

    def is_open(self, number: int) -> bool:
        """Whether the operation is decided and not complete."""
        return number in self.operations

    def complete(self, number: int) -> bool:
        """Whether every operation up to this number is complete."""
        return min(self.operations, default=number + 1) > number

    def wait_of(self, number: int) -> int:
        """What an open operation waits for."""
        return self.operations[number].wait

    def is_copy(self, number: int) -> bool:
        """Whether the operation is a copy and no forward."""
        return self.operations[number].kind != FORWARD

    def forward_of(self, step: int) -> int:
        """The number of the forward of a step in flight."""
        return self.step_operations[step]

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

    def name_block(self, sequence: Sequence, block: Block) -> None:
        """Primitive: append an entry that names the block to the sequence's table; the next plan
        tells of it.
        """
        sequence.table.append(block)
        block.ref += 1
        self.grown.append((sequence, block.place))

    def new_block(self, request: Request, place: int) -> Block:
        """Primitive: a block of the request, named by nobody yet, at a GPU place just granted."""
        block = Block(request, GPU, place)
        request.held[block] = None
        return block

    def relocate(self, block: Block, tier: int, place: int) -> None:
        """Primitive: the block lives elsewhere from now on; every table that names it still does."""
        block.tier = tier
        block.place = place

    def unname_last(self, sequence: Sequence) -> Block:
        """Primitive: remove the last entry of the sequence's table; the block that it named."""
        block = sequence.table.pop()
        block.ref -= 1
        return block

    def rename_entry(self, sequence: Sequence, index: int, block: Block) -> Block:
        """Primitive: let one entry name another block; the block that it named."""
        if not 0 <= index < len(sequence.table):
            raise Broken(f"{sequence} has no table entry {index}")
        old = sequence.table[index]
        old.ref -= 1
        sequence.table[index] = block
        block.ref += 1
        return old

    def forget_block(self, block: Block) -> None:
        """Primitive: a block that no entry names any more leaves its request."""
        if block.ref != 0:
            raise Broken(f"{block} is still named {block.ref} times")
        del block.request.held[block]

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

    def note_copy(self, source_tier: int, source: int, target_tier: int, target: int) -> None:
        """Primitive: the operation decided last copies the block at `source` to `target`."""
        self.operations[self.issued].blocks.append((source, target))

    def give_up(self, tier: int, place: int) -> None:
        """Primitive: a place is free again, fenced until every operation decided so far is done."""
        (self.gpu if tier == GPU else self.cpu).give_up(place, self.issued)
