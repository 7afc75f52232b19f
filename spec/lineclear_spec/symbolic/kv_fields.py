# pyright: basic, reportAttributeAccessIssue=false
"""What a device and its memory are on formulas: fields of the state that only `invariants/device.py` and
what builds on it read.

Guarantees: nothing by itself. No guard, effect or other invariant reads one of these fields.

A *version* of a block id is the number of the operation that wrote it, 0 before the first. *Decided* is what
the ledger has decided, *actual* what the device has carried out.
"""

from __future__ import annotations

from typing import Any

import z3

from lineclear_spec.symbolic.sorts import Bool, Int, Kv, Request, Sequence

#: Whether the copy with this number fails: what only the device finds out.
FAILS = z3.Function("fails", Int, Bool)
#: The slot in its block of a position, and the position of a slot of the k-th block.
SLOT = z3.Function("slot_of", Int, Int)
POSITION = z3.Function("position_of", Int, Int, Int)
#: The KV of a token of a prompt, and of a slot of a block with a name.
PROMPT_KV = z3.Function("prompt_kv", Request, Int, Kv)
NAME_KV = z3.Function("name_kv", Int, Int, Kv)

#: The forward that sampled the token which a sequence has at a position: what only the device and who hands its
#: tokens on know. A position is learned once (`kv/refinement.py`), so it is a function of the two.
SAMPLED_BY = z3.Function("sampled_by", Sequence, Int, Int)

#: field -> (argument sorts, result sort)
TIERED: dict[str, tuple[tuple[Any, ...], Any]] = {
    "writes": ((Int, Int), Bool),  # operation, block id: whether it writes the block id
    "version": ((Int,), Int),  # of the block id, decided
    "expected": ((Int, Int), Int),  # operation, block id: the version that it meets, decided
    "actual": ((Int,), Int),  # version of the block id on the device
    "content": ((Int, Int, Int), Kv),  # operation, block id, slot: what it holds after, decided
    # the copy whose success that relies on; 0 none, -1 never to trust
    "relies": ((Int, Int, Int), Int),
    "memory": ((Int, Int), Kv),  # block id, slot: what the device holds
}
KV_FIELDS: dict[str, tuple[tuple[Any, ...], Any]] = {
    f"{name}_{tier}": sorts for tier in ("gpu", "cpu") for name, sorts in TIERED.items()
}
KV_FIELDS |= {
    "ran": ((Int,), Bool),  # the device has carried out the operation
    "good": ((Int,), Bool),  # a copy that was complete while its request waited for it
    "token_kv": ((Sequence, Int), Kv),  # of a position, after exactly its own tokens
}
#: What the plan of a forward says of a sequence, written once, when the step is issued.
KV_FIELDS |= {
    "takes": ((Int, Sequence), Bool),  # the sequence takes part
    "row_first": ((Int, Sequence), Int),  # the first position that it computes
    "row_last": ((Int, Sequence), Int),  # the position after the last one
    "row_length": ((Int, Sequence), Int),  # entries of its table that plans have sent
    "row_block_id": ((Int, Sequence, Int), Int),  # the k-th of them: block id of its k-th block
    "row_kv": ((Int, Sequence, Int), Kv),  # of a position
    "row_relies": ((Int, Sequence), Int),  # the copy that its request waits for, 0 if none
    "right": ((Int, Sequence), Bool),  # all that the forward read of the sequence was right
}
#: What a forward writes: slots, for which sequence, and as which of its blocks.
KV_FIELDS |= {
    "slot_written": ((Int, Int, Int), Bool),
    "writer": ((Int, Int), Sequence),
    "written_as": ((Int, Int), Int),
}
