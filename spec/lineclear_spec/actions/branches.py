"""How a request has several sequences.

Guarantees: the postconditions in `postconditions/`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lineclear_spec.actions.table import action
from lineclear_spec.logic import not_

if TYPE_CHECKING:
    from lineclear_spec.kernel.protocol import Ledger
    from lineclear_spec.kernel.record_protocols import Number, Sequence


@action()
def fork(ledger: Ledger, parent: Sequence, tokens: Number) -> Sequence:
    """A child begins with what the parent knows and `tokens` more of a pending sample of the
    parent, sharing every block that holds computed KV.
    """
    # GUARD
    request = parent.request
    ledger.require(parent.alive, "the parent is alive")
    ledger.require(ledger.in_flight(parent) == 0, "no step in flight computes for the parent")
    # A sequence in the decode batch owes nothing, so it is refused here, and the fields below are its own counters.
    ledger.require(
        ledger.pending_samples(parent) >= 1, "a committed step owes the parent a sample"
    )
    ledger.require(request.width < request.parallel, "the request may have another sequence")
    ledger.require(tokens >= 1, "the child has a token of its own")
    ledger.require(
        tokens <= parent.late_drafts + 1,
        "at most one token is new besides drafts that a recompute dropped",
    )
    ledger.require(
        parent.own_dispatched <= parent.own_tokens,
        "every position that the parent computed is known",
    )
    ledger.require(parent.own_tokens + tokens <= request.limit, "the child stays within its limit")
    # EFFECT
    child = ledger.add_member(request)
    ledger.inherit(parent, child, ledger.block_of(parent.own_tokens))
    ledger.note_fork(parent, child, tokens)
    ledger.share_table(parent, child, ledger.need(parent.own_dispatched))
    child.own_dispatched = parent.own_dispatched
    child.own_slots = parent.own_dispatched
    child.own_tokens = parent.own_tokens + tokens
    ledger.send_whole(child)
    return child


@action()
def rejoin(ledger: Ledger, sequence: Sequence, shared: Number) -> None:
    """After a recompute a branch refers again to the full blocks of the prompt that its leader has computed."""
    # GUARD
    ledger.require(ledger.runs(sequence), "the sequence is alive and its request runs")
    ledger.require(not_(sequence.in_decode_batch), "the sequence is not in the decode batch")
    ledger.require(sequence.own_slots == 0, "the sequence holds nothing")
    leader = ledger.leader(sequence.request)
    ledger.require(shared >= 1, "there is something to share")
    ledger.require(shared <= sequence.request.prompt, "only the prompt is shared")
    ledger.require(
        shared <= ledger.num_computed_tokens(leader), "the leader has computed what is shared"
    )
    ledger.require(ledger.need(shared) == ledger.block_of(shared), "only full blocks are shared")
    # EFFECT
    ledger.share_table(leader, sequence, ledger.need(shared))
    sequence.own_dispatched = shared
    sequence.own_slots = shared


@action()
def prune(ledger: Ledger, sequence: Sequence) -> None:
    """One branch of several ends and frees what only it holds."""
    # GUARD
    ledger.require(sequence.alive, "the sequence is alive")
    ledger.require(not_(sequence.in_decode_batch), "the sequence is not in the decode batch")
    ledger.require(
        sequence.last_step <= ledger.steps, "the sequence is not in the step being built"
    )
    ledger.require(sequence.request.width >= 2, "another branch lives on")
    # EFFECT
    # A branch in the step being built may share its blocks: these keep a ref and stay where they are.
    ledger.clear_table(sequence)
    ledger.remove_member(sequence)
