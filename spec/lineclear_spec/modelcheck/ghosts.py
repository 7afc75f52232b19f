"""A plain ledger that also keeps the ghost fields, so that invariants and postconditions can be evaluated on it.

Guarantees: what it adds is never read by an action, and it does what `kernel.ledger.Ledger` does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from lineclear_spec.kernel.ledger import Added, Ledger, pairs_of
from lineclear_spec.kernel.lifecycle import Phase, target_of
from lineclear_spec.kernel.records import GPU, Block, Broken, Limits, Operation, Request, Sequence
from lineclear_spec.kv.device import run
from lineclear_spec.language.statements import guards_of
from lineclear_spec.modelcheck.kv_ghosts import KvDevice

T = TypeVar("T")

COUNTS = (
    "issued done dispatched barrier steps committed step_tokens step_sequences "
    "requests_made sequences_made sealed unlisted"
).split()


def bare(record: T) -> T:
    """A record of its own with the same values; containers are still shared."""
    twin = object.__new__(type(record))
    slots: tuple[str, ...] = vars(type(record))["__slots__"]
    for name in slots:
        setattr(twin, name, getattr(record, name))
    return twin


class GhostLedger(Ledger):
    """The ledger, with histories.

    Attributes:
        touched: per operation the (tier, block id) that it accesses.
        sources: (tier, operation, target block) of every copy: its source block.
        history: every operation, complete or not.
        releases: per request, how often it ended.
        born: per request, the last operation decided before its present residence began.
        totals: per step issued its tokens, its sequences and its forward.
        reader: by id of each sequence that runs, its table as who reads plans alone knows it.
        unfound: blocks that readers held when they could be found no more: there are none.
        device: what carries the operations out, each as late as it may unless it is asked to before.
    """

    def __init__(self, limits: Limits) -> None:
        super().__init__(limits)
        self.touched: dict[int, frozenset[tuple[int, int]]] = {}
        self.sources: dict[tuple[int, int, int], int] = {}
        self.history: dict[int, Operation] = {}
        self.releases: dict[Request, int] = {}
        self.born: dict[Request, int] = {}
        self.totals: dict[int, tuple[int, int, int]] = {}
        self.reader: dict[int, tuple[int, ...]] = {}
        self.unfound: dict[Block, None] = {}
        self.device = KvDevice(self)
        self.requests: list[Request] = []
        self.sequences: list[Sequence] = []
        self.completing = 0  # the copy that is being completed
        self.collecting: list[str] | None = None
        self.branching = 0

    def clone(self) -> GhostLedger:
        """An independent ledger that is equal; records keep their index in `requests` and `sequences`, so an id finds
        the copy. No journal listens to it.
        """
        new = GhostLedger(self.limits)
        for pool, copied_pool in ((self.gpu, new.gpu), (self.cpu, new.cpu)):
            copied_pool.free = pool.free
            copied_pool.order = pool.order.copy()
            copied_pool.taken = pool.taken.copy()
            copied_pool.last_use = pool.last_use.copy()
        requests: dict[Request | None, Any] = {r: bare(r) for r in self.requests}
        requests[None] = None
        sequences = {s: bare(s) for s in self.sequences}
        blocks: dict[Block, Block] = {}

        def copied(block: Block) -> Block:
            if block not in blocks:
                twin = blocks[block] = bare(block)
                twin.request = requests[block.request]
            return blocks[block]

        def copied_pairs(added: list[Added]) -> list[Added]:
            pairs = list(pairs_of(added))
            return [([sequences[s] for s, _ in pairs], [p for _, p in pairs])] if pairs else []

        for request in self.requests:
            twin = requests[request]
            twin.members = [sequences[s] for s in request.members]
            if request.held_set is not None:  # a test runs both ways
                twin.held_set = {copied(b): None for b in request.held_set}
            twin.block_ids = None if request.block_ids is None else [*request.block_ids]
        new.cached = {name: copied(b) for name, b in self.cached.items()}
        new.resting.extend([copied(b) for b in self.resting])
        new.unfound = {copied(b): None for b in self.unfound}
        for sequence, twin in sequences.items():
            twin.request = requests[sequence.request]
            twin.table = [copied(b) for b in sequence.table]
        for queue, into in zip(self.queues, new.queues, strict=True):
            if queue and into is not None:
                into.update({requests[r]: None for r in queue})
        new.decode_batch.update({sequences[s]: None for s in self.decode_batch})
        new.decode_batch.changes = self.decode_batch.changes
        for days, copied_days in (
            (self.boundaries, new.boundaries),
            (self.endings, new.endings),
        ):
            for step, bucket in days.items():
                copied_days[step] = {sequences[s]: None for s in bucket}
        for number, operation in self.history.items():
            twin = new.history[number] = bare(operation)
            twin.request = requests[operation.request]
            twin.blocks = operation.blocks.copy()
        new.operations.update({number: new.history[number] for number in self.operations})
        for name in COUNTS:
            setattr(new, name, getattr(self, name))
        new.step_operations.update(self.step_operations)
        new.grown = copied_pairs(self.grown)
        new.appended = copied_pairs(self.appended)
        new.sent_whole = [(sequences[s], block_ids) for s, block_ids in self.sent_whole]
        new.whole = {sequences[s]: None for s in self.whole}
        new.reader = self.reader.copy()
        new.requests = list(requests.values())[:-1]
        new.sequences = list(sequences.values())
        new.touched = self.touched.copy()
        new.sources = self.sources.copy()
        new.releases = {requests[r]: n for r, n in self.releases.items()}
        new.born = {requests[r]: n for r, n in self.born.items()}
        new.totals = self.totals.copy()
        new.device = self.device.copy(new)
        return new

    def require(self, condition: bool, guard: str) -> None:
        """A guard; while collecting, a false one is noted and the next one is asked.

        Raises:
            Broken: the guard stands inside a branch, where the proof does not allow it.
        """
        if self.branching:
            raise Broken(f"guard inside a branch: {guard}")
        if self.collecting is None:
            super().require(condition, guard)
        elif not condition:
            self.collecting.append(guard)

    def branch(self, condition: bool, then: Callable[[], None]) -> None:
        """Run `then` if the condition holds; a guard inside it is refused."""
        self.branching += 1
        try:
            super().branch(condition, then)
        finally:
            self.branching -= 1

    def failing(self, name: str, arguments: tuple[Any, ...]) -> tuple[str, ...]:
        """Every guard of the action that is false; after one that makes the next meaningless, the rest is left out."""
        self.collecting = []
        try:
            guards_of(name)(self, *arguments)
        except (IndexError, KeyError, AttributeError, ValueError, Broken):
            if not self.collecting:
                raise
        finally:
            found, self.collecting = tuple(self.collecting), None
        return found

    def new_request(
        self, prompt: int, limit: int, parallel: int, prompt_names: tuple[int, ...] = ()
    ) -> Request:
        """See `Ledger.new_request`; it is remembered, and has a set of what it holds in any case, so that a broken
        table which forgets the set is seen.
        """
        request = super().new_request(prompt, limit, parallel, prompt_names)
        request.held_set, request.block_ids = {}, None
        self.requests.append(request)
        return request

    def new_sequence(self, request: Request) -> Sequence:
        """A new sequence, remembered."""
        sequence = super().new_sequence(request)
        self.sequences.append(sequence)
        return sequence

    def new_operation(self, kind: str, request: Request | None) -> None:
        """A new operation, remembered."""
        super().new_operation(kind, request)
        self.history[self.issued] = self.operations[self.issued]

    def forget_name(self, name: int) -> None:
        """A block that a reader holds stays in sight, since nothing else may lead to it."""
        block = self.cached[name]
        if block.readers:
            self.unfound[block] = None
        super().forget_name(name)

    def note_move(self, request: Request, event: str) -> None:
        """An admission begins a residence; an end is counted."""
        if event == "admit":
            self.born[request] = self.issued
        if target_of(event) == Phase.FINISHED:
            self.releases[request] = self.releases.get(request, 0) + 1

    def record_copies(
        self, source_tier: int, sources: list[int], target_tier: int, targets: list[int]
    ) -> None:
        """See `Ledger.record_copies`; both block ids of each copy are touched."""
        super().record_copies(source_tier, sources, target_tier, targets)
        for source, target in zip(sources, targets, strict=True):
            self.sources[target_tier, self.issued, target] = source
            seen = self.touched.get(self.issued, frozenset())
            self.touched[self.issued] = seen | {(source_tier, source), (target_tier, target)}

    def send(self) -> None:
        """Who reads plans alone takes in what the plan of this step says of tables, and keeps those of sequences that
        run.
        """
        super().send()
        known = {
            s.id: self.reader[s.id] for s in self.sequences if s.id in self.reader and self.runs(s)
        }
        known |= {s.id: block_ids for s, block_ids in self.sent_whole}
        for sequence, block_id in pairs_of(self.appended):
            if sequence.id in known:
                known[sequence.id] += (block_id,)
        self.reader = known

    def note_step(self, number: int) -> None:
        """The forward touches every GPU block that an entry names."""
        idle = {*self.gpu.order[: self.gpu.free], *(block.block_id for block in self.resting)}
        self.touched[number] = frozenset((GPU, p) for p in range(self.gpu.total) if p not in idle)
        size = len(self.decode_batch)
        self.totals[self.steps + 1] = (self.step_tokens + size, self.step_sequences + size, number)
        self.device.forward(number)

    # ---- the device ----------------------------------------------------------------------------------

    def note_swap(self, number: int, tier: int) -> None:
        """What the copies bring."""
        self.device.swap(number, tier)

    def note_twin(self, number: int, sequence: Sequence, index: int) -> None:
        """What the copy brings."""
        self.device.twin(number, sequence.table[index].block_id)

    def note_good(self, number: int) -> None:
        """A copy is complete: if its request still waits for it, it has succeeded."""
        self.completing = number
        request = self.operations[number].request
        if request is not None and request.open_swap == number:
            self.device.good.add(number)

    def note_voided(self, request: Request) -> None:
        """Other tokens follow those that are known."""
        for sequence in self.sequences:
            if sequence.request is request:
                self.device.forget(sequence, self.num_tokens(sequence))

    def note_fork(self, parent: Sequence, child: Sequence, tokens: int) -> None:
        """The child begins with what its parent knows, and with all of its own tokens but the last as drafts."""
        self.device.inherit(parent, child, parent.own_tokens + tokens - 1)
        self.device.know(child, parent.own_tokens)

    def note_sample(self, sequence: Sequence, step: int, accepted: int, rejected: int) -> None:
        """If a draft is rejected, or drafts were dropped, or the forward computed a draft where the newest token comes,
        then that is another than was foreseen.

        Args:
            sequence: whose sample it is.
            step: that sampled it.
            accepted: tokens that are new.
            rejected: drafts that are not accepted.
        """
        newest = sequence.own_tokens + accepted - 1
        forward = self.totals.get(step, (0, 0, 0))[2]
        row = self.device.rows.get((forward, sequence.id))
        if rejected >= 1 or sequence.late_drafts >= 1 or (row is not None and newest < row.last):
            self.device.forget(sequence, newest)
        self.device.know(sequence, sequence.own_tokens + accepted)

    def name_blocks(self, sequence: Sequence, names: Iterable[int]) -> None:
        """The sequence's next blocks have these names."""
        super().name_blocks(sequence, names)
        for other in sequence.request.members:
            self.device.know(other, self.num_tokens(other))

    def close(self, number: int) -> None:
        """The operation is complete: the device has run it, as late as it may. A copy that is closed and
        not complete has failed.
        """
        copy = not self.operations[number].is_forward
        if copy and self.completing != number and number not in self.device.ran:
            self.device.fails.add(number)
        self.completing = 0
        self.device_runs(number)
        for sequence in () if copy else self.decode_batch:
            self.device.know(sequence, self.num_tokens(sequence) + 1)
        super().close(number)

    def device_runs(self, number: int) -> None:
        """The device carries out an operation, and before it what it waits for."""
        if number in self.device.ran:
            return
        for earlier in self.device.before(number):
            self.device_runs(earlier)
        if number <= self.dispatched:  # the device has only what plans dispatched
            run(self.device, number)
