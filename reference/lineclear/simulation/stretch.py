"""Steps in which nothing is decided, run one after the other without a plan for each.

Guarantees: the scheduler's state and journal, the metrics and the clock are what `schedule` and `commit` give,
and a test runs both. A step runs the actions of the table that they would run: `retire`, `issue_step` and
`settle_step`, whose guards are asked as ever.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lineclear_spec import actions

if TYPE_CHECKING:
    from lineclear.simulation.simulate import Simulation

__all__ = ["go_on", "goes_on"]


def goes_on(simulation: Simulation) -> bool:
    """Whether a run may have such steps: nobody looks at each plan, and one step is in flight at a time."""
    config = simulation.config
    looked_at = simulation.check_every or simulation.service is not None
    return not looked_at and config.depth == 1 and config.prefix_caching == "off"


def go_on(simulation: Simulation) -> int:
    """Runs steps for as long as every live request decodes one token in each, and none ends or arrives; how many.

    There are none while a request waits, is copied or is reviewed, or the pool lacks a block.
    """
    scheduler, decodes = simulation.scheduler, simulation.decodes
    batch, ledger = scheduler.batch, scheduler.ledger
    size = len(batch.members)
    # All that is live is steady: nobody waits, is swapped out or computes a prompt.
    if not size or size != len(scheduler.entries) or scheduler.changes.preempted:
        return 0
    if scheduler.live.reviews or scheduler.live.paused or ledger.operations or simulation.copying:
        return 0
    scheduler.adapter.check_caller()
    batch.refresh()
    rows = batch.rows
    most = decodes.before_an_end(rows)
    gpu, cpu = ledger.gpu, ledger.cpu
    boundaries, endings, block_size = ledger.boundaries, ledger.endings, ledger.limits.block_size
    step_time, collector, until = (
        simulation.model.step,
        simulation.collector,
        simulation.next_arrival,
    )
    swapped = 1 - cpu.free / cpu.total if cpu.total else 0.0
    moments = [simulation.now]
    now = simulation.now
    contexts: list[int] = []
    for _ in range(most):
        if until <= now or len(boundaries.get(ledger.steps, ())) > gpu.free:
            break
        if endings and (ledger.steps in endings or ledger.steps + 1 in endings):
            break
        if ledger.barrier > ledger.done and ledger.retired() > ledger.done:
            actions.retire(ledger)
        actions.issue_step(ledger)
        context = (gpu.total - gpu.free) * block_size
        # Nothing else is on the device, so that the forward begins at once.
        moment = now + step_time(size, size, context, 0)
        usage = 1 - gpu.free / gpu.total
        collector.elapse(moment - now, gpu=usage, cpu=swapped, running=size, waiting=0)
        actions.settle_step(ledger)
        contexts.append(context)
        moments.append(moment)
        now = moment
    if contexts:
        simulation.went_on(rows, moments, contexts)
    return len(contexts)
