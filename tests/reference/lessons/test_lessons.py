"""The lesson's examples: what its figures break, and what the scheduler does instead."""

from __future__ import annotations

import json
from functools import cache

import pytest

from lineclear.lessons import LESSONS, Claim, LessonResult, tell
from lineclear.lessons.figures import StateFigures
from lineclear.lessons.run import SceneRun
from lineclear.report.properties import PROPERTIES
from lineclear_spec.invariants import INVARIANTS


@cache
def result_of(name: str) -> LessonResult:
    return tell(LESSONS[name])


def claim(name: str, what: str) -> Claim:
    (found,) = [c for c in result_of(name).claims if c.what.startswith(what)]
    return found


def free_at(run: SceneRun, name: str, tokens: int) -> int:
    (row,) = [row for row in run.rows if row.tokens(name) == tokens]
    return row.gpu_free


def test_the_examples_that_exist() -> None:
    names = "queues outputs budget order five-step fcfs priority fair policy-table why-preemption"
    names += " swap-or-recompute victims decision-tree simulator sjf weighted-fair q3 q4 q5"
    assert list(LESSONS) == names.split()


@pytest.mark.parametrize("name", LESSONS)
def test_every_example_runs_to_its_end_without_a_violation(name: str) -> None:
    for run in result_of(name).runs:
        assert run.violations == ()
        assert set(run.finished) | set(run.rejected) == set(run.names)
        assert run.rows or run.rejected
    assert result_of(name).claims
    assert json.loads(json.dumps(result_of(name).json()))["lesson"] == name
    assert result_of(name).lesson.title in result_of(name).text()


@pytest.mark.parametrize(
    ("name", "broken"),
    [
        ("five-step", {"conservation", "capacity"}),
        ("why-preemption", {"conservation"}),
        ("decision-tree", {"conservation"}),
        ("simulator", {"capacity"}),
        ("fcfs", {"fits", "P4", "P7"}),
        ("priority", {"P4", "P5"}),
        ("fair", {"conservation", "P1", "F8", "queue"}),
        ("swap-or-recompute", {"conservation", "F5", "F7", "P6b"}),
        ("victims", {"F3"}),
        ("sjf", {"P7"}),
        ("weighted-fair", {"capacity", "P12", "queue"}),
        ("queues", set[str]()),
        ("outputs", set[str]()),
        ("budget", {"budget", "capacity", "limit"}),
        ("order", {"P6b"}),
        ("policy-table", set[str]()),
        ("q4", {"P7"}),
        ("q3", set[str]()),
        ("q5", set[str]()),
    ],
)
def test_the_invariants_that_its_figures_break(name: str, broken: set[str]) -> None:
    assert set(result_of(name).broken) == broken
    known = {*INVARIANTS, *PROPERTIES, *(f"F{number}" for number in range(1, 9))}
    assert broken <= known, "each has a name here"


def test_five_steps_take_a_block_at_every_boundary() -> None:
    run = result_of("five-step").runs[0]
    assert [free_at(run, "A", n) for n in (200, 208, 209, 225, 241, 257)] == [7, 7, 6, 5, 4, 3]
    assert claim("five-step", "A's tokens when").found == 209
    assert claim("five-step", "A's blocks at 240").found == 15
    assert claim("five-step", "free blocks then").found == 5
    assert claim("five-step", "preempting A makes room for B and C").found == "no"
    assert claim("five-step", "preempting A makes room for C alone").right
    assert sum(c.right for c in result_of("five-step").claims) == 5


def test_five_steps_by_priority_admit_c_in_the_step_that_preempts_a() -> None:
    run = result_of("five-step").runs[1]
    (row,) = [row for row in run.rows if row.preempted]
    assert row.preempted == {"A": "recompute"}
    assert (row.blocks("C"), row.gpu_free, row.waits("A"), row.waits("B")) == (19, 1, True, True)
    again = next(r for r in run.rows if r.step > row.step and r.blocks("A"))
    assert again.waits("B"), "A goes back by its arrival, before B"
    assert again.tokens("A") == row.tokens("A"), "its tokens were kept"


def test_why_preemption_only_a_alone_makes_room() -> None:
    assert [claim("why-preemption", f"preempting {x}").found for x in "ABC"] == ["yes", "no", "no"]
    longest, last = (
        next(r for r in run.rows if r.preempted) for run in result_of("why-preemption").runs
    )
    assert set(longest.preempted) == {"A"}
    assert set(last.preempted) == {"B", "C"}
    assert longest.blocks("D") == last.blocks("D") == 25


def test_the_decision_tree_spares_b_and_swaps_only_what_fits() -> None:
    small, large = (
        next(r for r in run.rows if r.preempted) for run in result_of("decision-tree").runs
    )
    assert small.preempted == {"A": "recompute"}
    assert large.preempted == {"A": "swap"}
    assert large.cpu_used == 63
    assert small.blocks("B") == 13
    assert small.blocks("D") == 25
    assert claim("decision-tree", "blocks of the pool").found == 110
    assert not claim("decision-tree", "free blocks after").right


def test_the_simulator_ends_in_ten_steps_and_preempts_when_it_must() -> None:
    demo, small, tiny = result_of("simulator").runs
    assert len(demo.rows) == 10
    assert max(row.gpu_used for row in demo.rows) == 17
    assert demo.finished == {"A": 5, "B": 10, "C": 3}
    assert small.preemptions == 1
    assert small.finished == demo.finished
    assert "up to 4 blocks, the pool has 2" in tiny.rejected["A"]


def test_the_questions() -> None:
    strict, passing = result_of("q3").runs
    assert all(not row.blocks("B") for row in strict.rows if row.waits("A"))
    assert any(row.blocks("B") for row in passing.rows if row.waits("A"))
    assert all(c.right for c in (*result_of("q3").claims, *result_of("q5").claims))
    assert result_of("q5").runs[0].rows[0].blocks("R") == 16


def test_figures_are_judged_by_arithmetic() -> None:
    fine = StateFigures("", 10, 7, {"A": (33, 3)}, 4, 3, {"B": (16, 1)})
    assert fine.broken(16) == ()
    names = [
        b.invariant
        for b in StateFigures("", 10, 6, {"A": (33, 2)}, 2, -1, {"B": (48, 3)}).broken(16)
    ]
    assert names == ["conservation", "conservation", "capacity"]


def test_a_trace_leaves_quiet_steps_out() -> None:
    lines = result_of("five-step").runs[0].lines()
    assert "   ...  8 steps, a token each" in lines
    assert len(lines) < len(result_of("five-step").runs[0].rows) / 3
