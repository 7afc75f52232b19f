"""Lists what each live request holds and which guard refuses it, from the table alone.

Guarantees: a guard that is named was evaluated, on this state, from the action's own source; the state is as it was.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from lineclear_spec.kernel.ledger import Ledger
from lineclear_spec.kernel.lifecycle import Phase
from lineclear_spec.kernel.records import CPU, GPU, Refused, Request
from lineclear_spec.language.statements import guards_of

guards = cache(guards_of)
#: The action that lets a request of this phase go on.
ONWARD = {Phase.WAITING: "admit", Phase.SWAPPED: "swap_in"}


def blocked(ledger: Ledger) -> list[dict[str, Any]]:
    """One row for each live request, by number: phase, blocks, the guard that refuses, figures."""
    records = [*ledger.running, *ledger.waiting, *ledger.swapped]
    return [row(ledger, record) for record in sorted(records, key=lambda record: record.id)]


def row(ledger: Ledger, record: Request) -> dict[str, Any]:
    """The holdings of one request, and the guard that refuses it."""
    running = record.phase == Phase.RUNNING
    named = {block for sequence in record.members for block in sequence.table}
    guard, figures = awaited(ledger, record) if running else refused(ledger, record)
    return {
        "request": record.id,
        "phase": record.phase.name,
        "gpu_blocks": sum([block.tier == GPU for block in named]),
        "cpu_blocks": sum([block.tier == CPU for block in named]),
        "num_tokens": sum(map(ledger.num_tokens, record.members)),
        "num_computed_tokens": sum(map(ledger.num_computed_tokens, record.members)),
        "guard": guard,
        "figures": figures,
    }


def refused(ledger: Ledger, record: Request) -> tuple[str | None, dict[str, int]]:
    """The guard that refuses to let it run, with what it needs and what is there."""
    try:
        guards(ONWARD[record.phase])(ledger, record)
    except Refused as refusal:
        if record.open_swap:
            return refusal.guard, {"open_swap": record.open_swap}
        swapped = record.phase == Phase.SWAPPED
        need = record.blocks if swapped else ledger.need(record.members[0].own_tokens)
        free = ledger.gpu.free + len(ledger.resting)
        return refusal.guard, {"wants": need, "free": free}
    return None, {}


def awaited(ledger: Ledger, record: Request) -> tuple[str | None, dict[str, int]]:
    """The operation that a running request waits for, if any."""
    if record.open_swap and record.open_swap <= ledger.dispatched:
        return "its copy is complete", {"open_swap": record.open_swap}
    if any(ledger.in_flight(sequence) for sequence in record.members):
        return "the step that computes for it is committed", {
            "in flight": ledger.steps - ledger.committed
        }
    return None, {}
