# pyright: basic
"""Records of blocks that may stand for new blocks, and what leads to records.

On formulas a new block is a new object (`Bulk.new_blocks`). A record that was another block before behaves like one
if no table, set or name leads to it.
"""

from __future__ import annotations

from typing import Any

from lineclear_spec.kernel.ledger import Ledger
from lineclear_spec.kernel.records import GPU, Block


def led_to(ledger: Ledger, requests: list[Any]) -> set[Block]:
    """Records that a table, a set of a request or a name leads to."""
    found = {block for request in requests for block in request.held}
    found |= {b for request in requests for sequence in request.members for b in sequence.table}
    return found | {*ledger.cached.values()} | {*ledger.resting}


def assert_apart(ledger: Ledger, requests: list[Any]) -> None:
    """Each GPU place has a record of its own, and what leads to one leads to the block at its place."""
    records = ledger.records
    assert len(set(records)) == len(records)
    free = {records[place] for place in ledger.gpu.order[: ledger.gpu.free]}
    found = led_to(ledger, requests)
    assert not found & free
    for block in found.intersection(records):
        assert records[block.block_id] is block
        assert block.tier == GPU
