"""What a caller gave to be called cannot leave the scheduler half changed: its exception comes with the next call."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from named_requests import config

from lineclear.kv_events import CacheEvent
from lineclear.monitor.audit import audit
from lineclear.request import Request, SchedulerError
from lineclear.scheduler import Scheduler


class Gone(Exception):
    """The reader of events is away."""


def run_on(scheduler: Scheduler) -> None:
    """To the end of every request."""
    for _ in range(20):
        plan = scheduler.schedule()
        scheduler.commit(plan, [3] * len(plan.sampling))
        audit(scheduler)
    assert not scheduler.entries


def watched(receive: Callable[[Scheduler, CacheEvent], object]) -> Scheduler:
    """A scheduler with a request whose two named blocks are published by the first commit."""
    scheduler = Scheduler(config(block_size=4))
    scheduler.watch_prefix_cache(lambda event: receive(scheduler, event))
    scheduler.add(Request(request_id="a", prompt_tokens=8, max_tokens=4, prefix_names=[1, 2]))
    return scheduler


def test_a_receiver_of_events_that_raises_is_raised_by_the_next_call_alone() -> None:
    events: list[CacheEvent] = []

    def receive(_scheduler: Scheduler, event: CacheEvent) -> None:
        events.append(event)
        raise Gone

    scheduler = watched(receive)
    plan = scheduler.schedule()
    scheduler.commit(plan, [3])
    with pytest.raises(Gone):
        scheduler.schedule()
    run_on(scheduler)
    assert len(events) == 1


def test_a_receiver_may_not_call_the_scheduler() -> None:
    refused: list[str] = []

    def receive(scheduler: Scheduler, _event: CacheEvent) -> None:
        for call in (scheduler.schedule, scheduler.reset_prefix_cache, scheduler.drain):
            with pytest.raises(SchedulerError, match="may not call the scheduler") as error:
                call()
            refused.append(str(error.value))

    scheduler = watched(receive)
    run_on(scheduler)
    assert refused
    assert not scheduler.policy_failures
