"""A scheduler run on a workload in simulated time, its invariants checked as it goes.

Guarantees: the scheduler gets what a serving engine would give it and never a length that is
still to be generated; the same workload, configuration and model give the same run.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import TextIO, cast

from lineclear.config import Config
from lineclear.journal.file import JournalFile
from lineclear.monitor.audit import InvariantViolation
from lineclear.monitor.liveness import Stalled, Watch
from lineclear.monitor.observer import Observer
from lineclear.monitor.repeated_audit import RepeatedAudit
from lineclear.monitor.stall import Stall
from lineclear.oracle import Oracle
from lineclear.plan import Plan
from lineclear.policies import Policy
from lineclear.request import Finished, Rejected
from lineclear.scheduler import Scheduler
from lineclear.simulation.accounting import GIVING_UP, Accounting
from lineclear.simulation.arrival_queue import ArrivalQueue, request_of
from lineclear.simulation.decodes import Decodes
from lineclear.simulation.metrics import Collector
from lineclear.simulation.result import RunResult, bound_of, found_in_the_cache, why_stalled
from lineclear.simulation.running_operations import RunningOperations
from lineclear.simulation.sampler import Sampler, SimulatedRequest
from lineclear.simulation.steady_steps import SteadySteps
from lineclear.simulation.steptime import SimulatedDevice, StepTime
from lineclear.theorems.service import Listener
from lineclear.workload.prefixes import PromptsSeen, check_prefixes
from lineclear.workload.workload import Arrival, Workload
from lineclear_spec.kernel.records import Request as Record


class Simulation:
    """One run, from the first arrival until nothing is left to do.

    Args:
        workload: who asks for what and when.
        config: the scheduler's settings.
        model: how long things take.
        check_every: steps between two checks of all invariants; 0 checks none.
        journal: where to write every action, for `lineclear replay`.
        policy: who comes first; the one that `config` names if None.
        acceptance: the probability that a drafted token is accepted.
        service: receives arrivals, plans and ends, to count what each tenant gets and so on.
        collector: counts what operators look at; a plain one if None.

    Raises:
        WorkloadError: with prefix caching, the workload's prefix ids cannot name blocks of this size.
    """

    def __init__(
        self,
        workload: Workload,
        config: Config,
        *,
        model: StepTime | None = None,
        check_every: int = 1,
        journal: TextIO | None = None,
        policy: Policy | None = None,
        acceptance: float = 0.6,
        service: Listener | None = None,
        collector: Collector | None = None,
    ) -> None:
        self.workload = workload
        self.config = config
        self.model = StepTime() if model is None else model
        self.check_every = check_every
        self.now = 0.0
        self.file = None if journal is None else JournalFile(journal, config.limits())
        self.scheduler = Scheduler(config, policy, lambda: self.now, self._note)
        self.observer = Observer(self.scheduler.ledger) if check_every else None
        self.shares = config.prefix_caching != "off"
        if self.shares:
            check_prefixes(workload, config.block_size)
        self.seen = PromptsSeen(config.block_size)
        #: What is called: the scheduler, or the oracle that judges each call of it; it judges no run
        #: whose requests share blocks.
        judged = check_every == 1 and not self.shares
        self.called = Oracle(self.scheduler) if judged else self.scheduler
        self.audit = RepeatedAudit(self.scheduler)
        self.watch = Watch(self.scheduler)
        self.device = SimulatedDevice()
        self.service = service
        self.collector = Collector() if collector is None else collector
        self.live: dict[Hashable, SimulatedRequest] = {}
        self.decodes = Decodes(self.live, self.collector)
        self.accounting = Accounting(
            self.live,
            decodes=self.decodes,
            sampler=Sampler(acceptance),
            collector=self.collector,
            model=self.model,
            shares=self.shares,
        )
        self.arrivals = ArrivalQueue(workload)
        self.operations = RunningOperations(
            self.device, self.model, config.block_size, self.collector
        )
        self.rejected: list[tuple[str, str]] = []
        self.clipped = workload.clipped
        self.finished = 0
        self.checks = 0
        #: Runs steps without plans, if no caller looks at each.
        self._steady: SteadySteps | None = None
        if (
            not check_every
            and service is None
            and config.max_steps_in_flight == 1
            and not self.shares
        ):
            self._steady = SteadySteps(
                self.scheduler, self.model, self.device, self.collector, self.decodes, self.watch
            )

    def run(self, on_end: Callable[[], object] = lambda: None) -> RunResult:
        """Runs to the end, a violation or a stall; `on_end` is called for each request."""
        violations: list[str] = []
        stalled = ""
        stall: Stall | None = None
        ended = 0
        try:
            while self.turn():
                for _ in range(ended, self.finished + len(self.rejected)):
                    on_end()
                ended = self.finished + len(self.rejected)
            if self.live:
                stalled = why_stalled(self.scheduler.ledger, len(self.live))
                stall = self.scheduler.stall_report()
        except Stalled as alarm:
            stalled, stall = f"step {self.scheduler.ledger.steps}: {alarm.what}", alarm.report
        except InvariantViolation as violation:
            violations.append(f"step {self.scheduler.ledger.steps}: {violation}")
        self.decodes.put_back_all()
        if self.file is not None:
            self.file.end(self.scheduler.ledger)
        counters, collector = self.scheduler.counters, self.collector
        moved = collector.bytes_moved(self.config.block_size * self.model.kv_bytes)
        found = found_in_the_cache(counters, self.seen if self.shares else None)
        bounded = self.watch.bound() is not None
        return RunResult(
            workload=self.workload,
            config=self.config,
            policy=self.scheduler.adapter.name,
            finished=self.finished,
            rejected=tuple(self.rejected),
            clipped=self.clipped,
            steps=collector.steps,
            preemptions={"swap": collector.swap_outs, "recompute": collector.recomputes},
            discarded=counters.discarded,
            checks=self.checks,
            violations=tuple(violations),
            stalled=stalled,
            stall=stall,
            slowest=self.watch.slowest if self.watch.static else None,
            bound=bound_of(self.config, self.workload, self.scheduler.policy) if bounded else None,
            failures=tuple(self.scheduler.policy_failures),
            metrics={**collector.report(), **moved, **found},
        )

    def _note(self, name: str, arguments: tuple[object, ...]) -> None:
        """Receives every action: the file keeps it, and freed KV is counted."""
        if self.file is not None:
            self.file(name, arguments)
        if self.observer is not None:
            self.observer(name, arguments)
        if name in GIVING_UP:
            record = cast("Record", arguments[0])
            self.accounting.free(self.scheduler.of[record].request_id)

    # ---- one turn of the engine ----------------------------------------------------------------

    def turn(self) -> bool:
        """Takes in what has happened, schedules, waits for the next event; False at the end."""
        self._take_in()
        operations, flights = self.operations, self.operations.flights
        if self._steady is not None and not operations.copies and self._went_on(self._steady):
            return True
        started = False
        if len(flights) < self.config.max_steps_in_flight:
            plan = self.called.schedule()
            self._start(plan)
            self.watch.scheduled(plan)
            started = plan.step is not None
            self._check()
        if started and len(flights) < self.config.max_steps_in_flight:
            return True
        if flights:
            plan, end = flights.popleft()
            self._pass_time(end)
            self._commit(plan)
            self._check()
            return True
        return self._wait()

    def _went_on(self, steady: SteadySteps) -> bool:
        """Whether there were steps in which nothing was decided; they are done now."""
        before = self.now
        self.now = steady.run(before, self.arrivals.by_the_clock())
        return self.now > before

    def _take_in(self) -> None:
        """Copies that are done and requests that have arrived."""
        if done := self.operations.take_done(self.now):
            self.called.complete(done)
        while (arrival := self.arrivals.take(len(self.live), self.now)) is not None:
            self._add(arrival)

    def _start(self, plan: Plan) -> None:
        """Hands the plan's operations to the device."""
        for request_id, mode in plan.preempted:
            self.collector.preempt(request_id, self.now, swap=mode == "swap")
        if self.service is not None:
            self.service.step(plan, self.now)
        seconds = 0.0
        if plan.step is not None:
            seconds = self.accounting.step(plan, self.scheduler.ledger, self.now)
        self.operations.start(plan, seconds, self.now)

    def _commit(self, plan: Plan) -> None:
        """Samples for everybody whom the step sampled for, and lets end who has generated all."""
        dropped = set(self.scheduler.dropped(plan))
        sampled, stopped = self.accounting.sample(plan, dropped, self.now)
        for finished in self.called.commit(plan, sampled, stopped):
            self._end(finished)
        self.watch.committed()

    def _wait(self) -> bool:
        """Nothing is computed: time goes on to the next arrival or the end of a copy."""
        moments = [moment for moment, _ in self.operations.copies[:1]]
        arrival = self.arrivals.next_moment(len(self.live), self.now)
        if arrival is not None:
            moments.append(arrival)
        if not moments:
            return False
        self._pass_time(max(self.now, min(moments)))
        return True

    def _pass_time(self, moment: float) -> None:
        """The clock moves on; what the pools and queues looked like meanwhile is counted."""
        ledger = self.scheduler.ledger
        gpu, cpu = ledger.gpu, ledger.cpu
        self.collector.elapse(
            max(0.0, moment - self.now),
            gpu=1 - (gpu.free + len(ledger.resting)) / gpu.total,
            cpu=1 - cpu.free / cpu.total if cpu.total else 0.0,
            running=len(ledger.running),
            waiting=len(ledger.waiting) + len(ledger.swapped),
        )
        self.now = max(self.now, moment)
        self.device.forget(self.now)

    def _check(self) -> None:
        """All invariants, if it is time."""
        if self.check_every and self.scheduler.ledger.steps % self.check_every == 0:
            self.checks += 1
            self.audit.check()
            if self.observer is not None:
                self.observer.check()

    # ---- requests ------------------------------------------------------------------------------

    def _add(self, arrival: Arrival) -> None:
        """Submits a request."""
        request = request_of(arrival, self.config)
        answer = self.called.add(request)
        if isinstance(answer, Rejected):
            self.rejected.append((arrival.request_id, answer.reason))
            return
        cap = request.max_tokens
        self.clipped += any(length > cap for length in arrival.output_tokens)
        targets = [min(length, cap) for length in arrival.output_tokens]
        if self.shares:
            self.seen.add(arrival)
        self.watch.added(arrival.request_id)
        self.live[arrival.request_id] = SimulatedRequest(arrival, targets, cap)
        self.collector.arrive(arrival.request_id, arrival.arrival_time)
        if self.service is not None:
            self.service.arrive(arrival)

    def _end(self, finished: Finished) -> None:
        """A request has ended; it must have generated exactly what the workload says."""
        self.decodes.put_back(live := self.live.pop(finished.request_id))
        self.finished += 1
        if self.service is not None:
            self.service.end(finished.request_id)
        self.collector.finish(finished.request_id, live.arrival.prompt_tokens, live.most, self.now)
        outputs = {output.branch: output.generated_tokens for output in finished.outputs}
        wanted = dict(enumerate(live.targets))
        if outputs != wanted:
            raise InvariantViolation(
                "outputs", f"request {finished.request_id} generated {outputs}, not {wanted}"
            )
