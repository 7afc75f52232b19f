"""The state of the scheduler on plain data, and the plain-data reading of the operators of the kernel.

Guarantees: every block id of a tier is free or backs exactly one `Block`. The state changes only through
the primitives and block steps of `kernel/methods.py`, which are written once over the operators of this class
(`kernel/operators.py` lists them), operators that actions call themselves, and fields that actions write. Two
exceptions are safe: `new_request` makes a record that nothing refers to, and the proofs allow for any new request
with honest names; `name_blocks` (`kernel/ledger_cache.py`) says why itself.

A table refers to `Block` records, not to block ids in a pool: swapping a block out changes its tier and its
block id and leaves every table that refers to it alone, so sharing survives a swap.
"""

from __future__ import annotations

from itertools import repeat
from typing import TYPE_CHECKING, Any, TypeVar

from lineclear_spec.kernel.containers import Calendar, DecodeMembers, Numbered, Resting
from lineclear_spec.kernel.ledger_ends import EndedRequests
from lineclear_spec.kernel.lifecycle import EVENTS, Phase
from lineclear_spec.kernel.records import (
    GPU,
    NO_REQUEST,
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
    from collections.abc import Callable, Iterable, Iterator

T = TypeVar("T")
#: The k-th block id was appended to the table of the k-th sequence; `always(q)` stands for q at every k.
Added = tuple["Iterable[Sequence]", list[int]]


def pairs_of(added: list[Added]) -> Iterator[tuple[Sequence, int]]:
    """Each sequence with the block id that was appended to its table, in order."""
    for sequences, block_ids in added:
        yield from zip(sequences, block_ids, strict=False)


class Ledger(EndedRequests):
    """Requests, sequences, tables and two pools: what actions change in a running scheduler.

    `symbolic.ledger.SymbolicLedger` is its twin for proofs.
    """

    __slots__ = (
        "appended", "barrier", "cpu", "dispatched", "done", "grown", "operations", "pools", "records",
        "requests_made", "running", "sent_whole", "sequences_made", "step_operations", "step_sequences",
        "step_tokens", "steps", "swapped", "waiting", "whole",
    )  # fmt: skip

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.gpu = Pool("GPU", limits.gpu_blocks)
        self.cpu = Pool("CPU", limits.cpu_blocks)
        self.pools = (self.gpu, self.cpu)  # by tier
        # by GPU block, the record of the next block there: nothing leads to it while the block id is free
        self.records = [Block(NO_REQUEST, GPU, block_id) for block_id in range(limits.gpu_blocks)]
        self.waiting: dict[Request, None] = {}
        self.running: dict[Request, None] = {}
        self.swapped: dict[Request, None] = {}
        in_queue: tuple[dict[Request, None], ...] = (self.waiting, self.running, self.swapped)
        self.queues: tuple[dict[Request, None] | None, ...] = (None, *in_queue, None)  # by phase
        self.decode_batch = DecodeMembers()  # the sequences in the decode batch
        # step -> sequences in the decode batch whose table is full then
        self.boundaries = Calendar()
        # step -> sequences in the decode batch that reach their limit then
        self.endings = Calendar()
        self.operations: Numbered[Operation] = Numbered("operation {} is not open")
        self.issued = 0  # number of the last operation decided
        # Of operations 1 to `issued` those up to `done` are complete, as of the last `lift_fences`, the only
        # guard that reads it; those up to `dispatched` are in a plan; the next forward waits for those up to `barrier`.
        self.done = 0
        self.dispatched = 0
        self.barrier = 0
        self.steps = 0  # steps issued
        self.committed = 0  # steps committed, first in, first out
        self.step_tokens = 0  # tokens in the step that is being built, the decode batch aside
        self.step_sequences = 0  # sequences in it, the decode batch aside
        # step -> its forward
        self.step_operations: Numbered[int] = Numbered("step {} is not in flight")
        self.cached: dict[int, Block] = {}  # name -> the block that can be found under it
        self.resting = Resting()  # blocks that can be found and that no entry refers to
        self.sealed = 0  # blocks that were ever sealed; 0: no block has a name
        self.unlisted = 0  # blocks that could be found no more while entries referred to them
        self.requests_made = 0
        self.sequences_made = 0
        self.grown: list[Added] = []  # entries added since tables were sent last
        self.whole: dict[Sequence, None] = {}  # whose whole table is sent next
        self.appended: list[Added] = []  # block ids that the last step's plan appends
        # whole tables that the last step's plan names: each sequence with the block ids of its entries
        self.sent_whole: list[tuple[Sequence, tuple[int, ...]]] = []
        self.journal: Callable[[str, tuple[object, ...]], None] | None = None

    @property
    def decode_batch_size(self) -> int:
        """Number of sequences in the decode batch."""
        return len(self.decode_batch)

    @property
    def batch_changes(self) -> int:
        """Grows whenever a sequence joins or leaves the decode batch."""
        return self.decode_batch.changes

    def new_request(
        self, prompt: int, limit: int, parallel: int, prompt_names: tuple[int, ...] = ()
    ) -> Request:
        """A request with a fresh id; new, and in no queue. No action makes one: a caller does.

        Args:
            prompt: tokens of the prompt.
            limit: tokens that a sequence may know, prompt included.
            parallel: sequences that it may ever have at once.
            prompt_names: names of the full blocks of the prompt; empty if it has none.
        """
        self.requests_made += 1
        return Request(self.requests_made, prompt, limit, parallel, prompt_names)

    # ---- guards and branches -----------------------------------------------------------------------

    def require(self, condition: bool, guard: str) -> None:
        """A guard: refuse the action unless the condition holds."""
        if not condition:
            raise Refused(guard)

    def demand(self, condition: bool, what: str) -> None:
        """A precondition: implied by guards and invariants, which is proved, so never false."""
        if not condition:
            raise Broken(f"violated: {what}")

    def branch(self, condition: bool, then: Callable[[], None]) -> None:
        """Run `then` if the condition holds."""
        if condition:
            then()

    # ---- operators over one record -----------------------------------------------------------------

    def need(self, tokens: int) -> int:
        """Number of blocks that `tokens` positions occupy: rounded up."""
        return -(-tokens // self.limits.block_size)

    def block_of(self, position: int) -> int:
        """Index of the table entry that `position` falls into."""
        return position // self.limits.block_size

    def cap(self, blocks: int) -> int:
        """Number of positions that so many blocks have room for."""
        return blocks * self.limits.block_size

    def allowed(self, event: str, request: Request) -> bool:
        """Whether the lifecycle has a transition for the event from the request's phase."""
        return request.phase in EVENTS[event][0]

    def enqueue(self, request: Request, phase: Phase) -> None:
        """The request leaves the queue of its phase and enters that of another one."""
        source, into = self.queues[request.phase], self.queues[phase]
        if source is not None:
            del source[request]
        if into is not None:
            into[request] = None

    def new_sequence(self, request: Request) -> Sequence:
        """A sequence with a fresh id and every counter 0; it is not alive yet."""
        self.sequences_made += 1
        sequence = Sequence(self.sequences_made, request)
        if request.prompt_names:
            sequence.block_names = request.prompt_names[: self.block_of(request.prompt)]
        return sequence

    def new_operation(self, kind: str, request: Request | None) -> None:
        """Open the operation with the last number; it waits for nothing yet."""
        self.operations[self.issued] = Operation(self.issued, kind, request)

    def is_open(self, number: int) -> bool:
        """Whether the operation was decided and is not complete."""
        return number in self.operations

    def first_open(self) -> int:
        """The smallest number of an open operation; the next number to be given if none is open."""
        return min(self.operations, default=self.issued + 1)

    def _ghost(self, *_: Any, **__: Any) -> None:
        """Does nothing: `modelcheck.ghosts.GhostLedger` and formulas keep the histories that only invariants read."""

    note_move = note_step = _ghost
    note_swap = note_twin = note_good = note_voided = note_fork = note_sample = _ghost

    # ---- operators over several records ------------------------------------------------------------

    always: staticmethod[[Any], Iterator[Any]] = staticmethod(repeat)
    listed: staticmethod[[Iterable[Any]], list[Any]] = staticmethod(list)

    @staticmethod
    def backwards(records: Iterable[T]) -> list[T]:
        """The records, last one first."""
        return [*records][::-1]

    @staticmethod
    def select(condition: Callable[[T], bool], records: Iterable[T]) -> list[T]:
        """The records of which the condition holds."""
        return list(filter(condition, records))

    @staticmethod
    def all_of(condition: Callable[[T], bool], records: Iterable[T]) -> bool:
        """Whether the condition holds of every record."""
        return all(map(condition, records))

    @staticmethod
    def unshared_from(table: list[Block], first: int) -> bool:
        """Whether each entry from index `first` on is the only one that refers to its block."""
        return not [block for block in table[first:] if block.ref != 1]

    @staticmethod
    def each(records: Iterable[T], body: Callable[[T], None]) -> None:
        """Run `body` for each record; it writes fields of that record only, and reads no other record of its kind."""
        for record in records:
            body(record)

    @staticmethod
    def block_ids(tier: int, blocks: Iterable[Block]) -> list[int]:
        """The block ids of the blocks; nothing depends on the tier here."""
        return [block.block_id for block in blocks]

    @staticmethod
    def held_at(tier: int, request: Request) -> list[int]:
        """The block ids, all of one tier, of the blocks that the request holds, last one first."""
        block_ids = request.block_ids or [block.block_id for block in request.held]
        return block_ids[::-1]

    def new_blocks(self, sequences: Iterator[Sequence], block_ids: list[int]) -> list[Block]:
        """New blocks at GPU block ids just taken, of one sequence (`always`); `ref` 1 counts the entry to come."""
        blocks = self._records_at(block_ids)
        request = next(sequences).request
        for block in blocks:
            block.request = request
            block.ref = 1
        return blocks

    def append_new_each(self, sequences: Iterable[Sequence], block_ids: list[int]) -> None:
        """Append one new block at a block id just taken to the table of each sequence, whose request holds it."""
        blocks = self._records_at(block_ids)
        for sequence, block, block_id in zip(sequences, blocks, block_ids, strict=True):
            request = block.request = sequence.request
            block.ref = 1
            sequence.table.append(block)
            kept = request.block_ids
            if kept is not None:
                kept.append(block_id)
            elif request.held_set is not None:
                request.held_set[block] = None

    def _records_at(self, block_ids: list[int]) -> list[Block]:
        """The records of the new blocks at GPU blocks that were just taken."""
        records = self.records
        if self.sealed:  # `cached` and `resting` may still refer to the record of a sealed block
            for block_id in block_ids:
                if records[block_id].name:
                    records[block_id] = Block(NO_REQUEST, GPU, block_id)
        return list(map(records.__getitem__, block_ids))

    @staticmethod
    def hold(request: Request, blocks: list[Block], block_ids: list[int]) -> None:
        """The request holds new blocks, at these block ids, which a table of it names next."""
        if request.held_set is not None:
            request.held_set.update(dict.fromkeys(blocks))
        elif request.block_ids is not None:
            request.block_ids += block_ids
        elif block_ids and not request.members[0].table:
            request.block_ids = block_ids.copy()

    @staticmethod
    def empty(request: Request) -> None:
        """The request holds no block; those that it held are private, and its tables are cleared next, so that
        nothing leads to them any more: their records may stand for new blocks.
        """
        request.block_ids = None
        if request.held_set is not None:
            request.held_set.clear()

    def relocate(self, blocks: Iterable[Block], tier: int, block_ids: Iterable[int]) -> None:
        """The blocks live at these block ids of the tier from now on; tables stay as they are."""
        for block, block_id in zip(blocks, block_ids, strict=True):
            if block.tier == GPU:  # it takes its record along
                self.records[block.block_id] = Block(NO_REQUEST, GPU, block.block_id)
            block.tier = tier
            block.block_id = block_id
            block.request.block_ids = None

    @staticmethod
    def count_up(sequence: Sequence, blocks: Iterable[Block]) -> None:
        """One more entry refers to each of the blocks: one of the sequence's table."""
        for block in blocks:
            block.ref += 1

    @staticmethod
    def count_down(sequence: Sequence, blocks: Iterable[Block]) -> None:
        """One entry less refers to each of the blocks: the one of the sequence's table."""
        for block in blocks:
            block.ref -= 1

    @staticmethod
    def remove_all(request: Request, blocks: Iterable[Block]) -> None:
        """Blocks that no entry refers to any more, or that are sealed, are held by the request no more."""
        request.block_ids = None
        if request.held_set is not None:
            for block in blocks:
                del request.held_set[block]

    def grew(self, sequences: Iterable[Sequence], block_ids: list[int]) -> None:
        """These block ids were appended to the tables of these sequences: the plan of the next step says so."""
        self.grown.append((sequences, block_ids))

    def send_whole(self, sequence: Sequence) -> None:
        """The plan of the next step names the sequence's whole table."""
        self.whole[sequence] = None

    def send(self) -> None:
        """Moves what waits (`grown`, `whole`) to what the plan of this step says (`appended`, `sent_whole`): of some
        sequences that run the whole table, of every other one the block ids that were appended.
        """
        grown, whole = self.grown, self.whole
        if self.sent_whole:
            self.sent_whole = []
        if not grown and not whole:
            if self.appended:
                self.appended = []
            return
        self.appended, self.grown = grown, []
        # All of a bucket are in the decode batch, so they run; that none is sent whole is what `if whole` asks.
        if whole or len(grown) > 1 or not isinstance(grown[0][0], Several):
            self.appended = self._in_parts(grown)
            self.sent_whole = [(s, tuple(s.block_ids)) for s in whole if self.runs(s)]
            whole.clear()

    def _in_parts(self, grown: list[Added]) -> list[Added]:
        """Of what was appended, what belongs to sequences that run and are not sent whole; all in one."""
        whole, found, at = self.whole, list[Sequence](), list[int]()
        for sequences, block_ids in grown:
            if isinstance(sequences, repeat):  # all of one sequence
                sequence = next(sequences)
                if sequence not in whole and self.runs(sequence):
                    found += [sequence] * len(block_ids)
                    at += block_ids
                continue
            for sequence, block_id in zip(sequences, block_ids, strict=True):
                if sequence not in whole and self.runs(sequence):
                    found.append(sequence)
                    at.append(block_id)
        return [(found, at)] if found else []

    def record_copies(
        self, source_tier: int, sources: list[int], target_tier: int, targets: list[int]
    ) -> None:
        """Let the operation decided last copy each source block to the target block beside it. This is no ghost:
        plans carry it and devices execute it.

        Args:
            source_tier: where the sources lie; read on formulas only, as the kind of an operation says it here.
            sources: block ids.
            target_tier: where the targets lie; read on formulas only.
            targets: block ids, as many.
        """
        self.operations[self.issued].blocks.extend(zip(sources, targets, strict=True))
