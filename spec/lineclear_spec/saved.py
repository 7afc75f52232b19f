"""A plain ledger between two moves, saved and put back into the same records.

Guarantees: after `restore` every field of the ledger, its pools, its requests, their sequences and
their blocks is what it was, so that a search needs no copy of a ledger for each state. It holds
for a ledger in which no operation is open, no step in flight and no sequence steady.
"""

from __future__ import annotations

from operator import attrgetter
from typing import Any

from lineclear_spec.ledger import Ledger
from lineclear_spec.records import Block, Limits, Request, Sequence

__all__ = ["Saved", "forget_sent", "restore", "save"]

#: Scalars of a ledger; its other fields are queues, or empty between two moves.
COUNT_NAMES = tuple(
    name
    for name, value in vars(Ledger(Limits(block_size=1, gpu_blocks=1))).items()
    if type(value) is int
)
COUNTS = attrgetter(*COUNT_NAMES)


def fields(record: type, *apart: str) -> tuple[str, ...]:
    """Names of its fields but some."""
    names: tuple[str, ...] = vars(record)["__slots__"]
    return tuple([name for name in names if name not in apart])


OF_REQUEST, OF_SEQUENCE, OF_BLOCK = (
    fields(Request, "held", "members"),
    fields(Sequence, "table"),
    fields(Block),
)
REQUEST, SEQUENCE, BLOCK = (attrgetter(*names) for names in (OF_REQUEST, OF_SEQUENCE, OF_BLOCK))
#: Counts, queues, pools and requests.
Saved = tuple[tuple[int, ...], tuple[Any, ...], tuple[Any, ...], tuple[Any, ...]]


def save(ledger: Ledger, requests: list[Request | None]) -> Saved:
    """The whole state, to be restored into these records."""
    return (
        COUNTS(ledger),
        tuple([queue.copy() for queue in (ledger.waiting, ledger.running, ledger.swapped)]),
        tuple([(p.free, p.order[:], p.taken[:], p.until[:]) for p in (ledger.gpu, ledger.cpu)]),
        tuple([None if request is None else saved(request) for request in requests]),
    )


def restore(
    ledger: Ledger, requests: list[Request | None], state: Saved, only: int | None = None
) -> None:
    """Everything is as it was when it was saved.

    Args:
        ledger: whose state it is.
        requests: that were saved with it, and are put back.
        state: what was saved.
        only: index of the one request of which moves were tried since then; all if None.
    """
    counts, queues, pools, rows = state
    vars(ledger).update(zip(COUNT_NAMES, counts, strict=True))
    for queue, kept in zip((ledger.waiting, ledger.running, ledger.swapped), queues, strict=True):
        queue.clear()
        queue.update(kept)
    for pool, (free, order, taken, until) in zip((ledger.gpu, ledger.cpu), pools, strict=True):
        pool.free = free
        pool.order[:], pool.taken[:], pool.until[:] = order, taken, until
    # Empty between two moves; one that was refused on its way may have left something.
    ledger.operations.clear()
    ledger.step_operations.clear()
    forget_sent(ledger)
    ledger.spare_sets.clear()
    ledger.spare.clear()  # records that were given up since then may be in use again
    for k in range(len(rows)) if only is None else (only,):
        requests[k] = restored(rows[k])


def forget_sent(ledger: Ledger) -> None:
    """Nothing waits for a plan, and none has said anything."""
    ledger.grown, ledger.appended, ledger.named = [], [], []
    ledger.whole.clear()


def saved(request: Request) -> tuple[Any, ...]:
    """A request, its sequences and its blocks: the records, and what was in them."""
    return (
        request,
        REQUEST(request),
        [(s, SEQUENCE(s), s.table[:]) for s in request.members],
        [(b, BLOCK(b)) for b in request.held],
    )


def restored(row: tuple[Any, ...] | None) -> Request | None:
    """The request, as it was."""
    if row is None:
        return None
    request: Request = row[0]
    _, values, members, blocks = row
    put(request, OF_REQUEST, values)
    request.members[:] = [sequence for sequence, _, _ in members]
    for sequence, values, table in members:
        put(sequence, OF_SEQUENCE, values)
        sequence.table[:] = table
    for block, values in blocks:
        put(block, OF_BLOCK, values)
    request.held.clear()
    request.held.update({block: None for block, _ in blocks})
    return request


def put(record: Any, names: tuple[str, ...], values: tuple[Any, ...]) -> None:
    """Fields are what they were."""
    for name, value in zip(names, values, strict=True):
        setattr(record, name, value)
