"""The search of the real scheduler: each detector fires, the key is right, traces can be replayed."""

from __future__ import annotations

import functools
import io
import os
import subprocess
import sys
from dataclasses import replace
from typing import Any

import pytest
from faulty import BROKEN_WORLDS, Livelocked
from transitions import drive, replay_transitions

from lineclear.config import MODES, VICTIMS
from lineclear.explore.bounds import RequestShape, SearchBounds
from lineclear.explore.cycles import components, walk
from lineclear.explore.findings import unserved
from lineclear.explore.keys import world_key
from lineclear.explore.policy_worlds import OF_POLICIES, OWN_SETTINGS, live_of, of_policy
from lineclear.explore.report import Report, explore, markdown, record, summary, unreached
from lineclear.explore.search import search
from lineclear.explore.small import LONG, SHORT, small
from lineclear.explore.witnesses import NOT_BEHIND
from lineclear.explore.world import World
from lineclear.explore.worlds import ci_worlds, victims
from lineclear.journal.file import replay
from lineclear.plan import Plan
from lineclear.scheduler import Scheduler
from lineclear.scheduling.step import Step
from lineclear_spec.parallel import in_parallel

ONE = SearchBounds("one", small(num_gpu_blocks=2, num_cpu_blocks=2), (RequestShape(1, 2),), live=2)
TWO = SearchBounds("two", small(max_num_batched_tokens=2), (LONG, SHORT))


@functools.cache
def explored(bounds: SearchBounds) -> Report:
    """The search of the scheduler as it is, once for every test that reads its report."""
    return explore(bounds)


# ---- what is found -----------------------------------------------------------------------------


@pytest.mark.parametrize(("threshold", "figures"), [(None, (514, 2323)), (0, (357, 1520))])
def test_the_default_preset_is_exhausted_without_a_finding(
    threshold: int | None, figures: tuple[int, int]
) -> None:
    config = replace(TWO.config, long_prefill_token_threshold=threshold)
    report = explored(replace(TWO, config=config))
    assert (report.graph.states, report.graph.transitions) == figures
    assert report.graph.complete
    assert not report.refuted
    assert report.stuck == report.livelocks == report.starvation == []
    assert {"preempted by swap", "preempted itself", "both pools are full"} <= set(
        report.graph.witnesses
    )


@pytest.mark.parametrize("workers", [1, 2])
def test_a_summary_says_what_the_search_says_wherever_it_is_made(workers: int) -> None:
    worlds = [ONE, TWO]
    reports = list(in_parallel(summary, worlds, workers))
    here = [explored(one) for one in worlds]
    assert [report.as_dict() for report in reports] == [report.as_dict() for report in here]
    assert [report.lines() for report in reports] == [report.lines() for report in here]
    assert markdown(reports, "command") == markdown(here, "command")


def test_a_bound_that_is_reached_is_told() -> None:
    graph = search(SearchBounds("few", TWO.config, TWO.shapes, max_states=50))
    assert not graph.complete
    assert graph.states == 50


class Leaking(Scheduler):
    """Forgets a place whenever a request is aborted."""

    def abort(self, request_id: Any) -> bool:
        ended = super().abort(request_id)
        if ended and self.ledger.gpu.free:
            self.ledger.gpu.free -= 1
        return ended


def test_a_leak_is_found_with_its_trace() -> None:
    report = explore(ONE, Leaking)
    trace, what = report.graph.violations[0]
    assert "work_conservation: blocks: free GPU blocks" in what
    assert trace[-1][0] == "abort"
    assert len(trace) == min(len(t) for t, _ in report.graph.violations) == 2
    assert report.refuted


class Raising(Scheduler):
    """Cannot abort."""

    def abort(self, request_id: Any) -> bool:
        raise KeyError(request_id)


def test_an_exception_is_a_finding() -> None:
    (trace, what) = search(ONE, kind=Raising).violations[0]
    assert what.startswith("KeyError")
    assert trace == (("submit", 0), ("abort", 0))


class Shy(Step):
    """Admits no request while two wait."""

    def _admit_all(self) -> None:
        if len(self.ledger.waiting) < 2:
            super()._admit_all()


class Stuck(Scheduler):
    """Takes steps that are stuck when two requests wait."""

    def __init__(self, *arguments: Any, **rest: Any) -> None:
        super().__init__(*arguments, **rest)
        self._step = Shy


class Silent:
    """Passes calls on and judges nothing, so that what the oracle would stop is searched on."""

    def __init__(self, scheduler: Scheduler) -> None:
        self.scheduler = scheduler
        self.memory = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self.scheduler, name)


@pytest.fixture
def without_oracle(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lineclear.explore.world.Oracle", Silent)


@pytest.mark.usefixtures("without_oracle")
def test_a_stuck_state_is_found_with_its_trace() -> None:
    report = explore(ONE, Stuck)
    assert report.stuck[0].trace == (("submit", 0), ("submit", 0))
    assert report.stuck[0].cycle == (("schedule",),)
    assert report.refuted


@pytest.mark.usefixtures("without_oracle")
def test_a_livelock_is_found_with_its_cycle() -> None:
    config = small(preemption_mode="recompute", num_cpu_blocks=0, max_num_batched_tokens=2)
    report = explore(
        SearchBounds("long prompt", config, (RequestShape(3, 1),), live=1), Livelocked
    )
    first = report.livelocks[0]
    assert "commit" in {move[0] for move in first.cycle}
    world = drive(report.graph.bounds, first.trace, kind=Livelocked)
    before = world_key(world)
    for move in first.cycle:
        world.do(move)
    assert world_key(world) == before


@pytest.mark.parametrize("name", ["broken_tail_requeue", "broken_any_fit"])
def test_a_broken_preset_starves_a_request_and_its_journal_replays(name: str) -> None:
    report = explore(BROKEN_WORLDS[name])
    assert report.graph.complete
    assert report.refuted
    assert any("no guarantee" in line for line in report.lines())
    finding = report.starvation[0]
    world = drive(report.graph.bounds, finding.trace)
    before = world_key(world)
    assert unserved(world, finding.cycle)
    assert world_key(world) == before
    file = io.StringIO()
    record(report.graph.bounds, (*finding.trace, *finding.cycle * 3), file)
    assert replay(file.getvalue().splitlines()).complete


@pytest.mark.parametrize("name", list(BROKEN_WORLDS))
def test_the_same_world_is_sound_with_the_rule_on(name: str) -> None:
    broken = BROKEN_WORLDS[name]
    config = replace(broken.config, rules="lineclear", pause_after_preemption=True)
    sound = SearchBounds("sound", config, broken.shapes, live=3, aborts=False, fails=False)
    report = explore(sound)
    assert report.graph.complete
    assert not report.refuted


def test_the_longest_victim_makes_an_earlier_one_give_way_and_its_journal_replays() -> None:
    report = explored(BROKEN_WORLDS["broken_longest_victim"])
    assert report.graph.complete
    assert report.refuted
    ((trace, what),) = report.graph.violations
    assert what == NOT_BEHIND
    world = drive(report.graph.bounds, trace[:-1])
    order = {entry.request_id: entry.rank for entry in world.live()}
    world.do(trace[-1])
    assert world.plan is not None
    ((victim, mode),) = world.plan.preempted
    (goes_on,) = [row.request_id for row in world.plan.scheduled_seq_groups]
    assert mode == "recompute"
    assert order[victim] < order[goes_on]
    assert world.notes.against == {NOT_BEHIND}
    file = io.StringIO()
    record(report.graph.bounds, trace, file)
    assert replay(file.getvalue().splitlines()).complete


def test_nothing_goes_round_for_all_that() -> None:
    """The table admits whole prompts, so a request that grows learns a token."""
    report = explored(BROKEN_WORLDS["broken_longest_victim"])
    assert report.stuck == report.livelocks == report.starvation == []
    assert "preempted to let an earlier one grow" in report.graph.witnesses


def test_static_priority_starves_as_expected() -> None:
    config = small(scheduling_policy="priority")
    report = explore(
        SearchBounds("priority", config, (LONG, RequestShape(2, 2, priority=1)), aborts=False)
    )
    assert report.starvation
    assert all(finding.expected for finding in report.starvation)
    assert not report.refuted


def test_what_is_never_seen_is_named() -> None:
    report = explored(ONE)
    assert unreached([report], ("admit", "rejoin")) == ["rejoin"]


def test_victim_rules_choose_differently() -> None:
    found = {b.config.victim: search(b).states for b in victims()[4:]}
    assert found == {"last": 354, "lowest_priority": 354, "longest": 380, "newest": 398}


@pytest.mark.parametrize(
    "policy",
    [
        pytest.param(name, marks=[] if name in OWN_SETTINGS else pytest.mark.deep)
        for name in OF_POLICIES
        if name != "fcfs"
    ],
)
def test_no_policy_does_in_its_world_what_fcfs_does(policy: str) -> None:
    bounds = of_policy(policy, "last", "swap", chunked=True, live=live_of(policy))
    first = replace(bounds.config, scheduling_policy="fcfs", policy_options=())
    here, there = search(bounds), search(replace(bounds, config=first))
    assert (here.states, here.transitions) != (there.states, there.transitions)


def test_the_worlds_hold_every_setting_of_the_list() -> None:
    worlds = ci_worlds()
    names = [world.name for world in worlds]
    assert len(set(names)) == len(names) == 128
    configs = [world.config for world in worlds]
    assert {c.victim for c in configs} == set(VICTIMS)
    assert {c.preemption_mode for c in configs} == set(MODES)
    assert {c.max_steps_in_flight for c in configs} == {1, 2}
    assert {c.enable_chunked_prefill for c in configs} == {True, False}
    assert {c.swapped_first for c in configs} == {True, False}


# ---- the key -----------------------------------------------------------------------------------


def unreduced_key(world: World) -> Any:
    """Nothing is renamed: states that differ by names or clocks are different."""
    ledger = world.scheduler.ledger
    return (world_key(world), world.names, ledger.steps, ledger.issued, ledger.done)


def test_the_reduced_search_is_the_unreduced_one_canonised() -> None:
    bounds = SearchBounds(
        "few", small(num_gpu_blocks=2), (RequestShape(1, 2),), live=2, arrivals=2
    )
    reduced: set[Any] = set()
    plain: set[Any] = set()

    def keep(into: set[Any], key: Any) -> Any:
        def kept(world: World) -> Any:
            into.add(world_key(world))
            return key(world)

        return kept

    small_graph = search(bounds, key=keep(reduced, world_key))
    limited = SearchBounds(
        "few", bounds.config, bounds.shapes, live=2, arrivals=2, max_states=4_000
    )
    large_graph = search(limited, key=keep(plain, unreduced_key))
    assert large_graph.states > small_graph.states == len(reduced)
    assert plain == reduced


def test_the_hash_seed_does_not_matter() -> None:
    program = (
        "from lineclear.explore.small import small\n"
        "from lineclear.explore.search import search\n"
        "from lineclear.explore.bounds import SearchBounds, RequestShape\n"
        "g = search(SearchBounds('x', small(num_gpu_blocks=2), (RequestShape(1, 2),)))\n"
        "print(g.states, g.transitions, g.depth, [g.witness(s) for s in sorted(g.witnesses)])"
    )
    output: set[str] = set()
    for seed in ("1", "2"):
        environment = {
            **os.environ,
            "PYTHONHASHSEED": seed,
            "PYTHONPATH": os.pathsep.join(sys.path),
        }
        output.add(
            subprocess.run(
                [sys.executable, "-c", program],
                env=environment, capture_output=True, text=True, check=True,
            ).stdout
        )  # fmt: skip
    assert len(output) == 1
    assert next(iter(output)).split()[0].isdigit()


def test_a_thawed_world_is_the_frozen_one() -> None:
    world = World(TWO)
    for move in (("submit", 0), ("submit", 1), ("schedule",)):
        world.do(move)
    key, frozen = world_key(world), world.freeze()
    assert world_key(world) == key
    world.do(("abort", 0))
    assert world_key(world) != key
    world.thaw(frozen)
    assert world_key(world) == key


# ---- transitions as tests ----------------------------------------------------------------------


def test_every_transition_is_a_case() -> None:
    plans: list[Plan] = []
    assert replay_transitions(ONE, lambda: plans.append) == 225
    assert any(plan.step for plan in plans)


def test_an_executor_that_cannot_is_seen() -> None:
    def refuses(plan: Plan) -> None:
        raise RuntimeError(plan.step)

    with pytest.raises(RuntimeError):
        replay_transitions(ONE, lambda: refuses)


# ---- small parts -------------------------------------------------------------------------------


def test_components_and_walks() -> None:
    graph = {0: [1], 1: [2, 0], 2: [3], 3: [3], 4: []}
    assert sorted(map(sorted, components(graph, graph.__getitem__))) == [[0, 1], [3]]
    assert walk(0, lambda n: n == 3, graph.__getitem__) == [0, 1, 2, 3]
    assert walk(3, lambda n: n == 0, graph.__getitem__) == []


def test_the_page_has_exact_counts() -> None:
    report = explored(ONE)
    page = markdown([report], "lineclear explore")
    assert f"| {report.graph.states} | {report.graph.transitions} |" in page


@pytest.mark.parametrize(
    "wrong", [(), ("attach",), ("name_outputs",), ("step",), ("fits", ("go",)), ("submits", 0)]
)
def test_a_written_move_is_a_move_or_is_refused(wrong: tuple[Any, ...]) -> None:
    world = World(ONE)
    before = world_key(world)
    with pytest.raises(ValueError, match="is no move: `moves` yields"):
        world.do(wrong)
    assert world_key(world) == before
