# pyright: basic
"""Steps that move one block, and the loops over them that actions use.

Guarantees: after every single step each pool is a permutation of its places, a place is free or
backs exactly one block, and a block's ref is the number of table entries that name it. It knows
nothing about phases, tokens, steps in flight or budgets. Each loop is proved once, by induction,
against the contract of the same name in `contracts/`; an action that calls it is proved from the
contract alone.
"""

from __future__ import annotations

from typing import Any

from lineclear_spec.logic import larger
from lineclear_spec.records import CPU, GPU

__all__ = [
    "clear_table",
    "clear_tables",
    "drop_last",
    "give_each_one",
    "move_block",
    "move_blocks",
    "replace_entry",
    "share_entry",
    "share_table",
    "take_block",
    "take_blocks",
]

# The ledger is `Any` here: these functions run on the plain ledger and on the symbolic one.


def grant_gpu(ledger: Any) -> Any:
    """A free GPU place; the next forward waits for whoever may still touch it."""
    place = ledger.gpu.grant()
    ledger.barrier = larger(ledger.barrier, ledger.gpu.until[place])
    return place


def take_block(ledger: Any, sequence: Any) -> None:
    """Append one free GPU block to the sequence's table."""
    place = grant_gpu(ledger)
    ledger.name_block(sequence, ledger.new_block(sequence.request, place))


def share_entry(ledger: Any, parent: Any, child: Any, index: Any) -> None:
    """Append the block of the parent's entry `index` to the child's table."""
    ledger.name_block(child, parent.table[index])


def release(ledger: Any, block: Any) -> None:
    """A block that no entry names any more gives its place up."""
    ledger.forget_block(block)
    ledger.give_up(block.tier, block.place)


def drop_last(ledger: Any, sequence: Any) -> None:
    """Remove the last entry of the sequence's table; its last holder gives the block up."""
    block = ledger.unname_last(sequence)
    ledger.branch(block.ref == 0, lambda: release(ledger, block))


def move_block(ledger: Any, block: Any, tier: Any) -> None:
    """Let a block live in the other tier: a place there is granted, the one here is given up."""
    place = grant_gpu(ledger) if tier == GPU else ledger.cpu.grant()
    source = CPU if tier == GPU else GPU
    ledger.note_copy(source, block.place, tier, place)
    ledger.give_up(source, block.place)
    ledger.relocate(block, tier, place)


def copy_entry(ledger: Any, sequence: Any, index: Any) -> None:
    """Let one entry, whose block others name too, name a free GPU block of its own instead."""
    place = grant_gpu(ledger)
    old = ledger.rename_entry(sequence, index, ledger.new_block(sequence.request, place))
    ledger.note_copy(GPU, old.place, GPU, place)


# ---- loops -----------------------------------------------------------------------------------------------------


def take_blocks(ledger: Any, sequence: Any, count: Any) -> None:
    """Append `count` free GPU blocks to the sequence's table."""
    ledger.repeat("take_blocks", count, lambda _: take_block(ledger, sequence), sequence, count)


def give_each_one(ledger: Any, due: Any) -> None:
    """Append one free GPU block to the table of each sequence of `due`."""
    ledger.repeat("give_each_one", due.count, lambda k: take_block(ledger, due[k]), due)


def share_table(ledger: Any, parent: Any, child: Any, count: Any) -> None:
    """Let the child's empty table name the first `count` blocks of the parent's."""
    ledger.repeat(
        "share_table", count, lambda k: share_entry(ledger, parent, child, k), parent, child, count
    )
    ledger.share_kv(parent, child, count)


def clear_table(ledger: Any, sequence: Any) -> None:
    """Remove every entry of the sequence's table."""
    ledger.repeat("clear_table", sequence.length, lambda _: drop_last(ledger, sequence), sequence)
    ledger.lose_kv(sequence)


def clear_tables(ledger: Any, request: Any) -> None:
    """Remove every entry of every table of the request, and forget what its sequences have
    computed.
    """
    ledger.repeat(
        "clear_tables",
        request.width,
        lambda k: forget_computed(ledger, request.members[k]),
        request,
    )


def forget_computed(ledger: Any, sequence: Any) -> None:
    """Clear one table; nothing is computed any more, what is known and promised stays."""
    clear_table(ledger, sequence)
    sequence.reach_tokens = 0
    sequence.slot_tokens = 0
    sequence.last_tokens = 0
    sequence.previous_tokens = 0
    sequence.late_drafts = larger(sequence.late_drafts, sequence.drafts)
    sequence.drafts = 0


def move_blocks(ledger: Any, request: Any, tier: Any) -> None:
    """Let every distinct block of the request live in the other tier, so that sharing is kept."""
    blocks = ledger.blocks(request)
    ledger.repeat(
        "move_blocks", request.blocks, lambda k: move_block(ledger, blocks[k], tier), request, tier
    )


def replace_entry(ledger: Any, sequence: Any, index: Any) -> None:
    """Copy the block of one entry to a free GPU block, once."""
    ledger.repeat(
        "replace_entry", 1, lambda _: copy_entry(ledger, sequence, index), sequence, index
    )
