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
    Operation,
    Pool,
    Request,
    Sequence,
)
from lineclear_spec.modelcheck.accessors import (
    NO_BLOCK,
    NO_REQUEST,
    NO_SEQUENCE,
    contains,
    entry,
    field,
    nth,
    place,
    size,
)
from lineclear_spec.modelcheck.ghosts import GhostLedger, bare
from lineclear_spec.modelcheck.kv_view import DeviceView
from lineclear_spec.symbolic.view import Derived

#: Stands for an operation that was never decided.
NO_OPERATION = Operation(0, "", None)
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


class ConcreteView(DeviceView, Derived):
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
        self._in_batch = dict(enumerate(ledger.decode_batch))
        self._batch_index = {s: k for k, s in self._in_batch.items()}
        self._queues = [set(queue) if queue is not None else set() for queue in ledger.queues]
        self._cached = dict(ledger.cached)
        self._block_names = {s: s.block_names for s in self.sequences}
        self._prompt_names = {r: r.prompt_names for r in self.requests}
        self._preceding = {
            name: k
            for words in (*self._block_names.values(), *self._prompt_names.values())
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
        self._positions: dict[tuple[int, int], int] = {}
        self._owners: dict[tuple[int, int], Block] = {}
        self._listed = {b for b in self.blocks_seen if self._cached.get(b.name) is b}
        for b in self.blocks_seen:
            if b.ref or b in self._listed:
                self._owners[b.tier, b.block_id] = b
        pools = {GPU: ledger.gpu, CPU: ledger.cpu}
        self._free = {tier: pool.free for tier, pool in pools.items()}
        self._total = {tier: pool.total for tier, pool in pools.items()}
        self._last_use = {tier: pool.last_use.copy() for tier, pool in pools.items()}
        self._order = {tier: permutation(pool) for tier, pool in pools.items()}
        for tier, order in self._order.items():  # of a block id that is there twice the first
            self._positions |= {(tier, p): j for j, p in reversed([*enumerate(order)])}
        self._touch = {(t, o, p) for o, row in ledger.touched.items() for t, p in row}
        self._sources = dict(ledger.sources)
        self._open = set(ledger.operations)
        self._history = {n: bare(operation) for n, operation in ledger.history.items()}
        self._forwards = dict(ledger.step_operations)
        self._compute = {o for o, one in self._history.items() if one.kind in COMPUTE}
        self._outward = {o for o, one in self._history.items() if one.kind == SWAP_OUT}
        self._request_of = {o: one.request for o, one in self._history.items() if one.request}
        self._tokens = {step: tokens for step, (tokens, _, _) in ledger.totals.items()}
        self._sequences = {step: count for step, (_, count, _) in ledger.totals.items()}
        self._forward = {step: number for step, (_, _, number) in ledger.totals.items()}
        self._steps = {number: step for step, number in reversed(self._forward.items())}
        self._whole = set(ledger.whole)
        reader = {s: ledger.reader[s.id] for s in self.sequences if s.id in ledger.reader}
        self._reader = reader
        #: What was sent of each table, and what waits to be appended to that.
        self._sent = {s: list(sent) for s, sent in reader.items()}
        for s, block_id in pairs_of(ledger.grown):
            if s in self._sent:
                self._sent[s].append(block_id)
        self._releases = dict(ledger.releases)
        self._born = dict(ledger.born)
        self._boundaries = listed_days(ledger.boundaries)
        self._endings = listed_days(ledger.endings)
        self.decode_batch_size = len(self._in_batch)
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
        counts = [*(len(row) for row in rows), *refs, *names, len(self._in_batch), *totals]
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

    # ---- pools and blocks --------------------------------------------------------------------------------------

    free = entry("_free", 0)
    total = entry("_total", 0)
    order = nth("_order", -1)
    position = entry("_positions", -1)
    last_use = nth("_last_use", 0)
    owner = entry("_owners", NO_BLOCK)
    touch = contains("_touch")
    source = entry("_sources", -1)
    ref = field("_block", "ref", NO_BLOCK)
    tier = field("_block", "tier", NO_BLOCK)
    block_id = field("_block", "block_id", NO_BLOCK)
    group = field("_block", "request", NO_BLOCK)
    readers = field("_block", "readers", NO_BLOCK)
    cached = entry("_cached", NO_BLOCK)
    preceding = entry("_preceding", -1)
    block_name = nth("_block_names", 0)
    prompt_names = nth("_prompt_names", 0)
    holder = nth("_holders", NO_SEQUENCE)

    listed = contains("_listed")
    held_index = place("_held", lambda view, b: (view.group(b), b))
    holder_index = place("_holders", lambda _, s, b: (b, s))

    def name(self, b: Block) -> int:
        """Its name; a block that is gone keeps its own, as on formulas."""
        return self._block.get(b, b).name

    # ---- sequences and requests --------------------------------------------------------------------------------

    alive = field("_sequence", "alive", NO_SEQUENCE)
    in_decode_batch = field("_sequence", "in_decode_batch", NO_SEQUENCE)
    length = size("_tables")
    table = nth("_tables", NO_BLOCK)
    index = place("_tables")
    whole = contains("_whole")
    heard = contains("_reader")
    sent_length = size("_reader")
    queued_length = size("_sent")
    sent_block_id = nth("_sent", -1)
    boundary = entry("_boundaries", NEVER)
    ending = entry("_endings", NEVER)
    width = size("_members")
    member = nth("_members", NO_SEQUENCE)
    blocks = size("_held")
    held = nth("_held", NO_BLOCK)
    releases = entry("_releases", 0)
    born = entry("_born", 0)

    decode_batch = entry("_in_batch", NO_SEQUENCE)
    decode_batch_index = entry("_batch_index", -1)
    member_index = place("_members", lambda _, s: (s.request, s))
    phase = field("_request", "phase", NO_REQUEST)

    def request(self, s: Sequence) -> Request:
        """Its request."""
        return s.request

    def queue(self, r: Request) -> int:
        """The phase of the one queue it is in; its own if it is in none and belongs in none."""
        found = [k for k, queue in enumerate(self._queues) if r in queue]
        if len(found) == 1:
            return found[0]
        phase: int = self.phase(r)
        return phase if not found and phase in (0, 4) else -1

    # ---- operations --------------------------------------------------------------------------------------------

    open = contains("_open")
    wait = field("_history", "wait", NO_OPERATION)
    is_forward = field("_history", "is_forward", NO_OPERATION)

    compute = contains("_compute")
    outward = contains("_outward")
    request_of = entry("_request_of", NO_REQUEST)
    tokens_of = entry("_tokens", 0)
    sequences_of = entry("_sequences", 0)
    step_of = entry("_steps", 0)

    def forward_of(self, step: int) -> int:
        """The forward of a step: what the ledger says while it is in flight, then what it was."""
        if self.committed < step <= self.steps:
            return self._forwards.get(step, 0)
        return self._forward.get(step, 0)


for _name in NUMBERS:
    setattr(ConcreteView, _name, field("_sequence", _name, NO_SEQUENCE))
for _name in OF_REQUEST:
    setattr(ConcreteView, _name, field("_request", _name, NO_REQUEST))
