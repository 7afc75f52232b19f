"""The header of a journal's event log.

Guarantees: it states the limits that the journal records, and the drafts that its rows have.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from lineclear.conform.header import Header, PoolSize
from lineclear.conform.schema import is_list
from lineclear.journal.file import parsed
from lineclear_spec.kernel.records import Limits


def header_of(limits: Limits, drafts: int = 0) -> Header:
    """The header for a scheduler with these limits."""
    return Header(
        blocks=limits.gpu_blocks,
        block_size=limits.block_size,
        engine="lineclear",
        pools={"cpu": PoolSize(limits.cpu_blocks)} if limits.cpu_blocks else {},
        max_seqs=limits.max_num_seqs,
        max_tokens=limits.max_num_batched_tokens,
        max_steps_in_flight=limits.max_steps_in_flight,
        drafts=drafts,
        stream_ordered=True,
        waits=True,
    )


def most_drafts(lines: Iterable[str]) -> int:
    """The most drafts that a journal schedules for one sequence in one step."""
    most = 0
    for _, line in parsed(lines):
        row: Any = line
        if is_list(row) and row[:1] == ["schedule_tokens"] and len(row) == 4:
            most = max(most, row[3] if type(row[3]) is int else 0)
    return most
