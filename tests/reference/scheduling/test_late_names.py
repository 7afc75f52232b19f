"""Names of a prompt that come late are those of the whole request: no branch is left without them."""

from __future__ import annotations

import pytest
from named_requests import config

from lineclear.monitor.audit import InvariantViolation, audit
from lineclear.request import Request, SchedulerError
from lineclear.scheduler import Scheduler
from lineclear_spec import actions
from lineclear_spec.kernel.records import Limits
from lineclear_spec.modelcheck.concrete import breaches
from lineclear_spec.modelcheck.ghosts import GhostLedger


def step(scheduler: Scheduler) -> None:
    plan = scheduler.schedule()
    audit(scheduler)
    scheduler.commit(plan, [3] * len(plan.sampling))


def forked() -> Scheduler:
    """Two branches of a prompt of two blocks, which has no names."""
    scheduler = Scheduler(config(num_gpu_blocks=32, block_size=4, max_model_len=24))
    assert scheduler.add(Request(request_id="a", prompt_tokens=8, max_tokens=12, n=2))
    scheduler.commit(scheduler.schedule(), [[[17], [18]]])
    return scheduler


def test_a_prompt_that_is_named_late_is_named_in_every_branch() -> None:
    scheduler = forked()
    scheduler.name_blocks("a", 0, [5, 6])
    first, second = scheduler.entries["a"].record.members
    assert first.block_names == second.block_names == first.request.prompt_names == (5, 6)
    with pytest.raises(SchedulerError, match="has names for 2 blocks"):
        scheduler.name_blocks("a", 0, [5, 6], branch=1)
    scheduler.pause("recompute")
    scheduler.resume()
    for _ in range(4):
        step(scheduler)


def test_a_prompt_that_grew_by_a_restart_can_be_named() -> None:
    scheduler = Scheduler(config(num_gpu_blocks=32, block_size=4, max_model_len=24))
    scheduler.add(Request(request_id="a", prompt_tokens=4, max_tokens=12, prefix_names=[1]))
    for _ in range(6):
        step(scheduler)
    scheduler.restart("a")
    scheduler.name_blocks("a", 1, [2])
    assert scheduler.entries["a"].record.prompt_names == (1, 2)
    for _ in range(3):
        step(scheduler)


def test_the_audit_asks_for_every_name_of_the_prompt() -> None:
    scheduler = forked()
    audit(scheduler)
    scheduler.entries["a"].record.members[0].block_names = (5,)
    with pytest.raises(InvariantViolation, match="block_names"):
        audit(scheduler)


def test_the_clauses_hold_with_names_that_come_late() -> None:
    ledger = GhostLedger(Limits(block_size=4, gpu_blocks=8))
    request = ledger.new_request(12, 16, 1)
    sequence = actions.submit(ledger, request)
    ledger.name_blocks(sequence, [5])
    ledger.name_blocks(sequence, [6, 7, 8])
    assert request.prompt_names == (5, 6, 7)
    assert not list(breaches(ledger))
