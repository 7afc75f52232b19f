"""The dictionary of the state: every field that invariants, contracts and postconditions read, and what it means.

`v.length(q)` in an invariant is the field `length` of the sequence q in the state v. Each row has the sorts of
the field's arguments, the sort of its value, and its meaning; where plain data has the field under another name or
in another form, the row says which. *Ghosts* are inverse maps and histories that only proofs need: plain data has
none of them, and no guard reads one. A record that was never made has arbitrary values.

Not here: `total`, `max_num_seqs` and the other constants (`symbolic/state.py`); `num_dispatched_tokens`,
`num_computed_tokens`, `num_tokens`, `scheduled_samples`, `pending_samples`, `num_allocated_slots` and the other
questions (`symbolic/view.py`); what the proofs of KV remember (`symbolic/kv_fields.py`).
"""

from __future__ import annotations

from typing import Any

from lineclear_spec.symbolic.kv_fields import KV_FIELDS
from lineclear_spec.symbolic.sorts import Block, Bool, Int, Request, Sequence

Fields = dict[str, tuple[tuple[Any, ...], Any]]

#: Of each pool; in clauses the tier comes first: `v.last_use(GPU, p)`. A block id is the number of a block of memory.
POOL: Fields = {
    "free": ((), Int),  # number of free blocks, fenced ones among them
    "order": ((Int,), Int),  # index -> block id, free ones first; the last free one is taken next
    # block id -> the last operation that might touch it when it was freed, or when the block there began to
    # rest: who takes the block id waits for that operation
    "last_use": ((Int,), Int),
}
POOL_GHOSTS: Fields = {
    "position": ((Int,), Int),  # block id -> its index in `order`
    "owner": ((Int,), Block),  # block id -> the block that lies there, if the block id is not free
    "touch": ((Int, Int), Bool),  # operation, block id -> whether it reads or writes the block id
}
#: Of an operation, by the tier that it copies to: plain data has the pairs `Operation.blocks`.
COPIES: Fields = {
    "source": ((Int, Int), Int),  # operation, target block id -> source block id
}

BLOCK: Fields = {
    "ref": ((Block,), Int),  # number of table entries that refer to the block
    "tier": ((Block,), Int),  # GPU or CPU
    "block_id": ((Block,), Int),  # its index in the pool of its tier
    "name": ((Block,), Int),  # the name of its tokens and all before them; 0 while it is private
    "readers": ((Block,), Int),  # number of readers outside the table that hold it
    "group": ((Block,), Request),  # the request that it belongs to while private: `Block.request`
    "listed": ((Block,), Bool),  # whether it can be found under its name: `Ledger.cached`
    "cached": ((Int,), Block),  # name -> the block that can be found under it, if one is listed
}
BLOCK_GHOSTS: Fields = {
    "held_index": ((Block,), Int),  # its index in `held` of its request, while it is private
    "holder": ((Block, Int), Sequence),  # the k-th sequence whose table names it, for k < ref
    "holder_index": ((Sequence, Block), Int),  # the k for which it is the block's k-th holder
    "index": ((Sequence, Block), Int),  # the block's index in the sequence's table
}

SEQUENCE: Fields = {
    "request": ((Sequence,), Request),  # the request that it is a branch of
    "alive": ((Sequence,), Bool),  # whether its request lists it among its members
    # whether it decodes one token in each step, by `offset`
    "in_decode_batch": ((Sequence,), Bool),
    "table": ((Sequence, Int), Block),  # the block table, by index below `length`
    "length": ((Sequence,), Int),  # entries of the table: `len(Sequence.table)`
    # the name that the k-th block of its tokens is ever given
    "block_name": ((Sequence, Int), Int),
    # while in the decode batch: `num_tokens` is offset + committed + 1
    "offset": ((Sequence,), Int),
    # Counters that mean something while it is not in the decode batch; tokens, or positions.
    "own_tokens": ((Sequence,), Int),  # prompt and generated tokens
    "own_dispatched": ((Sequence,), Int),  # positions computed, or being computed by a step
    "own_slots": ((Sequence,), Int),  # positions for which blocks were allocated
    "own_samples": ((Sequence,), Int),  # samples that scheduled steps still have to bring
    "last_step": ((Sequence,), Int),  # the last step that scheduled it
    "last_tokens": ((Sequence,), Int),  # tokens in that step
    "previous_tokens": ((Sequence,), Int),  # tokens in the step before that one
    "last_samples": ((Sequence,), Int),  # 1 if the last step samples for it, or else 0
    "previous_samples": ((Sequence,), Int),  # 1 if the step before that one does, or else 0
    "drafts": ((Sequence,), Int),  # unverified drafts among the positions of the last step
    "late_drafts": ((Sequence,), Int),  # drafts that a recompute dropped before their sample came
    "void": ((Sequence,), Int),  # samples of steps up to this one are not taken
    # The calendars: the step under which `Ledger.boundaries` or `Ledger.endings` lists it, or NEVER.
    "boundary": ((Sequence,), Int),  # the step in which its table is full
    "ending": ((Sequence,), Int),  # the step in which it reaches its limit
}
SEQUENCE_GHOSTS: Fields = {
    "member_index": ((Sequence,), Int),  # its index among the members of its request
    "decode_batch_index": ((Sequence,), Int),  # its index in the batch, while in the decode batch
}

#: What plans have sent of tables, and what the plan of the next step sends. Plain data has what waits in
#: `Ledger.grown` and `Ledger.whole`; the tables that a reader of all plans has are kept by the reader alone.
SENT: Fields = {
    "whole": ((Sequence,), Bool),  # whether that plan names the whole table
}
SENT_GHOSTS: Fields = {
    "heard": ((Sequence,), Bool),  # whether who reads plans has a table of the sequence
    "sent_length": ((Sequence,), Int),  # entries of it
    "queued_length": ((Sequence,), Int),  # entries of it once what waits is appended
    "sent_block_id": ((Sequence, Int), Int),  # the block id of each entry
}

REQUEST: Fields = {
    "phase": ((Request,), Int),  # NEW, WAITING, RUNNING, SWAPPED or FINISHED
    "queue": ((Request,), Int),  # the phase of the queue that lists it: `Ledger.queues`
    "member": ((Request, Int), Sequence),  # its sequences, by index below `width`
    "width": ((Request,), Int),  # number of its sequences
    "held": ((Request, Int), Block),  # its private blocks, by index below `blocks`, in any order
    "blocks": ((Request,), Int),  # number of its private blocks, each counted once
    "prompt": ((Request,), Int),  # tokens of the prompt
    "limit": ((Request,), Int),  # tokens that a sequence may know, prompt included
    "parallel": ((Request,), Int),  # sequences that it may have at once
    "open_swap": ((Request,), Int),  # number of the swap that it waits for, 0 if it waits for none
    "last_swap": ((Request,), Int),  # number of its last swap, complete or not; 0 before the first
    # the name that the k-th full block of the prompt is given
    "prompt_names": ((Request, Int), Int),
}
REQUEST_GHOSTS: Fields = {
    "born": ((Request,), Int),  # the last operation decided before it was last admitted
    "releases": ((Request,), Int),  # how often it ended
}

#: Of the ledger: no argument, or an index.
LEDGER: Fields = {
    "decode_batch_size": ((), Int),  # number of sequences in the decode batch
    # the sequences in the decode batch, by index below `decode_batch_size`
    "decode_batch": ((Int,), Sequence),
    "issued": ((), Int),  # number of the last operation decided; numbers begin with 1
    "done": ((), Int),  # every operation up to this number is complete
    "dispatched": ((), Int),  # every operation up to this number is in a plan
    "barrier": ((), Int),  # the next forward waits for every operation up to this number
    "steps": ((), Int),  # steps issued; the step being built has the next number
    "committed": ((), Int),  # steps committed, first in, first out
    "step_tokens": ((), Int),  # tokens in the step being built, the decode batch aside
    "step_sequences": ((), Int),  # sequences in it, the decode batch aside
}

#: Of an operation, by its number. Plain data forgets an operation that is complete; here it keeps its values.
OPERATION: Fields = {
    "open": ((Int,), Bool),  # whether it is decided and not complete: `Ledger.operations`
    "is_forward": ((Int,), Bool),  # whether it is the forward of a step
    "compute": ((Int,), Bool),  # whether it runs on the compute stream, in the order of numbers
    "outward": ((Int,), Bool),  # whether it is a swap-out, as its kind tells the device
    "wait": ((Int,), Int),  # it starts after every operation up to this number
    "request_of": ((Int,), Request),  # of a copy: the request whose blocks it copies
    "forward_of": ((Int,), Int),  # step -> its forward: `Ledger.step_operations`
}
OPERATION_GHOSTS: Fields = {
    "step_of": ((Int,), Int),  # of a forward: its step
    "tokens_of": ((Int,), Int),  # step -> its tokens
    "sequences_of": ((Int,), Int),  # step -> its sequences
}


def by_tier(fields: Fields) -> Fields:
    """The fields once for each pool: `free_gpu` and `free_cpu`."""
    return {f"{name}_{tier}": sorts for name, sorts in fields.items() for tier in ("gpu", "cpu")}


GHOSTS = frozenset(
    by_tier(POOL_GHOSTS)
    | BLOCK_GHOSTS
    | SEQUENCE_GHOSTS
    | SENT_GHOSTS
    | REQUEST_GHOSTS
    | OPERATION_GHOSTS
)
FIELDS: Fields = {
    **by_tier(POOL | POOL_GHOSTS | COPIES),
    **BLOCK,
    **BLOCK_GHOSTS,
    **SEQUENCE,
    **SEQUENCE_GHOSTS,
    **SENT,
    **SENT_GHOSTS,
    **REQUEST,
    **REQUEST_GHOSTS,
    **LEDGER,
    **OPERATION,
    **OPERATION_GHOSTS,
    **KV_FIELDS,
}
