# pyright: basic
"""A device on plain data: what it holds, and what the ledger has decided that it should hold.

Guarantees: it carries an operation out only if `device.run` allows it, and what it brings to a slot depends
on what lies in memory and on nothing that was decided. It has no part in an action: `modelcheck.ghosts.GhostLedger`
keeps one beside it.

The KV of a token is a value that stands for the token and all before it: it has the name of its block, or
it belongs to one prompt or to one sequence. Garbage is like nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from lineclear_spec.kernel.records import COMPUTE, CPU, GPU, Refused, Request, Sequence

Kv = tuple[Any, ...]
NEVER = -1


@dataclass(frozen=True, slots=True)
class KvRow:
    """What the plan of a forward says of one sequence."""

    first: int
    last: int
    block_ids: tuple[int, ...]
    kv: tuple[Kv, ...]
    relies: int


class KvDevice:
    """Memory, and the histories that `symbolic/kv_fields.py` lists; tiers, operations, block ids and slots are
    numbers.
    """

    def __init__(self, ledger: Any) -> None:
        self.ledger = ledger
        self.writes: dict[tuple[int, int], frozenset[int]] = {}
        self.version: dict[tuple[int, int], int] = {}
        self.expected: dict[tuple[int, int, int], int] = {}
        self.content: dict[tuple[int, int, int, int], Kv] = {}
        self.relies: dict[tuple[int, int, int, int], int] = {}
        self.rows: dict[tuple[int, int], KvRow] = {}  # by forward and id of the sequence
        self.slots: dict[tuple[int, int, int], tuple[int, int]] = {}  # -> id of the writer, entry
        self.good: set[int] = set()
        self.fails: set[int] = set()
        self.ran: set[int] = set()
        self.actual: dict[tuple[int, int], int] = {}
        self.memory: dict[tuple[int, int, int], Kv] = {}
        self.right: dict[tuple[int, int], bool] = {}
        self.tokens: dict[int, list[Kv]] = {}
        self.same: dict[Kv, Kv] = {}  # KV of tokens that got a name later
        self.foreseen: dict[int, int] = {}  # how often other tokens followed than were foreseen

    def copy(self, ledger: Any) -> KvDevice:
        """An independent device of a copy of the ledger."""
        twin = object.__new__(KvDevice)
        for name, value in vars(self).items():
            setattr(twin, name, value.copy() if isinstance(value, dict | set) else value)
        twin.tokens = {q: list(row) for q, row in self.tokens.items()}
        twin.ledger = ledger
        return twin

    # ---- tokens --------------------------------------------------------------------------------------

    def token(self, q: Sequence, i: int) -> Kv:
        """The KV of a position of the sequence after exactly its own tokens."""
        row = self.tokens.setdefault(q.id, [])
        while len(row) <= i:
            row.append(self._next(q, len(row)))
        return self.one(row[i])

    def one(self, kv: Kv) -> Kv:
        """KV that got a name later is that of the name."""
        return self.same.get(kv, kv)

    def _next(self, q: Sequence, i: int) -> Kv:
        """Of a token that is not known yet, whatever it will be."""
        return (
            self.of_prompt(q.request, i)
            if i < q.request.prompt
            else ("own", q.id, self.foreseen.get(q.id, 0), i)
        )

    def of_prompt(self, r: Request, i: int) -> Kv:
        """The KV of a token of a prompt: what the name of its block means, also of one that is filled later."""
        k = i // self.ledger.limits.block_size
        name = r.prompt_names[k] if k < len(r.prompt_names) else 0
        return ("name", name, i) if name else ("prompt", r.id, i)

    def know(self, q: Sequence, known: int) -> None:
        """The sequence knows so many tokens: those in blocks that have names are what the names mean."""
        size = self.ledger.limits.block_size
        for i in range(min(known, len(q.block_names) * size)):
            kv, name = self.token(q, i), q.block_names[i // size]
            if name and kv != ("name", name, i):
                self.same[kv] = ("name", name, i)

    def forget(self, q: Sequence, start: int) -> None:
        """From a position on the tokens are others than was foreseen."""
        self.token(q, start)  # what comes before is what it was
        self.foreseen[q.id] = self.foreseen.get(q.id, 0) + 1
        del self.tokens.setdefault(q.id, [])[start:]

    def inherit(self, parent: Sequence, child: Sequence, count: int) -> None:
        """The child begins with so many tokens of its parent."""
        self.tokens[child.id] = [self.token(parent, i) for i in range(count)]

    # ---- what is decided -----------------------------------------------------------------------------

    def _decide(
        self, o: int, tier: int, slots: dict[tuple[int, int], tuple[Kv, int]], block_ids: set[int]
    ) -> None:
        """The operation writes the block ids; each slot holds that KV afterwards, and relies on that copy."""
        touched: Any = self.ledger.touched.get(o, frozenset())
        for t, p in touched:
            self.expected[t, o, p] = self.version.get((t, p), 0)
        self.writes[tier, o] = frozenset(block_ids)
        for (p, k), (kv, relies) in slots.items():
            self.content[tier, o, p, k] = kv
            self.relies[tier, o, p, k] = relies
        for p in block_ids:
            self.version[tier, p] = o

    def decided(self, tier: int, p: int, k: int) -> tuple[Kv, int]:
        """What a slot holds once all that was decided is done, and what that relies on."""
        return self.content_of(tier, self.version.get((tier, p), 0), p, k)

    def content_of(self, tier: int, o: int, p: int, k: int) -> tuple[Kv, int]:
        """What a slot holds after an operation, and what that relies on.

        Args:
            tier, o, p, k: pool, operation (0: none), block id in the pool and slot of the block.
        """
        nothing = ("empty", tier, p, k) if o == 0 else ("unknown", tier, o, p, k)
        return self.content.get((tier, o, p, k), nothing), self.relies.get((tier, o, p, k), 0)

    def trusted(self, number: int) -> bool:
        """Whether a copy is none, or known to have succeeded."""
        return number == 0 or number in self.good

    def swap(self, o: int, tier: int) -> None:
        """The copies of a swap to the tier."""
        slots: dict[tuple[int, int], tuple[Kv, int]] = {}
        other = CPU if tier == GPU else GPU
        targets = {p for t, p in self.ledger.touched.get(o, ()) if t == tier}
        for p in targets:
            for k in range(self.ledger.limits.block_size):
                kv, relies = self.decided(other, self.ledger.sources[tier, o, p], k)
                slots[p, k] = kv, o if self.trusted(relies) else NEVER
        self._decide(o, tier, slots, targets)

    def twin(self, o: int, block_id: int) -> None:
        """The copy of one block on write; a table that is broken may have recorded none."""
        source = self.ledger.sources.get((GPU, o, block_id))
        if source is None:
            return
        size = self.ledger.limits.block_size
        slots = {(block_id, k): self.decided(GPU, source, k) for k in range(size)}
        self._decide(o, GPU, slots, {block_id})

    def forward(self, o: int) -> None:
        """The plan of a forward, before the clock of steps moves; tables are those that plans have sent."""
        ledger, size = self.ledger, self.ledger.limits.block_size
        slots: dict[tuple[int, int], tuple[Kv, int]] = {}
        block_ids: set[int] = set()
        for q in ledger.sequences:
            if not q.alive or not (q.in_decode_batch or q.last_step == ledger.steps + 1):
                continue
            first, last = (
                ledger.first_scheduled(q),
                ledger.num_dispatched_tokens(q) + (1 if q.in_decode_batch else 0),
            )
            kv = tuple([self.token(q, i) for i in range(last)])
            row = KvRow(first, last, ledger.reader.get(q.id, ()), kv, q.request.open_swap)
            self.rows[o, q.id] = row
            for p in row.block_ids[first // size :]:
                block_ids.add(p)
            for i in range(first, min(last, len(row.block_ids) * size)):
                p = row.block_ids[i // size]
                slots[p, i % size] = kv[i], row.relies
                self.slots[o, p, i % size] = q.id, i // size
        for p in block_ids:
            for k in range(size):
                slots.setdefault((p, k), self.decided(GPU, p, k))
        self._decide(o, GPU, slots, block_ids)

    # ---- the device ----------------------------------------------------------------------------------

    @property
    def dispatched(self) -> int:
        """Operations up to this number are in a plan."""
        dispatched: int = self.ledger.dispatched
        return dispatched

    def require(self, condition: bool, guard: str) -> None:
        """A guard."""
        if not condition:
            raise Refused(guard)

    def has_run(self, number: int) -> bool:
        """Whether the operation has run."""
        return number in self.ran

    def before(self, number: int) -> list[int]:
        """What must have run before: its waits, and on the compute stream what comes earlier there."""
        history = self.ledger.history
        waits = range(1, history[number].wait + 1)
        compute = history[number].kind in COMPUTE
        earlier = [o for o in range(1, number) if compute and history[o].kind in COMPUTE]
        return [*waits, *earlier]

    def waits_over(self, number: int) -> bool:
        """Whether every operation that it waits for has run."""
        return all(o in self.ran for o in range(1, self.ledger.history[number].wait + 1))

    def in_order(self, number: int) -> bool:
        """Whether, if the operation is on the compute stream, every earlier one there has run."""
        return all(o in self.ran for o in self.before(number))

    def execute(self, number: int) -> None:
        """A copy brings what lies in each source, or anything if it fails; a forward writes the KV of its tokens for
        each sequence of which all that it reads is right, and anything for the others.
        """
        operation = self.ledger.history[number]
        tier = CPU if operation.kind == "swap_out" else GPU
        size = self.ledger.limits.block_size
        new: dict[tuple[int, int, int], Kv] = {}
        if operation.is_forward:
            for (o, q), row in self.rows.items():
                if o == number:
                    self.right[o, q] = self._read(row)
            for (o, p, k), (q, entry) in self.slots.items():
                if o == number:
                    kv = self.rows[o, q].kv[entry * size + k]
                    new[GPU, p, k] = kv if self.right[o, q] else ("garbage", o, p, k)
        else:
            source = CPU if operation.kind == "swap_in" else GPU
            for start, p in operation.blocks:
                for k in range(size):
                    bad = ("garbage", number, p, k)
                    new[tier, p, k] = bad if number in self.fails else self.lies(source, start, k)
        self.memory |= new
        self.ran.add(number)
        for p in self.writes.get((tier, number), ()):
            self.actual[tier, p] = number

    def lies(self, tier: int, p: int, k: int) -> Kv:
        """What lies in a slot."""
        return self.memory.get((tier, p, k), ("empty", tier, p, k))

    def _read(self, row: KvRow) -> bool:
        """Whether all that the forward reads of a sequence is right."""
        size = self.ledger.limits.block_size
        if row.first > len(row.block_ids) * size:
            return False  # no table that was sent says where some of it lies
        return all(
            self.one(self.lies(GPU, row.block_ids[i // size], i % size)) == self.one(row.kv[i])
            for i in range(row.first)
        )
