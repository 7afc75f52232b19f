# pyright: basic
"""Steps that move blocks, each written once and run on plain data and on formulas.

Guarantees: after every step each pool lists its free places once, a place is free or backs exactly
one block, and a block's ref is the number of table entries that name it. A step moves all of its
blocks by bulk operators (`operators.py`), so that it has no loop. Each step with a contract of the
same name in `contracts/` is proved against it; an action that runs the step is proved from the
contract alone.

The functions are methods of `kernel.Kernel`: their first parameter is the ledger, plain or symbolic.
"""

from __future__ import annotations

from typing import Any

from lineclear_spec.logic import both, choose, either, larger
from lineclear_spec.records import CPU, GPU

__all__ = [
    "clear_table",
    "clear_tables",
    "forget_computed",
    "free_resting",
    "give_each",
    "give_each_one",
    "grant_gpu",
    "let_go",
    "move_blocks",
    "replace_entry",
    "seal_entry",
    "seal_newest",
    "share_cached",
    "share_table",
    "take_blocks",
]


def grant_gpu(ledger: Any, count: Any) -> Any:
    """Free GPU places; the next forward waits for every operation that may still touch them."""
    places = ledger.gpu.take(count)
    ledger.barrier = ledger.gpu.latest(places, ledger.barrier)
    return places


def take_blocks(ledger: Any, sequence: Any, count: Any) -> None:
    """Append `count` free GPU blocks to the sequence's table."""
    places = grant_gpu(ledger, count)
    blocks = ledger.new_blocks(ledger.always(sequence), places)
    sequence.request.held.update(ledger.ordered(blocks))
    sequence.table.extend(blocks)
    ledger.grew(ledger.always(sequence), places)


def give_each_one(ledger: Any, due: Any) -> None:
    """Append one free GPU block to the table of each sequence of `due`, if there is one."""
    ledger.branch(due.count >= 1, lambda: give_each(ledger, due))


def give_each(ledger: Any, due: Any) -> None:
    """The same; a step in which no sequence is due does not come here."""
    places = grant_gpu(ledger, due.count)
    blocks = ledger.new_blocks(due, places)
    ledger.hold_each(due, blocks)
    ledger.append_each(due, blocks)
    ledger.grew(due, places)


def share_table(ledger: Any, parent: Any, child: Any, count: Any) -> None:
    """Let the child's empty table name the first `count` blocks of the parent's."""
    tier = either(ledger.on_gpu(parent.request), GPU, CPU)
    shared = parent.table[:count]
    ledger.count_up(child, shared)
    child.table.extend(shared)
    ledger.grew(ledger.always(child), ledger.places(tier, shared))


def share_cached(ledger: Any, sequence: Any, tokens: Any) -> None:
    """Let the sequence's empty table name the blocks that are found under the names of its first tokens."""
    blocks = ledger.found(sequence, ledger.need(tokens))
    ledger.wake(blocks)
    ledger.count_up(sequence, blocks)
    sequence.table.extend(blocks)


def seal_entry(ledger: Any, sequence: Any, index: Any, name: Any) -> None:
    """Give the private block of an entry a name: it belongs to its request no more."""
    ledger.seal(sequence, index, name)
    ledger.remove_all(sequence.request.held, sequence.table[index : index + 1])


def seal_newest(ledger: Any, newest: Any) -> None:
    """Give each of these private blocks its name: it belongs to its request no more."""
    ledger.drop_each(newest)
    ledger.seal_each(newest)


def free_resting(ledger: Any, name: Any) -> None:
    """Give up the block that is found under the name and that no entry names; its place waits for no more
    than it did while the block rested.
    """
    places = ledger.places(GPU, ledger.alone(ledger.listing(name)))
    ledger.forget_name(name)
    ledger.gpu.put(places, ledger.gpu.latest(places, 0))


def clear_table(ledger: Any, sequence: Any) -> None:
    """Remove every entry of the sequence's table; a block that no entry names any more is given up, or
    rests if it can be found.
    """
    request = sequence.request
    tier = either(ledger.on_gpu(request), GPU, CPU)
    named = ledger.backwards(sequence.table)
    ledger.count_down(sequence, named)
    sequence.table.clear()
    gone = ledger.select(lambda block: both(block.ref == 0, block.name == 0), named)
    ledger.remove_all(request.held, gone)
    ledger.pools[tier].put(ledger.places(tier, gone), ledger.issued)
    let_go(ledger, ledger.select(lambda block: both(block.ref == 0, block.name >= 1), named))


def let_go(ledger: Any, gone: Any) -> None:
    """Sealed blocks that no entry names any more rest if they can be found, and else are given up."""
    resting = ledger.found_among(gone)
    lost = ledger.lost_among(gone)
    ledger.gpu.fence(ledger.places(GPU, resting), ledger.issued)
    ledger.gpu.put(ledger.places(GPU, lost), ledger.issued)
    ledger.rest(resting)


def clear_tables(ledger: Any, request: Any) -> None:
    """Give up every private block of the request, clear its tables, and forget what its sequences have
    computed. A sealed block that no entry names any more is given up, or rests if it can be found.
    """
    tier = either(ledger.on_gpu(request), GPU, CPU)
    blocks = ledger.backwards(request.held)
    ledger.pools[tier].put(ledger.places(tier, blocks), ledger.issued)
    request.held.clear()
    let_go(ledger, ledger.drop_sealed(request))
    ledger.each(request.members, lambda sequence: forget_computed(ledger, sequence))


def forget_computed(ledger: Any, sequence: Any) -> None:
    """The table is empty and nothing is computed any more; what is known and promised stays."""
    sequence.table.clear()
    sequence.reach_tokens = 0
    sequence.slot_tokens = 0
    sequence.last_tokens = 0
    sequence.previous_tokens = 0
    sequence.late_drafts = larger(sequence.late_drafts, sequence.drafts)
    sequence.drafts = 0


def move_blocks(ledger: Any, request: Any, tier: Any) -> None:
    """Let every distinct block of the request live in the other tier, so that sharing is kept."""
    source = either(tier == GPU, CPU, GPU)
    blocks = ledger.listed(request.held)
    sources = ledger.places(source, blocks)
    targets = choose(
        tier == GPU,
        lambda: grant_gpu(ledger, request.blocks),
        lambda: ledger.cpu.take(request.blocks),
    )
    ledger.note_copies(source, sources, tier, targets)
    ledger.pools[source].put(sources, ledger.issued)
    ledger.relocate(blocks, tier, targets)


def replace_entry(ledger: Any, sequence: Any, index: Any) -> None:
    """Let one entry, whose block others name too, name a copy of it on a free GPU block instead."""
    places = grant_gpu(ledger, 1)
    blocks = ledger.new_blocks(ledger.always(sequence), places)
    old = sequence.table[index : index + 1]
    sequence.request.held.update(ledger.ordered(blocks))
    ledger.count_down(sequence, old)
    sequence.table[index : index + 1] = blocks
    ledger.note_copies(GPU, ledger.places(GPU, old), GPU, places)
