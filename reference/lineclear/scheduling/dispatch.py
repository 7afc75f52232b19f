"""A step leaves the scheduler: it is issued, and told as an immutable plan.

Guarantees: every operation that was decided travels with exactly one plan, and so does every
change of a table. It knows nothing about how the step was decided.
"""

from __future__ import annotations

from collections.abc import Sequence as Rows
from typing import TYPE_CHECKING

from lineclear.plan import BlockOperation, Joined, Names, NewBlocks, Plan, Scheduled, Table
from lineclear_spec import actions
from lineclear_spec.lifecycle import Phase
from lineclear_spec.records import COPY_BLOCK, Sequence

if TYPE_CHECKING:
    from lineclear.scheduling.transitions import Bookkeeping

__all__ = ["Flight", "Roster", "issue"]

Pair = tuple[Scheduled, Sequence]


class Flight:
    """A step in flight: what `commit` must know about it."""

    __slots__ = ("copies", "left", "plan", "sampling", "steady", "step")

    def __init__(
        self,
        plan: Plan,
        step: int,
        sampling: tuple[Sequence, ...],
        steady: tuple[Sequence, ...],
        copies: list[int],
    ) -> None:
        """The step was issued."""
        self.plan = plan
        self.step = step
        self.sampling = sampling  # not steady when the step was issued, and sampled
        self.steady = steady  # steady when the step was issued
        self.left: dict[Sequence, None] = {}  # of those, the ones that are no longer
        self.copies = copies  # block copies, done when the forward is

    def sequence(self, position: int) -> Sequence:
        """Whom a position of `plan.sampling` stands for."""
        size = len(self.sampling)
        return self.sampling[position] if position < size else self.steady[position - size]

    def counts(self, sequence: Sequence) -> bool:
        """Whether what the step sampled for it is kept: it lives, and its KV was valid."""
        return sequence.alive and (sequence.steady or sequence.void < self.step)

    def dropped(self) -> list[int]:
        """Positions of `plan.sampling` whose tokens are not kept."""
        positions = [k for k, q in enumerate(self.sampling) if not self.counts(q)]
        lost = {sequence for sequence in self.left if not self.counts(sequence)}
        if lost:
            base = len(self.sampling)
            positions += [base + k for k, q in enumerate(self.steady) if q in lost]
        return positions


class Roster:
    """The steady sequences and their rows, made again only when one joins or leaves."""

    __slots__ = ("changes", "rows", "sequences")

    def __init__(self) -> None:
        """Nobody is steady."""
        self.changes = 0
        self.rows: tuple[Scheduled, ...] = ()
        self.sequences: tuple[Sequence, ...] = ()

    def refresh(self, scheduler: Bookkeeping) -> None:
        """Looks whether anybody joined or left."""
        ledger = scheduler.ledger
        if self.changes != ledger.batch_changes:
            self.changes = ledger.batch_changes
            members = scheduler.members  # who joins or leaves, joins or leaves here too
            self.sequences = tuple(members)
            self.rows = tuple(members.values())


def issue(scheduler: Bookkeeping, roster: Roster, pairs: Rows[Pair], time: float | None) -> Plan:
    """Issues the step that was built, if there is anything to compute, and tells all that changed.

    Args:
        scheduler: whose step it is.
        roster: the steady sequences as the last plan told them.
        pairs: rows of the sequences that are not steady, prefills first.
        time: by the scheduler's clock.
    """
    ledger = scheduler.ledger
    carried = ledger.carried
    tokens = ledger.step_tokens + ledger.batch_size
    step = None
    if tokens:
        actions.issue_step(ledger)
        step = ledger.steps
    elif carried < ledger.issued:
        actions.carry(ledger)
    roster.refresh(scheduler)
    rows: tuple[Scheduled, ...] = ()
    sampling: tuple[Scheduled, ...] = ()
    sequences: tuple[Sequence, ...] = ()
    if pairs:
        rows = tuple([row for row, _ in pairs])
        sampling = tuple([row for row in rows if row.samples])
        sequences = tuple([sequence for row, sequence in pairs if row.samples])
    plan = Plan(
        step,
        Joined(rows, roster.rows),
        Joined(sampling, roster.rows),
        tokens,
        sum([row.prefill for row in rows]),
        told_operations(scheduler, carried),
        told_blocks(scheduler),
        told_tables(scheduler),
        tuple(scheduler.preempted),
        time,
    )
    scheduler.preempted.clear()
    if scheduler.tenants is not None:
        for row, sequence in pairs:
            if row.samples:
                scheduler.tell("sampled", scheduler.of[sequence.request], 1)
    if step is not None:
        copies = [o.number for o in plan.operations if o.kind == COPY_BLOCK]
        scheduler.flights.append(Flight(plan, step, sequences, roster.sequences, copies))
        scheduler.counters.steps += 1
        scheduler.counters.batched_tokens += tokens
    return plan


def told_operations(scheduler: Bookkeeping, carried: int) -> tuple[BlockOperation, ...]:
    """Every operation that no plan before this one carried."""
    ledger = scheduler.ledger
    made: list[BlockOperation] = []
    for number in range(carried + 1, ledger.issued + 1):
        operation = ledger.operations[number]
        record = operation.request
        owner = None if record is None else scheduler.of.get(record)
        name = None if owner is None else owner.name
        blocks = tuple(operation.blocks)
        made.append(BlockOperation(number, operation.kind, operation.wait, name, blocks))
    return tuple(made)


def told_blocks(scheduler: Bookkeeping) -> Rows[Names]:
    """Blocks appended to tables that the executor knows and that still run."""
    grown, replaced = scheduler.ledger.grown, scheduler.replaced
    if not grown:
        return ()
    told = grown.copy()
    grown.clear()
    if not replaced:
        members = scheduler.members
        try:
            rows = tuple([members[sequence] for sequence, _ in told])
            return NewBlocks(rows, tuple([place for _, place in told]))
        except KeyError:
            pass  # one of them is not steady
    new: list[Names] = []
    for sequence, place in told:
        if (
            sequence not in replaced  # its whole table is told
            and sequence.alive
            and sequence.request.phase == Phase.RUNNING
        ):
            entry = scheduler.of[sequence.request]
            new.append((entry.name, entry.branch(sequence), place))
    return tuple(new)


def told_tables(scheduler: Bookkeeping) -> tuple[Table, ...]:
    """The whole table of every sequence whose table changed otherwise than by growing."""
    if not scheduler.replaced:
        return ()
    tables: list[Table] = []
    for sequence in scheduler.replaced:
        entry = scheduler.of[sequence.request]
        places = tuple([block.place for block in sequence.table])
        tables.append((entry.name, entry.branch(sequence), places))
    scheduler.replaced.clear()
    return tuple(tables)
