"""The observer is silent on what the table allows, and names what is broken by hand."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Collection
from functools import partial

import pytest

import lineclear.monitor.audit
import lineclear.monitor.observer
from lineclear.config import Config
from lineclear.monitor.audit import InvariantViolation
from lineclear.monitor.observer import Observer
from lineclear.simulation.simulate import Simulation
from lineclear.workload.workload import synthetic
from lineclear_spec.actions import ACTIONS
from lineclear_spec.invariants import INVARIANTS
from lineclear_spec.kernel.ledger import Ledger
from lineclear_spec.kernel.records import Limits, Pool


class World:
    """A ledger, its observer, and a request that was computed, forked and copied."""

    def __init__(self) -> None:
        self.ledger = Ledger(Limits(block_size=4, gpu_blocks=8, cpu_blocks=6, max_num_seqs=8))
        self.observer = Observer(self.ledger)
        self.ledger.journal = self.observer
        self.request = self.ledger.new_request(6, 12, 2)
        self.do("submit", self.request)
        self.do("admit", self.request)
        self.leader = self.request.members[0]
        self.do("schedule_tokens", self.leader, 6, 0)
        self.do("issue_step")
        self.do("commit_step")
        self.do("fork", self.leader, 1)
        self.do("sample", self.leader, 1, 1, 0)
        self.do("copy_on_write", self.request.members[1])
        self.observer.check()

    def do(self, name: str, *arguments: object) -> None:
        ACTIONS[name].body(self.ledger, *arguments)
        self.observer(name, arguments)

    def swap_out(self) -> None:
        self.do("dispatch_copies")
        self.do("swap_out", self.request)
        self.do("dispatch_copies")


def broken(invariant: str, what: Callable[[], object]) -> None:
    with pytest.raises(InvariantViolation) as caught:
        what()
    assert caught.value.invariant == invariant


def test_positions_without_kv_are_noticed() -> None:
    world = World()
    world.leader.own_dispatched += 1
    broken("holds", world.observer.check)


def test_kv_that_a_recompute_gave_up_is_gone() -> None:
    world = World()
    computed = world.leader.own_dispatched
    world.do("recompute", world.request)
    world.observer.check()
    world.leader.own_dispatched = computed
    broken("holds", world.observer.check)


@pytest.mark.parametrize("lost", ["grown", "whole"])
def test_a_table_that_no_plan_sends_is_noticed(lost: str) -> None:
    world = World()
    child = world.request.members[1]
    world.do("append_slots", child, 1)
    world.do("schedule_tokens", child, 1, 0)
    if lost == "grown":  # the copy on write was sent whole, and what comes after it is not
        world.do("issue_step")
        world.do("commit_step")
        world.do("append_slots", world.leader, 3)
        world.do("schedule_tokens", world.leader, 1, 0)
    getattr(world.ledger, lost).clear()
    broken("sent", lambda: world.do("issue_step"))


def test_drafts_without_a_promise_are_noticed() -> None:
    world = World()
    world.leader.drafts = 1
    broken("drafts", world.observer.check)


def test_a_swap_is_ordered_and_waited_for() -> None:
    world = World()
    world.swap_out()
    world.observer.check()
    world.do("complete_copy", 2)
    world.do("complete_copy", 3)
    world.do("swap_in", world.request)
    world.observer.check()


def test_a_copy_that_no_step_waits_for_is_noticed() -> None:
    world = World()
    world.swap_out()
    world.request.open_swap = 0
    broken("attributed", world.observer.check)


def test_a_place_that_was_given_up_without_a_fence_is_noticed() -> None:
    world = World()
    world.swap_out()
    world.ledger.gpu.last_use = [0] * 8
    broken("fence", world.observer.check)


def test_a_cpu_block_whose_reader_waits_too_little_is_noticed() -> None:
    world = World()
    world.swap_out()
    world.request.last_swap = 0
    broken("fence", world.observer.check)


def test_a_swap_that_waits_for_nothing_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World()
    monkeypatch.setattr(Ledger, "order", unordered)
    world.do("dispatch_copies")
    broken("ordered", lambda: world.do("swap_out", world.request))


def test_a_request_ends_once_and_empty() -> None:
    world = World()
    world.do("abort", world.request)
    world.observer.check()
    broken("once", lambda: world.observer("finish", (world.request,)))
    world = World()
    broken("once", lambda: world.observer("finish", (world.request,)))


def test_a_step_beyond_its_budget_is_noticed() -> None:
    for tokens, sequences in ((1 << 31, 1), (9, 9), (0, 0)):
        world = World()
        world.observer.building = [tokens, sequences]
        broken("budget", partial(world.observer, "issue_step", ()))


@pytest.mark.parametrize(("prompt", "limit", "parallel"), [(30, 40, 1), (4, 12, 5), (4, 8, 9)])
def test_a_request_that_never_fits_is_noticed(prompt: int, limit: int, parallel: int) -> None:
    world = World()
    request = world.ledger.new_request(prompt, limit, parallel)
    broken("fits", lambda: world.observer("submit", (request,)))


def unordered(ledger: Ledger, number: int, wait: int) -> None:
    """Instead of `Ledger.order`: no operation waits."""


def run(mode: str, depth: int = 2) -> str:
    config = Config(
        num_gpu_blocks=256, num_cpu_blocks=64, max_model_len=2048, preemption_mode=mode,
        max_steps_in_flight=depth,
    )  # fmt: skip
    return "".join(Simulation(synthetic(60, 40.0, 3), config).run().violations)


def test_a_scheduler_without_waits_or_fences_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    assert run("swap") == ""
    put = Pool.put

    def forgetful(pool: Pool, block_ids: Collection[int], last_use: int) -> None:
        put(pool, block_ids, 0)

    with monkeypatch.context() as patch:
        patch.setattr(Pool, "put", forgetful)
        assert "ordered: " in run("swap") or "fence: " in run("swap")
    with monkeypatch.context() as patch:
        patch.setattr(Ledger, "order", unordered)
        assert "ordered: " in run("swap")


def test_audit_and_observer_together_judge_every_invariant() -> None:
    judged: set[str] = set()
    for module in (lineclear.monitor.audit, lineclear.monitor.observer):
        judged.update(re.findall(r'Violation\(\s*"(\w+)"', inspect.getsource(module)))
    assert judged == set(INVARIANTS) | {"holds"}
