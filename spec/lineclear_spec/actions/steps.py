"""How a step is built, issued and committed.

Guarantees: the postconditions in `postconditions/`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lineclear_spec.actions.table import action
from lineclear_spec.kernel.records import FORWARD
from lineclear_spec.logic import if_else, larger, not_, or_

if TYPE_CHECKING:
    from lineclear_spec.kernel.protocol import Ledger
    from lineclear_spec.kernel.record_protocols import Number, Sequence


@action()
def schedule_tokens(ledger: Ledger, sequence: Sequence, tokens: Number, drafts: Number) -> None:
    """The step being built computes `tokens` more positions of a sequence, the last `drafts` of them guesses.

    Args:
        ledger: plain or symbolic.
        sequence: it runs and is not in the decode batch.
        tokens: positions, drafts included.
        drafts: guesses among them; the sample of the step accepts a first part of them.
    """
    # GUARD
    limits = ledger.limits
    ledger.require(ledger.runs(sequence), "the sequence is alive and its request runs")
    ledger.require(not_(sequence.in_decode_batch), "the sequence is not in the decode batch")
    ledger.require(
        ledger.steps < ledger.committed + limits.max_steps_in_flight,
        "another step may be in flight",
    )
    ledger.require(
        sequence.last_step <= ledger.steps, "the sequence is not in the step being built"
    )
    # Steps run in the order of their numbers, so what the last one issued samples is there when this one runs.
    in_last_step = sequence.last_step == ledger.steps
    ledger.require(
        sequence.own_samples <= if_else(in_last_step, sequence.last_samples, 0),
        "no step but the last one issued still owes it a sample",
    )
    ledger.require(drafts >= 0, "the number of drafts is not negative")
    ledger.require(tokens > drafts, "at least one token is no draft")
    ledger.require(
        or_(drafts == 0, sequence.own_samples == 0), "drafts follow a token that is known"
    )
    ledger.require(
        sequence.own_dispatched + tokens <= sequence.own_slots, "the table has room for the tokens"
    )
    end_without_drafts = sequence.own_dispatched + tokens - drafts
    end_of_tokens = sequence.own_tokens + sequence.own_samples
    ledger.require(end_without_drafts <= end_of_tokens, "the tokens exist when the step runs")
    ledger.require(
        or_(drafts == 0, end_without_drafts == end_of_tokens),
        "drafts come after the newest token",
    )
    ledger.require(
        or_(sequence.late_drafts == 0, end_without_drafts <= sequence.own_tokens),
        "nothing builds on a sample whose length is not known",
    )
    ledger.require(
        or_(ledger.divisible(sequence), end_without_drafts >= sequence.own_tokens),
        "without chunking every known token is computed at once",
    )
    ledger.require(
        ledger.writable(sequence), "no other table entry refers to a block that the step writes"
    )
    ledger.require(
        ledger.step_tokens + tokens <= limits.max_num_batched_tokens,
        "the tokens fit into max_num_batched_tokens",
    )
    ledger.require(
        ledger.step_sequences < limits.max_num_seqs, "the sequence fits into max_num_seqs"
    )
    # EFFECT
    # Two steps are remembered, since at most two are in flight: this one, and the one before if the sequence is in it.
    sequence.previous_tokens = if_else(in_last_step, sequence.last_tokens, 0)
    sequence.previous_samples = if_else(in_last_step, sequence.last_samples, 0)
    sequence.last_step = ledger.steps + 1
    sequence.last_tokens = tokens
    sequence.last_samples = if_else(end_without_drafts == end_of_tokens, 1, 0)
    sequence.own_dispatched = sequence.own_dispatched + tokens
    sequence.drafts = drafts
    sequence.own_samples = sequence.own_samples + if_else(
        end_without_drafts == end_of_tokens, 1, 0
    )
    ledger.step_tokens = ledger.step_tokens + tokens
    ledger.step_sequences = ledger.step_sequences + 1


@action()
def issue_step(ledger: Ledger) -> None:
    """The step being built is issued: each sequence in the decode batch computes one position, and each that is
    due gets a block.
    """
    # GUARD
    limits = ledger.limits
    due = ledger.due()
    ledger.require(
        ledger.steps < ledger.committed + limits.max_steps_in_flight,
        "another step may be in flight",
    )
    ledger.require(ledger.step_sequences + ledger.decode_batch_size >= 1, "the step is not empty")
    ledger.require(
        ledger.step_tokens + ledger.decode_batch_size <= limits.max_num_batched_tokens,
        "the tokens fit into max_num_batched_tokens",
    )
    ledger.require(
        ledger.step_sequences + ledger.decode_batch_size <= limits.max_num_seqs,
        "the sequences fit into max_num_seqs",
    )
    ledger.require(not_(ledger.ended()), "no sequence in the decode batch is at its limit")
    ledger.require(
        due.count <= ledger.gpu.free, "the GPU has a free block for every sequence that is due"
    )
    # EFFECT
    ledger.give_each_one(due)
    number = ledger.decide(FORWARD, None)
    # It touches GPU blocks that an entry refers to only; an open swap that touches one is numbered up to `barrier`
    # (`fence.held_gpu`). Earlier forwards and block copies run before it on the compute stream.
    ledger.order(number, ledger.barrier)
    ledger.send()
    ledger.advance(number)
    ledger.step_tokens = 0
    ledger.step_sequences = 0
    ledger.dispatched = ledger.issued


@action()
def commit_step(ledger: Ledger) -> None:
    """The oldest step in flight is committed: what it computed is valid, and each sequence in the decode batch
    has one more token.
    """
    # GUARD
    ledger.require(ledger.committed < ledger.steps, "a step is in flight")
    forward = ledger.forward_of(ledger.committed + 1)
    ledger.require(
        ledger.all_complete(ledger.wait_of(forward)),
        "every operation that it waits for is complete",
    )
    # EFFECT
    ledger.close(forward)
    ledger.committed = ledger.committed + 1


@action()
def sample(
    ledger: Ledger, sequence: Sequence, step: Number, accepted: Number, rejected: Number
) -> None:
    """A sequence learns the tokens that a committed step sampled for it; rejected drafts count as not computed.

    Args:
        ledger: plain or symbolic.
        sequence: the step owes it a sample.
        step: the oldest step that does.
        accepted: tokens that are new: accepted drafts and one more.
        rejected: drafts whose positions are computed no more.
    """
    # GUARD
    ledger.require(sequence.alive, "the sequence is alive")
    # A sequence in the decode batch owes nothing, so it is refused here, and the fields below are its own counters.
    ledger.require(ledger.pending_samples(sequence) >= 1, "a committed step owes a sample")
    ledger.require(
        step == ledger.sampling_step(sequence), "the step is the oldest that owes it a sample"
    )
    ledger.require(
        sequence.own_tokens + accepted <= sequence.request.limit,
        "the sequence stays within its limit",
    )
    ledger.require(
        accepted <= larger(sequence.drafts, sequence.late_drafts) + 1,
        "at most one token is new besides the drafts",
    )
    ledger.require(rejected >= 0, "the number of rejected drafts is not negative")
    ledger.require(rejected <= sequence.drafts, "only drafts are rejected")
    ledger.require(
        sequence.drafts < accepted + rejected,
        "every draft is accepted or rejected, and one token more is accepted",
    )
    ledger.require(
        or_(rejected == 0, ledger.in_flight(sequence) == 0),
        "no later step builds on a rejected draft",
    )
    # EFFECT
    ledger.note_sample(sequence, step, accepted, rejected)
    sequence.own_tokens = sequence.own_tokens + accepted
    sequence.own_samples = sequence.own_samples - 1
    sequence.own_dispatched = sequence.own_dispatched - rejected
    sequence.drafts = 0
    sequence.late_drafts = 0


@action()
def join_batch(ledger: Ledger, sequence: Sequence) -> None:
    """A sequence that decodes one token in every step joins the decode batch: from now on a step costs
    nothing for it.
    """
    # GUARD
    ledger.require(ledger.runs(sequence), "the sequence is alive and its request runs")
    ledger.require(not_(sequence.in_decode_batch), "the sequence is not in the decode batch")
    flights = ledger.steps - ledger.committed
    ledger.require(sequence.own_samples == flights, "every step in flight samples for it")
    ledger.require(
        ledger.in_flight(sequence) == flights, "as many positions of it are in flight as steps"
    )
    ledger.require(
        or_(flights == 0, sequence.last_tokens == 1),
        "the last step in flight computes one position",
    )
    ledger.require(
        or_(flights == 0, sequence.last_step == ledger.steps),
        "the sequence is in the last step issued",
    )
    ledger.require(
        sequence.own_tokens == ledger.num_computed_tokens(sequence) + 1,
        "only its newest token is not computed",
    )
    ledger.require(
        sequence.own_slots == sequence.own_dispatched, "it has exactly the room that it uses"
    )
    ledger.require(
        ledger.writable(sequence), "no other table entry refers to a block that it writes"
    )
    ledger.require(ledger.pending_samples(sequence) == 0, "no committed step owes it a sample")
    ledger.require(sequence.late_drafts == 0, "no draft that a recompute dropped is outstanding")
    # EFFECT
    ledger.join(sequence, sequence.own_dispatched - ledger.steps)


@action()
def leave_batch(ledger: Ledger, sequence: Sequence) -> None:
    """A sequence leaves the decode batch: its counters are its own again."""
    # GUARD
    ledger.require(sequence.in_decode_batch, "the sequence is in the decode batch")
    # EFFECT
    sequence.own_tokens = ledger.num_tokens(sequence)
    sequence.own_dispatched = ledger.num_dispatched_tokens(sequence)
    sequence.own_slots = ledger.num_allocated_slots(sequence)
    sequence.own_samples = ledger.scheduled_samples(sequence)
    # Every step in flight computes and samples one position of it, so it is written down as if it had been in the last
    # two steps: of steps that are committed, `in_flight` and `pending_samples` ignore what is written here.
    sequence.last_step = ledger.steps
    sequence.last_tokens = 1
    sequence.previous_tokens = 1
    sequence.last_samples = 1
    sequence.previous_samples = 1
    ledger.leave(sequence)
