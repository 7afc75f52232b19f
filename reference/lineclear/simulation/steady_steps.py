"""Steps in which nothing is decided, run one after the other without a plan for each.

Guarantees: the scheduler's state and journal, the metrics and the clock are what `schedule` and `commit` give,
and a test runs both. A step runs the actions of the table that they would run: `lift_fences`, `issue_step` and
`commit_step`, whose guards are asked as ever.
"""

from __future__ import annotations

from dataclasses import dataclass

from lineclear.monitor.liveness import Watch
from lineclear.plan import Scheduled
from lineclear.scheduler import Scheduler
from lineclear.simulation.decodes import Decodes
from lineclear.simulation.metrics import Collector
from lineclear.simulation.steptime import SimulatedDevice, StepTime
from lineclear_spec import actions


@dataclass(eq=False, slots=True)
class SteadySteps:
    """Runs such steps; one is in flight at a time, and no block has a name.

    Attributes:
        scheduler: whose steps.
        model: how long each takes.
        device: where they run.
        collector: counts what operators look at.
        decodes: keeps the counters of most requests.
        watch: looks on.
    """

    scheduler: Scheduler
    model: StepTime
    device: SimulatedDevice
    collector: Collector
    decodes: Decodes
    watch: Watch

    def run(self, now: float, until: float) -> float:
        """Runs steps for as long as every live request decodes one token in each, and none stops.

        There are none while a request waits or is reviewed, or the pool lacks a block. None reaches its limit
        before it stops.

        Args:
            now: seconds; no copy is under way.
            until: when the next request arrives: no step begins then or later.

        Returns:
            When the last of them ended; `now` if there was none.
        """
        scheduler, ledger = self.scheduler, self.scheduler.ledger
        size = len(scheduler.batch.members)
        # All that is live is in the decode batch: no request waits, is swapped out or computes a prompt.
        if not size or size != len(scheduler.entries) or scheduler.live.reviews:
            return now
        scheduler.adapter.check_caller()
        scheduler.batch.refresh()
        rows = scheduler.batch.rows
        gpu, cpu, block_size = ledger.gpu, ledger.cpu, ledger.limits.block_size
        swapped = 1 - cpu.free / cpu.total if cpu.total else 0.0
        step_time, elapse, boundaries = self.model.step, self.collector.elapse, ledger.boundaries
        moments, contexts = [now], list[int]()
        for _ in range(self.decodes.before_an_end(rows)):
            if until <= now or len(boundaries.get(ledger.steps, ())) > gpu.free:
                break
            if ledger.barrier > ledger.done and ledger.complete_up_to() > ledger.done:
                actions.lift_fences(ledger)
            actions.issue_step(ledger)
            context = (gpu.total - gpu.free) * block_size
            # Nothing else is on the device, so that the forward begins at once.
            moment = now + step_time(size, size, context, 0)
            used = 1 - gpu.free / gpu.total
            elapse(moment - now, gpu=used, cpu=swapped, running=size, waiting=0)
            actions.commit_step(ledger)
            contexts.append(context)
            moments.append(moment)
            now = moment
        if contexts:
            self._count(rows, moments, contexts)
        return now

    def _count(
        self, rows: tuple[Scheduled, ...], moments: list[float], contexts: list[int]
    ) -> None:
        """Counts the steps in the collector, the counters, the device and the watch."""
        steps, counters = len(contexts), self.scheduler.counters
        self.collector.count_decodes(len(rows), self.decodes.go_on(rows, moments), contexts)
        counters.steps += steps
        counters.batched_tokens += steps * len(rows)
        counters.generated_tokens += steps * len(rows)
        self.device.computed(self.scheduler.ledger.issued, moments)
        self.watch.went_on(steps)
