# pyright: basic
"""Records of blocks that may stand for new blocks, and what leads to records.

On formulas a new block is a new object (`Bulk.new_blocks`). A record that was another block before behaves like one
if no table, set or name leads to it.
"""

from __future__ import annotations

from typing import Any

from lineclear_spec.ledger import Ledger
from lineclear_spec.records import Block

__all__ = ["assert_apart", "spare"]


def spare(ledger: Ledger) -> list[Block]:
    """Records that may stand for new blocks."""
    return [*ledger.spare, *[block for held in ledger.spare_sets for block in held]]


def led_to(ledger: Ledger, requests: list[Any]) -> set[Block]:
    """Records that a table, a set of a request or a name leads to."""
    found = {block for request in requests for block in request.held}
    found |= {b for request in requests for sequence in request.members for b in sequence.table}
    return found | {*ledger.cached.values()} | {*ledger.resting}


def assert_apart(ledger: Ledger, requests: list[Any]) -> None:
    """No record is spare twice, and nothing leads to one that is."""
    records = spare(ledger)
    assert len(set(records)) == len(records)
    assert not led_to(ledger, requests).intersection(records)
