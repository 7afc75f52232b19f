"""Alarms: none while the scheduler is whole, one for each way in which it is broken."""

from __future__ import annotations

import random
import sys
from dataclasses import replace
from types import ModuleType
from typing import Any

import pytest
from drive import small
from faulty import ANY_FIT, TAIL_REQUEUE

import lineclear.scheduling.room as room_module
from lineclear.cli.summary import summary
from lineclear.config import PRESETS, Config
from lineclear.monitor.liveness import Stalled, Watch
from lineclear.monitor.relief import CANNOT_HELP
from lineclear.plan import Plan
from lineclear.policies import BUILT_IN
from lineclear.request import Request
from lineclear.scheduler import Scheduler
from lineclear.scheduling.sequence_demand import SequenceDemand
from lineclear.scheduling.step import Step
from lineclear.simulation.result import RunResult
from lineclear.simulation.simulate import Simulation
from lineclear.workload.workload import Arrival, Workload


def request(name: Any, prompt: int, most: int, **rest: Any) -> Request:
    return Request(request_id=name, prompt_tokens=prompt, max_tokens=most, **rest)


def never_waived(watermark: int, running: int) -> int:
    """The watermark is kept even if no request runs."""
    return watermark


class Engine:
    """A scheduler under watch; each copy takes a step or two, and tokens come at random."""

    def __init__(self, config: Config, seed: int | None = 0) -> None:
        self.steady = seed is None  # each step is committed at once, and no copy is late
        self.scheduler = Scheduler(config)
        self.watch = Watch(self.scheduler)
        self.random = random.Random(seed or 0)
        self.flights: list[Plan] = []
        self.copies: list[int] = []
        self.names = 0
        self.finished: list[Any] = []

    def draw(self) -> float:
        return 0.4 if self.steady else self.random.random()

    def turns(self, count: int) -> None:
        for _ in range(count):
            self.turn()

    def add(self, prompt: int, most: int, **rest: Any) -> None:
        self.names += 1
        if self.scheduler.add(request(self.names, prompt, most, **rest)):
            self.watch.added(self.names)

    def turn(self, forks: bool = True) -> None:
        """One call of `schedule`, with whatever the environment answers."""
        scheduler = self.scheduler
        plan = scheduler.schedule()
        self.watch.scheduled(plan)
        swaps = [o.number for o in plan.operations if o.kind in ("swap_in", "swap_out")]
        self.copies += swaps
        if plan.step is not None:
            self.flights.append(plan)
        full = len(self.flights) >= scheduler.config.max_steps_in_flight
        if self.flights and (full or self.draw() < 0.5 or plan.step is None):
            self._commit(self.flights.pop(0), forks)
        if self.copies and (plan.step is None or self.draw() < 0.6):
            open_ones = [number for number in self.copies if number in scheduler.ledger.operations]
            scheduler.complete(open_ones)
            self.copies.clear()

    def _commit(self, plan: Plan, forks: bool) -> None:
        scheduler, sampled = self.scheduler, list[Any]()
        for row in plan.sampling:
            entry = scheduler.entries.get(row.request_id)
            wide = entry is not None and entry.n > 1 and entry.branches_made == 1
            sampled.append([[0]] * (entry.n if entry and wide and forks else 1))
        dropped = set(scheduler.dropped(plan))
        sampled = [[[0]] if k in dropped else one for k, one in enumerate(sampled)]
        stops = [k for k in range(len(sampled)) if self.draw() < 0.02]
        self.finished += scheduler.commit(plan, sampled, stops)
        self.watch.committed()


def pressed(number: int, seed: int) -> Config:
    """Small pools, and any policy, victim, mode and depth."""
    draw = random.Random(seed * 1000 + number)
    return Config(
        num_gpu_blocks=draw.choice((12, 16, 24)),
        num_cpu_blocks=draw.choice((0, 6, 24)),
        block_size=draw.choice((1, 2, 4)),
        max_num_seqs=draw.choice((4, 6)),
        max_num_batched_tokens=draw.choice((12, 24)),
        max_model_len=32,
        enable_chunked_prefill=draw.random() < 0.7,
        watermark=draw.choice((0.0, 0.2)),
        scheduling_policy=draw.choice(("fcfs", "priority", *BUILT_IN)),
        preemption_mode=draw.choice(("swap", "recompute", "by_length", "auto")),
        swap_threshold=8,
        victim=draw.choice(("last", "lowest_priority", "longest", "newest")),
        max_steps_in_flight=draw.choice((1, 2)),
        max_bypasses=draw.choice((0, 0, 2)),
    )


def under_pressure(steps: int, seed: int) -> tuple[int, int]:
    """So many calls of `schedule` in many configurations; preemptions, and requests finished."""
    preemptions = finished = calls = number = 0
    while calls < steps:
        number += 1
        engine = Engine(pressed(number, seed), seed)
        draw = random.Random(seed + number)
        for _ in range(500):
            while len(engine.scheduler.entries) < 10 and draw.random() < 0.6:
                prompt, most = draw.randint(1, 9), draw.randint(1, 12)
                wide = draw.choice((1, 1, 1, 3))
                engine.add(
                    prompt,
                    most,
                    n=wide,
                    priority=draw.randint(0, 2),
                    arrival_time=engine.watch.calls / 10,
                    tenant=draw.choice("abc"),
                    predicted_tokens=draw.choice((None, 3, 9)),
                    deadline=draw.choice((None, engine.watch.calls / 10 + 20)),
                )
            if engine.scheduler.entries and draw.random() < 0.01:
                engine.scheduler.abort(draw.choice(list(engine.scheduler.entries)))
            engine.turn()
        calls += engine.watch.calls
        assert engine.scheduler.counters.preempted_alone == 0
        bound = engine.watch.bound()
        assert bound is None or engine.watch.slowest <= bound
        preemptions += sum(engine.scheduler.counters.preemptions.values())
        finished += len(engine.finished)
    return preemptions, finished


def test_no_false_alarm_in_ten_thousand_steps_under_pressure() -> None:
    preemptions, finished = under_pressure(10_000, seed=1)
    assert preemptions > 800
    assert finished > 800


@pytest.mark.deep
def test_no_false_alarm_in_a_hundred_thousand_steps_under_pressure() -> None:
    preemptions, finished = under_pressure(100_000, seed=2)
    assert preemptions > 10_000
    assert finished > 10_000


# ---- broken schedulers -------------------------------------------------------------------------


def test_a_watermark_that_is_never_waived_is_an_alarm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room_module, "kept_free", never_waived)
    engine = Engine(small(watermark=0.5))
    engine.add(20, 2)
    with pytest.raises(Stalled, match="nothing moves") as alarm:
        engine.turns(20)
    (held,) = alarm.value.report.held
    assert (held.guard, held.figures["free"], held.figures["watermark"]) == ("blocks", 8, 4)
    assert "1 requests are live" in alarm.value.text()


def endless(
    config: Config,
    first: tuple[int, int],
    then: tuple[int, int],
    every: int,
    rules: str = "lineclear",
) -> Engine:
    """One request, and then one of another size every so many steps, for 400 steps."""
    engine = Engine(replace(config, rules=rules), seed=None)
    engine.add(*first)
    for k in range(400):
        if k % every == 0 and len(engine.scheduler.entries) < config.max_num_seqs + 3:
            engine.add(*then)
        engine.turn()
    return engine


def tiny(**changes: Any) -> Config:
    """Blocks of one token, and no CPU pool."""
    return small(block_size=1, num_cpu_blocks=0, victim="newest", **changes)


SKIPPED = (
    tiny(num_gpu_blocks=7, max_num_seqs=2, max_num_batched_tokens=6, pause_after_preemption=False),
    (1, 4),
    (2, 4),
    1,
)


def test_any_fit_skipping_is_an_alarm() -> None:
    """A request that was preempted never fits again, while smaller ones keep coming."""
    with pytest.raises(Stalled, match="2 does not advance: it is the first") as alarm:
        endless(*SKIPPED, rules=ANY_FIT)
    held = {one.request_id: one for one in alarm.value.report.held}
    assert held[2].guard in ("blocks", "seats")
    assert alarm.value.text().count("\n") > 2


def test_a_run_beyond_the_bound_of_the_theorem_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = endless(*SKIPPED).watch
    # W = 7 by the pool, of which a step deals 6 - 1, X = 5, of which 6 // 4; 4 tokens are generated.
    assert whole.bound() == 7 // 5 + 5 // 1 + 2 * 4 == 14
    assert 0 < whole.slowest <= 14
    monkeypatch.setattr(Watch, "_alarm", lambda self, what: None)  # pyright: ignore
    assert endless(*SKIPPED, rules=ANY_FIT).watch.slowest > 14


def test_no_bound_is_reported_where_no_theorem_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("own_steps_for_tests")
    vars(module)["Own"] = type("Own", (Step,), {})
    monkeypatch.setitem(sys.modules, module.__name__, module)
    for changes in ({"max_bypasses": 1}, {"swapped_first": True}, {"scheduling_policy": "mlfq"}):
        assert Engine(small(**changes)).watch.bound() is None
    own = Config(rules="own_steps_for_tests:Own")
    for config in (PRESETS["nano_vllm"], own):
        watch = Engine(config).watch
        assert (watch.bound(), watch.token_bound()) == (None, None)


SENT_BACK = (tiny(num_gpu_blocks=5, max_num_seqs=4, max_num_batched_tokens=4), (3, 3), (2, 3), 2)


def test_going_back_to_the_tail_is_an_alarm() -> None:
    with pytest.raises(Stalled, match="does not advance: it is the first"):
        endless(*SENT_BACK, rules=TAIL_REQUEUE)


@pytest.mark.parametrize("workload", [SKIPPED, SENT_BACK])
def test_the_same_workloads_are_no_alarm_without_the_fault(workload: Any) -> None:
    engine = endless(*workload)
    assert engine.watch.longest < 20
    assert len(engine.finished) > 50


def test_prompts_that_are_begun_again_and_again_are_an_alarm(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A victim is chosen in every step, before its prompt of three steps is computed."""
    real = Step._make_room  # pyright: ignore[reportPrivateUsage]

    def restless(self: Step, demands: list[SequenceDemand]) -> list[SequenceDemand]:
        for demand in demands:
            if not demand.decode and demand.entry.preemptions < 10_000:  # in every step
                self.transitions.preempt(demand.entry)
        return real(self, [demand for demand in demands if demand.decode])

    monkeypatch.setattr(Step, "_make_room", restless)
    engine = Engine(small(max_num_batched_tokens=8, max_num_seqs=2))
    engine.add(24, 2)
    with pytest.raises(Stalled, match="no request advances: no request learned a token"):
        engine.turns(400)


def test_a_step_that_is_never_committed_is_no_alarm() -> None:
    engine = Engine(small(max_steps_in_flight=2))
    engine.add(8, 8, n=2)
    for _ in range(20):
        engine.watch.scheduled(engine.scheduler.schedule())
    (held,) = engine.scheduler.stall_report().held
    assert (held.phase, held.guard) == ("running", "commit")
    assert engine.watch.idle == 0


def test_a_copy_that_is_never_reported_is_no_alarm() -> None:
    engine = Engine(small(preemption_mode="swap"), seed=None)
    engine.add(8, 8)
    engine.turn()
    scheduler = engine.scheduler
    scheduler.transitions.preempt(scheduler.entries[1])
    for _ in range(20):
        engine.watch.scheduled(scheduler.schedule())
    report = scheduler.stall_report()
    (number,) = report.open_copies
    assert [(one.guard, one.figures) for one in report.held] == [
        ("open_copy", {"operation": number})
    ]
    assert (report.holders[0].cpu_blocks, report.holders[0].gpu_blocks) == (2, 0)
    scheduler.complete([number])
    assert scheduler.stall_report().held[0].guard == "none"
    assert scheduler.schedule().step is not None


@pytest.mark.parametrize("mode", ["keep", "wait", "recompute"])
def test_a_pause_is_no_alarm(mode: str) -> None:
    engine = Engine(small(), seed=None)
    engine.add(8, 8)
    engine.turn()
    engine.scheduler.pause(mode)
    engine.add(8, 2)
    engine.turns(30)
    assert engine.watch.idle == 0
    held = engine.scheduler.stall_report().held
    assert {one.waiting for one in held if one.guard == "paused"} == {CANNOT_HELP}
    engine.scheduler.resume()
    engine.turns(20)
    assert not engine.scheduler.entries


def test_a_hold_that_lasts_is_no_alarm_while_no_request_runs() -> None:
    engine = Engine(small(num_gpu_blocks=4, prefix_caching="prompt"), seed=None)
    engine.add(8, 1, prefix_names=(1, 2))
    engine.turn()
    assert engine.scheduler.hold(1) is not None
    engine.add(13, 3)
    engine.turns(20)
    assert engine.watch.idle == 0
    assert engine.scheduler.stall_report().held[0].guard == "blocks"
    engine.scheduler.let_go(1)
    engine.turns(6)
    assert not engine.scheduler.entries


def simulated(workload: Any, config: Config) -> RunResult:
    rows = [Arrival(str(k), *row) for k, row in enumerate(workload)]
    return Simulation(Workload("test", "test", tuple(rows)), config, check_every=0).run()


def test_a_stall_ends_a_simulation_with_a_report(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room_module, "kept_free", never_waived)
    rows = [(0.0, 20, (2,), 2), *[(float(k), 20, (2,), 2) for k in range(10)]]
    result = simulated(rows, small(watermark=0.5))
    assert "nothing moves" in result.stalled
    assert result.finished == 0
    content = result.json()
    assert content["stalled"] == result.stalled
    assert [one["guard"] for one in content["stall"]["held"][:2]] == ["blocks", "head_of_line"]
    assert "0 (waiting) blocks: the pool lacks blocks" in summary(result)


def test_a_run_without_a_stall_reports_none() -> None:
    result = simulated([(0.0, 20, (2,), 2)], small())
    assert (result.stalled, result.stall, result.json()["stall"]) == ("", None, None)


@pytest.mark.parametrize(
    ("preset", "requests", "changes", "guard"),
    [
        (
            "vllm_v0",
            ((1583, 18), (16, 4)),
            {"num_gpu_blocks": 100, "num_cpu_blocks": 200},
            "rules",
        ),
        (
            "vllm_v0_chunked",
            ((20, 28), (44, 5)),
            {
                "num_gpu_blocks": 16,
                "num_cpu_blocks": 40,
                "block_size": 4,
                "max_num_seqs": 8,
                "max_num_batched_tokens": 16,
            },
            "rules",
        ),
    ],
)
def test_presets_that_lack_a_rule_of_progress_are_an_alarm(
    preset: str, requests: Any, changes: dict[str, Any], guard: str
) -> None:
    """What the real system was seen to do: a swapped request never comes back."""
    engine = Engine(replace(PRESETS[preset], preemption_mode="swap", **changes), seed=None)
    for prompt, most in requests:
        engine.add(prompt, most)
        engine.turn()
    with pytest.raises(Stalled, match="nothing moves") as alarm:
        engine.turns(400)
    held = alarm.value.report.held
    assert held[0].phase == "swapped"
    assert held[0].guard == guard
