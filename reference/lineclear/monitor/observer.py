"""Checks invariants that need a history: which operation touched a block, and whose KV it holds.

Guarantees: it receives the actions that the journal receives and keeps records of its own, so what
it finds out does not rest on the counters that it checks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, ClassVar

from lineclear.monitor.audit import InvariantViolation
from lineclear_spec.kernel.ledger import Ledger, pairs_of
from lineclear_spec.kernel.lifecycle import Phase
from lineclear_spec.kernel.records import COMPUTE, CPU, FORWARD, GPU, SWAP_IN, Operation, Sequence
from lineclear_spec.kernel.records import Request as Record

BlockIds = tuple[frozenset[int], frozenset[int]]  # of the GPU and of the CPU

NOWHERE: BlockIds = (frozenset(), frozenset())


class Observer:
    """Receives every action after it was done; `check` judges the state between two of them.

    Args:
        ledger: whose actions they are; it must be new.
    """

    def __init__(self, ledger: Ledger) -> None:
        """Nothing has happened."""
        self.ledger = ledger
        self.kv: dict[Record, dict[Sequence, int]] = {}  # positions with KV; see _positions
        self.born: dict[Record, int] = {}  # the last operation before its present residence
        self.ended: set[int] = set()  # ids
        self.touched: dict[int, BlockIds] = {}  # block ids of each operation that is open
        self.read: dict[Sequence, list[int]] = {}  # tables as who reads plans alone knows them
        # tokens and sequences of the step being built, the decode batch aside
        self.building = [0, 0]

    def __call__(self, name: str, arguments: tuple[Any, ...]) -> None:
        """One action was done.

        Raises:
            InvariantViolation: it broke an invariant.
        """
        handler = self.handlers.get(name)
        if handler is not None:
            handler(self, *arguments)

    # ---- lives ---------------------------------------------------------------------------------

    def _submit(self, record: Record) -> None:
        limits = self.ledger.limits
        size, last = limits.block_size, record.limit - 1
        shared = record.prompt // size
        worst = shared + record.parallel * ((last + size - 1) // size - shared)
        if worst > limits.gpu_blocks:
            raise InvariantViolation(
                "fits", f"{record} may hold {worst} of {limits.gpu_blocks} blocks"
            )
        if record.parallel > limits.max_num_seqs or record.limit > limits.max_model_len:
            raise InvariantViolation(
                "fits", f"{record} is longer or wider than any request may be"
            )
        if not (limits.chunked or limits.cut_long) and last > limits.max_num_batched_tokens:
            raise InvariantViolation("fits", f"{record} never fits into one step")
        self.kv[record] = dict.fromkeys(record.members, 0)

    def _admit(self, record: Record) -> None:
        self.born[record] = self.ledger.issued

    def _admit_cached(self, record: Record, shared: int) -> None:
        self._admit(record)
        self.kv[record][record.members[0]] = shared  # in blocks found under its own names

    def _end(self, record: Record) -> None:
        if record.id in self.ended:
            raise InvariantViolation("once", f"{record} ends a second time")
        if record.held or record.members:
            raise InvariantViolation(
                "once", f"{record} has ended and holds {len(record.held)} blocks"
            )
        self.ended.add(record.id)
        self.kv.pop(record, None)
        self.born.pop(record, None)

    def _end_each(self) -> None:
        for record in [r for r in self.kv if r.phase == Phase.FINISHED]:
            self._end(record)

    # ---- KV ------------------------------------------------------------------------------------

    def _positions(self, sequence: Sequence) -> int:
        """Positions that have KV; of a sequence in the decode batch one more with every step issued."""
        kv = self.kv[sequence.request][sequence]
        return kv + self.ledger.steps if sequence.in_decode_batch else kv

    def _schedule(self, sequence: Sequence, tokens: int, drafts: int) -> None:
        kv, reach = self.kv[sequence.request], sequence.own_dispatched
        if kv[sequence] >= reach - tokens:
            kv[sequence] = max(kv[sequence], reach)
        self.building[0] += tokens
        self.building[1] += 1

    def _join(self, sequence: Sequence) -> None:
        self.kv[sequence.request][sequence] -= self.ledger.steps

    def _leave(self, sequence: Sequence) -> None:
        self.kv[sequence.request][sequence] += self.ledger.steps

    def _fork(self, parent: Sequence, tokens: int) -> None:
        child = parent.request.members[-1]
        room = len(child.table) * self.ledger.limits.block_size
        kv = self.kv[parent.request]
        kv[child] = min(kv[parent], room)

    def _rejoin(self, sequence: Sequence, shared: int) -> None:
        leader = sequence.request.members[0]
        room = len(sequence.table) * self.ledger.limits.block_size
        self.kv[sequence.request][sequence] = min(self._positions(leader), room)

    def _prune(self, sequence: Sequence) -> None:
        del self.kv[sequence.request][sequence]

    def _lose(self, record: Record) -> None:
        self.kv[record] = dict.fromkeys(record.members, 0)

    # ---- operations ----------------------------------------------------------------------------

    def _issue(self) -> None:
        ledger, limits = self.ledger, self.ledger.limits
        steady = len(ledger.decode_batch)
        tokens, sequences = self.building[0] + steady, self.building[1] + steady
        self.building = [0, 0]
        if not 1 <= sequences <= min(tokens, limits.max_num_seqs):
            raise InvariantViolation("budget", f"step {ledger.steps} has {sequences} sequences")
        if tokens > limits.max_num_batched_tokens:
            raise InvariantViolation("budget", f"step {ledger.steps} has {tokens} tokens")
        self._read_plan()
        self._decided()

    def _read_plan(self) -> None:
        """Who reads plans alone has the table of every sequence that runs."""
        running = [s for record in self.ledger.running for s in record.members]
        self.read = {s: self.read[s] for s in running if s in self.read}
        self.read |= {s: list(block_ids) for s, block_ids in self.ledger.sent_whole}
        for sequence, block_id in pairs_of(self.ledger.appended):
            if sequence in self.read:
                self.read[sequence].append(block_id)
        for sequence in running:
            block_ids = [block.block_id for block in sequence.table]
            if self.read.get(sequence) != block_ids:
                raise InvariantViolation(
                    "sent",
                    f"{sequence} has blocks {block_ids}, and plans say {self.read.get(sequence)}",
                )

    def _decided(self, *_: object) -> None:
        """The operation decided last is ordered behind every open one that touches its block ids."""
        ledger = self.ledger
        new = ledger.operations[ledger.issued]
        block_ids = self._block_ids(new)
        self.touched = {n: at for n, at in self.touched.items() if n in ledger.operations}
        for number, others in self.touched.items():
            both_compute = new.kind in COMPUTE and ledger.operations[number].kind in COMPUTE
            if number <= new.wait or both_compute:
                continue
            for tier in (GPU, CPU):
                common = block_ids[tier] & others[tier]
                if common:
                    raise InvariantViolation(
                        "ordered",
                        f"{new} and {ledger.operations[number]} touch {name(tier)} block "
                        f"{min(common)}, and {new} waits for operations up to {new.wait} only",
                    )
        self.touched[new.number] = block_ids

    def _block_ids(self, operation: Operation) -> BlockIds:
        """The blocks that an operation reads or writes; for a forward, all blocks of running requests."""
        if operation.kind == FORWARD:
            return self._held(), frozenset()
        sources = frozenset([source for source, _ in operation.blocks])
        targets = frozenset([target for _, target in operation.blocks])
        if operation.kind in COMPUTE:
            return sources | targets, frozenset()
        return (targets, sources) if operation.kind == SWAP_IN else (sources, targets)

    def _held(self) -> frozenset[int]:
        """Block ids of the blocks that running requests name."""
        ledger = self.ledger
        if not ledger.sealed:
            return frozenset(
                [block.block_id for record in ledger.running for block in record.held]
            )
        return frozenset(
            [
                block.block_id
                for record in ledger.running
                for sequence in record.members
                for block in sequence.table
            ]
        )

    # ---- between two actions -------------------------------------------------------------------

    def check(self) -> None:
        """Judges the state as it is.

        Raises:
            InvariantViolation: the first invariant that does not hold.
        """
        for sequence in self._alive():
            self._check_sequence(sequence)
        ledger = self.ledger
        if not ledger.operations:
            return
        held = self._held()
        last_swap = {
            block.block_id: record.last_swap for record in ledger.swapped for block in record.held
        }
        for number, operation in ledger.operations.items():
            self._check_copy(operation)
            gpu, cpu = self.touched.get(number, NOWHERE)
            guarded = operation.kind in COMPUTE or number <= ledger.barrier
            last_use = ledger.gpu.last_use
            for block_id in gpu - held if guarded else gpu:
                if block_id in held or number > last_use[block_id]:
                    raise unguarded(operation, GPU, block_id)
            for block_id in cpu:
                if number > last_swap.get(block_id, ledger.cpu.last_use[block_id]):
                    raise unguarded(operation, CPU, block_id)

    def _alive(self) -> Iterator[Sequence]:
        ledger = self.ledger
        for queue in (ledger.waiting, ledger.running, ledger.swapped):
            for record in queue:
                yield from record.members

    def _check_sequence(self, sequence: Sequence) -> None:
        """Its KV is where its counters say, its drafts follow its newest token, and a sample is still to come
        for those that a recompute dropped.
        """
        ledger = self.ledger
        reach, kv = ledger.num_dispatched_tokens(sequence), self._positions(sequence)
        if reach > kv:
            raise InvariantViolation("holds", f"{sequence} counts {reach} positions, {kv} have KV")
        if sequence.drafts and (
            ledger.scheduled_samples(sequence) != 1
            or reach != ledger.num_tokens(sequence) + sequence.drafts
        ):
            raise InvariantViolation(
                "drafts", f"{sequence} builds on {sequence.drafts} unverified drafts"
            )
        if sequence.late_drafts and not ledger.scheduled_samples(sequence):
            raise InvariantViolation(
                "drafts", f"{sequence} waits for drafts of a sample that never comes"
            )

    def _check_copy(self, operation: Operation) -> None:
        """A copy that moved what a request holds is the one that the request waits for."""
        record, number = operation.request, operation.number
        if operation.kind in COMPUTE or record is None:
            return
        resident = record.phase in (Phase.RUNNING, Phase.SWAPPED)
        if resident and number > self.born[record] and record.open_swap != number:
            raise InvariantViolation(
                "attributed", f"{record} waits for copy {record.open_swap}, not {number}"
            )

    #: What is done for an action.
    handlers: ClassVar[dict[str, Callable[..., None]]] = {
        "submit": _submit,
        "reject": _end,
        "admit": _admit,
        "admit_cached": _admit_cached,
        "finish": _end,
        "finish_each": _end_each,
        "abort": _end,
        "schedule_tokens": _schedule,
        "issue_step": _issue,
        "join_batch": _join,
        "leave_batch": _leave,
        "fork": _fork,
        "rejoin": _rejoin,
        "prune": _prune,
        "copy_on_write": _decided,
        "swap_out": _decided,
        "swap_in": _decided,
        "recompute": _lose,
        "discard_swapped": _lose,
        "fail_copy": _lose,
    }


def unguarded(operation: Operation, tier: int, block_id: int) -> InvariantViolation:
    """The error if the next access of a block may precede the end of an operation on it."""
    return InvariantViolation(
        "fence", f"no operation waits for {operation} on {name(tier)} block {block_id}"
    )


def name(tier: int) -> str:
    """A tier as people call it."""
    return "GPU" if tier == GPU else "CPU"
