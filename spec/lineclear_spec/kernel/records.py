"""The records that a ledger keeps: pools, blocks, requests, sequences, operations, and their limits.

Guarantees: plain data, each field with its meaning; a pool lists each free block once. When a record
may change is the business of `kernel/ledger.py`. A *block id* is the index of one block of memory in its pool
(`block_id` in vLLM), a *tier* is a pool: GPU or CPU. An *entry* of a block table refers to a `Block`; a *name* is what
prefix caching finds a block by (vLLM: block hash).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

from lineclear_spec.kernel.lifecycle import Phase

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

T = TypeVar("T")

GPU = 0
CPU = 1
RUNNING = int(Phase.RUNNING)

FORWARD = "forward"
COPY_BLOCK = "copy_block"
SWAP_OUT = "swap_out"
SWAP_IN = "swap_in"
KINDS = (FORWARD, COPY_BLOCK, SWAP_OUT, SWAP_IN)
#: Operations of the compute stream: they run in the order of their numbers, so none has to wait for another of them.
COMPUTE = frozenset({FORWARD, COPY_BLOCK})


class Refused(Exception):
    """A guard was false: the action did not happen and the ledger is as it was.

    Attributes:
        guard: the condition that does not hold.
        call: the action and its arguments; empty if a guard was asked outside an action.
    """

    def __init__(self, guard: str) -> None:
        super().__init__(guard)
        self.guard = guard
        self.call = ""

    def __str__(self) -> str:
        return f"{self.call or 'the action'} is refused, a guard is false: {self.guard}"


class Broken(AssertionError):
    """A precondition was violated although every guard held: the action table is wrong, not its caller."""


@dataclass(slots=True, kw_only=True, eq=False, frozen=True)
class Limits:
    """The constants of one scheduler: whole numbers and truth values.

    Attributes:
        block_size: tokens a block has room for, at least 1.
        gpu_blocks: blocks of the GPU pool, at least 1.
        cpu_blocks: blocks of the CPU pool, 0 or more.
        max_num_batched_tokens: tokens one step may schedule, at least 0; by default 2**30, no limit in
            practice, as are the defaults of the next two.
        max_num_seqs: sequences one step may schedule, at least 0.
        max_model_len: tokens a sequence may know, prompt included, at least 0.
        chunked: whether any sequence may be computed in several steps.
        cut_long: without `chunked`, whether a sequence that knows more tokens than max_num_batched_tokens may.
        max_steps_in_flight: steps that may be in flight at once, 1 or 2.
    """

    block_size: int
    gpu_blocks: int
    cpu_blocks: int = 0
    max_num_batched_tokens: int = 1 << 30
    max_num_seqs: int = 1 << 30
    max_model_len: int = 1 << 30
    chunked: bool = True
    cut_long: bool = False
    max_steps_in_flight: int = 2

    def __post_init__(self) -> None:
        for name, kind, least in (
            ("block_size", int, 1), ("gpu_blocks", int, 1), ("cpu_blocks", int, 0), ("max_num_seqs", int, 0),
            ("max_num_batched_tokens", int, 0), ("max_model_len", int, 0), ("max_steps_in_flight", int, 1),
            ("chunked", bool, 0), ("cut_long", bool, 0),
        ):  # fmt: skip
            value = getattr(self, name)
            if not isinstance(value, int) or (
                kind is int and isinstance(value, bool)
            ):  # 0 and 1 are truth values
                raise ValueError(f"{name} is {value!r}: it must be of type {kind.__name__}")
            if value < least:
                raise ValueError(f"{name} is {value}: it must be at least {least}")
        if self.max_steps_in_flight > 2:
            raise ValueError(
                f"max_steps_in_flight is {self.max_steps_in_flight}: it must be 1 or 2"
            )


class Block:
    """One block's worth of KV: where it lives, and how many table entries refer to it (`ref`).

    A block that an entry refers to and that has no name is *private*: it belongs to one request, which may write it.
    A block with a name is *sealed*: it holds the KV of the tokens that have the name, is never written again, and
    tables of any requests may refer to it. It *rests* while it can be found and no entry refers to it. Readers
    outside the table, such as a transfer, may hold one that can be found: until they let go it can be found.

    Args:
        request: that it belongs to while private.
        tier: GPU or CPU.
        block_id: index in the pool of the tier.
        ref: table entries that refer to it.
    """

    __slots__ = ("block_id", "name", "readers", "ref", "request", "tier")

    def __init__(self, request: Request, tier: int, block_id: int, ref: int = 0) -> None:
        self.request = request
        self.tier = tier
        self.block_id = block_id
        self.ref = ref
        self.name = 0  # of its tokens and all before them; 0: it has none
        self.readers = 0  # readers outside the table, such as transfers, that hold it

    def __repr__(self) -> str:
        return f"{'gpu' if self.tier == GPU else 'cpu'}:{self.block_id}"


class Pool:
    """The block ids of one tier; the free ones are a stack, `order[:free]`, whose last one is taken first.

    `last_use[block_id]` is the fence of a block id: the number of the newest operation that could still touch it
    when it was freed, or when its block began to rest. Who takes the block id passes the fence on as a wait:
    `allocate_gpu` raises `barrier` to it, for the next forward and every copy into the block id; a swap-out waits
    for all operations before it.
    """

    __slots__ = ("free", "last_use", "name", "order", "taken", "total")

    def __init__(self, name: str, total: int) -> None:
        self.name = name
        self.total = total
        self.free = total
        self.order = list(range(total - 1, -1, -1))  # the lowest is taken first
        self.taken = [False] * total
        self.last_use = [0] * total

    def take(self, count: int) -> list[int]:
        """Take so many free blocks out of the pool.

        Raises:
            Broken: count is negative, or the pool has fewer free blocks.
        """
        free = self.free - count
        if count < 0 or free < 0:
            raise Broken(f"{count} {self.name} blocks to take, {self.free} are free")
        block_ids = self.order[free : self.free]
        block_ids.reverse()
        taken = self.taken
        for block_id in block_ids:
            taken[block_id] = True
        self.free = free
        return block_ids

    def latest(self, block_ids: Iterable[int], at_least: int) -> int:
        """The largest fence of the block ids; `at_least` if that is larger."""
        fences = self.last_use
        for block_id in block_ids:
            if fences[block_id] > at_least:
                at_least = fences[block_id]
        return at_least

    def fence(self, block_ids: Collection[int], last_use: int) -> None:
        """Set the fence of block ids that are not free.

        Raises:
            Broken: one of them is free.
        """
        if not all(map(self.taken.__getitem__, block_ids)):
            block_id = next(block_id for block_id in block_ids if not self.taken[block_id])
            raise Broken(
                f"{self.name} block {block_id} is free: its fence is set when it is put back"
            )
        fences = self.last_use
        for block_id in block_ids:
            fences[block_id] = last_use

    def put(self, block_ids: Collection[int], last_use: int) -> None:
        """Put block ids of the pool back, each once, fenced with `last_use`; the last one is taken first.

        Raises:
            Broken: one of them is free already. Those before it are marked free and not on the stack: the pool is
                not to be used any more.
        """
        taken, fences, free = self.taken, self.last_use, self.free
        for block_id in block_ids:
            if not taken[block_id]:
                raise Broken(f"{self.name} block {block_id} is free already")
            taken[block_id] = False
            fences[block_id] = last_use
        self.free = free + len(block_ids)
        self.order[free : self.free] = block_ids


class Request:
    """Sequences with one prompt: 1 to `parallel` while it is live, none before and after; ids are never reused.

    Args:
        request_id: its id.
        prompt: tokens of the prompt.
        limit: tokens that a sequence may know, prompt included.
        parallel: sequences that it may ever have at once.
        prompt_names: names of the full blocks of the prompt; empty if it has none.
    """

    __slots__ = (
        "block_ids", "held_set", "id", "last_swap", "limit", "members", "open_swap", "parallel", "phase",
        "prompt", "prompt_names",
    )  # fmt: skip

    def __init__(
        self,
        request_id: int,
        prompt: int,
        limit: int,
        parallel: int,
        prompt_names: tuple[int, ...] = (),
    ) -> None:
        self.id = request_id
        self.prompt = prompt
        self.limit = limit
        self.parallel = parallel
        self.phase = Phase.NEW
        self.members: list[Sequence] = []
        # what it holds, in the order it was taken; None if it has one sequence at most, whose table says the same
        self.held_set: dict[Block, None] | None = None if parallel == 1 else {}
        # Block ids of what it holds, in that order; empty once all of its blocks got names (`drop_each`). None where
        # they are not kept: it has `held_set`, was swapped, holds nothing yet or freed all, or a block other than its
        # first ones got a name.
        self.block_ids: list[int] | None = None
        self.prompt_names = prompt_names
        self.open_swap = 0  # the number of the swap that it waits for, 0 if it waits for none
        self.last_swap = 0  # the number of its last swap, open or not; 0 if there was none

    @property
    def width(self) -> int:
        """Number of sequences that are alive."""
        return len(self.members)

    @property
    def held(self) -> dict[Block, None]:
        """The distinct private blocks of its tables, in the order they were taken."""
        if self.held_set is not None:
            return self.held_set
        tables = [sequence.table for sequence in self.members]
        return dict.fromkeys([block for table in tables for block in table if not block.name])

    @property
    def blocks(self) -> int:
        """Number of distinct private blocks in its tables."""
        return len(self.held)

    def __repr__(self) -> str:
        return f"r{self.id}"


NO_REQUEST = Request(-1, 1, 2, 1)  # that of a block which is not there yet


class Sequence:
    """One branch of a request, its block table, and how far it has come.

    Its counters, over positions 0, 1, ... of the table and tokens 1, 2, ... of the sequence:

        positions | num_computed_tokens | in flight or being built | room not used | rest of the last block |
                  |<----------- num_dispatched_tokens ------------>|               |                        |
                  |<-------------------- num_allocated_slots --------------------->|                        |
                  |<-------------------------- need(num_allocated_slots) blocks --------------------------->|
        tokens    |<------ num_tokens ------->|<- scheduled_samples -->|
                  |< prompt ->|

    `num_computed_tokens` is not stored: it is `num_dispatched_tokens` less what steps not yet committed compute.
    Steps compute a position only if its token is known, to be sampled by an earlier step, or a draft:
    num_dispatched_tokens <= num_tokens + scheduled_samples + drafts. While a sequence decodes, num_tokens is
    num_computed_tokens + 1, as the KV of its newest token is not computed yet.

    A sequence *in the decode batch* decodes one token in every step: its counters are `offset` plus the ledger's
    clocks, so a step costs nothing for it. Any other sequence has counters of its own: `own_tokens` and the like, which
    mean nothing while it is in the decode batch. `queries.py` answers for both.
    """

    __slots__ = (
        "alive", "block_names", "drafts", "id", "in_decode_batch", "last_samples", "last_step", "last_tokens",
        "late_drafts", "offset", "own_dispatched", "own_samples", "own_slots", "own_tokens",
        "previous_samples", "previous_tokens", "request", "table", "void",
    )  # fmt: skip

    def __init__(self, sequence_id: int, request: Request) -> None:
        self.id = sequence_id
        self.request = request
        self.alive = False
        self.table: list[Block] = []
        self.in_decode_batch = False
        self.offset = 0
        self.own_tokens = 0  # prompt and generated tokens
        self.own_dispatched = 0  # positions computed, in flight or being built
        self.own_slots = 0  # positions given room; the last block may have room for more
        self.own_samples = 0  # samples outstanding of the step being built and of steps issued
        self.last_step = 0  # the last step that scheduled it
        self.last_tokens = 0  # tokens in that step
        self.previous_tokens = 0  # tokens in step last_step - 1; 0 if that one did not schedule it
        self.drafts = 0  # guesses among the positions of the last step, not yet verified
        self.last_samples = 0  # 1 if the last step samples for it, else 0
        self.previous_samples = 0  # 1 if the step before that one does, else 0
        # Drafts whose KV a recompute dropped while their step owes a sample: it may accept up to so many of them.
        self.late_drafts = 0
        self.void = 0  # samples of steps up to this one are void: dropped when they come
        self.block_names: tuple[int, ...] = ()  # of its full blocks, as far as they are given

    @property
    def length(self) -> int:
        """Number of entries of the block table."""
        return len(self.table)

    @property
    def block_ids(self) -> list[int]:
        """The block ids of its table. The request's own list is used if it is as long: then no block is sealed."""
        kept = self.request.block_ids or []
        return kept if len(kept) == len(self.table) else [block.block_id for block in self.table]

    def __repr__(self) -> str:
        return f"s{self.id}"


class Operation:
    """A forward, a block copy or a swap: numbered when it is decided, open until the executor reports it complete."""

    __slots__ = ("blocks", "is_forward", "kind", "number", "request", "wait")

    def __init__(self, number: int, kind: str, request: Request | None) -> None:
        self.number = number
        self.kind = kind
        self.is_forward = kind == FORWARD
        self.wait = 0  # it starts after operations 1 to this number are complete
        self.request = request
        self.blocks: list[tuple[int, int]] = []  # (source block id, target block id)

    def __repr__(self) -> str:
        return f"{self.kind}#{self.number}"


class Several(Generic[T]):
    """An immutable list of records whose length is `count`, as on formulas."""

    __slots__ = ("count", "records")

    def __init__(self, records: Iterable[T]) -> None:
        self.records = tuple(records)
        self.count = len(self.records)

    def __getitem__(self, k: int) -> T:
        return self.records[k]

    def __iter__(self) -> Iterator[T]:
        return iter(self.records)
