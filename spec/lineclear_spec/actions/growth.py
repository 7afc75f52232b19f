"""How a request gets blocks for its tokens.

Guarantees: the postconditions in `postconditions/`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lineclear_spec.actions.table import action
from lineclear_spec.kernel.records import COPY_BLOCK
from lineclear_spec.logic import not_

if TYPE_CHECKING:
    from lineclear_spec.kernel.protocol import Ledger
    from lineclear_spec.kernel.record_protocols import Number, Request, Sequence


@action("admit")
def admit(ledger: Ledger, request: Request) -> None:
    """A waiting request starts to run, with room for every token that its leader, the first sequence, knows."""
    # GUARD
    ledger.require(ledger.allowed("admit", request), "the request waits")
    leader = ledger.leader(request)
    ledger.require(leader.own_tokens < request.limit, "its leader may learn another token")
    ledger.require(
        ledger.need(leader.own_tokens) <= ledger.gpu.free,
        "the GPU has a free block for every block needed",
    )
    # EFFECT
    # Other branches get blocks by `rejoin` and `append_slots`.
    ledger.move(request, "admit")
    ledger.send_tables(request)
    ledger.take_blocks(leader, ledger.need(leader.own_tokens))
    leader.own_slots = leader.own_tokens


@action()
def append_slots(ledger: Ledger, sequence: Sequence, num_slots: Number) -> None:
    """A running sequence gets room for `num_slots` more positions."""
    # GUARD
    ledger.require(ledger.runs(sequence), "the sequence is alive and its request runs")
    ledger.require(not_(sequence.in_decode_batch), "the sequence is not in the decode batch")
    ledger.require(num_slots >= 1, "there is something to append")
    ledger.require(
        sequence.own_slots + num_slots < sequence.request.limit,
        "the sequence stays below its limit",
    )
    blocks = ledger.need(sequence.own_slots + num_slots) - sequence.length
    ledger.require(blocks <= ledger.gpu.free, "the GPU has a free block for every block needed")
    # EFFECT
    ledger.take_blocks(sequence, blocks)
    sequence.own_slots = sequence.own_slots + num_slots


@action()
def copy_on_write(ledger: Ledger, sequence: Sequence) -> None:
    """A sequence about to write into a block that other entries refer to gets a copy of its own."""
    # GUARD
    ledger.require(ledger.runs(sequence), "the sequence is alive and its request runs")
    ledger.require(not_(sequence.in_decode_batch), "the sequence is not in the decode batch")
    index = ledger.block_of(sequence.own_dispatched)
    ledger.require(index < sequence.length, "the next position falls into a block of the table")
    ledger.require(sequence.table[index].ref >= 2, "another table entry refers to that block too")
    ledger.require(ledger.gpu.free >= 1, "the GPU has a free block")
    # EFFECT
    number = ledger.decide(COPY_BLOCK, sequence.request)
    # The source cannot be taken before it is read: the guard says that another entry refers to it, so it is not freed
    # here, and a later action that frees it fences it with an `issued` that is this number or a later one.
    ledger.replace_entry(sequence, index)
    ledger.send_whole(sequence)
    ledger.note_twin(number, sequence, index)
    # The compute stream orders forwards before and after the copy with it, so no forward waits for it. Swaps it does
    # not: `barrier` is at least the fence of the new block id and the swap-in that brought the source
    # (`fence.held_gpu`).
    ledger.order(number, ledger.barrier)
