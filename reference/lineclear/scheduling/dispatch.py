"""Issues a step and returns it as an immutable plan.

Invariant: every operation that was decided travels with exactly one plan. Of tables a plan with a step has exactly
what `issue_step` sent; this module only adds request ids and branches.
"""

from __future__ import annotations

from collections.abc import Sequence as Rows
from dataclasses import dataclass

from lineclear.plan import BlockOperation, Joined, NewBlock, NewBlocks, Plan, Scheduled, Table
from lineclear.scheduling.counters import Counters, PlanChanges
from lineclear.scheduling.decode_batch import DecodeBatch
from lineclear.scheduling.flight import InFlight, IssuedStep
from lineclear.scheduling.live_requests import LiveRequests
from lineclear.scheduling.policy_adapter import PolicyAdapter
from lineclear.scheduling.prefix_cache import PrefixCache
from lineclear_spec import actions
from lineclear_spec.kernel.ledger import Ledger, pairs_of
from lineclear_spec.kernel.records import COPY_BLOCK, Sequence

Pair = tuple[Scheduled, Sequence]


@dataclass(eq=False, slots=True)
class Dispatch:
    """Issues steps.

    Attributes:
        ledger: the state that the table's actions change.
        live: finds the request of a sequence.
        batch: the decode batch and the rows of its sequences.
        in_flight: takes each step that was issued.
        changes: what the plan must report beside what the ledger records.
        counters: of what happened.
        adapter: tells a policy that shares among tenants.
        cache: evicts blocks that rest.
    """

    ledger: Ledger
    live: LiveRequests
    batch: DecodeBatch
    in_flight: InFlight
    changes: PlanChanges
    counters: Counters
    adapter: PolicyAdapter
    cache: PrefixCache

    def issue(self, pairs: Rows[Pair], time: float | None, *, hold: bool = False) -> Plan:
        """Issues the step that was built, if there is anything to compute, with all that changed.

        Args:
            pairs: rows of the sequences that are not in the decode batch, prefills first.
            time: by the scheduler's clock.
            hold: whether nothing is computed: the plan carries operations and changes alone.
        """
        ledger, batch, changes = self.ledger, self.batch, self.changes
        dispatched = ledger.dispatched
        tokens = 0 if hold else ledger.step_tokens + len(ledger.decode_batch)
        step = None
        if tokens:
            if ledger.cached:
                self.cache.free_up(ledger.due().count)
            actions.issue_step(ledger)
            step = ledger.steps
        elif dispatched < ledger.issued:
            actions.dispatch_copies(ledger)
        batch.refresh()
        rows: tuple[Scheduled, ...] = ()
        sampling: tuple[Scheduled, ...] = ()
        sequences: tuple[Sequence, ...] = ()
        decoding = () if hold else batch.rows
        prefills = 0
        if pairs:
            prefills = sum([row.prefill for row, _ in pairs])
            rows = tuple([row for row, _ in pairs])
            sampling = tuple([row for row in rows if row.samples])
            sequences = tuple([sequence for row, sequence in pairs if row.samples])
        plan = Plan(
            step,
            Joined(rows, decoding),
            Joined(sampling, decoding),
            tokens,
            prefills,
            self._operations(dispatched),
            self._new_blocks() if step and ledger.appended else (),
            self._tables() if step and ledger.sent_whole else (),
            tuple(changes.preempted),
            time,
            tuple(changes.ended),
        )
        if plan.preempted or plan.ended:
            changes.preempted.clear()
            changes.ended.clear()
        if self.adapter.tenants is not None:
            for row, sequence in pairs:
                if row.samples:
                    tenant = self.live.of[sequence.request].tenant
                    self.adapter.tell("sampled", tenant, 1, ledger.steps)
        if step is not None:
            made = plan.operations
            copies = [o.number for o in made if o.kind == COPY_BLOCK] if len(made) > 1 else []
            flight = IssuedStep(plan, step, sequences, batch.members, copies)
            self.in_flight.flights.append(flight)
            self.counters.steps += 1
            self.counters.batched_tokens += tokens
        return plan

    def _operations(self, dispatched: int) -> tuple[BlockOperation, ...]:
        """Every operation that no plan before this one dispatched."""
        ledger = self.ledger
        made: list[BlockOperation] = []
        for number in range(dispatched + 1, ledger.issued + 1):
            operation = ledger.operations[number]
            record = operation.request
            owner = None if record is None else self.live.of.get(record)
            name = None if owner is None else owner.request_id
            blocks = tuple(operation.blocks)
            made.append(BlockOperation(number, operation.kind, operation.wait, name, blocks))
        return tuple(made)

    def _new_blocks(self) -> Rows[NewBlock]:
        """The entries that the step's action sent to be appended, by the names of their sequences."""
        appended = self.ledger.appended
        members = self.batch.members
        try:
            ((sequences, block_ids),) = appended  # one of those that were due, or of all
            return NewBlocks(
                tuple([members[sequence] for sequence in sequences]), tuple(block_ids)
            )
        except KeyError:
            pass  # one of them is not in the decode batch
        new: list[NewBlock] = []
        for sequence, block_id in pairs_of(appended):
            entry = self.live.of[sequence.request]
            new.append((entry.request_id, entry.branch(sequence), block_id))
        return tuple(new)

    def _tables(self) -> tuple[Table, ...]:
        """The tables that the step's action sent whole, by the names of their sequences."""
        tables: list[Table] = []
        for sequence, block_ids in self.ledger.sent_whole:
            entry = self.live.of[sequence.request]
            tables.append((entry.request_id, entry.branch(sequence), block_ids))
        return tuple(tables)
