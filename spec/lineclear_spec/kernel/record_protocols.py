"""What a function of the kernel or an action sees of records, pools and containers, on plain data and on formulas.

Guarantees: an attribute that is not named here is refused by the type checkers in every function that is proved.

A number or truth value has two types: `int` and `bool` on plain data, `symbolic.terms.Term` on formulas. No type
says both of a field that is read and written, so `Number`, `Truth` and `Records` are names for any type;
records, and the words that each of them has, are checked.
"""

from __future__ import annotations

from typing import Any, Protocol, TypeAlias

#: An int, or a formula of a whole number.
Number: TypeAlias = Any
#: A bool, or a formula.
Truth: TypeAlias = Any
#: Records or block ids one after another: a list, a dict's keys or an iterator, or a `symbolic.vectors.Vector`.
Records: TypeAlias = Any


class Limits(Protocol):
    """The constants of a scheduler: `kernel.records.Limits`."""

    @property
    def block_size(self) -> Number: ...
    @property
    def max_num_batched_tokens(self) -> Number: ...
    @property
    def max_num_seqs(self) -> Number: ...
    @property
    def max_model_len(self) -> Number: ...
    @property
    def chunked(self) -> Truth: ...
    @property
    def cut_long(self) -> Truth: ...
    @property
    def max_steps_in_flight(self) -> Number: ...


class Pool(Protocol):
    """The blocks of one tier: `kernel.records.Pool`."""

    @property
    def free(self) -> Number: ...
    @property
    def total(self) -> Number: ...
    def take(self, count: Any, /) -> Records: ...
    def latest(self, block_ids: Any, at_least: Any, /) -> Number: ...
    def fence(self, block_ids: Any, last_use: Any, /) -> None: ...
    def put(self, block_ids: Any, last_use: Any, /) -> None: ...


class Puts(Protocol):
    """A pool of which only the tier is known: block ids are put back into it."""

    def put(self, block_ids: Any, last_use: Any, /) -> None: ...


class Pools(Protocol):
    """The two pools, by tier."""

    def __getitem__(self, tier: Any, /) -> Puts: ...


class Block(Protocol):
    """One block's worth of KV: `kernel.records.Block`."""

    ref: Number
    name: Number
    readers: Number


class Members(Protocol):
    """The sequences of a request that are alive, in the order in which they were made."""

    def __getitem__(self, index: Any, /) -> Any: ...
    def append(self, sequence: Any, /) -> None: ...
    def remove(self, sequence: Any, /) -> None: ...
    def clear(self) -> None: ...


class Held(Protocol):
    """The distinct private blocks of a request, in the order in which they were taken."""

    def update(self, blocks: Any, /) -> None: ...


class Request(Protocol):
    """A group of sequences with one prompt: `kernel.records.Request`."""

    prompt: Number
    limit: Number
    parallel: Number
    phase: Number
    open_swap: Number
    last_swap: Number

    @property
    def width(self) -> Number: ...
    @property
    def blocks(self) -> Number: ...
    @property
    def members(self) -> Members: ...
    @property
    def held(self) -> Held: ...


class Table(Protocol):
    """A block table: an index gives a `Block`, a slice gives records."""

    def __getitem__(self, index: Any, /) -> Any: ...
    def __setitem__(self, index: Any, blocks: Any, /) -> None: ...
    def extend(self, blocks: Any, /) -> None: ...
    def clear(self) -> None: ...


class Sequence(Protocol):
    """One branch of a request, its table and its counters: `kernel.records.Sequence`."""

    alive: Truth
    in_decode_batch: Truth
    offset: Number
    own_tokens: Number
    own_dispatched: Number
    own_slots: Number
    own_samples: Number
    last_step: Number
    last_tokens: Number
    previous_tokens: Number
    last_samples: Number
    previous_samples: Number
    drafts: Number
    late_drafts: Number
    void: Number

    @property
    def length(self) -> Number: ...
    @property
    def request(self) -> Request: ...
    @property
    def table(self) -> Table: ...


class Operation(Protocol):
    """A forward, a block copy or a swap: `kernel.records.Operation`."""

    wait: Number

    @property
    def is_forward(self) -> Truth: ...
    @property
    def request(self) -> Any: ...  # none of a forward


class Operations(Protocol):
    """The open operations, by number."""

    def __getitem__(self, number: Any, /) -> Operation: ...
    def pop(self, number: Any, /) -> Operation: ...


class Forwards(Protocol):
    """The number of the forward of each step in flight, by step."""

    def __getitem__(self, step: Any, /) -> Number: ...
    def __setitem__(self, step: Any, number: Any, /) -> None: ...
    def pop(self, step: Any, /) -> Number: ...


class Batch(Protocol):
    """The sequences in the decode batch."""

    def add(self, sequence: Any, /) -> None: ...
    def remove(self, sequence: Any, /) -> None: ...


class Bucket(Protocol):
    """The sequences that a calendar lists under one step."""

    @property
    def count(self) -> Number: ...


class Calendar(Protocol):
    """Sequences in the decode batch, each by the one step under which it is listed."""

    def mark(self, step: Any, sequence: Any, /) -> None: ...
    def unmark(self, step: Any, sequence: Any, /) -> None: ...
    def postpone(self, step: Any, by: Any, /) -> None: ...
    def bucket(self, step: Any, /) -> Bucket: ...
