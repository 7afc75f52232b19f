"""Finds what each live request holds, and the first guard that keeps it from running.

Invariant: it changes nothing and asks the policy nothing.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import TYPE_CHECKING, Any

from lineclear.monitor.relief import CANNOT_HELP, HELPS, NOTHING, Relief, relief
from lineclear.monitor.stall import BlockedRequest, Holder, Stall
from lineclear.scheduling.live_request import LiveRequest
from lineclear.scheduling.step import Step
from lineclear_spec.kernel.lifecycle import Phase
from lineclear_spec.kernel.progress import Need, may_be_passed
from lineclear_spec.kernel.records import SWAP_IN, SWAP_OUT, Block

if TYPE_CHECKING:
    from lineclear.scheduling.readings import Readings

#: By guard, what has to happen for it to hold. Guards that compare amounts (`change_for`) are not here.
CHANGES = {
    "open_copy": "the copy is complete",
    "long_prefills": "one of these prompts needs no more than its share",
    "head_of_line": "the request before it is admitted or aborted",
    "pause_after_preemption": "the next step",
    "displaced": "the next step",
    "paused": "`resume` is called",
    "prefill_first": "the prompt that runs gets its share",
    "beside_a_prompt": "the prompt needs no more than its share",
    "prefix": "the block is computed",
    "commit": "the step is committed",
    "leader": "the first branch has computed the prompt",
    "turn": "the other tenant's request is served",
    "rules": "another preset, or a larger pool",
    "none": "the next step",
}


def stall_report(scheduler: Readings) -> Stall:
    """The holdings of each request at this moment, and the guard that refuses it."""
    ledger = scheduler.ledger
    gpu, cpu = ledger.gpu, ledger.cpu
    copies = [o.number for o in ledger.operations.values() if o.kind in (SWAP_IN, SWAP_OUT)]
    entries = sorted(scheduler.entries.values(), key=lambda entry: entry.number)
    holders = [
        holder(scheduler, entry) for entry in entries if scheduler.cache.referred_to(entry.record)
    ]
    return Stall(
        ledger.steps,
        ledger.steps - ledger.committed,
        tuple(number for number in copies if number <= ledger.dispatched),
        scheduler.cache.available,
        gpu.total,
        cpu.free,
        cpu.total,
        tuple(holders),
        (*running(scheduler), *queued(scheduler)),
        len(scheduler.cache.held),
    )


def holder(scheduler: Readings, entry: LiveRequest) -> Holder:
    """The holdings of the request."""
    record, blocks = entry.record, scheduler.cache.referred_to(entry.record)
    return Holder(
        entry.request_id,
        record.phase.name.lower(),
        blocks if record.phase == Phase.RUNNING else 0,
        blocks if record.phase == Phase.SWAPPED else 0,
        entry.seats,
        entry.num_tokens(scheduler.ledger),
        entry.num_computed_tokens(scheduler.ledger),
    )


def running(scheduler: Readings) -> list[BlockedRequest]:
    """The guard that keeps each running request from its next step, in the policy's order; "none" if nothing does."""
    found: list[BlockedRequest] = []
    ledger = scheduler.ledger
    for order in scheduler.running.orders:
        entry = scheduler.running.entries[order]
        record = entry.record
        members = record.members
        guard, figures = "none", dict[str, Any]()
        if record.open_swap and record.open_swap <= ledger.dispatched:
            guard, figures = "open_copy", {"operation": record.open_swap}
        elif any(ledger.scheduled_samples(q) or ledger.in_flight(q) for q in members):
            guard, figures = "commit", {"steps": ledger.steps - ledger.committed}
        elif scheduler.live.paused == "keep":
            guard = "paused"
        elif all(q.own_slots == 0 for q in members[1:]) and len(members) > 1:
            guard = "leader"
        found.append(with_change(scheduler, entry, guard, figures))
    return found


def queued(scheduler: Readings) -> list[BlockedRequest]:
    """The guards that refuse waiting and swapped requests, in the queue's order."""
    waiting = sorted(scheduler.queue, key=lambda entry: entry.place)
    if not waiting:
        return []
    step = Step(scheduler.step_parts)
    step.room.due = scheduler.ledger.due().count
    planned = step.planned()
    found: list[BlockedRequest] = []
    most = scheduler.config.max_bypasses
    lines: dict[Hashable, list[LiveRequest]] = {}  # by tenant, if the policy shares among tenants
    for position, entry in enumerate(waiting):
        before = lines.setdefault(entry.tenant if scheduler.tenants is not None else None, [])
        if len(before) <= most and all(may_be_passed(other.bypassed, most) for other in before):
            guard, figures = head_of_queue(scheduler, step, entry, planned)
        else:
            guard = "head_of_line"
            figures = {"behind": str(before[0].request_id), "place": position + 1}
        found.append(with_change(scheduler, entry, guard, figures))
        before.append(entry)
    return found


def with_change(
    scheduler: Readings, entry: LiveRequest, guard: str, figures: dict[str, Any]
) -> BlockedRequest:
    """The guard with what would lift it, and whether waiting can.

    Args:
        scheduler: the scheduler, read only.
        entry: the request.
        guard: the first guard that is false.
        figures: the values that it compares.
    """
    ledger, record = scheduler.ledger, entry.record
    last = ledger.steps if any(q.in_decode_batch for q in record.members) else 0
    last = max([last, *[q.last_step for q in record.members]])
    # `add` took the request, so it fits into an empty pool: once all others have ended, every guard of the table holds.
    # A preset may keep its watermark free even then. If no block is held and no step is in flight, there is nothing to
    # wait for: either the next step takes the request, or a rule of the preset keeps it out.
    alone = scheduler.cache.available == ledger.gpu.total and ledger.steps == ledger.committed
    waiting = NOTHING if guard in ("rules", "none") and alone else HELPS
    if guard == "paused":
        waiting = CANNOT_HELP
    change = change_for(scheduler, entry, guard, figures)
    beyond = beyond_the_watermark(scheduler, entry) if guard == "rules" else 0
    if beyond > 0:
        waiting, change = CANNOT_HELP, Relief("blocks", beyond)
    phase = record.phase.name.lower()
    return BlockedRequest(
        entry.request_id,
        phase,
        guard,
        figures,
        change,
        waiting,
        ledger.steps - last if last else None,
    )


def beyond_the_watermark(scheduler: Readings, entry: LiveRequest) -> int:
    """Blocks that an empty pool lacks for it, if the preset keeps the watermark even then."""
    ledger, config, record = scheduler.ledger, scheduler.config, entry.record
    if "the watermark is waived when nothing runs" not in config.lacking:
        return 0
    waits = record.phase == Phase.WAITING
    wants = ledger.need(record.members[0].own_tokens) if waits else record.blocks
    return wants + config.watermark_blocks - ledger.gpu.total


def change_for(
    scheduler: Readings, entry: LiveRequest, guard: str, figures: dict[str, Any]
) -> Relief:
    """The smallest change that lifts a guard.

    Args:
        scheduler: the scheduler, read only.
        entry: the request.
        guard: the first guard that is false.
        figures: the values that it compares.
    """
    runs = [scheduler.running.entries[order] for order in scheduler.running.orders]
    others = [other for other in runs if other is not entry]
    if guard == "blocks":
        missing = figures["wants"] + figures["growth"] + figures["watermark"] - figures["free"]
        gain, growth = scheduler.cache.gain, Step(scheduler.step_parts).growth()
        # Who is aborted gives up what it would have taken in the step, too. Blocks that it alone shares with the
        # request are no gain: at rest they are available, and the request takes them.
        found = found_by(scheduler, entry)
        gains = [
            (o.request_id, gain(o.record) + growth[o] - shared_alone(scheduler, found, o))
            for o in others
        ]
        return relief("blocks", missing, gains)
    if guard == "worst_cases":
        missing = figures["wants"] - figures["left"]
        worst = scheduler.ledger.worst_case
        return relief("blocks", missing, [(o.request_id, worst(o.record)) for o in others])
    if guard == "seats":
        missing = figures["wants"] + figures["taken"] - figures["of"]
        return relief("seats", missing, [(o.request_id, o.seats_taken) for o in others])
    if guard == "tokens":
        missing = figures["wants"] - figures["left"]
        return relief("tokens", missing, [(o.request_id, o.record.width) for o in others])
    return Relief(CHANGES[guard])


def found_by(scheduler: Readings, entry: LiveRequest) -> list[Block]:
    """Blocks that a waiting request finds."""
    cache, ledger = scheduler.cache, scheduler.ledger
    if not cache.enabled or entry.record.phase != Phase.WAITING:
        return []
    leader = entry.record.members[0]
    return [ledger.cached[name] for name in leader.block_names[: cache.hits(leader)]]


def shared_alone(scheduler: Readings, found: list[Block], other: LiveRequest) -> int:
    """How many of the blocks no table but those of `other` refers to."""
    cache = scheduler.cache
    sealed: dict[Block, int] = cache.sealed_of(other.record) if found else {}
    return sum(
        [sealed.get(block) == block.ref and block.name not in cache.held for block in found]
    )


def head_of_queue(
    scheduler: Readings, step: Step, entry: LiveRequest, planned: Need
) -> tuple[str, dict[str, Any]]:
    """The guard that keeps the head of the queue, and its figures.

    Args:
        scheduler: the scheduler, read only.
        step: the step that would be built now.
        entry: the request at the head of the queue.
        planned: what the running requests need in that step.
    """
    config = scheduler.config
    if entry.record.open_swap:
        return "open_copy", {"operation": entry.record.open_swap}
    want, have = step.room.want(entry), step.room.have() - planned
    if have.blocks < want.blocks:
        free = scheduler.cache.available
        kept = free - step.room.due - step.room.have().blocks
        growth = planned.blocks + step.room.due
        return "blocks", {
            "wants": want.blocks,
            "free": free,
            "growth": growth,
            "watermark": kept,
        }
    room, needs = step.room.offered(entry)
    if room.worst < needs.worst:
        return "worst_cases", {"wants": needs.worst, "left": room.worst}
    if room.longs - planned.longs < needs.longs:
        return "long_prefills", {"of": config.max_long_partial_prefills}
    if have.seats < want.seats:
        return "seats", {"wants": want.seats, "taken": scheduler.seats, "of": config.max_num_seqs}
    if have.tokens < want.tokens:
        return "tokens", {
            "wants": want.tokens,
            "left": have.tokens,
            "of": config.max_num_batched_tokens,
        }
    if len(scheduler.flights) >= config.max_steps_in_flight:
        return "commit", {
            "steps": len(scheduler.flights),
            "max_steps_in_flight": config.max_steps_in_flight,
        }
    if scheduler.admission_blocked_by:
        return scheduler.admission_blocked_by, {}
    if config.lacking:
        return "rules", {"rules": config.rules}
    return ("turn" if scheduler.tenants is not None else "none"), {}
