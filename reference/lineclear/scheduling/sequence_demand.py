"""The demand of a sequence outside the decode batch: tokens, slots and blocks of one step.

Invariant: the table refuses nothing to a demand that has its blocks and its tokens.
"""

from __future__ import annotations

from dataclasses import dataclass

from lineclear.config import Config
from lineclear.scheduling.live_request import LiveRequest
from lineclear_spec.kernel.ledger import Ledger
from lineclear_spec.kernel.progress import (
    decodes,
    drafts_of,
    wanted_blocks,
    wanted_slots,
    wanted_tokens,
)
from lineclear_spec.kernel.records import Block, Request, Sequence

#: Of the tokens that a sequence may still generate at most so many are counted: few requests use up a larger limit.
MOST_REMAINING = 4096


@dataclass(slots=True)
class SequenceDemand:
    """The demand of one sequence in the step.

    Attributes:
        sequence: which.
        entry: its request.
        tokens: positions that it could compute, drafts included.
        drafts: how many of them are drafts.
        slots: positions that its table must have room for.
        blocks: free blocks that this takes.
        copy: whether its next block is shared and has to be copied first.
        shared: positions of the prompt that it takes part in again, after a recompute.
        decode: whether only a token that it generated is not computed.
    """

    sequence: Sequence
    entry: LiveRequest
    tokens: int
    drafts: int
    slots: int
    blocks: int
    copy: bool
    shared: int
    decode: bool


def demand_of(
    ledger: Ledger, config: Config, sequence: Sequence, entry: LiveRequest, *, drafts: bool = True
) -> SequenceDemand | None:
    """The demand of the sequence in this step, or None.

    Args:
        ledger: where it is.
        config: settings.
        sequence: which.
        entry: its request.
        drafts: whether it may compute drafts, as one that was just admitted may not: all that it knows
            but its newest token may have been found, and its blocks and tokens were counted without drafts.
    """
    record, size = entry.record, config.block_size
    alone = entry.n == 1
    lookahead = config.num_lookahead_slots if alone else 0
    samples = sequence.own_samples
    if samples and (lookahead or not alone):
        return None  # where it goes on, or as how many, is not known before the commit
    lookahead = lookahead if drafts else 0
    dispatched = sequence.own_dispatched
    exist = sequence.own_tokens + samples
    last = record.limit - 1  # the newest token of a complete sequence needs no position
    shared = 0
    leader = record.members[0]
    if sequence.own_slots == 0 and sequence is not leader:
        shared = record.prompt // size * size
        if ledger.num_computed_tokens(leader) < shared:
            return None  # its leader computes the prompt first
        dispatched = shared
    if dispatched >= exist or dispatched >= last:
        return None
    # An only sequence shares no block that it writes: what others may share of it is sealed, and lies before.
    copy = not alone and not shared and not ledger.writable(sequence)
    return sized(ledger, sequence, entry, exist, last, dispatched, lookahead, shared, size, copy)


def sized(
    ledger: Ledger,
    sequence: Sequence,
    entry: LiveRequest,
    exist: int,
    last: int,
    reach: int,
    lookahead: int,
    shared: int,
    size: int,
    copy: bool,
) -> SequenceDemand:
    """The demand of a sequence with a token to compute; all of the arithmetic, which runs on formulas too.

    Args:
        ledger: where it is.
        sequence: which.
        entry: its request.
        exist: tokens that it knows, and those that steps in flight sample for it.
        last: positions that it needs room for when it is complete.
        reach: positions computed or being computed.
        lookahead: drafts that it may compute.
        shared: positions of the prompt that it takes part in again.
        size: of a block.
        copy: whether its next block has to be copied first.
    """
    decode = decodes(exist, reach, entry.record.prompt)
    drafts = drafts_of(lookahead, exist, last, decode)
    tokens = wanted_tokens(exist, last, reach, drafts)
    slots = wanted_slots(sequence.own_slots, reach, tokens)
    blocks = wanted_blocks(ledger.need(slots), sequence.length, shared // size) + copy
    return SequenceDemand(sequence, entry, tokens, drafts, slots, blocks, copy, shared, decode)


def remaining_tokens(ledger: Ledger, record: Request) -> int:
    """Tokens that the request's sequences may still generate, as far as they count."""
    return sum([min(record.limit - ledger.num_tokens(s), MOST_REMAINING) for s in record.members])


def spare_last_holders(ledger: Ledger, demands: list[SequenceDemand]) -> None:
    """Lets the last holder of a shared block write in place, if all others are about to copy it."""
    writers: dict[Block, list[SequenceDemand]] = {}
    for demand in demands:
        if demand.copy:
            block = demand.sequence.table[ledger.block_of(demand.sequence.own_dispatched)]
            writers.setdefault(block, []).append(demand)
    for block, found in writers.items():
        if len(found) == block.ref:
            found[-1].copy = False
            found[-1].blocks -= 1
