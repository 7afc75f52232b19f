"""The primitives of the kernel: what an action does to requests, sequences and operations, written once.

Guarantees: an action changes the state by these functions, by block steps (`kernel/blocks.py`), by writing fields,
and by five operators that it calls itself (`inherit`, `send`, `send_whole`, `forget_name`, `unlist_each`), ghosts
aside. Each primitive demands what its operators presume: a violated demand raises `Broken` on plain data, and is an
obligation on formulas, which is proved of every action.

The functions are methods of `kernel.methods.Kernel`: their first parameter is the ledger, plain or symbolic. The
methods in the row `ghost` of `kernel/operators.py` do nothing on plain data. `record_copies` is no
ghost: a device executes what it records.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lineclear_spec.kernel.lifecycle import target_of
from lineclear_spec.logic import and_, if_else, not_

if TYPE_CHECKING:
    from lineclear_spec.kernel.protocol import Ledger
    from lineclear_spec.kernel.record_protocols import Number, Records, Request, Sequence

__all__ = [
    "add_member", "advance", "change_phase", "close", "close_step", "decide", "end", "forget_copy",
    "forget_samples", "join", "leave", "move", "move_each", "order", "remove_member", "remove_members",
    "send_tables", "void_samples",
]  # fmt: skip


# ---- requests and sequences ------------------------------------------------------------------------


def move(ledger: Ledger, request: Request, event: str) -> None:
    """Take the lifecycle's transition, and change queues with it."""
    ledger.enqueue(request, target_of(event))
    request.phase = target_of(event)
    ledger.note_move(request, event)


def move_each(ledger: Ledger, requests: Records, event: str) -> None:
    """Take the lifecycle's transition with each of the requests, which have no sequence any more."""
    ledger.enqueue_each(requests, target_of(event))
    ledger.each(requests, lambda request: change_phase(ledger, request, event))


def change_phase(ledger: Ledger, request: Request, event: str) -> None:
    """The request, which has changed its queue, has no sequence any more and is in the phase that goes with it."""
    request.members.clear()
    request.phase = target_of(event)
    ledger.note_move(request, event)


def add_member(ledger: Ledger, request: Request) -> Any:
    """A new sequence, which belongs to the request and holds nothing."""
    sequence = ledger.new_sequence(request)
    request.members.append(sequence)
    sequence.alive = True
    return sequence


def remove_member(ledger: Ledger, sequence: Sequence) -> None:
    """The sequence leaves its request; the others keep their order."""
    ledger.demand(sequence.alive, "the sequence is alive")
    sequence.request.members.remove(sequence)
    end(ledger, sequence)


def remove_members(ledger: Ledger, request: Request) -> None:
    """The request has no sequence any more."""
    ledger.each(request.members, lambda sequence: end(ledger, sequence))
    request.members.clear()


def end(_ledger: Ledger, sequence: Sequence) -> None:
    """The sequence is no longer alive."""
    sequence.alive = False


def void_samples(ledger: Ledger, request: Request) -> None:
    """What steps issued so far sample for the request is void: it will be dropped."""
    ledger.note_voided(request)
    ledger.each(request.members, lambda sequence: forget_samples(ledger, sequence))


def forget_samples(ledger: Ledger, sequence: Sequence) -> None:
    """What steps issued so far sample for the sequence is void."""
    sequence.void = ledger.steps
    sequence.own_samples = 0
    sequence.drafts = 0
    sequence.last_samples = 0
    sequence.previous_samples = 0
    sequence.late_drafts = 0


# ---- tables ------------------------------------------------------------------------------------------


def send_tables(ledger: Ledger, request: Request) -> None:
    """The plan of the next step names the whole table of each of the request's sequences."""
    ledger.each(request.members, lambda sequence: ledger.send_whole(sequence))


# ---- sequences in the decode batch --------------------------------------------------------------------------------


def join(ledger: Ledger, sequence: Sequence, offset: Number) -> None:
    """The sequence joins the decode batch; its counters become offset plus clock.

    Calendars list it under the step in which its table is full, and the one in which it has every
    position that it may ever need.
    """
    ledger.demand(not_(sequence.in_decode_batch), "the sequence is not in the decode batch")
    sequence.offset = offset
    sequence.in_decode_batch = True
    ledger.decode_batch.add(sequence)
    ledger.boundaries.mark(ledger.cap(sequence.length) - offset, sequence)
    ledger.endings.mark(sequence.request.limit - 1 - offset, sequence)


def leave(ledger: Ledger, sequence: Sequence) -> None:
    """The sequence has left the decode batch; the caller has written its counters down."""
    ledger.demand(sequence.in_decode_batch, "the sequence is in the decode batch")
    offset = sequence.offset
    ledger.boundaries.unmark(ledger.cap(sequence.length) - offset, sequence)
    ledger.endings.unmark(sequence.request.limit - 1 - offset, sequence)
    sequence.in_decode_batch = False
    ledger.decode_batch.remove(sequence)


def advance(ledger: Ledger, number: Number) -> None:
    """The clock of issued steps moves, and with it every sequence in the decode batch by one token.

    A sequence that was due has been given its block, so its table is full again a block size of steps later.
    """
    ledger.note_step(number)
    ledger.boundaries.postpone(ledger.steps, ledger.limits.block_size)
    ledger.steps = ledger.steps + 1
    ledger.step_operations[ledger.steps] = number


# ---- operations ------------------------------------------------------------------------------------


def decide(ledger: Ledger, kind: str, request: Request | None) -> Number:
    """Give a new operation its number; it is open until it is closed, and is part of the next plan."""
    ledger.issued = ledger.issued + 1
    ledger.new_operation(kind, request)
    return ledger.issued


def order(ledger: Ledger, number: Number, wait: Number) -> None:
    """The operation starts after every operation up to `wait` is complete."""
    ledger.demand(and_(wait >= 0, wait < number), "it waits for the past")
    operation = ledger.operations[number]
    operation.wait = wait


def close(ledger: Ledger, number: Number) -> None:
    """The operation is complete; if it is a forward, it is that of the oldest step in flight."""
    operation = ledger.operations.pop(number)
    ledger.branch(operation.is_forward, lambda: close_step(ledger, number))


def close_step(ledger: Ledger, number: Number) -> None:
    """The forward of the oldest step in flight, which is this operation, is complete."""
    oldest = ledger.step_operations.pop(ledger.committed + 1)
    ledger.demand(oldest == number, "a forward is that of the oldest step in flight")


def forget_copy(ledger: Ledger, number: Number) -> None:
    """The request that a copy moved waits for it no longer, if it did."""
    operation = ledger.operations[number]
    ledger.demand(not_(operation.is_forward), "the operation is a copy")
    ledger.note_good(number)
    request = operation.request
    request.open_swap = if_else(request.open_swap == number, 0, request.open_swap)
