"""How a running request is preempted and comes back.

Guarantees: what `deltas/` promises of each action.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lineclear_spec.actions.table import action
from lineclear_spec.logic import larger
from lineclear_spec.records import CPU, GPU, SWAP_IN, SWAP_OUT

if TYPE_CHECKING:
    from lineclear_spec.protocol import Ledger
    from lineclear_spec.record_protocols import Request

__all__ = ["discard_swapped", "recompute", "swap_in", "swap_out"]


@action("swap_out")
def swap_out(ledger: Ledger, request: Request) -> None:
    """A running request moves to the CPU: one copy for each distinct block, tables and counters as
    they were.
    """
    # GUARD
    ledger.require(ledger.allowed("swap_out", request), "the request runs")
    ledger.require(ledger.idle(request), "none of it is in the step being built")
    ledger.require(request.copy == 0, "no copy of it is open")
    ledger.require(
        request.blocks <= ledger.cpu.free, "the CPU has a free block for every distinct block"
    )
    # EFFECT
    number = ledger.decide(SWAP_OUT, request)
    ledger.move_blocks(request, CPU)
    ledger.note_swap(number, CPU)
    ledger.order(number, number - 1)
    request.copy = number
    request.moved = number
    ledger.move(request, "swap_out")


@action("swap_in")
def swap_in(ledger: Ledger, request: Request) -> None:
    """A swapped request moves back to the GPU and runs; the next step waits for its copies."""
    # GUARD
    ledger.require(ledger.allowed("swap_in", request), "the request is swapped out")
    ledger.require(request.copy == 0, "its copy to the CPU is complete")
    ledger.require(
        request.blocks <= ledger.gpu.free, "the GPU has a free block for every distinct block"
    )
    # EFFECT
    number = ledger.decide(SWAP_IN, request)
    ledger.move_blocks(request, GPU)
    ledger.note_swap(number, GPU)
    ledger.order(number, larger(ledger.barrier, request.moved))
    ledger.barrier = number
    request.copy = number
    request.moved = number
    ledger.move(request, "swap_in")
    ledger.send_tables(request)


@action("recompute")
def recompute(ledger: Ledger, request: Request) -> None:
    """A running request gives up its blocks and waits; known tokens stay, and samples unless its
    copy in is still open.
    """
    # GUARD
    ledger.require(ledger.allowed("recompute", request), "the request runs")
    ledger.require(ledger.idle(request), "none of it is in the step being built")
    # EFFECT
    ledger.branch(request.copy >= 1, lambda: ledger.void_samples(request))
    ledger.clear_tables(request)
    request.copy = 0
    ledger.move(request, "recompute")


@action("discard_swapped")
def discard_swapped(ledger: Ledger, request: Request) -> None:
    """A swapped request gives up its CPU copy and waits; what its sequences know and were promised
    stays.
    """
    # GUARD
    ledger.require(ledger.allowed("discard_swapped", request), "the request is swapped out")
    # EFFECT
    ledger.clear_tables(request)
    request.copy = 0
    ledger.move(request, "discard_swapped")
