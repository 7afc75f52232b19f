"""Compares a state of the scheduler with the expected one.

Guarantees: nothing that a step can be decided by is left out: phases, tables, counters, places in the
order, free blocks of both tiers, seats. The rule that is named is that of the first difference.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import TYPE_CHECKING, Any

from lineclear.oracle.rules import Undone
from lineclear.oracle.state import OracleRequest, OracleSequence, OracleState, observe
from lineclear_spec.kernel.lifecycle import Phase

if TYPE_CHECKING:
    from lineclear.scheduler import Scheduler


def same(rule: str, what: str, found: Any, wanted: Any) -> None:
    """Raises if the two differ.

    Args:
        rule: the rule that a difference breaks.
        what: what is compared, for the message.
        found: the scheduler's value.
        wanted: the oracle's value.
    """
    if found != wanted:
        raise Undone(rule, f"{what}: {found!r}, and it should be {wanted!r}")


def by_name(state: OracleState) -> dict[Hashable, OracleRequest]:
    """Live requests by id."""
    return {live.name: live for live in state.lives}


def compare(scheduler: Scheduler, wanted: OracleState, rules: Mapping[Hashable, str]) -> None:
    """Holds a scheduler against the state that it should have.

    Args:
        scheduler: after a call.
        wanted: the state after it.
        rules: by request, the rule that its phase is due to; "ended" for others.

    Raises:
        Undone: they differ.
    """
    theirs, mine = by_name(observe(scheduler)), by_name(wanted)
    same("ended", "live requests", set(theirs), set(mine))
    for name, live in mine.items():
        rule = rules.get(name, "admission")
        if theirs[name].phase == Phase.RUNNING:
            rule = "admission"
        same(rule, f"phase of request {name!r}", theirs[name].phase.name, live.phase.name)
    for name, live in mine.items():
        tables(theirs[name], live)
    ledger = scheduler.ledger
    same("blocks", "free GPU blocks", free_or_resting(scheduler), wanted.gpu_free)
    same("blocks", "free CPU blocks", ledger.cpu.free, wanted.cpu_free)
    seats = wanted.config.max_num_seqs - wanted.seats_free
    same("seats", "seats taken", scheduler.seats, seats)
    for name, live in mine.items():
        stands(theirs[name], live)


def free_or_resting(scheduler: Scheduler) -> int:
    """GPU blocks that are free, or rest and are held by no reader."""
    ledger, held = scheduler.ledger, scheduler.cache.held
    return ledger.gpu.free + sum(block.name not in held for block in ledger.resting)


def tables(their: OracleRequest, mine: OracleRequest) -> None:
    """Its blocks, slots and counters."""
    name = mine.name
    same("blocks", f"blocks of request {name!r}", len(their.blocks), len(mine.blocks))
    same(
        "blocks",
        f"tables of request {name!r}: branch, tokens, dispatched, slots, entries, samples to come",
        [counts(branch) for branch in their.branches],
        [counts(branch) for branch in mine.branches],
    )
    same("blocks", f"a copy of request {name!r} is open", their.copying, mine.copying)


def counts(branch: OracleSequence) -> tuple[int, ...]:
    """The fields of a sequence that are compared."""
    return (
        branch.number,
        branch.num_tokens,
        branch.num_dispatched_tokens,
        branch.num_allocated_slots,
        len(branch.table),
        branch.scheduled_samples,
    )


def stands(their: OracleRequest, mine: OracleRequest) -> None:
    """Its position in the order, and the policy's memory of it."""
    name, waits = mine.name, mine.phase != Phase.RUNNING
    same(
        "order",
        f"place of request {name!r}",
        (their.order, their.rank),
        (mine.order, mine.rank),
    )
    same(
        "order",
        f"request {name!r}: preemptions, passed by, looked at next, ran, waits since",
        (their.preemptions, their.bypassed, their.review, their.started, waits and their.since),
        (mine.preemptions, mine.bypassed, mine.review, mine.started, waits and mine.since),
    )
