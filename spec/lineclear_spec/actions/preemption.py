"""How a running request is preempted and comes back. `swap_out` explains how to read an action.

Guarantees: the postconditions in `postconditions/`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lineclear_spec.actions.table import action
from lineclear_spec.kernel.records import CPU, GPU, SWAP_IN, SWAP_OUT
from lineclear_spec.logic import larger

if TYPE_CHECKING:
    from lineclear_spec.kernel.protocol import Ledger
    from lineclear_spec.kernel.record_protocols import Request


@action("swap_out")
def swap_out(ledger: Ledger, request: Request) -> None:
    """A running request moves to the CPU: one copy of its private blocks, tables and counters as they were."""
    # The scheduler runs this function on Python objects. The prover runs the same function on terms of a solver that
    # stand for any state; hence no `if` and no loop here. The words are those of docs/words.md.
    # GUARD
    # A guard is a condition that the caller may violate. All guards come before the first write, so a refused action
    # has changed nothing. A policy may ask for any action at any moment: at worst it is refused.
    ledger.require(ledger.allowed("swap_out", request), "the request runs")
    # The forward of a step being built has no number yet, so no fence could make a later owner of the blocks wait for
    # it. A sequence in the decode batch is in every step.
    ledger.require(
        ledger.unscheduled(request),
        "no sequence of it is in the decode batch or in the step being built",
    )
    # `request.open_swap` remembers one swap. Of two, nothing would say which one a reported failure is of
    # (`attributed`).
    ledger.require(request.open_swap == 0, "it waits for no swap")
    # `move_blocks` presumes it. Each such precondition is an obligation: the guards have to imply it.
    ledger.require(
        request.blocks <= ledger.cpu.free, "the CPU has a free block for every private block"
    )
    # EFFECT
    # Proved of the effect, from the guards and the invariants before: each invariant holds after it, and so does the
    # contract in `postconditions/preemption.py`, which says apart from it what changes and that nothing else does.
    number = ledger.decide(SWAP_OUT, request)
    # A block step, proved once against a contract of its own (`contracts/moving.py`), which stands for it here. It
    # fences the GPU blocks that it frees with `ledger.issued`, which is this copy: who takes one waits for it.
    ledger.move_blocks(request, CPU)
    # A ghost: the proofs remember what the copy brings, and no guard reads that. On Python objects it does nothing.
    ledger.note_swap(number, CPU)
    # The copy waits for everything decided before it. Forwards in flight still read and write its sources; earlier
    # swaps may still touch its targets, whose fences `barrier` does not count, as only GPU blocks raise it.
    ledger.order(number, number - 1)
    # Until the copy is complete or has failed `swap_in` refuses the request: its second guard reads this.
    request.open_swap = number
    # Bounds every open operation that touches a CPU block of the request (`fence.held_cpu`); `swap_in` waits for it.
    request.last_swap = number
    ledger.move(request, "swap_out")
    # `lineclear prove swap_out` prints what is proved; `lineclear explain swap_out.effect.2` shows what breaks without
    # the wait, and so for every other statement: docs/mutants.md.


@action("swap_in")
def swap_in(ledger: Ledger, request: Request) -> None:
    """A swapped request moves back to the GPU and runs; the next step waits for its copies."""
    # GUARD
    ledger.require(ledger.allowed("swap_in", request), "the request is swapped out")
    ledger.require(request.open_swap == 0, "its swap-out is complete")
    ledger.require(
        request.blocks <= ledger.gpu.free, "the GPU has a free block for every private block"
    )
    # EFFECT
    number = ledger.decide(SWAP_IN, request)
    # Raises `barrier` to the fences of the GPU targets, and fences the CPU sources with `issued`, which is this copy.
    ledger.move_blocks(request, GPU)
    ledger.note_swap(number, GPU)
    # `barrier` covers the targets. `last_swap` is the swap-out that wrote the sources and waited for all before it,
    # so it covers whatever else may touch them (`fence.held_cpu`).
    ledger.order(number, larger(ledger.barrier, request.last_swap))
    # Swaps are not on the compute stream: the next forward has to wait before it reads what this copy brings.
    ledger.barrier = number
    request.open_swap = number
    request.last_swap = number
    ledger.move(request, "swap_in")
    ledger.send_tables(request)


@action("recompute")
def recompute(ledger: Ledger, request: Request) -> None:
    """A running request frees its blocks and waits; known tokens stay, and so do samples unless its swap-in is open."""
    # GUARD
    ledger.require(ledger.allowed("recompute", request), "the request runs")
    ledger.require(
        ledger.unscheduled(request),
        "no sequence of it is in the decode batch or in the step being built",
    )
    # EFFECT
    # A running request with an open copy is one whose swap-in is open. Steps in flight wait for that copy, and it may
    # still fail; from here on no failure is attributed to the request, so their samples are void. Without an open copy
    # all that they read has arrived, so their samples stay.
    ledger.branch(request.open_swap >= 1, lambda: ledger.void_samples(request))
    # The fences are `issued`, hence at least the numbers of the steps in flight and of the open copy.
    ledger.clear_tables(request)
    request.open_swap = 0
    ledger.move(request, "recompute")


@action("discard_swapped")
def discard_swapped(ledger: Ledger, request: Request) -> None:
    """A swapped request frees its CPU blocks and waits; known tokens and scheduled samples stay."""
    # GUARD
    ledger.require(ledger.allowed("discard_swapped", request), "the request is swapped out")
    # EFFECT
    # An open copy is the one to the CPU: the fence of the CPU blocks covers it. Samples stay, whether or not it
    # fails: the steps that owe them read the GPU blocks, before the copy.
    ledger.clear_tables(request)
    request.open_swap = 0
    ledger.move(request, "discard_swapped")
