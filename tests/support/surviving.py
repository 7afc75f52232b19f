"""A whole run under a hostile policy, audited after every call.

Guarantees: from a failure of the policy on, a twin runs beside it that was always first come, first
served; the two must not differ. What is lost, or never ends, is an assertion that fails.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

from hostile import Stop

from lineclear.config import Config
from lineclear.monitor.audit import audit
from lineclear.monitor.observer import Observer
from lineclear.policies import FirstComeFirstServed
from lineclear.request import Request
from lineclear.scheduler import Scheduler
from lineclear.scheduling.queues import RunningOrder, WaitingQueue

CONFIG = Config(
    num_gpu_blocks=9,
    num_cpu_blocks=5,
    block_size=4,
    max_num_seqs=4,
    max_num_batched_tokens=16,
    max_model_len=32,
    watermark=0.0,
    preemption_mode="by_length",
    swap_threshold=8,
)


class Journal:
    """The last actions, without the ids that two schedulers do not share, and an observer."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.observer: Observer | None = None

    def __call__(self, name: str, arguments: tuple[Any, ...]) -> None:
        self.names.append(name)
        if self.observer is not None:
            self.observer(name, arguments)


class Run:
    """One scheduler, requests that ask for too much, every invariant after every call."""

    def __init__(self, config: Config, policy: Any) -> None:
        self.journal = Journal()
        self.scheduler = Scheduler(config, policy, journal=self.journal)
        self.journal.observer = Observer(self.scheduler.ledger)
        policy.scheduler = self.scheduler
        self.flights: list[Any] = []
        self.accepted: list[int] = []
        self.finished: list[Any] = []
        self.twin: Run | None = None
        self.results: list[Any] = []  # what this run's calls gave since it has a twin
        self.stops = 0

    def check(self) -> None:
        audit(self.scheduler)
        if self.journal.observer is not None:
            self.journal.observer.check()

    def again(self, call: Callable[..., Any], *arguments: Any) -> Any:
        """A call, repeated once if it was interrupted and went on all the same."""
        try:
            return call(*arguments)
        except Stop:
            self.stops += 1
            self.check()
            return call(*arguments)

    def add(self, number: int) -> None:
        answer = self.again(self.scheduler.add, asked(number))
        assert answer
        self.accepted.append(number)
        self.check()

    def step(self) -> None:
        """One call of `schedule`; the oldest step is committed if as many as may be are in flight."""
        scheduler = self.scheduler
        plan = self.again(scheduler.schedule)
        self.check()
        if plan.step is not None:
            self.flights.append(plan)
        copies = [o.number for o in plan.operations if o.kind.startswith("swap")]
        self.again(scheduler.complete, copies)
        self.check()
        rows = [(r.request_id, r.branch, r.tokens, r.start) for r in plan.scheduled_seq_groups]
        finished: list[Any] = []
        if self.flights and (
            plan.step is None or len(self.flights) == scheduler.config.max_steps_in_flight
        ):
            oldest = self.flights.pop(0)
            finished = self.again(scheduler.commit, oldest, [7] * len(oldest.sampling))
            self.finished += finished
            self.check()
        self.results.append((rows, plan.preempted, tuple(f.request_id for f in finished)))


def asked(number: int) -> Request:
    return Request(
        request_id=number,
        prompt_tokens=1 + 5 * number % 11,
        max_tokens=4 + number % 7,
        priority=number * 7 % 3,
        tenant=f"t{number % 3}",
    )


def plain_twin(run: Run) -> Run:
    """A copy of the run whose scheduler never had another policy than first come, first served.

    The two orders are made from scratch, of arrival numbers; nothing that handles a failure is used.
    """
    policy, journal = run.scheduler.policy, run.journal
    memo: dict[int, Any] = {id(policy): FirstComeFirstServed(), id(journal): Journal()}
    twin = copy.deepcopy(run, memo)
    scheduler = twin.scheduler
    adapter, live = scheduler.adapter, scheduler.live
    adapter.failures = []
    adapter.ranks = adapter.closes = adapter.shares = False
    live.running, running = RunningOrder(), list(live.running.entries.values())
    live.waiting, queued = WaitingQueue(scheduler.config.swapped_first), list(live.waiting)
    adapter.widths = {"key": 1}
    for entry in scheduler.entries.values():
        entry.order = entry.rank = (0, entry.number)
        entry.cell, entry.queued = None, False
    for entry in running:
        live.running.add(entry)
    for entry in queued:
        live.waiting.push(entry)
    twin.results = []
    run.results = []
    return twin


def survive(config: Config, policy: Any, requests: int = 14) -> Run:
    """A whole run; beside a twin from the failure on."""
    run = Run(config, policy)
    twin: Run | None = None
    for turn in range(400):
        runs = [run] if twin is None else [run, twin]
        for one in runs:
            if turn < requests:
                one.add(turn)
            if turn >= 3:
                one.step()
        if twin is None and run.scheduler.policy_failures:
            twin = plain_twin(run)
            audit(twin.scheduler)
        if turn >= requests and not run.scheduler.entries and not run.flights:
            break
    assert not run.scheduler.entries, "something was lost, or never ends"
    assert (
        sorted(f.request_id for f in run.finished) == sorted(run.accepted) == list(range(requests))
    )
    wanted = {n: asked(n).max_tokens for n in range(requests)}
    got = {f.request_id: sum(o.generated_tokens for o in f.outputs) for f in run.finished}
    assert got == wanted
    ledger = run.scheduler.ledger
    assert (ledger.gpu.free, ledger.cpu.free) == (ledger.gpu.total, ledger.cpu.total)
    assert not run.scheduler.of
    assert not run.scheduler.batch.explicit
    if twin is not None:
        assert run.results == twin.results
        assert len(run.scheduler.policy_failures) == 1
    return run
