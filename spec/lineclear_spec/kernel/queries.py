"""Queries: what a guard may ask of the state, written once.

Guarantees: each query has one text, for plain data, for formulas and for the views in which invariants and contracts
are evaluated, `worst_case` aside: formulas know only which three numbers it is a function of. What looks something up
in a container or a calendar is an operator, implemented twice (`kernel/operators.py`).

`a if c else b` is Python's on plain data; on formulas it is the ledger's `if_else` (`language/conditional.py`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lineclear_spec.kernel.records import RUNNING
from lineclear_spec.logic import and_, not_, or_

if TYPE_CHECKING:
    from lineclear_spec.kernel.protocol import Ledger
    from lineclear_spec.kernel.record_protocols import Number, Records, Request, Sequence, Truth

__all__ = [
    "all_complete", "complete_up_to", "divisible", "due", "ended", "ended_alone", "first_scheduled",
    "forward_of", "in_flight", "is_copy", "leader", "num_allocated_slots", "num_computed_tokens",
    "num_dispatched_tokens", "num_tokens", "on_gpu", "one_ends_alone", "pending_samples", "runs",
    "sampling_step", "scheduled_samples", "unscheduled", "wait_of", "worst_case", "writable",
]  # fmt: skip


def num_dispatched_tokens(ledger: Ledger, sequence: Sequence) -> Number:
    """Number of positions computed, or being computed by a step in flight or the one being built."""
    return sequence.offset + ledger.steps if sequence.in_decode_batch else sequence.own_dispatched


def in_flight(ledger: Ledger, sequence: Sequence) -> Number:
    """Number of positions that steps not yet committed compute."""
    # At most two steps are in flight (`max_steps_in_flight`), so those that scheduled it and are not committed are
    # among the last step that did and the one before; `schedule_tokens` remembers the tokens of these two.
    committed = ledger.committed
    last = sequence.last_step
    return (
        ledger.steps - committed
        if sequence.in_decode_batch
        else (sequence.last_tokens if last > committed else 0)
        + (sequence.previous_tokens if last > committed + 1 else 0)
    )


def num_computed_tokens(ledger: Ledger, sequence: Sequence) -> Number:
    """Number of positions whose KV is valid: every step that computes them is committed."""
    return ledger.num_dispatched_tokens(sequence) - ledger.in_flight(sequence)


def num_tokens(ledger: Ledger, sequence: Sequence) -> Number:
    """Number of prompt and generated tokens."""
    return (
        sequence.offset + ledger.committed + 1 if sequence.in_decode_batch else sequence.own_tokens
    )


def scheduled_samples(ledger: Ledger, sequence: Sequence) -> Number:
    """Number of outstanding samples: of the step being built, of steps in flight, and of committed ones
    (`pending_samples`).
    """
    return ledger.steps - ledger.committed if sequence.in_decode_batch else sequence.own_samples


def pending_samples(ledger: Ledger, sequence: Sequence) -> Number:
    """Number of samples of committed steps that are still to come."""
    committed = ledger.committed
    last = sequence.last_step
    return (
        0
        if sequence.in_decode_batch
        else sequence.own_samples
        - (
            (sequence.last_samples if last > committed else 0)
            + (sequence.previous_samples if last > committed + 1 else 0)
        )
    )


def sampling_step(_ledger: Ledger, sequence: Sequence) -> Number:
    """The oldest step that owes the sequence a sample; meaningless unless `own_samples` is at least 1."""
    # Only its last two steps may owe (`pending_samples.older`): if more samples are to come than
    # the last one brings, the one before owes one.
    return sequence.last_step - (1 if sequence.own_samples > sequence.last_samples else 0)


def num_allocated_slots(ledger: Ledger, sequence: Sequence) -> Number:
    """Number of positions that were given room; the table has `need(slots)` blocks."""
    return sequence.offset + ledger.steps if sequence.in_decode_batch else sequence.own_slots


def first_scheduled(ledger: Ledger, sequence: Sequence) -> Number:
    """The first position of the sequence that the step being built computes, if the sequence is in it."""
    return (
        sequence.offset + ledger.steps
        if sequence.in_decode_batch
        else sequence.own_dispatched - sequence.last_tokens
    )


def runs(_ledger: Ledger, sequence: Sequence) -> Truth:
    """Whether the sequence is alive and its request runs."""
    return sequence.request.phase == RUNNING if sequence.alive else False


def on_gpu(_ledger: Ledger, request: Request) -> Truth:
    """Whether the request runs, so that its private blocks are GPU blocks."""
    return request.phase == RUNNING


def divisible(ledger: Ledger, sequence: Sequence) -> Truth:
    """Whether the sequence, which is not in the decode batch, may be computed in several steps: any with chunking,
    else one that is longer than a step if `cut_long` allows it.
    """
    limits = ledger.limits
    longer = sequence.own_tokens > limits.max_num_batched_tokens
    return or_(limits.chunked, and_(limits.cut_long, longer))


def writable(ledger: Ledger, sequence: Sequence) -> Truth:
    """Whether no other entry refers to the block of the first position that is not computed, or to a later one.

    None of these is sealed: every position of a sealed block is computed (clause `own_names.computed`).
    """
    first = ledger.num_computed_tokens(sequence)
    ledger.demand(first >= 0, "what the sequence has computed is not negative")
    return ledger.unshared_from(sequence.table, ledger.block_of(first))


def unscheduled(ledger: Ledger, request: Request) -> Truth:
    """Whether no sequence of the request is in the decode batch or in the step being built; steps in flight may
    have it.
    """
    steps = ledger.steps
    return ledger.all_of(
        lambda sequence: False if sequence.in_decode_batch else sequence.last_step <= steps,
        request.members,
    )


def leader(ledger: Ledger, request: Request) -> Any:
    """The leader: the first sequence of a request that has one."""
    ledger.demand(request.width >= 1, "the request has a sequence")
    first = request.members[0]
    ledger.demand(first.alive, "its first sequence is alive")
    return first


def worst_case(ledger: Ledger, request: Request) -> Number:
    """Number of blocks that suffice for the request in an otherwise empty pool.

    Its branches share the full blocks of the prompt, also after a recompute: no guard makes them do so, the scheduler
    does, by `rejoin` (docs/trust.md). The last token of a sequence needs no KV, so a sequence of `limit` tokens has at
    most limit - 1 positions.
    """
    shared = ledger.block_of(request.prompt)
    return shared + request.parallel * (ledger.need(request.limit - 1) - shared)


def due(ledger: Ledger) -> Any:
    """The sequences in the decode batch whose table is full, so that the next step needs one block for each."""
    return ledger.boundaries.bucket(ledger.steps)


def ended(ledger: Ledger) -> Truth:
    """Whether some sequence in the decode batch has every position it may ever need, so that one more step would
    exceed its limit.
    """
    return ledger.endings.bucket(ledger.steps).count >= 1


def one_ends_alone(ledger: Ledger) -> Truth:
    """Whether `ended_alone` has a sequence."""
    ended = ledger.endings.bucket(ledger.steps)
    return not_(ledger.all_of(lambda sequence: sequence.request.width != 1, ended))


def ended_alone(ledger: Ledger) -> Records:
    """The sequences in the decode batch that have every position they may ever need and are the only one of their
    request.
    """
    ended = ledger.endings.bucket(ledger.steps)
    return ledger.select(lambda sequence: sequence.request.width == 1, ended)


def wait_of(ledger: Ledger, number: Number) -> Number:
    """The number n such that the open operation waits for operations 1 to n."""
    return ledger.operations[number].wait


def is_copy(ledger: Ledger, number: Number) -> Truth:
    """Whether an open operation is a copy and no forward."""
    return not_(ledger.operations[number].is_forward)


def forward_of(ledger: Ledger, step: Number) -> Number:
    """The number of the forward of a step in flight."""
    return ledger.step_operations[step]


def all_complete(ledger: Ledger, number: Number) -> Truth:
    """Whether operations 1 to `number`, which are decided, are all complete."""
    return ledger.first_open() > number


def complete_up_to(ledger: Ledger) -> Number:
    """The largest n such that operations 1 to n are complete."""
    return ledger.first_open() - 1
