"""Converts a journal of lineclear to an event log.

Guarantees: the log says what the proved table did, since `translator.py` derives every event from the ledger that the
journal leads to; nothing is omitted.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from lineclear.conform.events import Event
from lineclear.conform.header import Header
from lineclear.conform.journal_header import header_of
from lineclear.conform.translator import Translator
from lineclear.journal.file import JournalError, Replay, do, limits_of, parsed
from lineclear_spec.kernel.ledger import Ledger


def journal_events(
    lines: Iterable[str], drafts: int = 0, *, checks: bool = True
) -> tuple[Header, Iterator[Event]]:
    """A journal as an event log.

    Args:
        lines: of the journal.
        drafts: the most drafts in one row, from `journal_header.most_drafts`.
        checks: whether to emit a check event after each step.

    Raises:
        JournalError: it is not a journal, or it does not lead to the state that it records.
    """
    rows = parsed(lines)
    number, first = next(rows, (0, None))
    limits = limits_of(number, first)

    def events() -> Iterator[Event]:
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

    return header_of(limits, drafts), events()
