"""A test device: two pools of tokens, and operations that run in any order that waits allow.

Guarantees: it knows plans, the tokens of requests, and nothing else. An operation reads what is
there when it runs, so a missing wait, a wrong table or a missing copy shows as a token that is not
the sequence's own. Every read of every forward is checked, slot by slot.

A failed copy leaves garbage in its targets. That a copy failed may be decided after it ran (`spoil`):
each slot remembers through which copies its content came, as long as one of them may still fail. A
forward that reads such a slot goes on, and what it samples and writes depends on the same copies.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator

from lineclear.monitor.hazards import Access, Hazards
from lineclear.plan import TIERS, BlockOperation, Plan, Scheduled
from lineclear.testing.device_rows import (
    SURE,
    DeviceRow,
    DeviceSequence,
    Forward,
    Name,
    Slot,
    label,
)
from lineclear.testing.operations import Dispatched, OperationRecord, Order

#: A token, and the copies through which it came there.
Content = tuple[int, frozenset[int]]

#: Token of a slot that a failed copy left behind.
GARBAGE = 0


class WrongContent(AssertionError):
    """A sequence read a position whose content is not its own token there."""


class Device:
    """Executes plans.

    Args:
        block_size: tokens in a block.
        order: which of several operations runs first; as they are dispatched if None.
        hazards: where every access is held against the rule of order, if given.

    Attributes:
        branches: every sequence by (request id, branch).
        content: of every slot that was written.
        record: what was dispatched, has run, and is known to the host.
        slots_read: slots that forwards read and that were checked.
    """

    def __init__(
        self, block_size: int, order: Order | None = None, hazards: Hazards | None = None
    ) -> None:
        self.block_size = block_size
        self.order = Order() if order is None else order
        self.hazards = hazards
        self.branches: dict[Name, DeviceSequence] = {}
        self.content: dict[Slot, Content] = {}
        self.record = OperationRecord()
        self.slots_read = 0
        self._serial = 0
        self._compute = 0  # number of the last operation of the compute stream
        self._pairs: dict[int, BlockOperation] = {}  # copies that have not run
        self._forwards: dict[int, Forward] = {}  # by number, not committed

    # ---- sequences -----------------------------------------------------------------------------

    def token(self) -> int:
        """A token that no sequence has had yet."""
        self._serial += 1
        return self._serial

    def add(self, request_id: Hashable, prompt: int | Iterable[int]) -> DeviceSequence:
        """A request was accepted.

        Args:
            request_id: the caller's id.
            prompt: its tokens, or how many; they are new ones then.
        """
        tokens = [self.token() for _ in range(prompt)] if isinstance(prompt, int) else list(prompt)
        branch = self.branches[request_id, 0] = DeviceSequence(tokens)
        return branch

    def fork(self, parent: DeviceSequence, name: Name, tokens: Iterable[int]) -> DeviceSequence:
        """A commit made another branch, which has these tokens and shares all KV of its parent."""
        child = self.branches[name] = DeviceSequence(list(tokens), position=parent.position)
        return child

    def drop(self, request_id: Hashable) -> None:
        """A request ended."""
        for name in [name for name in self.branches if name[0] == request_id]:
            del self.branches[name]

    def _branch(self, name: Name) -> DeviceSequence:
        branch = self.branches.get(name)
        if branch is None:
            raise WrongContent(f"a plan names {label(name)}, which is not live")
        return branch

    def _known(self, name: Name) -> DeviceSequence:
        branch = self._branch(name)
        if not branch.has_table:
            raise WrongContent(f"a plan names {label(name)}, whose whole table no plan has given")
        return branch

    # ---- plans ---------------------------------------------------------------------------------

    def launch(self, plan: Plan) -> Forward | None:
        """Takes a plan in: its operations are open from now on, and run when the order says so.

        Raises:
            WrongContent: it names a sequence that is not live, a row has no block for a position or
                samples when it must not, or, if operations run at once, reads what is not its own.
            Hazard: an access is ordered after no conflicting one that is open, if that is checked.
        """
        preempted = {request_id for request_id, _ in plan.preempted}
        for (request_id, _), sequence in self.branches.items():
            sequence.has_table = sequence.has_table and request_id not in preempted
        whole = {(name, branch): block_ids for name, branch, block_ids in plan.tables}
        for named, block_ids in whole.items():
            sequence = self._branch(named)
            sequence.table, sequence.has_table = list(block_ids), True
        for request_id, number, block_id in plan.new_blocks:
            if (request_id, number) in whole:
                raise WrongContent(
                    f"{label((request_id, number))}: blocks besides its whole table"
                )
            self._known((request_id, number)).table.append(block_id)
        made: Forward | None = None
        for operation in plan.operations:
            if operation.kind == "forward":
                assert plan.step is not None
                made = self._forward(plan, operation.number, plan.step)
                reads = frozenset([slot[:2] for row in made.rows for slot, _ in row.reads])
                writes = frozenset([slot[:2] for row in made.rows for slot, _ in row.writes])
            else:
                source, target = TIERS[operation.kind]
                reads = frozenset([(source, block_id) for block_id, _ in operation.blocks])
                writes = frozenset([(target, block_id) for _, block_id in operation.blocks])
                self._pairs[operation.number] = operation
            self._dispatch(operation, reads, writes)
        self.advance()
        return made

    def _dispatch(
        self,
        operation: BlockOperation,
        reads: frozenset[tuple[str, int]],
        writes: frozenset[tuple[str, int]],
    ) -> None:
        number, compute = operation.number, operation.kind in ("forward", "copy_block")
        after = (self._compute,) if compute and self._compute else ()
        if self.hazards is not None:
            waits = [n for n in self.record.unknown if n <= operation.wait]
            accesses = [Access(*where, where in writes) for where in sorted(reads | writes)]
            stream = "compute" if compute else None
            self.hazards.issue(number, stream, waits, accesses, operation.kind)
        if compute:
            self._compute = number
        self.record.dispatch(
            Dispatched(number, operation.kind, operation.wait, after, reads, writes)
        )

    def _forward(self, plan: Plan, number: int, step: int) -> Forward:
        rows = {id(row): self._row(row) for row in plan.scheduled_seq_groups}
        sampling = [rows[id(row)] for row in plan.sampling]
        made = self._forwards[number] = Forward(number, step, list(rows.values()), sampling)
        return made

    def _row(self, row: Scheduled) -> DeviceRow:
        name = (row.request_id, row.branch)
        branch = self._known(name)
        history = branch.history
        start = branch.position if row.start is None else row.start
        sure = start + row.tokens - row.drafts
        if row.samples != (sure == len(history)) or sure > len(history):
            raise WrongContent(
                f"{label(name)}: a step up to position {sure} of {len(history)} tokens "
                f"{'samples' if row.samples else 'samples nothing'}"
            )
        guesses = [self.token() for _ in range(row.drafts)]
        token = self.token() if row.samples else None
        tokens = [*history[:sure], *guesses]
        if len(tokens) > len(branch.table) * self.block_size:
            raise WrongContent(
                f"{label(name)}: {len(tokens)} positions in {len(branch.table)} blocks of "
                f"{self.block_size}"
            )
        slots = [(self._slot(branch, position), own) for position, own in enumerate(tokens)]
        branch.position = sure
        if token is not None:
            branch.pending.append(token)
        return DeviceRow(name, branch, slots[:start], slots[start:], guesses, token, sure)

    def _slot(self, branch: DeviceSequence, position: int) -> Slot:
        block, offset = divmod(position, self.block_size)
        return "gpu", branch.table[block], offset

    # ---- running -------------------------------------------------------------------------------

    def advance(self) -> None:
        """Runs what the order wants to run although the host waits for nothing."""
        while ready := self.record.ready():
            chosen = self.order.pick(ready, SURE, self.record)
            if chosen is None:
                return
            self._run(chosen.number)

    def run(self, number: int) -> None:
        """Runs operations until this one has run.

        Raises:
            WrongContent: a forward read what is not its own.
        """
        while not self.record.has_run(number):
            wanted = self.record.needed(number)
            chosen = self.order.pick(self.record.ready(), wanted, self.record)
            if chosen is None:
                raise RuntimeError(
                    f"{type(self.order).__name__}.pick returned None although {number} is wanted; "
                    "it must return one of the operations that may run"
                )
            self._run(chosen.number)

    def _run(self, number: int) -> None:
        self.record.ran(number)
        copy = self._pairs.pop(number, None)
        if copy is not None:
            self._copy(copy)
        else:
            for row in self._forwards[number].rows:
                self._read(row)
            for row in self._forwards[number].rows:
                for slot, token in row.writes:
                    self.content[slot] = token, row.copies

    def _copy(self, operation: BlockOperation) -> None:
        source, target = TIERS[operation.kind]
        number = frozenset([operation.number] if operation.kind != "copy_block" else ())
        moved: list[tuple[Slot, Content]] = []
        for left, right in operation.blocks:
            for offset in range(self.block_size):
                token, copies = self.content.get((source, left, offset), (GARBAGE, SURE))
                moved.append(((target, right, offset), (token, self._open(copies) | number)))
        self.content.update(moved)

    def _open(self, copies: frozenset[int]) -> frozenset[int]:
        """Of these copies, those that failed or may still be found to have failed."""
        record = self.record
        if not copies:
            return SURE
        return frozenset([n for n in copies if n in record.failed or n in record.unknown])

    def _read(self, row: DeviceRow) -> None:
        self.slots_read += len(row.reads)
        copies: set[int] = set()
        for position, (slot, own) in enumerate(row.reads):
            token, through = self.content.get(slot, (GARBAGE, SURE))
            if token != own:
                raise WrongContent(
                    f"{label(row.name)} reads token {token} at position {position}, {slot[0]} block "
                    f"{slot[1]}; its own there is {own}"
                )
            copies |= through
        row.copies = self._open(frozenset(copies))

    # ---- ends of operations --------------------------------------------------------------------

    def spoil(self, number: int) -> None:
        """This swap fails, or failed when it ran: its targets hold garbage.

        Raises:
            ValueError: it is no swap, or the host knows already how it ended.
        """
        if number not in self.record.swaps():
            raise ValueError(f"operation {number} is no swap whose end the host waits for")
        self.record.failed.add(number)

    def finish(self, plan: Plan) -> Forward:
        """Runs operations until the forward of a plan has run; returns that forward."""
        forward = self.forward(plan)
        self.run(forward.number)
        return forward

    def forward(self, plan: Plan) -> Forward:
        """The forward of a plan that is in flight."""
        number = next(o.number for o in plan.operations if o.kind == "forward")
        return self._forwards[number]

    def reported(self, numbers: Iterable[int]) -> None:
        """Reports these swaps to the host as done or failed."""
        numbers = list(numbers)
        self.record.reported(numbers)
        if self.hazards is not None:
            for number in numbers:
                self.hazards.complete(number)

    def committed(self, plan: Plan) -> None:
        """The host committed a plan, and so knows what its forward waited for."""
        forward = self.forward(plan)
        self.record.committed(forward.number)
        del self._forwards[forward.number]
        if self.hazards is not None:
            self.hazards.complete(forward.number)

    def rests_on_failure(self, row: DeviceRow) -> frozenset[int]:
        """The failed copies on whose content a row rests."""
        return row.copies & self.record.failed

    def wrong(self, tier: str, block_ids: list[int], tokens: list[int]) -> Iterator[int]:
        """Positions whose content, in these blocks, is garbage or not the token that is given."""
        for position, own in enumerate(tokens):
            block, offset = divmod(position, self.block_size)
            token, copies = self.content.get((tier, block_ids[block], offset), (GARBAGE, SURE))
            if token != own or copies & self.record.failed:
                yield position
