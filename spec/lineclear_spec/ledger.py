"""The state of the scheduler on plain data, and the operators that the kernel is written in there.

Guarantees: every block of a tier is free or backs exactly one `Block`. The state changes only through
the primitives and block steps of `kernel.py`, which are written once over the operators of this class
(`operators.py` lists them), and through counters that actions write.

A table names `Block` records, not places in a pool: swapping a block out changes its tier and its
place and leaves every table that names it alone, so sharing survives a swap.
"""

from __future__ import annotations

from collections import OrderedDict
from itertools import repeat
from typing import TYPE_CHECKING, Any, TypeVar

from lineclear_spec.containers import Calendar, Numbered, SteadyBatch
from lineclear_spec.ledger_cache import CachedBlocks
from lineclear_spec.lifecycle import EVENTS, Phase
from lineclear_spec.records import (
    GPU,
    Block,
    Broken,
    Limits,
    Operation,
    Pool,
    Refused,
    Request,
    Sequence,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Reversible

__all__ = ["Ledger"]

T = TypeVar("T")
#: A record without a call of its `__init__`.
bare = object.__new__


class Ledger(CachedBlocks):
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
        self.batch = SteadyBatch()  # the steady sequences
        self.boundaries = Calendar()  # step -> steady sequences whose table is full then
        self.endings = Calendar()  # step -> steady sequences that reach their limit then
        self.operations: Numbered[Operation] = Numbered("operation {} is not open")
        self.issued = 0  # number of the last operation decided
        self.done = 0  # every operation up to this number is complete
        self.carried = 0  # every operation up to this number is in a plan
        self.barrier = 0  # the next forward waits for every operation up to this number
        self.steps = 0  # steps issued
        self.settled = 0  # steps committed, first in, first out
        self.step_tokens = 0  # tokens in the step that is being built, steady sequences aside
        self.step_sequences = 0  # sequences in it, steady sequences aside
        self.step_operations: Numbered[int] = Numbered(
            "step {} is not in flight"
        )  # -> its forward
        self.cached: dict[int, Block] = {}  # name -> the block that can be found under it
        self.resting: OrderedDict[Block, None] = OrderedDict()  # that no entry names, oldest first
        self.sealed = 0  # blocks that were ever sealed
        self.requests_made = 0
        self.sequences_made = 0
        self.grown: list[
            tuple[Sequence, int]
        ] = []  # entries added since the last plan: (sequence, place)
        self.journal: Callable[[str, tuple[object, ...]], None] | None = None

    @property
    def batch_size(self) -> int:
        """Steady sequences."""
        return len(self.batch)

    @property
    def batch_changes(self) -> int:
        """Grows whenever a sequence becomes steady or is steady no more."""
        return self.batch.changes

    def new_request(
        self, prompt: int, limit: int, parallel: int, opening: tuple[int, ...] = ()
    ) -> Request:
        """A request with a fresh id; new, and in no queue. No action makes one: a caller does."""
        self.requests_made += 1
        return Request(self.requests_made, prompt, limit, parallel, opening)

    # ---- guards and branches -----------------------------------------------------------------------

    def require(self, condition: bool, guard: str) -> None:
        """A guard: refuse the action unless the condition holds."""
        if not condition:
            raise Refused(guard)

    def demand(self, condition: bool, what: str) -> None:
        """A primitive's precondition: implied by guards and invariants, so never false."""
        if not condition:
            raise Broken(f"violated: {what}")

    def branch(self, condition: bool, then: Callable[[], None]) -> None:
        """Run `then` if the condition holds."""
        if condition:
            then()

    # ---- operators over one record -----------------------------------------------------------------

    def need(self, tokens: int) -> int:
        """Blocks that `tokens` positions occupy; the only place where tokens become blocks."""
        return -(-tokens // self.limits.block_size)

    def block_of(self, position: int) -> int:
        """Index of the table entry that `position` falls into."""
        return position // self.limits.block_size

    def cap(self, blocks: int) -> int:
        """Positions that so many blocks have room for."""
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
        if request.opening:
            sequence.words = request.opening[: self.block_of(request.prompt)]
        return sequence

    def new_operation(self, kind: str, request: Request | None) -> None:
        """The operation that has the last number, open, which waits for nothing."""
        self.operations[self.issued] = Operation(self.issued, kind, request)

    def is_open(self, number: int) -> bool:
        """Whether the operation is decided and not complete."""
        return number in self.operations

    def first_open(self) -> int:
        """The least number of an operation that is open; the next number if none is."""
        return min(self.operations, default=self.issued + 1)

    def _ghost(self, *_: Any, **__: Any) -> None:
        """Remembers what invariants speak of, in `ghosts.GhostLedger` and on formulas."""

    note_move = note_step = write_kv = share_kv = lose_kv = find_kv = _ghost
    note_swap = note_twin = note_good = note_voided = note_fork = note_sample = _ghost

    # ---- operators over several records ------------------------------------------------------------

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
            block.name = 0
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

    def name_blocks(self, sequence: Sequence, names: Iterable[int]) -> None:
        """Give the sequence's next blocks these names; those of the prompt are the request's, so all of its
        sequences get them.

        No action does this: a caller knows the tokens. In the proofs every block has from the beginning the
        name that it is ever given (`goals.start_state`), and a name that is not given yet is 0 here, which
        every guard that reads it refuses. So each run on plain data is a run of which the proofs speak.
        """
        added = tuple(names)
        self._append_names(sequence, added)
        if self.journal is not None:
            self.journal("name_blocks", (sequence, added))

    def name_each(self, sequences: list[Sequence], names: list[int]) -> None:
        """The next block of each sequence has the name beside it."""
        for sequence, name in zip(sequences, names, strict=True):
            self._append_names(sequence, (name,))
        if self.journal is not None:
            self.journal("name_each", (sequences, names))

    def _append_names(self, sequence: Sequence, added: tuple[int, ...]) -> None:
        request = sequence.request
        lacking = self.block_of(request.prompt) - len(sequence.words)
        if lacking > 0:  # every sequence of the request has names for as many blocks as this one
            late = added[:lacking]
            request.opening = (*sequence.words, *late)
            for other in request.members:
                if other is not sequence:
                    other.words = (*other.words, *late)
        sequence.words = (*sequence.words, *added)

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
