"""A scheduler run on a workload in simulated time, its invariants checked as it goes.

Guarantees: the scheduler gets what a serving engine would give it and never a length that is
still to be generated; the same workload, configuration and model give the same run.
"""

from __future__ import annotations

import heapq
import math
from collections import deque
from collections.abc import Callable, Hashable
from dataclasses import replace
from typing import TextIO, cast

from lineclear.config import Config
from lineclear.journal.file import JournalFile
from lineclear.monitor.audit import InvariantViolation
from lineclear.monitor.liveness import Stalled, Watch
from lineclear.monitor.observer import Observer
from lineclear.monitor.repeated_audit import RepeatedAudit
from lineclear.monitor.stall import Stall
from lineclear.oracle import Oracle
from lineclear.plan import Plan, Scheduled
from lineclear.policies import Policy
from lineclear.request import Finished, Rejected, Request
from lineclear.scheduler import Scheduler
from lineclear.simulation.decodes import Decodes
from lineclear.simulation.metrics import Collector
from lineclear.simulation.result import RunResult
from lineclear.simulation.sampler import Sampler, SimulatedRequest
from lineclear.simulation.steptime import SimulatedDevice, StepTime
from lineclear.simulation.stretch import go_on, goes_on
from lineclear.theorems.bounds import sizes_of
from lineclear.theorems.service import Listener
from lineclear.theorems.starvation import steps_of_the_first
from lineclear.workload.prefixes import PromptsSeen, check_prefixes, prompt_names
from lineclear.workload.workload import Arrival, Workload
from lineclear_spec.records import Request as Record

__all__ = ["Simulation"]

#: Actions after which what was computed has to be computed again.
GIVING_UP = frozenset({"recompute", "discard_swapped", "fail_copy"})
STREAMS = {"forward": "compute", "copy_block": "compute", "swap_out": "out", "swap_in": "in"}


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
        seed: of the accepted drafts.
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
        seed: int = 0,
        service: Listener | None = None,
        collector: Collector | None = None,
    ) -> None:
        """Nothing has arrived yet, at 0 seconds."""
        self.workload = workload
        self.config = config
        self.model = model or StepTime()
        self.check_every = check_every
        self.sampler = Sampler(acceptance, seed)
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
        self.collector = collector or Collector()
        self.live: dict[Hashable, SimulatedRequest] = {}
        self.decodes = Decodes(self.live, self.collector)
        self.rejected: list[tuple[str, str]] = []
        self.clipped = workload.clipped
        self.finished = 0
        self.checks = 0
        self._goes_on = goes_on(self)
        self._arrivals = deque(workload.requests)
        self._flights: deque[tuple[Plan, float]] = deque()
        self._copies: list[tuple[float, int]] = []  # (when it is done, number)

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
                stalled = self._why_stalled()
                stall = self.scheduler.stall_report()
        except Stalled as alarm:
            stalled, stall = f"step {self.scheduler.ledger.steps}: {alarm.what}", alarm.report
        except InvariantViolation as violation:
            violations.append(f"step {self.scheduler.ledger.steps}: {violation}")
        self.decodes.put_back_all()
        if self.file is not None:
            self.file.end(self.scheduler.ledger)
        counters, collector = self.scheduler.counters, self.collector
        size = self.config.block_size * self.model.kv_bytes
        return RunResult(
            workload=self.workload,
            config=self.config,
            policy=self.scheduler.policy_name,
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
            bound=self._bound(),
            failures=tuple(self.scheduler.policy_failures),
            metrics={**collector.report(), **collector.bytes_moved(size), **self._found()},
        )

    def _bound(self) -> int | None:
        """The bound of `slowest` for this workload: that of the guarantee, which `--guarantees` prints."""
        if self.watch.bound() is None:
            return None
        shares = hasattr(self.scheduler.policy, "share")
        return steps_of_the_first(self.config, sizes_of(self.config, self.workload), shares)

    def _found(self) -> dict[str, float | None]:
        """Tokens of prompts that were found in the cache, of those that requests were admitted with."""
        counters, seen = self.scheduler.counters, self.seen
        asked = counters.prefix_queries if self.shares and seen.named else 0
        return {
            "prefix_queried_tokens": asked,
            "prefix_hit_tokens": counters.prefix_hits,
            "prefix_hit_rate": counters.prefix_hits / asked if asked else None,
            "prefix_hit_rate_unbounded": seen.found / seen.asked if asked else None,
            "prefix_evicted_blocks": counters.evicted,
        }

    def _note(self, name: str, arguments: tuple[object, ...]) -> None:
        """Receives every action: the file keeps it, and freed KV is counted."""
        if self.file is not None:
            self.file(name, arguments)
        if self.observer is not None:
            self.observer(name, arguments)
        if name in GIVING_UP:
            record = cast("Record", arguments[0])
            live = self.live[self.scheduler.of[record].name]
            self.decodes.put_back(live)
            self.collector.recomputed_tokens += live.computed
            live.computed = 0

    # ---- one turn of the engine ----------------------------------------------------------------

    def turn(self) -> bool:
        """Takes in what has happened, schedules, waits for the next event; False at the end."""
        self._take_in()
        if self._goes_on and go_on(self):
            return True
        started = False
        if len(self._flights) < self.config.depth:
            plan = self.called.schedule()
            self._start(plan)
            self.watch.scheduled(plan)
            started = plan.step is not None
            self._check()
        if started and len(self._flights) < self.config.depth:
            return True
        if self._flights:
            plan, end = self._flights.popleft()
            self._pass_time(end)
            self._commit(plan)
            self._check()
            return True
        return self._wait()

    def _take_in(self) -> None:
        """Copies that are done and requests that have arrived."""
        done: list[int] = []
        while self._copies and self._copies[0][0] <= self.now:
            done.append(heapq.heappop(self._copies)[1])
        if done:
            self.called.complete(sorted(done))
        while self._arrivals and self._comes(self._arrivals[0]):
            arrival = self._arrivals.popleft()
            if self.workload.users:
                arrival = replace(arrival, arrival_time=self.now)
            self._add(arrival)

    def _comes(self, arrival: Arrival) -> bool:
        """Whether the next request is there: by the clock, or because a user has nothing else."""
        if self.workload.users:
            return len(self.live) < self.workload.users
        return arrival.arrival_time <= self.now

    @property
    def copying(self) -> bool:
        """Whether a copy is under way."""
        return bool(self._copies)

    @property
    def next_arrival(self) -> float:
        """When somebody arrives; never for users who wait for an answer first."""
        if self.workload.users or not self._arrivals:
            return math.inf
        return self._arrivals[0].arrival_time

    def went_on(
        self, rows: tuple[Scheduled, ...], moments: list[float], contexts: list[int]
    ) -> None:
        """Steps computed one token of each row and were committed.

        Args:
            rows: all that is live.
            moments: when the first began, and when each ended.
            contexts: positions that GPU blocks had room for in each.
        """
        collector, counters = self.collector, self.scheduler.counters
        steps = len(contexts)
        collector.count_decodes(len(rows), self.decodes.go_on(rows, moments), contexts)
        counters.steps += steps
        counters.batched_tokens += steps * len(rows)
        counters.generated_tokens += steps * len(rows)
        self.now = moments[-1]
        self.device.computed(self.scheduler.ledger.issued, moments)
        self.watch.went_on(steps)

    def _wait(self) -> bool:
        """Nothing is computed: time goes on to the next arrival or the end of a copy."""
        moments: list[float] = []
        if self._arrivals:
            first = self._arrivals[0]
            moments.append(self.now if self._comes(first) else first.arrival_time)
        if self._copies:
            moments.append(self._copies[0][0])
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
        """Submits a request: its prompt and its cap, never its output."""
        cap = max(1, min(arrival.max_tokens, self.config.max_model_len - arrival.prompt_tokens))
        answer = self.called.add(
            Request(
                request_id=arrival.request_id,
                prompt_tokens=arrival.prompt_tokens,
                max_tokens=cap,
                n=arrival.parallel,
                priority=arrival.priority,
                arrival_time=arrival.arrival_time,
                tenant=arrival.client or None,
                predicted_tokens=arrival.predicted_tokens,
                deadline=arrival.deadline,
                prefix_names=prompt_names(arrival, self.config.block_size) if self.shares else (),
            )
        )
        if isinstance(answer, Rejected):
            self.rejected.append((arrival.request_id, answer.reason))
            return
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

    def _why_stalled(self) -> str:
        """Who is left although nothing can happen any more."""
        ledger = self.scheduler.ledger
        return (
            f"nothing can happen any more and {len(self.live)} requests are left: "
            f"{len(ledger.running)} running, {len(ledger.waiting)} waiting, "
            f"{len(ledger.swapped)} swapped, {ledger.gpu.free} of {ledger.gpu.total} blocks free"
        )

    # ---- steps ---------------------------------------------------------------------------------

    def _start(self, plan: Plan) -> None:
        """Hands the plan's operations to the device."""
        collector = self.collector
        for request_id, mode in plan.preempted:
            collector.preempt(request_id, self.now, swap=mode == "swap")
        if self.service is not None:
            self.service.step(plan, self.now)
        seconds = self._account(plan) if plan.step is not None else 0.0
        for operation in plan.operations:
            blocks = len(operation.blocks)
            if operation.kind == "forward":
                took = seconds
            elif operation.kind == "copy_block":
                collector.copied_blocks += blocks
                took = 2 * blocks * self.config.block_size * self.model.per_context
            else:
                took = self.model.copy(blocks, self.config.block_size)
            stream = STREAMS[operation.kind]
            end = self.device.start(operation.number, stream, took, operation.wait, self.now)
            if stream == "compute":
                if operation.kind == "forward":
                    self._flights.append((plan, end))
                continue
            heapq.heappush(self._copies, (end, operation.number))
            if stream == "out":
                collector.swapped_out_blocks += blocks
            else:
                collector.swapped_in_blocks += blocks

    def _account(self, plan: Plan) -> float:
        """Counts what the step computes; its seconds."""
        collector = self.collector
        groups = plan.scheduled_seq_groups
        pairs = 0
        filled, others = self.decodes.schedule(groups.second)
        for row in (*groups.first, *others):
            live = self.live[row.request_id]
            self.decodes.put_back(live)
            collector.schedule(row.request_id, self.now)
            if self.shares and row.start and not live.computed:
                live.computed = row.start  # found in the cache, after a recompute too
                if collector.times[row.request_id].preemptions:
                    collector.recomputed_tokens -= row.start
            live.computed += row.tokens
            filled += live.computed
            if row.prefill and row.start is not None:
                pairs += row.tokens * row.start + row.tokens * (row.tokens + 1) // 2
        ledger = self.scheduler.ledger
        named = ledger.gpu.total - ledger.gpu.free - len(ledger.resting)
        context = named * self.config.block_size
        collector.held_slots += context
        collector.filled_slots += min(
            filled, context
        )  # branches that share a block count it twice
        collector.steps += 1
        collector.batched_tokens += plan.num_batched_tokens
        collector.batched_sequences += len(groups)
        return self.model.step(plan.num_batched_tokens, len(groups), context, pairs)

    def _commit(self, plan: Plan) -> None:
        """Samples for everybody whom the step sampled for, and lets end who has generated all."""
        sampled: list[int | list[list[int]]] = [0] * len(plan.sampling)
        dropped = set(self.scheduler.dropped(plan))
        stopped, others = self.decodes.sample(plan, dropped, self.now)
        for position in others:
            row = plan.sampling[position]
            live = self.live.get(row.request_id)
            if live is None:
                continue  # it ended while the step was in flight
            self.decodes.put_back(live)
            if position in dropped or live.done(row.branch):
                continue  # it lost its KV, or its branch has ended
            lengths = self.sampler.lengths(live, row)
            if lengths != [1]:
                sampled[position] = [[0] * length for length in lengths]
            self.collector.tokens(row.request_id, live.fresh, self.now)
            if live.done(row.branch) and live.generated[row.branch] < live.cap:
                stopped.append(position)
        for finished in self.called.commit(plan, sampled, sorted(stopped)):
            self._end(finished)
        self.watch.committed()
