"""How copies complete or fail, and how the ledger hears of it.

Guarantees: the postconditions in `postconditions/`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lineclear_spec.actions.table import action

if TYPE_CHECKING:
    from lineclear_spec.kernel.protocol import Ledger
    from lineclear_spec.kernel.record_protocols import Number, Request


@action()
def complete_copy(ledger: Ledger, number: Number) -> None:
    """A copy that a plan dispatched is over: it is complete, or it has failed but no request waits for it any more."""
    # GUARD
    ledger.require(ledger.is_open(number), "the operation is decided and not complete")
    ledger.require(ledger.is_copy(number), "the operation is a copy")
    ledger.require(number <= ledger.dispatched, "a plan has dispatched it")
    # EFFECT
    ledger.forget_copy(number)
    ledger.close(number)


@action("fail_copy")
def fail_copy(ledger: Ledger, request: Request) -> None:
    """A request whose copy failed frees its blocks and waits; samples computed on the failed copy are void."""
    # GUARD
    ledger.require(ledger.allowed("fail_copy", request), "the request runs or is swapped out")
    ledger.require(
        ledger.unscheduled(request),
        "no sequence of it is in the decode batch or in the step being built",
    )
    ledger.require(request.open_swap >= 1, "it waits for a swap")
    ledger.require(request.open_swap <= ledger.dispatched, "a plan has dispatched the copy")
    # EFFECT
    # On the GPU its swap-in failed, and steps issued since may have read what it should have brought: their samples are
    # void. Swapped, its swap-out failed: steps that owe it samples read the GPU blocks before the copy, so these stay.
    ledger.branch(ledger.on_gpu(request), lambda: ledger.void_samples(request))
    ledger.clear_tables(request)
    ledger.close(request.open_swap)
    request.open_swap = 0
    ledger.move(request, "fail_copy")


@action()
def dispatch_copies(ledger: Ledger) -> None:
    """A plan that issues no step dispatches every operation that was decided."""
    # GUARD
    ledger.require(ledger.dispatched < ledger.issued, "an operation is not in a plan yet")
    # EFFECT
    ledger.dispatched = ledger.issued


@action()
def lift_fences(ledger: Ledger) -> None:
    """`done` becomes the last operation up to which all are complete: fences up to it count as lifted."""
    # GUARD
    number = ledger.complete_up_to()
    ledger.require(number > ledger.done, "another operation is complete")
    # EFFECT
    # Of guards this one alone reads `done`, of invariants `clocks` alone. The scheduler reads it to see whether this
    # action is worth asking for, pictures, audits and journals to show it. Fences stay as they are: a block that is
    # taken still raises `barrier`, to an operation that is complete, for which nothing has to wait.
    ledger.done = number
