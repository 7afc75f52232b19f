"""Steps that move blocks, each written once and run on plain data and on formulas.

Guarantees: after every step each pool lists its free blocks once, a block id is free or backs exactly
one block, and the ref of a block that is not freed is the number of table entries that refer to it. A
step moves all of its blocks by bulk operators (`kernel/operators.py`), so that it has no loop. Each step with a
contract of the same name in `contracts/` is proved against it, and an action that runs the step is proved from the
contract; `seal_entry`, `seal_entries`, `free_resting` and `clear_each` have none: each is proved with its action.

*Fences.* A block that is freed is fenced with `ledger.issued`, the last number decided. That covers every operation
that may touch it: those decided so far have numbers up to it, and later ones take their block ids from tables, none of
which has this one any more. Only the step being built has sequences and no number yet. An action that frees blocks
refuses a request with a sequence in that step (`unscheduled`; `prune` refuses such a sequence; a swapped request never
has one), or takes its sequence out of every step to come (`finish_each`). A block that another sequence in that step
reads has a ref, so it is not freed.

The functions are methods of `kernel.methods.Kernel`: their first parameter is the ledger, plain or symbolic.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lineclear_spec.kernel.records import CPU, GPU
from lineclear_spec.logic import and_, choose, if_else, larger

if TYPE_CHECKING:
    from lineclear_spec.kernel.protocol import Ledger
    from lineclear_spec.kernel.record_protocols import Bucket, Number, Records, Request, Sequence

__all__ = [
    "allocate_gpu", "clear_each", "clear_table", "clear_tables", "end_in_batch", "forget_computed",
    "free_resting", "give_each", "give_each_one", "let_go", "move_blocks", "replace_entry", "seal_entries",
    "seal_entry", "share_cached", "share_table", "take_blocks",
]  # fmt: skip


def allocate_gpu(ledger: Ledger, num_blocks: Number) -> Records:
    """Take `num_blocks` free blocks of the GPU pool; the next forward waits for every operation that may touch them."""
    # Who writes the block ids first is a forward, a block copy or a swap-in: each waits for `barrier`.
    block_ids = ledger.gpu.take(num_blocks)
    ledger.barrier = ledger.gpu.latest(block_ids, ledger.barrier)
    return block_ids


def take_blocks(ledger: Ledger, sequence: Sequence, num_blocks: Number) -> None:
    """Append `num_blocks` new GPU blocks to the sequence's table."""
    block_ids = allocate_gpu(ledger, num_blocks)
    blocks = ledger.new_blocks(ledger.always(sequence), block_ids)
    ledger.hold(sequence.request, blocks, block_ids)
    sequence.table.extend(blocks)
    ledger.grew(ledger.always(sequence), block_ids)


def give_each_one(ledger: Ledger, due: Bucket) -> None:
    """Append one new GPU block to the table of each sequence of `due`, if there is one."""
    ledger.branch(due.count >= 1, lambda: give_each(ledger, due))


def give_each(ledger: Ledger, due: Bucket) -> None:
    """Append one new GPU block to the table of each sequence of `due`, which are one or more."""
    block_ids = allocate_gpu(ledger, due.count)
    ledger.append_new_each(due, block_ids)
    ledger.grew(due, block_ids)


def share_table(ledger: Ledger, parent: Sequence, child: Sequence, num_blocks: Number) -> None:
    """Let the child's empty table refer to the first `num_blocks` blocks of the parent's.

    Args:
        ledger: plain or symbolic.
        parent: a sequence of the same request.
        child: the sequence whose table is empty.
        num_blocks: blocks, at most the entries of the parent's table.
    """
    tier = if_else(ledger.on_gpu(parent.request), GPU, CPU)
    shared = parent.table[:num_blocks]
    ledger.count_up(child, shared)
    child.table.extend(shared)
    ledger.grew(ledger.always(child), ledger.block_ids(tier, shared))


def share_cached(ledger: Ledger, sequence: Sequence, tokens: Number) -> None:
    """Let the sequence's empty table refer to the blocks that are found under the names of its first `tokens` tokens.

    Args:
        sequence: its table is empty.
        tokens: a multiple of the block size; a block can be found under each of their names.
    """
    blocks = ledger.found(sequence, ledger.need(tokens))
    # A block that rests is no free block, so an open swap that touches it is numbered up to `barrier` already
    # (`fence.held_gpu`): to wake it raises no wait.
    ledger.wake(blocks)
    ledger.count_up(sequence, blocks)
    sequence.table.extend(blocks)


def seal_entry(ledger: Ledger, sequence: Sequence, index: Number, name: Number) -> None:
    """Give the private block of an entry a name: it belongs to its request no more.

    Args:
        ledger: plain or symbolic.
        sequence: whose table.
        index: of the entry, the only one that refers to the block.
        name: at least 1; no block can be found under it yet.
    """
    ledger.seal(sequence, index, name)
    ledger.remove_all(sequence.request, sequence.table[index : index + 1])


def seal_entries(ledger: Ledger, sequence: Sequence, first: Number, end: Number) -> None:
    """Give the private blocks from one entry to before another, which no other entry refers to, their names, where no
    block can be found under them: they belong to their request no more.

    Args:
        ledger: plain or symbolic.
        sequence: whose table.
        first: index of the first entry.
        end: index behind the last one.
    """
    unnamed = ledger.unnamed(sequence, first, end)
    ledger.drop_each(unnamed)
    ledger.seal_each(unnamed)


def free_resting(ledger: Ledger, name: Number) -> None:
    """Free the block that is found under the name and that no entry refers to; its block id keeps its fence."""
    # While a block rests no table leads to it, so no later operation touches it than the fence says.
    block_ids = ledger.block_ids(GPU, ledger.alone(ledger.listing(name)))
    ledger.forget_name(name)
    ledger.gpu.put(block_ids, ledger.gpu.latest(block_ids, 0))


def clear_table(ledger: Ledger, sequence: Sequence) -> None:
    """Remove every entry of the sequence's table; a block that no entry refers to any more is freed, or
    rests if it can be found.
    """
    request = sequence.request
    tier = if_else(ledger.on_gpu(request), GPU, CPU)
    entries = ledger.backwards(sequence.table)
    ledger.count_down(sequence, entries)
    sequence.table.clear()
    gone = ledger.select(lambda block: and_(block.ref == 0, block.name == 0), entries)
    ledger.remove_all(request, gone)
    ledger.pools[tier].put(ledger.block_ids(tier, gone), ledger.issued)  # see *Fences* above
    let_go(ledger, ledger.select(lambda block: and_(block.ref == 0, block.name >= 1), entries))


def let_go(ledger: Ledger, gone: Records) -> None:
    """Sealed blocks that no entry refers to any more rest if they can be found, and else are freed."""
    resting = ledger.found_among(gone)
    lost = ledger.lost_among(gone)
    # A block that rests is fenced like a block that is freed, since `free_resting` keeps the fence that it has.
    ledger.gpu.fence(ledger.block_ids(GPU, resting), ledger.issued)
    ledger.gpu.put(ledger.block_ids(GPU, lost), ledger.issued)
    ledger.rest(resting)


def clear_tables(ledger: Ledger, request: Request) -> None:
    """Free every private block of the request, clear its tables, and forget what its sequences have
    computed. A sealed block that no entry refers to any more is freed, or rests if it can be found.
    """
    tier = if_else(ledger.on_gpu(request), GPU, CPU)
    ledger.pools[tier].put(ledger.held_at(tier, request), ledger.issued)  # see *Fences* above
    ledger.empty(request)
    let_go(ledger, ledger.drop_sealed(request))
    ledger.each(request.members, lambda sequence: forget_computed(ledger, sequence))


def clear_each(ledger: Ledger, sequences: Records) -> None:
    """Clear the tables of the sequences, each the only one of its request, which end with all their tokens. Full
    blocks that have a name under which none can be found get it. The blocks are then treated as in
    `clear_tables`. The decode batch and the calendars do not list the sequences any more.
    """
    ledger.free_tables(sequences)  # fenced with `issued`: see *Fences* above
    ledger.each(sequences, lambda sequence: end_in_batch(ledger, sequence))


def end_in_batch(ledger: Ledger, sequence: Sequence) -> None:
    """The sequence in the decode batch, which has all its tokens, is over."""
    sequence.table.clear()
    sequence.own_tokens = sequence.request.limit
    sequence.last_step = ledger.steps
    sequence.in_decode_batch = False
    sequence.alive = False


def forget_computed(ledger: Ledger, sequence: Sequence) -> None:
    """Empty the table: nothing is computed any more; tokens and scheduled samples stay."""
    sequence.table.clear()
    sequence.own_dispatched = 0
    sequence.own_slots = 0
    sequence.last_tokens = 0
    sequence.previous_tokens = 0
    # The sample that verifies these drafts is still to come and may accept them all, although their KV is gone.
    sequence.late_drafts = larger(sequence.late_drafts, sequence.drafts)
    sequence.drafts = 0


def move_blocks(ledger: Ledger, request: Request, tier: Number) -> None:
    """Let every private block of the request live in this tier, so that sharing is kept; sealed blocks stay.

    The copy is the operation decided last: the caller has called `decide`.
    """
    source = if_else(tier == GPU, CPU, GPU)
    blocks = ledger.listed(request.held)
    sources = ledger.block_ids(source, blocks)
    # GPU targets raise `barrier`. CPU targets need not: a swap-out waits for every operation before it.
    targets = choose(
        tier == GPU,
        lambda: allocate_gpu(ledger, request.blocks),
        lambda: ledger.cpu.take(request.blocks),
    )
    ledger.record_copies(source, sources, tier, targets)
    # `issued` is this copy, so the sources stay fenced until it has read them.
    ledger.pools[source].put(sources, ledger.issued)
    ledger.relocate(blocks, tier, targets)


def replace_entry(ledger: Ledger, sequence: Sequence, index: Number) -> None:
    """Let one entry, whose block other entries refer to, refer to a copy of it in a new GPU block instead.

    The copy is the operation decided last: the caller has called `decide`.
    """
    block_ids = allocate_gpu(ledger, 1)
    blocks = ledger.new_blocks(ledger.always(sequence), block_ids)
    old = sequence.table[index : index + 1]
    ledger.hold(sequence.request, blocks, block_ids)
    ledger.count_down(sequence, old)
    sequence.table[index : index + 1] = blocks
    # The old block keeps a ref of at least 1, so its block id is not free and cannot be taken before the copy has
    # read it.
    ledger.record_copies(GPU, ledger.block_ids(GPU, old), GPU, block_ids)
