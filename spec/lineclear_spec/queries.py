# pyright: basic
"""What a guard may ask, written once.

Guarantees: each question has one text, for plain data, for formulas and for the views in which
invariants and promises are evaluated. What looks something up in a container or a calendar is an
operator and has two readings (`ledger.py`, `lookups.py`).

`a if c else b` is Python's on plain data; on formulas it is the ledger's `either` (`conditional.py`).
"""

from __future__ import annotations

from typing import Any

from lineclear_spec.records import RUNNING

__all__ = [
    "computed",
    "idle",
    "in_flight",
    "known",
    "leader",
    "on_gpu",
    "owed",
    "promised",
    "reach",
    "runs",
    "slots",
    "writable",
]


def reach(ledger: Any, sequence: Any) -> Any:
    """Positions computed or being computed by a step that was decided."""
    return sequence.offset + ledger.steps if sequence.steady else sequence.reach_tokens


def in_flight(ledger: Any, sequence: Any) -> Any:
    """Positions that steps not yet committed are computing."""
    settled = ledger.settled
    last = sequence.last_step
    return (
        ledger.steps - settled
        if sequence.steady
        else (sequence.last_tokens if last > settled else 0)
        + (sequence.previous_tokens if last > settled + 1 else 0)
    )


def computed(ledger: Any, sequence: Any) -> Any:
    """Positions whose KV is valid: every step that computes them is committed."""
    return ledger.reach(sequence) - ledger.in_flight(sequence)


def known(ledger: Any, sequence: Any) -> Any:
    """Prompt and generated tokens."""
    return sequence.offset + ledger.settled + 1 if sequence.steady else sequence.known_tokens


def promised(ledger: Any, sequence: Any) -> Any:
    """Steps in flight that will sample a token for the sequence."""
    return ledger.steps - ledger.settled if sequence.steady else sequence.promised_samples


def owed(ledger: Any, sequence: Any) -> Any:
    """Samples of committed steps that are still to come."""
    settled = ledger.settled
    last = sequence.last_step
    return (
        0
        if sequence.steady
        else sequence.promised_samples
        - (
            (sequence.last_samples if last > settled else 0)
            + (sequence.previous_samples if last > settled + 1 else 0)
        )
    )


def slots(ledger: Any, sequence: Any) -> Any:
    """Positions that the table has room for; a block is taken for each block size of them begun."""
    return sequence.offset + ledger.steps if sequence.steady else sequence.slot_tokens


def runs(_ledger: Any, sequence: Any) -> Any:
    """Whether the sequence is alive and its request runs."""
    return sequence.request.phase == RUNNING if sequence.alive else False


def on_gpu(_ledger: Any, request: Any) -> Any:
    """Whether the request runs, so that its blocks are GPU blocks."""
    return request.phase == RUNNING


def writable(ledger: Any, sequence: Any) -> Any:
    """Whether every block that the next positions fall into is named by this sequence alone."""
    first = ledger.computed(sequence)
    ledger.demand(first >= 0, "what the sequence has computed is not negative")
    return ledger.all_from(lambda block: block.ref == 1, sequence.table, ledger.block_of(first))


def idle(ledger: Any, request: Any) -> Any:
    """Whether no sequence of the request is steady or in the step being built."""
    steps = ledger.steps
    return ledger.all_of(
        lambda sequence: False if sequence.steady else sequence.last_step <= steps,
        request.members,
    )


def leader(ledger: Any, request: Any) -> Any:
    """The first sequence of a request."""
    ledger.demand(request.width >= 1, "the request has a sequence")
    return request.members[0]
