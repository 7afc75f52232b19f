"""How blocks are shared by requests that begin with the same tokens.

Guarantees: the postconditions in `postconditions/`. A block that is published gets a name (a block hash in vLLM), is
never written again and can be found by requests whose tokens have that name.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lineclear_spec.actions.table import action
from lineclear_spec.logic import not_

if TYPE_CHECKING:
    from lineclear_spec.kernel.protocol import Ledger
    from lineclear_spec.kernel.record_protocols import Number, Request, Sequence


@action()
def publish(ledger: Ledger, sequence: Sequence, index: Number) -> None:
    """A full block of known tokens, computed by committed steps, gets their name: it can be found, and is
    written no more.
    """
    # GUARD
    request = sequence.request
    ledger.require(ledger.runs(sequence), "the sequence is alive and its request runs")
    ledger.require(request.open_swap == 0, "it waits for no swap")
    ledger.require(index >= 0, "the table has the entry")
    ledger.require(
        index < ledger.block_of(ledger.num_computed_tokens(sequence)),
        "committed steps have computed every position of the block",
    )
    ledger.require(
        index < ledger.block_of(ledger.num_tokens(sequence)), "every token of the block is known"
    )
    name = ledger.name_of(sequence, index)
    ledger.require(name >= 1, "the block's tokens have a name")
    ledger.require(not_(ledger.is_listed(name)), "no block can be found under the name")
    block = sequence.table[index]
    ledger.require(block.name == 0, "the block has no name yet")
    ledger.require(block.ref == 1, "no other table entry refers to the block")
    # EFFECT
    # The request waits for no swap, so no copy that may still fail brought what the block holds: a copy on write may be
    # open, but does not fail (premise `twins`).
    ledger.seal_entry(sequence, index, name)


@action()
def publish_run(ledger: Ledger, sequence: Sequence, first: Number, end: Number) -> None:
    """The full blocks of known tokens from entry `first` to before entry `end`, computed by committed steps, get their
    names; those that `publish` would refuse are passed over.

    Args:
        ledger: plain or symbolic.
        sequence: whose table.
        first: index of the first entry.
        end: index behind the last one.
    """
    # GUARD
    request = sequence.request
    ledger.require(ledger.runs(sequence), "the sequence is alive and its request runs")
    ledger.require(request.open_swap == 0, "it waits for no swap")
    ledger.require(first >= 0, "the table has the first entry")
    ledger.require(first <= end, "it does not end before it begins")
    ledger.require(
        end <= ledger.block_of(ledger.num_computed_tokens(sequence)),
        "committed steps have computed every position of the blocks",
    )
    ledger.require(
        end <= ledger.block_of(ledger.num_tokens(sequence)), "every token of the blocks is known"
    )
    # EFFECT
    # As in `publish`: the request waits for no swap.
    ledger.seal_entries(sequence, first, end)


@action("admit")
def admit_cached(ledger: Ledger, request: Request, shared: Number) -> None:
    """A waiting request starts to run with the blocks that are found under the names of its first `shared` tokens."""
    # GUARD
    ledger.require(ledger.allowed("admit", request), "the request waits")
    leader = ledger.leader(request)
    ledger.require(leader.own_tokens < request.limit, "its leader may learn another token")
    ledger.require(shared >= 1, "there is something to share")
    ledger.require(shared < leader.own_tokens, "a token is left to compute")
    ledger.require(ledger.need(shared) == ledger.block_of(shared), "only full blocks are shared")
    ledger.require(
        ledger.all_listed(leader, ledger.need(shared)), "every block to share can be found"
    )
    blocks = ledger.need(leader.own_tokens) - ledger.need(shared)
    ledger.require(blocks <= ledger.gpu.free, "the GPU has a free block for every block needed")
    # EFFECT
    ledger.move(request, "admit")
    ledger.send_tables(request)
    ledger.share_cached(leader, shared)
    ledger.take_blocks(leader, blocks)
    leader.own_dispatched = shared
    leader.own_slots = leader.own_tokens


@action()
def evict(ledger: Ledger, name: Number) -> None:
    """A block that no table entry refers to can be found no more, and its block id is free."""
    # GUARD
    ledger.require(ledger.is_listed(name), "a block can be found under the name")
    ledger.require(ledger.listing(name).ref == 0, "no table entry refers to the block")
    ledger.require(ledger.listing(name).readers == 0, "no reader holds the block")
    # EFFECT
    ledger.free_resting(name)


@action()
def unlist(ledger: Ledger, name: Number) -> None:
    """A block that table entries refer to can be found no more; they go on reading it."""
    # GUARD
    ledger.require(ledger.is_listed(name), "a block can be found under the name")
    ledger.require(ledger.listing(name).ref >= 1, "a table entry refers to the block")
    ledger.require(ledger.listing(name).readers == 0, "no reader holds the block")
    # EFFECT
    ledger.forget_name(name)


@action()
def hold_block(ledger: Ledger, name: Number) -> None:
    """A reader outside the table, such as a transfer, holds a block by its name: until it lets go the block
    stays where it is, with what it holds.
    """
    # GUARD
    ledger.require(ledger.is_listed(name), "a block can be found under the name")
    # EFFECT
    block = ledger.listing(name)
    block.readers = block.readers + 1


@action()
def release_block(ledger: Ledger, name: Number) -> None:
    """A reader lets a block go."""
    # GUARD
    ledger.require(ledger.is_listed(name), "a block can be found under the name")
    ledger.require(ledger.listing(name).readers >= 1, "a reader holds the block")
    # EFFECT
    block = ledger.listing(name)
    block.readers = block.readers - 1
