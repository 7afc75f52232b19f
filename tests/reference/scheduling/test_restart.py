"""A request whose KV was lost in a step that failed: it waits at its place, with its tokens."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

import pytest
from device_orders import order_named
from drive import Drive, rows, small

from lineclear.monitor.audit import audit
from lineclear.monitor.hazards import Hazards
from lineclear.monitor.observer import Observer
from lineclear.policies.tenants import TenantPolicy
from lineclear.request import Request
from lineclear.scheduler import Scheduler
from lineclear.testing.bench import Bench, BenchRequest
from lineclear.testing.device import Device


def test_it_keeps_its_tokens_and_its_place_and_frees_its_blocks() -> None:
    drive = Drive(num_gpu_blocks=16)
    for name in "abc":
        drive.add(name, 6, 9)
    drive.step()
    drive.step()
    number = drive.scheduler.entries["a"].number
    plan = drive.schedule()
    assert drive.scheduler.restart("a")
    assert drive.scheduler.dropped(plan) == [0]
    assert (drive.phase("a"), drive.known("a"), drive.blocks("a")) == ("WAITING", [8], 0)
    assert drive.scheduler.entries["a"].number == number
    drive.commit(plan)
    assert drive.known("a") == [8]
    drive.add("d", 1, 2)
    assert next(iter(rows(drive.schedule()))) == "a"  # before d, which came later
    assert drive.scheduler.counters.restarted == 1
    assert not drive.scheduler.restart("unknown")


def test_its_outputs_count_from_the_callers_prompt() -> None:
    drive = Drive()
    drive.add("a", 6, 9)
    for _ in range(3):
        drive.step()
    drive.scheduler.restart("a")
    assert drive.scheduler.entries["a"].user.prompt_tokens == 6
    assert drive.scheduler.entries["a"].view(drive.ledger).generated == 3
    assert drive.run()["a"].outputs[0].generated_tokens == 9


def test_a_group_begins_again_behind_its_prompt() -> None:
    drive = Drive(num_gpu_blocks=16)
    drive.add("a", 6, 9, n=2)
    drive.step({"a": [[0], [0]]})
    drive.step()
    drive.scheduler.restart("a")
    audit(drive.scheduler)
    assert drive.known("a") == [6]
    drive.step({"a": [[0], [0]]})
    assert drive.known("a") == [7, 7]
    drive.run()
    assert [o.generated_tokens for o in drive.finished["a"].outputs] == [9, 9]


@pytest.mark.parametrize("phase", ["WAITING", "RUNNING", "SWAPPED"])
def test_it_may_be_in_any_phase_and_passes_no_admission(phase: str) -> None:
    drive = Drive(num_gpu_blocks=5, preemption_mode="swap", max_waiting=1)
    drive.add("b", 6, 12)
    drive.step()
    drive.add("a", 7, 12)
    if phase != "WAITING":
        drive.until(lambda _: drive.phase("a") == phase)
    drive.scheduler.drain()
    assert drive.scheduler.restart("a")
    audit(drive.scheduler)
    assert drive.phase("a") == "WAITING"
    assert drive.run()["a"].outputs[0].generated_tokens == 12


class Recording(TenantPolicy):
    """Serves tenants by name, and notes what it hears."""

    name = "recording"

    def __init__(self) -> None:
        super().__init__()
        self.heard: list[tuple[str, Any]] = []

    def first(self, step: int) -> Any:
        return min(self.waiting)

    waiting: set[Any]

    def backlogged(self, tenant: Any, step: int) -> None:
        self.waiting = {*getattr(self, "waiting", ()), tenant}
        self.heard.append(("backlogged", tenant))

    def idle(self, tenant: Any, step: int) -> None:
        self.waiting.discard(tenant)
        self.heard.append(("idle", tenant))

    def admitted(self, tenant: Any, tokens: int, step: int) -> None:
        self.heard.append(("admitted", tenant))

    def sampled(self, tenant: Any, tokens: int, step: int) -> None:
        self.heard.append(("sampled", tenant))

    def decode_batch_changed(self, tenant: Any, change: int, step: int) -> None:
        pass


def test_its_tenant_is_not_charged_for_the_prompt_again() -> None:
    policy = Recording()
    drive = Drive(policy)
    request = Request(request_id="a", prompt_tokens=6, max_tokens=9, tenant="t")
    drive.scheduler.add(request)
    drive.step()
    drive.scheduler.restart("a")
    drive.run()
    assert drive.scheduler.policy_failures == []
    assert Counter(policy.heard)["admitted", "t"] == 1
    assert drive.scheduler.entries == {}


def drive_at_random(seed: int, counts: Counter[str]) -> None:
    """Users, copies that fail and restarts, in any order; the bench knows what must come of it."""
    draw = random.Random(seed)
    config = small(
        num_gpu_blocks=9,
        num_cpu_blocks=draw.choice((0, 8, 8)),
        max_num_batched_tokens=24,
        preemption_mode=draw.choice(("swap", "swap", "recompute")),
        scheduling_policy=draw.choice(("fcfs", "priority")),
        max_steps_in_flight=draw.choice((1, 2)),
        max_waiting=draw.choice((None, 4)),
    )
    scheduler = Scheduler(config)
    ledger = scheduler.ledger
    observer = Observer(ledger)
    ledger.journal = observer
    device = Device(config.block_size, order_named("random", seed), Hazards())
    bench = Bench(scheduler, device)
    made = 0
    for _ in range(80):
        action = draw.choice(("add", "add", "restart", "step", "step", "step", "report", "abort"))
        names = list(bench.live)
        if action == "add":
            made += 1
            sizes = draw.randint(1, 12), draw.randint(2, 14), draw.choice((1, 1, 2, 3))
            prompt, most, n = sizes
            bench.add(
                Request(
                    request_id=made,
                    prompt_tokens=prompt,
                    max_tokens=most,
                    n=n,
                    priority=draw.randint(0, 2),
                )
            )
        elif action == "restart" and names and draw.random() < 0.6:
            swapped = [name for name in names if scheduler.entries[name].record in ledger.swapped]
            restart(bench, draw.choice(swapped or names), counts)
        elif action == "abort" and names and draw.random() < 0.2:
            bench.abort(draw.choice(names))
        elif action == "report":
            for number in device.record.swaps()[:2]:
                failed = draw.random() < 0.3
                bench.report(() if failed else (number,), (number,) if failed else ())
        elif action == "step":
            if len(bench.flights) < config.max_steps_in_flight:
                bench.schedule()
            if bench.flights and draw.random() < 0.7:
                bench.commit()
        audit(scheduler)
        observer.check()
        bench.agree()
    for _ in range(500):
        if not bench.live and not bench.flights:
            break
        bench.report(device.record.swaps())
        if len(bench.flights) < config.max_steps_in_flight:
            bench.schedule()
        if bench.flights:
            bench.commit()
    assert not bench.live
    assert ledger.gpu.free == config.num_gpu_blocks


def restart(bench: Bench, name: Any, counts: Counter[str]) -> None:
    """Of a group only the prompt is kept; whatever the steps in flight sample for it is dropped."""
    live = bench.live[name]
    counts[bench.scheduler.entries[name].record.phase.name] += 1
    counts["in flight"] += any(live in flight.owners for flight in bench.flights)
    tokens = next(iter(live.branches.values())).tokens
    if live.request.n > 1:
        tokens = tokens[: live.request.prompt_tokens]
    assert bench.scheduler.restart(name)
    bench.device.drop(name)
    bench.live[name] = BenchRequest(live.request, {0: bench.device.add(name, tokens)})


def test_a_restart_at_any_time_loses_no_token_and_keeps_every_invariant() -> None:
    counts: Counter[str] = Counter()
    for seed in range(40):
        drive_at_random(seed, counts)
    assert min(counts[name] for name in ("RUNNING", "WAITING", "SWAPPED", "in flight")) >= 10


def test_a_request_that_loses_its_kv_again_and_again_ends() -> None:
    drive = Drive(max_steps_in_flight=2)
    drive.add("a", 5, 6)
    for _ in range(20):
        if "a" not in drive.scheduler.entries:
            break
        first = drive.schedule()
        drive.commit(first)
        drive.scheduler.restart("a")
        audit(drive.scheduler)
    assert drive.finished["a"].outputs[0].generated_tokens == 6
