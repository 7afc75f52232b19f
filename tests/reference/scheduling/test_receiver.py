"""What a caller gave to be called cannot leave the scheduler half changed: its exception comes with the next call."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

import pytest
from named_requests import config

from lineclear.kv_events import CacheEvent
from lineclear.monitor.audit import audit
from lineclear.request import Request, SchedulerError
from lineclear.scheduler import Scheduler
from lineclear.scheduling.eviction import BlockUse


class Gone(Exception):
    """The reader of events is away."""


class Interrupted(BaseException):
    """As KeyboardInterrupt, which would end the tests."""


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


@pytest.mark.parametrize("call", ["reset_prefix_cache", "hold", "name_blocks"])
def test_calls_about_the_cache_raise_it_too(call: str) -> None:
    def receive(_scheduler: Scheduler, _event: CacheEvent) -> None:
        raise Gone

    scheduler = watched(receive)
    scheduler.commit(scheduler.schedule(), [3])
    arguments = {"hold": (1,), "name_blocks": ("a", 2, (3,))}.get(call, ())
    with pytest.raises(Gone):
        getattr(scheduler, call)(*arguments)
    assert set(scheduler.ledger.cached) == {1, 2}
    assert not scheduler.cache.held
    run_on(scheduler)


@pytest.mark.parametrize("calls", ["schedule", "abort_all", "reset_prefix_cache", ""])
def test_a_key_of_blocks_may_not_call_the_scheduler_and_may_be_interrupted(calls: str) -> None:
    def key(_: BlockUse) -> float:
        if not calls:
            raise Interrupted
        with contextlib.suppress(SchedulerError):
            getattr(scheduler, calls)()
        return 0.0

    scheduler = Scheduler(config(num_gpu_blocks=4, block_size=4), eviction=key)
    for number in range(3):
        names = (2 * number + 1, 2 * number + 2)
        scheduler.add(
            Request(request_id=number, prompt_tokens=9, max_tokens=1, prefix_names=names)
        )
        plan = scheduler.schedule()
        if number == 1 and not calls:
            with pytest.raises(Interrupted):
                scheduler.commit(plan, [3])
        scheduler.commit(plan, [3])
        audit(scheduler)
    assert not scheduler.entries
    (failure,) = scheduler.cache.failures
    assert "may not call the scheduler" in failure or "Interrupted" in failure
    assert not scheduler.policy_failures
