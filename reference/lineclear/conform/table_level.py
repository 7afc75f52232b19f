"""Replays an event log through the proved table: each event as an action that its guards allow.

Guarantees: a log passes only if each of its events was an action of the table, run on the ledger,
with the blocks that the log names; tables and free blocks are compared after every step. The table
has no action for groups of layers or restarts: a log with them is rejected as a whole.

The table admits a request with blocks for every known token, and allocates blocks for a running
one, so allocations are collected until a row, or an event that depends on who holds what, comes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from lineclear.conform.checker import Checker
from lineclear.conform.events import Event, RequestId
from lineclear.conform.header import Header
from lineclear.conform.schema import free_lists
from lineclear.conform.state import DEFAULT, LoggedTable
from lineclear.conform.table_names import Differs, TableError, TableNames, limits_of, steer
from lineclear_spec import actions
from lineclear_spec.kernel.ledger import Ledger
from lineclear_spec.kernel.lifecycle import Phase
from lineclear_spec.kernel.records import (
    COPY_BLOCK,
    Broken,
    Refused,
    Request,
    Sequence,
)

__all__ = ["TableError", "TableReplay", "replay_events"]


def replay_events(header: Header, events: Iterable[Event], line: Callable[[], int]) -> list[str]:
    """What the table rejects, as lines of text; empty if it allows every event.

    Args:
        header: header of the log, which obeys the rules.
        events: events of the log.
        line: returns the number of the line read last.

    Raises:
        TableError: the log uses a feature that the table lacks.
    """
    replay = TableReplay(header)
    for event in events:
        try:
            replay(event)
        except (Differs, Refused, Broken) as error:
            what = f"a guard is false: {error.guard}" if isinstance(error, Refused) else str(error)
            return [
                f"line {line()}: the table does not allow {event['e']}: {what}",
                f"  event {replay.checker.number}: {event}"[:300],
            ]
    return []


class TableReplay:
    """A ledger that follows a log, and the rules with the log's own tables."""

    def __init__(self, header: Header) -> None:
        self.ledger = Ledger(limits_of(header))
        self.names = TableNames(self.ledger)
        self.hits: dict[RequestId, int] = {}  # blocks found by a request that is not admitted yet
        self.checker = Checker(header)
        self.requests: dict[RequestId, Request] = {}
        self.sequences: dict[RequestId, dict[int, Sequence]] = {}
        self.pending: dict[Sequence, tuple[int, int, int]] = {}  # step, accepted, rejected
        # Sequences that blocks are collected for.
        self.allocated: dict[tuple[RequestId, int], None] = {}
        # Of each row that samples in a step in flight: its sequence, that one's name, its drafts.
        self.rows: dict[int, list[tuple[Sequence, tuple[RequestId, int], int]]] = {}
        self.moving: Request | None = None  # between preempt or resume of a swap and its copy
        self.failed: set[int] = set()
        self.numbers: dict[int, int] = {}  # copy of the log -> operation

    def __call__(self, event: Event) -> None:
        """Applies one event.

        Raises:
            TableError: the table lacks its feature.
            Differs, Refused, Broken: it does not allow it.
        """
        found = self.checker.feed(event)
        if found:
            raise Differs(f"{found[0].rule}: {found[0].message}")
        kind = event["e"]
        if kind in ("free", "prune"):  # of a branch, beside which another may fork
            self.sample_of(self.of(event))
        elif kind not in ("fork", "check", "idle", "store"):  # they may come before samples
            self.sample(
                None if kind in ("step", "settle", "preempt", "resume") else event.get("r")
            )
        if kind in ("check", "preempt", "fork"):
            self.grow_all()
        handler = getattr(self, f"_{kind}", None)
        if handler is None:
            raise TableError(
                f"event {self.checker.number} is a {kind}, for which the table has no action: use "
                "--level rules"
            )
        handler(event)

    def sample(self, r: RequestId | None) -> None:
        """Gives sequences the samples of committed steps: those of one request, or of all if None."""
        for sequence in list(self.pending):
            if r is not None and self.requests.get(r) is not sequence.request:
                continue
            self.sample_of(sequence)

    def sample_of(self, sequence: Sequence) -> None:
        """Gives one sequence its sample, if one is to come."""
        step, accepted, rejected = self.pending.pop(sequence, (0, 0, 0))
        if sequence.alive and step > sequence.void:
            actions.sample(self.ledger, sequence, step, accepted, rejected)

    def of(self, event: Event) -> Sequence:
        """The sequence that an event names."""
        return self.sequences[event["r"]][event.get("s", 0)]

    # ---- requests ------------------------------------------------------------------------------

    def _submit(self, event: Event) -> None:
        if "max" not in event:
            raise TableError("submit without max: the table needs the maximum length of a request")
        limit = event["prompt"] + event["max"]
        request = self.ledger.new_request(event["prompt"], limit, event.get("n", 1))
        self.sequences[event["r"]] = {0: actions.submit(self.ledger, request)}
        self.requests[event["r"]] = request

    def _reject(self, event: Event) -> None:
        """No action."""

    _idle = _reject

    def _finish(self, event: Event) -> None:
        self.end(event["r"], actions.finish)

    def _abort(self, event: Event) -> None:
        self.hits.pop(event["r"], None)
        self.end(event["r"], actions.abort)

    _fail = _abort

    def end(self, r: RequestId, action: Callable[[Ledger, Request], object]) -> None:
        """Ends a request; a later one may have its id."""
        for s in self.sequences.pop(r):
            self.allocated.pop((r, s), None)
        action(self.ledger, self.requests.pop(r))

    def _fork(self, event: Event) -> None:
        parent = self.sequences[event["r"]][event["of"]]
        known = event.get("known", parent.own_tokens + 1)
        child = actions.fork(self.ledger, parent, known - parent.own_tokens)
        self.sequences[event["r"]][event["s"]] = child
        self.same(event["r"], event["s"])

    def _prune(self, event: Event) -> None:
        r, s = event["r"], event["s"]
        self.allocated.pop((r, s), None)
        actions.prune(self.ledger, self.sequences[r].pop(s))

    # ---- blocks --------------------------------------------------------------------------------

    def _alloc(self, event: Event) -> None:
        """Collects the blocks."""
        if event.get("pool", DEFAULT) == DEFAULT:
            self.allocated[event["r"], event.get("s", 0)] = None

    _free = _reject  # the action of a later event frees them

    def _hit(self, event: Event) -> None:
        if event.get("pool", DEFAULT) != DEFAULT or self.moving is self.requests[event["r"]]:
            return
        sequence, size = self.of(event), self.ledger.limits.block_size
        leader = self.ledger.leader(sequence.request)
        if sequence is leader and sequence.request.phase == Phase.WAITING:
            r, hits = event["r"], self.hits.get(event["r"], 0)
            if len(self.block_ids(r, 0)) != hits + len(event["blocks"]):
                raise Differs(f"{r!r} finds blocks behind allocated ones")
            self.hits[r] = hits + len(event["blocks"])
            return
        shared = [block.block_id for block in leader.table][: len(event["blocks"])]
        if "keys" in event or sequence.table or shared != event["blocks"]:
            raise TableError(
                f"event {self.checker.number} hits blocks for a request that runs, for which the table "
                "has no action: use --level rules"
            )
        actions.rejoin(self.ledger, sequence, len(shared) * size)

    def _store(self, event: Event) -> None:
        keys = event.get("keys") or [None] * len(event["blocks"])
        for block, key in zip(event["blocks"], keys, strict=True):
            sequence, index = self.holder(block)
            known = self.ledger.block_of(self.ledger.num_tokens(sequence))
            if index >= known:
                self.sample_of(sequence)
            self.names.publish(sequence, index, key)

    def _evict(self, event: Event) -> None:
        for block in event["blocks"]:
            self.names.withdraw(block)

    def holder(self, block: int) -> tuple[Sequence, int]:
        """A sequence of the ledger whose table names the block, and the entry."""
        for table in self.checker.state.pools[DEFAULT].held.get(block, ()):
            sequence = self.sequence_of(table)
            for index, entry in enumerate(sequence.table):
                if entry.block_id == block and sequence.alive:
                    return sequence, index
        raise Differs(f"block {block} is published, but no table of the ledger names it")

    def sequence_of(self, table: LoggedTable) -> Sequence:
        """The ledger's sequence for a table of the log."""
        return self.sequences[table.sequence.live.r][table.sequence.s]

    def block_ids(self, r: RequestId, s: int) -> list[int]:
        """The blocks that the log's table names."""
        q = self.checker.state.live[r].sequences[s]
        table = q.tables.get((DEFAULT, ""))
        return [] if table is None else table.blocks

    def grow_all(self) -> None:
        """Gives the ledger's tables all blocks that were collected."""
        for r, s in tuple(self.allocated):
            if len(self.block_ids(r, s)) > self.sequences[r][s].length:
                self.grow(r, s, 0)
        self.allocated.clear()

    def grow(self, r: RequestId, s: int, needed: int) -> None:
        """Gives the ledger's table the blocks that the log allocated, and room for `needed`."""
        self.allocated.pop((r, s), None)
        ledger, sequence = self.ledger, self.sequences[r][s]
        request = sequence.request
        new = self.block_ids(r, s)[sequence.length :]
        if request.phase == Phase.WAITING:
            most = ledger.need(sequence.own_tokens)
            if len(new) < most:
                raise Differs(
                    f"{r!r} runs with {len(new)} blocks, but admit allocates {most}, for every token "
                    "that it knows"
                )
            hits = self.hits.pop(r, 0)
            steer(ledger.gpu, new[hits:most])
            if hits:
                shared = self.names.find(sequence, new[:hits])
                actions.admit_cached(ledger, request, shared)
            else:
                actions.admit(ledger, request)
            new = new[most:]
        room = (sequence.length + len(new)) * ledger.limits.block_size
        target = max(needed, min(room, request.limit - 1)) if new else needed
        if target > sequence.own_slots:
            steer(ledger.gpu, new)
            actions.append_slots(ledger, sequence, target - sequence.own_slots)

    def same(self, r: RequestId, s: int) -> None:
        """Reports ledger and log if they disagree about a table."""
        mine = [block.block_id for block in self.sequences[r][s].table]
        if mine != self.block_ids(r, s):
            raise Differs(
                f"the block table of {r!r} is {mine} by the table's actions, {self.block_ids(r, s)} in the log"
            )

    # ---- preemption and copies -----------------------------------------------------------------

    def _preempt(self, event: Event) -> None:
        request = self.requests[event["r"]]
        self.hits.pop(event["r"], None)
        if event["how"] == "swap":
            self.moving = request
        elif event["how"] == "restart":
            raise TableError(
                "a request that restarts loses tokens: the table has no action for it: use --level rules"
            )
        elif request.open_swap and request.open_swap in self.failed:
            self.dispatch(request.open_swap)
            self.failed.discard(request.open_swap)
            actions.fail_copy(self.ledger, request)
        elif request.phase == Phase.SWAPPED:
            actions.discard_swapped(self.ledger, request)
        else:
            actions.recompute(self.ledger, request)

    def _resume(self, event: Event) -> None:
        request = self.requests[event["r"]]
        if request.phase == Phase.SWAPPED:
            self.moving = request

    def _copy(self, event: Event) -> None:
        pairs = {a[1]: b[1] for a, b in zip(event["src"], event["dst"], strict=True)}
        ledger = self.ledger
        kinds = {(a[0], b[0]) for a, b in zip(event["src"], event["dst"], strict=True)}
        if kinds == {(DEFAULT, DEFAULT)} and len(pairs) == 1:
            sequence = self.writer(*next(iter(pairs.items())))
            steer(ledger.gpu, list(pairs.values()))
            actions.copy_on_write(ledger, sequence)
        else:
            request = self.moving
            out = kinds == {(DEFAULT, "cpu")}
            if request is None or not (out or kinds == {("cpu", DEFAULT)}):
                raise Differs("it belongs to no request that is swapped out or in")
            blocks = [block.block_id for block in request.held]
            if sorted(blocks) != sorted(pairs):
                raise Differs(f"it moves {sorted(pairs)}, but the request holds {sorted(blocks)}")
            steer(ledger.cpu if out else ledger.gpu, [pairs[block_id] for block_id in blocks])
            (actions.swap_out if out else actions.swap_in)(ledger, request)
            self.moving = None
        number = self.numbers[event["op"]] = ledger.issued
        self.waits(event, number)

    def writer(self, src: int, dst: int) -> Sequence:
        """The sequence that gets its own copy of a shared block."""
        for table in self.checker.state.pools[DEFAULT].held.get(dst, ()):
            sequence, at = self.sequence_of(table), table.blocks.index(dst)
            if at < sequence.length and sequence.table[at].block_id == src:
                return sequence
        raise Differs(f"no table has block {dst} in place of block {src}")

    def dispatch(self, number: int) -> None:
        """A plan has dispatched the operation."""
        if number > self.ledger.dispatched:
            actions.dispatch_copies(self.ledger)

    def _done(self, event: Event) -> None:
        number = self.numbers.pop(event["op"])
        operation = self.ledger.operations.get(number)
        if event.get("failed", False):
            request = None if operation is None else operation.request
            if request is not None and request.open_swap == number:
                self.failed.add(number)
                return
        self.dispatch(number)
        actions.complete_copy(self.ledger, number)

    def waits(self, event: Event, number: int) -> None:
        """Reports the operation if it lacks a wait that the table requires."""
        ledger = self.ledger
        listed = {self.numbers[op] for op in event.get("after", ()) if op in self.numbers}
        wait = ledger.wait_of(number)
        steps = {forward: step for step, forward in ledger.step_operations.items()}
        for operation in ledger.operations.values():
            if operation.number > wait or operation.number in listed:
                continue
            if operation.number in steps:
                stream = ledger.operations[number].kind in (COPY_BLOCK, "forward")
                if stream or event.get("after_step", 0) >= self.logged(steps[operation.number]):
                    continue
                raise Differs(f"it does not wait for step {self.logged(steps[operation.number])}")
            raise Differs(f"it does not wait for operation {operation}, as the table does")

    def logged(self, step: int) -> int:
        """The log's number for a step of the ledger."""
        return self.checker.state.steps - self.ledger.steps + step

    # ---- steps ---------------------------------------------------------------------------------

    def _step(self, event: Event) -> None:
        ledger = self.ledger
        rows: list[tuple[Sequence, tuple[RequestId, int], int]] = []
        for row in event["rows"]:
            r, start, tokens, samples = row[:4]
            s = row[4] if len(row) == 5 else 0
            self.grow(r, s, start + tokens)
            sequence = self.sequences[r][s]
            self.same(r, s)
            if start != sequence.own_dispatched:
                raise Differs(
                    f"{r!r} starts at {start}, but in the table at {sequence.own_dispatched}"
                )
            exist = sequence.own_tokens + sequence.own_samples
            drafts = max(0, start + tokens - exist)
            actions.schedule_tokens(ledger, sequence, tokens, drafts)
            if samples != sequence.last_samples:
                raise Differs(f"{r!r} samples {samples}, but {sequence.last_samples} in the table")
            if samples:
                rows.append((sequence, (r, s), drafts))
        if event["rows"]:
            actions.issue_step(ledger)
            self.rows[ledger.steps] = rows
            self.waits(event, ledger.forward_of(ledger.steps))

    def _settle(self, event: Event) -> None:
        ledger = self.ledger
        actions.commit_step(ledger)
        kept = {(k[0], k[2] if len(k) == 3 else 0): k[1] for k in event.get("kept", ())}
        for sequence, who, drafts in self.rows.pop(ledger.committed, []):
            if sequence.alive:
                accepted = kept.get(who, 1)
                left = 0 if sequence.drafts == 0 else drafts - (accepted - 1)
                self.pending[sequence] = ledger.committed, accepted, left

    def _check(self, event: Event) -> None:
        for name, ids in free_lists(event.get("free", {})).items():
            pool = self.ledger.cpu if name == "cpu" else self.ledger.gpu
            if sorted(pool.order[: pool.free]) != sorted(ids):
                raise Differs(f"the free blocks of {name} differ from the table's")
