# pyright: basic
"""A concrete ledger read through the accessors of the symbolic state.

Guarantees: what the ledger stores is read as it is stored, the inverse maps of tables are recomputed from them, and
every accessor is total, so a broken ledger makes a clause false instead of raising.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lineclear_spec.invariants.clause import NEVER
from lineclear_spec.kernel.ledger import pairs_of
from lineclear_spec.kernel.records import (
    COMPUTE,
    CPU,
    GPU,
    SWAP_OUT,
    Block,
    Pool,
    Request,
    Sequence,
)
from lineclear_spec.modelcheck.block_view import (
    NO_BLOCK,
    NO_REQUEST,
    NO_SEQUENCE,
    BlockView,
    entry,
    field,
)
from lineclear_spec.modelcheck.ghosts import GhostLedger, bare
from lineclear_spec.modelcheck.kv_view import DeviceView
from lineclear_spec.symbolic.view import Derived

#: Fields of a sequence and of a request.
NUMBERS = (
    "offset own_tokens own_dispatched own_slots own_samples last_step last_tokens "
    "previous_tokens drafts void last_samples previous_samples late_drafts"
).split()
OF_REQUEST = "prompt limit parallel open_swap last_swap".split()
LIMITS = (
    "block_size max_num_batched_tokens max_num_seqs max_model_len max_steps_in_flight chunked cut_long"
).split()
SCALARS = "issued done dispatched barrier steps committed step_tokens step_sequences".split()


def permutation(pool: Pool) -> list[int]:
    """The pool's free blocks as it lists them, then every other block id: formulas list them too."""
    free = pool.order[: pool.free]
    return [*free, *sorted(set(range(pool.total)) - set(free))]


def listed_days(calendar: dict[int, dict[Sequence, None]]) -> dict[Sequence, int]:
    """The step under which each sequence is listed; none that is right if there are two."""
    days: dict[Sequence, int] = {}
    for step, bucket in calendar.items():
        for sequence in bucket:
            days[sequence] = step if sequence not in days else NEVER - 1
    return days


class ConcreteView(DeviceView, BlockView, Derived):
    """A snapshot of a ledger, read through the accessors of the symbolic state."""

    issued: int
    steps: int
    committed: int

    def __init__(self, ledger: GhostLedger) -> None:
        self.limits = ledger.limits
        self.device = ledger.device.copy(ledger)
        self.requests = list(ledger.requests)
        self.sequences = list(ledger.sequences)
        self._request = {r: bare(r) for r in self.requests}
        self._sequence = {s: bare(s) for s in self.sequences}
        self._tables = {s: list(s.table) for s in self.sequences}
        self._held = {r: list(r.held) for r in self.requests}
        self._members = {r: list(r.members) for r in self.requests}
        self._decode_batch = list(ledger.decode_batch)
        self._queues = [set(queue) if queue is not None else set() for queue in ledger.queues]
        self._cached = dict(ledger.cached)
        self._block_names = {s: s.block_names for s in self.sequences}
        self._preceding = {
            name: k
            for words in (*self._block_names.values(), *[r.prompt_names for r in self.requests])
            for k, name in enumerate(words)
        }
        self.blocks_seen = list(
            dict.fromkeys(
                b
                for rows in (
                    *self._tables.values(),
                    *self._held.values(),
                    self._cached.values(),
                    ledger.unfound,
                )
                for b in rows
            )
        )
        self._block = {b: bare(b) for b in self.blocks_seen}
        self._holders: dict[Block, list[Sequence]] = {}
        for s in self.sequences:
            for b in self._tables[s]:
                self._holders.setdefault(b, []).append(s)
        self._pools: dict[int, tuple[int, int, list[int], dict[int, int], list[int]]] = {}
        self._owners: dict[tuple[int, int], Block] = {}
        for b in self.blocks_seen:
            if b.ref or self._cached.get(b.name) is b:
                self._owners[b.tier, b.block_id] = b
        for tier, pool in ((GPU, ledger.gpu), (CPU, ledger.cpu)):
            order = permutation(pool)
            position = dict(zip(reversed(order), reversed(range(len(order))), strict=True))
            self._pools[tier] = (pool.free, pool.total, order, position, pool.last_use.copy())
        self._touch = {(t, o, p) for o, row in ledger.touched.items() for t, p in row}
        self._sources = dict(ledger.sources)
        self._open = set(ledger.operations)
        self._history = {n: bare(operation) for n, operation in ledger.history.items()}
        self._forwards = dict(ledger.step_operations)
        self._totals = dict(ledger.totals)
        self._whole = set(ledger.whole)
        self._reader = dict(ledger.reader)
        self._grown: dict[Sequence, list[int]] = {}
        for s, block_id in pairs_of(ledger.grown):
            self._grown.setdefault(s, []).append(block_id)
        self._releases = dict(ledger.releases)
        self._born = dict(ledger.born)
        self._boundaries = listed_days(ledger.boundaries)
        self._endings = listed_days(ledger.endings)
        self.decode_batch_size = len(self._decode_batch)
        for name in LIMITS:
            setattr(self, name, getattr(ledger.limits, name))
        for name in SCALARS:
            setattr(self, name, getattr(ledger, name))
        self.domains = self._domains()

    def _domains(self) -> dict[str, list[Any]]:
        """Everything that a clause can be false of: beyond these every premise is."""
        rows: list[list[Any]] = [
            *self._tables.values(),
            *self._held.values(),
            *self._members.values(),
        ]
        totals = [self.total(GPU), self.total(CPU)]
        refs = [self.ref(b) for b in self.blocks_seen]
        names = [len(words) for words in self._block_names.values()]
        counts = [*(len(row) for row in rows), *refs, *names, len(self._decode_batch), *totals]
        return {
            "request": self.requests,
            "sequence": self.sequences,
            "block": self.blocks_seen,
            "index": list(range(max(counts) + 1)),
            "block_id": sorted({*range(max(totals)), *(p for _, _, p in self._touch)}),
            "operation": sorted(
                {
                    *range(1, self.issued + 1),
                    *self._open,
                    *(o for _, o, _ in self._touch),
                    *self.device.ran,
                }
            ),
            "step": list(range(self.steps + 2)),
            **self.kv_domains(),
        }

    @staticmethod
    def if_else(condition: Any, then: Any, otherwise: Any) -> Any:
        """If-then-else."""
        return then if condition else otherwise

    def need(self, n: int) -> int:
        """ceil(n / block_size)."""
        return -(-n // self.limits.block_size)

    def cap(self, m: int) -> int:
        """m * block_size."""
        return m * self.limits.block_size

    def block_of(self, n: int) -> int:
        """floor(n / block_size)."""
        return n // self.limits.block_size

    def every(self, domain: str, predicate: Callable[[Any], Any]) -> bool:
        """Whether the predicate holds of everything."""
        return all(predicate(x) for x in self.domains[domain])

    def some(self, domain: str, predicate: Callable[[Any], Any]) -> bool:
        """Whether the predicate holds of something."""
        return any(predicate(x) for x in self.domains[domain])

    # ---- sequences ---------------------------------------------------------------------------------------------

    def request(self, s: Sequence) -> Request:
        """Its request."""
        return s.request

    def length(self, s: Sequence) -> int:
        """Entries of its table."""
        return len(self._tables.get(s, ()))

    def table(self, s: Sequence, i: int) -> Block:
        """Its entry i."""
        rows = self._tables.get(s, [])
        return rows[i] if 0 <= i < len(rows) else NO_BLOCK

    def index(self, s: Sequence, b: Block) -> int:
        """Where its table names b first."""
        rows = self._tables.get(s, [])
        return rows.index(b) if b in rows else -1

    def holder_index(self, s: Sequence, b: Block) -> int:
        """Which of the holders of b it is."""
        holders = self._holders.get(b, [])
        return holders.index(s) if s in holders else -1

    def member_index(self, s: Sequence) -> int:
        """Its index among the sequences of its request."""
        members = self._members.get(s.request, [])
        return members.index(s) if s in members else -1

    def whole(self, s: Sequence) -> bool:
        """Whether its whole table is sent next."""
        return s in self._whole

    def heard(self, s: Sequence) -> bool:
        """Whether who reads plans has a table of it."""
        return s.id in self._reader

    def _sent(self, s: Sequence) -> list[int]:
        """What was sent of its table, and what waits to be appended to that."""
        return [*self._reader[s.id], *self._grown.get(s, ())] if s.id in self._reader else []

    def sent_length(self, s: Sequence) -> int:
        """Entries of its table that were sent."""
        return len(self._reader.get(s.id, ()))

    def queued_length(self, s: Sequence) -> int:
        """Entries that were sent or wait to be."""
        return len(self._sent(s))

    def sent_block_id(self, s: Sequence, k: int) -> int:
        """The k-th of them."""
        sent = self._sent(s)
        return sent[k] if 0 <= k < len(sent) else -1

    alive = field("_sequence", "alive", NO_SEQUENCE)
    in_decode_batch = field("_sequence", "in_decode_batch", NO_SEQUENCE)
    boundary = entry("_boundaries", NEVER)
    ending = entry("_endings", NEVER)

    def decode_batch(self, k: int) -> Sequence:
        """The k-th sequence in the decode batch."""
        return self._decode_batch[k] if 0 <= k < len(self._decode_batch) else NO_SEQUENCE

    def decode_batch_index(self, s: Sequence) -> int:
        """Its index among those in the decode batch."""
        return self._decode_batch.index(s) if s in self._decode_batch else -1

    # ---- requests ----------------------------------------------------------------------------------------------

    def phase(self, r: Request) -> int:
        """Its phase."""
        return int(self._request.get(r, NO_REQUEST).phase)

    def queue(self, r: Request) -> int:
        """The phase of the one queue it is in; its own if it is in none and belongs in none."""
        found = [k for k, queue in enumerate(self._queues) if r in queue]
        if len(found) == 1:
            return found[0]
        return self.phase(r) if not found and self.phase(r) in (0, 4) else -1

    def width(self, r: Request) -> int:
        """Its sequences."""
        return len(self._members.get(r, ()))

    def member(self, r: Request, k: int) -> Sequence:
        """Its k-th sequence."""
        members = self._members.get(r, [])
        return members[k] if 0 <= k < len(members) else NO_SEQUENCE

    def blocks(self, r: Request) -> int:
        """Its distinct blocks."""
        return len(self._held.get(r, ()))

    def held(self, r: Request, k: int) -> Block:
        """Its k-th distinct block."""
        rows = self._held.get(r, [])
        return rows[k] if 0 <= k < len(rows) else NO_BLOCK

    releases = entry("_releases", 0)
    born = entry("_born", 0)

    # ---- operations --------------------------------------------------------------------------------------------

    def open(self, o: int) -> bool:
        """Whether it is not complete."""
        return o in self._open

    def wait(self, o: int) -> int:
        """What it waits for."""
        return self._history[o].wait if o in self._history else 0

    def compute(self, o: int) -> bool:
        """Whether it is on the compute stream."""
        return o in self._history and self._history[o].kind in COMPUTE

    def outward(self, o: int) -> bool:
        """Whether it is a swap-out."""
        return o in self._history and self._history[o].kind == SWAP_OUT

    def is_forward(self, o: int) -> bool:
        """Whether it is a forward."""
        return o in self._history and self._history[o].is_forward

    def request_of(self, o: int) -> Request:
        """Whose it is."""
        return (self._history[o].request if o in self._history else None) or NO_REQUEST

    def forward_of(self, step: int) -> int:
        """The forward of a step: what the ledger says while it is in flight, then what it was."""
        if self.committed < step <= self.steps:
            return self._forwards.get(step, 0)
        return self._totals[step][2] if step in self._totals else 0

    def step_of(self, o: int) -> int:
        """The step of a forward."""
        return next((s for s, row in self._totals.items() if row[2] == o), 0)

    def tokens_of(self, step: int) -> int:
        """Tokens of a step."""
        return self._totals[step][0] if step in self._totals else 0

    def sequences_of(self, step: int) -> int:
        """Sequences of a step."""
        return self._totals[step][1] if step in self._totals else 0


for _name in NUMBERS:
    setattr(ConcreteView, _name, field("_sequence", _name, NO_SEQUENCE))
for _name in OF_REQUEST:
    setattr(ConcreteView, _name, field("_request", _name, NO_REQUEST))
