"""Translates actions of a journal to events of a log.

Guarantees: every event is derived from the ledger that the journal leads to, so the log says what the proved table
did. Every action that changes a table or a request, copies, or issues or commits a step has its events; `_nothing`
lists those that have none. Blocks are named pool by pool, sequences by their number within the request.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from lineclear.conform.events import Event
from lineclear.conform.state import DEFAULT
from lineclear.journal.file import JournalError
from lineclear_spec.kernel.ledger import Ledger
from lineclear_spec.kernel.lifecycle import Phase
from lineclear_spec.kernel.records import (
    COPY_BLOCK,
    CPU,
    GPU,
    SWAP_IN,
    SWAP_OUT,
    Block,
    Operation,
    Request,
    Sequence,
)

POOLS = {GPU: DEFAULT, CPU: "cpu"}
#: Actions allowed between the commit of a step and its pending samples.
AFTER_COMMIT = frozenset(
    "sample finish finish_each abort join_batch leave_batch fork prune rejoin publish publish_run".split()
)


class Translator:
    """Called after each action; emits events that describe it.

    Args:
        ledger: the ledger that the actions change.
        emit: receives each event.
        checks: whether to emit a check event after each commit of a step.
    """

    def __init__(
        self, ledger: Ledger, emit: Callable[[Event], object], *, checks: bool = True
    ) -> None:
        self.ledger = ledger
        self.checks = checks
        self._out = emit
        # Events since a commit, until an action comes that is not in AFTER_COMMIT; None if none are held back.
        self._held_back: list[Event] | None = None
        self._tables: dict[Sequence, tuple[int, list[int]]] = {}
        self._numbers: dict[Sequence, int] = {}
        self._made: dict[Request, int] = {}
        self._members: dict[Request, list[Sequence]] = {}
        self._rows: list[tuple[Sequence, int]] = []  # of the step being built, with its drafts
        self._steps: dict[int, list[tuple[Sequence, int]]] = {}  # the same of steps in flight
        self._forwards: dict[int, int] = {}  # forward -> step, of steps in flight
        self._open: dict[Request, int] = {}  # the number of a request's last swap, open or not
        self._listed: dict[
            int, int
        ] = {}  # name -> id of the GPU block that the log says is found under it

    def __call__(self, name: str, arguments: tuple[Any, ...]) -> None:
        """Handles one action, which the ledger has already done.

        Raises:
            JournalError: it is no action, or a sample comes after one that may not stand between it and its commit.
        """
        handler = getattr(self, f"_on_{name}", None)
        if handler is None:
            raise JournalError(f"{name!r} is no action")
        if name not in AFTER_COMMIT:
            self.flush()
        handler(*arguments)

    def flush(self) -> None:
        """Emits events that waited for the samples of a step."""
        held, self._held_back = self._held_back, None
        for event in held or ():
            self._out(event)

    def _emit(self, **event: Any) -> Event:
        if self._held_back is not None:
            self._held_back.append(event)
        else:
            self._out(event)
        return event

    # ---- requests ------------------------------------------------------------------------------

    def _on_submit(self, request: Request) -> None:
        self._made[request] = 0
        self._members[request] = []
        self._join(request, request.members[0])
        content = {
            "r": request.id,
            "prompt": request.prompt,
            "max": request.limit - request.prompt,
        }
        self._emit(
            e="submit", **content, **({"n": request.parallel} if request.parallel > 1 else {})
        )

    def _join(self, request: Request, sequence: Sequence) -> int:
        number = self._numbers[sequence] = self._made[request]
        self._made[request] += 1
        self._members[request].append(sequence)
        self._tables[sequence] = (GPU, [])
        return number

    def _on_reject(self, request: Request) -> None:
        self._emit(e="reject", r=request.id)

    def _end(self, request: Request, kind: str) -> None:
        for sequence in self._members.pop(request):
            self._clear(sequence)
            del self._tables[sequence], self._numbers[sequence]
        del self._made[request]
        self._open.pop(request, None)
        self._emit(e=kind, r=request.id)

    def _on_finish(self, request: Request) -> None:
        self._end(request, "finish")

    def _on_finish_each(self) -> None:
        ended = [request for request in self._members if request.phase == Phase.FINISHED]
        for request in ended:
            for sequence in self._members[request]:
                found = map(self.ledger.cached.get, sequence.block_names)
                self._store([block for block in found if block is not None])
        for request in ended:
            self._end(request, "finish")

    def _on_abort(self, request: Request) -> None:
        self._end(request, "abort")

    # ---- tables --------------------------------------------------------------------------------

    def _of(self, sequence: Sequence) -> Event:
        number = self._numbers[sequence]
        return {"r": sequence.request.id, **({"s": number} if number else {})}

    def _clear(self, sequence: Sequence) -> None:
        tier, blocks = self._tables[sequence]
        if blocks:
            self._emit(e="free", **self._of(sequence), at=0, blocks=list(blocks), **pool(tier))
        self._tables[sequence] = (GPU, [])

    def _grow(self, sequence: Sequence) -> None:
        _, blocks = self._tables[sequence]
        new = ids(sequence.table[len(blocks) :])
        if new:
            self._emit(e="alloc", **self._of(sequence), blocks=new)
            blocks.extend(new)

    def _on_admit(self, request: Request) -> None:
        self._grow(request.members[0])

    def _on_admit_cached(self, request: Request, shared: int) -> None:
        leader = request.members[0]
        count = self.ledger.need(shared)
        blocks = ids(leader.table[:count])
        self._emit(
            e="hit", **self._of(leader), blocks=blocks, keys=list(leader.block_names[:count])
        )
        self._tables[leader] = (GPU, list(blocks))
        self._grow(leader)

    def _on_publish(self, sequence: Sequence, index: int) -> None:
        self._on_publish_run(sequence, index, index + 1)

    def _on_publish_run(self, sequence: Sequence, first: int, end: int) -> None:
        blocks = sequence.table[first:end]
        self._store([block for block in blocks if block.name and self.ledger.finds(block)])

    def _store(self, found: list[Block]) -> None:
        """Blocks that are found under their names; the log has an event for each that was not before."""
        for block in found:
            if block.name not in self._listed:
                self._listed[block.name] = block.block_id
                self._emit(e="store", blocks=[block.block_id], keys=[block.name])

    def _on_evict(self, name: int) -> None:
        self._emit(e="evict", blocks=[self._listed.pop(name)], keys=[name])

    _on_unlist = _on_evict

    def _on_append_slots(self, sequence: Sequence, _: int) -> None:
        self._grow(sequence)

    def _on_copy_on_write(self, sequence: Sequence) -> None:
        _, blocks = self._tables[sequence]
        now = ids(sequence.table)
        at = next(k for k, block_id in enumerate(now) if block_id != blocks[k])
        operation = self.ledger.operations[self.ledger.issued]
        self._emit(e="free", **self._of(sequence), at=at, blocks=[blocks[at]])
        self._emit(e="alloc", **self._of(sequence), at=at, blocks=[now[at]])
        blocks[at] = now[at]
        self._copy(operation, GPU, GPU)

    def _on_fork(self, parent: Sequence, _: int) -> None:
        request = parent.request
        child = request.members[-1]
        blocks = ids(child.table)
        number = self._join(request, child)
        self._tables[child] = (GPU, blocks)
        self._emit(
            e="fork",
            r=request.id,
            s=number,
            of=self._numbers[parent],
            entries=len(blocks),
            known=child.own_tokens,
        )

    def _on_rejoin(self, sequence: Sequence, _: int) -> None:
        blocks = ids(sequence.table)
        self._emit(e="hit", **self._of(sequence), blocks=list(blocks))
        self._tables[sequence] = (GPU, blocks)

    def _on_prune(self, sequence: Sequence) -> None:
        self._clear(sequence)
        self._members[sequence.request].remove(sequence)
        self._emit(e="prune", r=sequence.request.id, s=self._numbers[sequence])
        del self._tables[sequence], self._numbers[sequence]

    # ---- preemption ----------------------------------------------------------------------------

    def _on_recompute(self, request: Request) -> None:
        steps = self.ledger.committed < self.ledger.steps
        void = all(s.void == self.ledger.steps for s in request.members)
        lost = {"lost": True} if steps and void else {}
        self._emit(e="preempt", r=request.id, how="recompute", **lost)
        for sequence in self._members[request]:
            self._clear(sequence)

    _on_discard_swapped = _on_recompute

    def _on_fail_copy(self, request: Request) -> None:
        self._emit(e="done", op=self._open[request], failed=True)
        self._on_recompute(request)

    def _on_swap_out(self, request: Request) -> None:
        self._emit(e="preempt", r=request.id, how="swap")
        self._move(request, GPU, CPU)

    def _on_swap_in(self, request: Request) -> None:
        self._emit(e="resume", r=request.id, how="swap")
        self._move(request, CPU, GPU)

    def _move(self, request: Request, source: int, target: int) -> None:
        """Every table of the request moves to the other pool; one copy for each block."""
        named: set[int] = set()
        old: list[tuple[Sequence, list[int]]] = []
        for sequence in self._members[request]:
            blocks = ids(sequence.table)
            for block_id in blocks:
                kind = "hit" if block_id in named else "alloc"
                self._emit(e=kind, **self._of(sequence), blocks=[block_id], **pool(target))
                named.add(block_id)
            old.append((sequence, self._tables[sequence][1]))
            self._tables[sequence] = (target, blocks)
        self._copy(self.ledger.operations[self.ledger.issued], source, target)
        for sequence, blocks in old:
            if blocks:
                self._emit(
                    e="free", **self._of(sequence), at=0, blocks=list(blocks), **pool(source)
                )

    # ---- steps and copies ----------------------------------------------------------------------

    def _waits(self, number: int, wait: int) -> Event:
        """What an operation waits for: copies and steps up to a number, and the compute stream."""
        stream = self.ledger.operations[number].kind not in (SWAP_IN, SWAP_OUT)
        copies = [
            o.number
            for o in self.ledger.operations.values()
            if o.number < number
            and (o.number <= wait or (stream and o.kind == COPY_BLOCK))
            and o.number not in self._forwards
        ]
        steps = [s for forward, s in self._forwards.items() if stream or forward <= wait]
        found: Event = {"after": copies} if copies else {}
        return {**found, "after_step": max(steps)} if steps else found

    def _copy(self, operation: Operation, source: int, target: int) -> None:
        waits = self._waits(operation.number, operation.wait)
        if operation.request is not None and operation.kind != COPY_BLOCK:
            self._open[operation.request] = operation.number
        if operation.blocks:
            self._emit(
                e="copy",
                op=operation.number,
                src=[[POOLS[source], a] for a, _ in operation.blocks],
                dst=[[POOLS[target], b] for _, b in operation.blocks],
                **waits,
            )

    def _on_complete_copy(self, number: int) -> None:
        self._emit(e="done", op=number)

    def _on_schedule_tokens(self, sequence: Sequence, _: int, drafts: int) -> None:
        self._rows.append((sequence, drafts))

    def _on_issue_step(self) -> None:
        ledger = self.ledger
        rows: list[list[Any]] = []
        for sequence in ledger.decode_batch:
            self._grow(sequence)
        for sequence, _ in self._rows:
            end, tokens = sequence.own_dispatched, sequence.last_tokens
            rows.append(self._row(sequence, end - tokens, tokens, sequence.last_samples))
        for sequence in ledger.decode_batch:
            rows.append(self._row(sequence, ledger.num_dispatched_tokens(sequence) - 1, 1, 1))
        number = ledger.forward_of(ledger.steps)
        waits = self._waits(number, ledger.wait_of(number))
        self._emit(e="step", n=ledger.steps, rows=rows, **waits)
        self._forwards[number] = ledger.steps
        self._steps[ledger.steps], self._rows = self._rows, []

    def _row(self, sequence: Sequence, start: int, tokens: int, samples: int) -> list[Any]:
        row = [sequence.request.id, start, tokens, samples]
        number = self._numbers[sequence]
        return [*row, number] if number else row

    def _on_commit_step(self) -> None:
        n = self.ledger.committed
        self._forwards = {f: s for f, s in self._forwards.items() if s > n}
        self._held_back = []
        self._emit(e="settle", n=n)
        self._steps.pop(n - 1, None)
        if self.checks:
            self._emit(**self._check())

    def _on_sample(self, sequence: Sequence, step: int, accepted: int, _: int) -> None:
        drafts = next((d for s, d in self._steps.get(step, ()) if s is sequence), 0)
        if accepted == 1 and not drafts:
            return
        if not self._held_back:
            raise JournalError(
                f"a sample of step {step} comes after an action that must follow it; only "
                f"{', '.join(sorted(AFTER_COMMIT))} may stand between commit_step and sample"
            )
        self._held_back[0].setdefault("kept", []).append(
            [sequence.request.id, accepted, self._numbers[sequence]]
        )

    def _check(self) -> Event:
        """The engine's own view: the pools' free lists and the queues."""
        ledger = self.ledger
        free = {DEFAULT: sorted(ledger.gpu.order[: ledger.gpu.free])}
        if ledger.cpu.total:
            free["cpu"] = sorted(ledger.cpu.order[: ledger.cpu.free])
        return {
            "e": "check",
            "free": free,
            "waiting": [request.id for request in (*ledger.waiting, *ledger.swapped)],
            "running": [request.id for request in ledger.running],
        }

    def _nothing(self, *_: Any) -> None:
        """Actions that change no table and no request."""

    _on_dispatch_copies = _on_lift_fences = _on_join_batch = _on_leave_batch = _on_name_blocks = (
        _nothing
    )
    _on_hold_block = _on_release_block = _nothing


def ids(table: Iterable[Block]) -> list[int]:
    """The block ids of a table, or of a part of it."""
    return [block.block_id for block in table]


def pool(tier: int) -> Event:
    """The field that names a pool, for all but the default one."""
    return {} if tier == GPU else {"pool": POOLS[tier]}
