"""Converts a journal of lineclear to an event log.

Guarantees: the log says what the proved table did, since `translator.py` derives every event from the ledger that the
journal leads to; nothing is omitted. Its header states the limits that the journal records.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable
from typing import Any

from lineclear.conform.events import Event
from lineclear.conform.header import Header, PoolSize
from lineclear.conform.schema import is_list
from lineclear.conform.translator import Translator
from lineclear.journal.file import JournalError, Replay, do, limits_of, parsed
from lineclear_spec.kernel.ledger import Ledger
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


def journal_events(
    lines: Iterable[str], drafts: int = 0, *, checks: bool = True
) -> tuple[Header, Generator[Event, None, bool]]:
    """A journal as an event log; its events return whether the journal has its last line.

    Args:
        lines: of the journal.
        drafts: the most drafts in one row, from `most_drafts`.
        checks: whether to emit a check event after each step.

    Raises:
        JournalError: it is not a journal, or it does not lead to the state that it records.
    """
    rows = parsed(lines)
    number, first = next(rows, (0, None))
    limits = limits_of(number, first)

    def events() -> Generator[Event, None, bool]:
        result = Replay(Ledger(limits))
        out: list[Event] = []
        translate = Translator(result.ledger, out.append, checks=checks)
        records: dict[str, object] = {}
        for number, row in rows:
            try:
                name, arguments = do(result, row, records)
                if name:
                    translate(name, arguments)
            except JournalError as error:
                raise JournalError(f"line {number}: {error}") from None
            yield from out
            out.clear()
        translate.flush()
        yield from out
        return result.complete

    return header_of(limits, drafts), events()
