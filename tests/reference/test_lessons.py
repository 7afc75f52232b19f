"""The lesson's examples: what its figures break, and what the scheduler does instead."""

from __future__ import annotations

import json
from functools import cache

import pytest

from lineclear.lessons import ERRATA, LESSONS, Claim, Told, tell
from lineclear.lessons.comparison import measured
from lineclear.lessons.figures import Figures
from lineclear.lessons.run import Run
from lineclear.properties import PROPERTIES
from lineclear_spec.invariants import INVARIANTS


@cache
def told(name: str) -> Told:
    return tell(LESSONS[name])


def claim(name: str, what: str) -> Claim:
    (found,) = [c for c in told(name).claims if c.what.startswith(what)]
    return found


def free_at(run: Run, name: str, tokens: int) -> int:
    (row,) = [row for row in run.rows if row.tokens(name) == tokens]
    return row.gpu_free


def test_the_examples_that_exist() -> None:
    assert list(LESSONS) == [
        "parts", "order", "five-step", "fcfs", "priority", "fair", "comparison", "why-preemption",
        "modes", "victims", "decision-tree", "simulator", "sjf", "weighted-fair", "q3", "q5",
    ]  # fmt: skip


@pytest.mark.parametrize("name", LESSONS)
def test_every_example_runs_to_its_end_without_a_violation(name: str) -> None:
    for run in told(name).runs:
        assert run.violations == ()
        assert set(run.finished) | set(run.rejected) == set(run.names)
        assert run.rows or run.rejected
    assert told(name).claims
    assert json.loads(json.dumps(told(name).json()))["lesson"] == name
    assert told(name).lesson.title in told(name).text()


@pytest.mark.parametrize(
    ("name", "broken"),
    [
        ("five-step", {"conservation", "capacity"}),
        ("why-preemption", {"conservation"}),
        ("decision-tree", {"conservation"}),
        ("simulator", {"capacity"}),
        ("fcfs", {"P7", "P8"}),
        ("priority", {"P7", "P4'"}),
        ("fair", {"conservation", "P1", "P2", "queue"}),
        ("modes", {"conservation", "P6"}),
        ("victims", {"P4'", "P6"}),
        ("sjf", {"P7"}),
        ("weighted-fair", {"capacity", "P12", "queue"}),
        ("parts", set[str]()),
        ("order", {"P6"}),
        ("comparison", set[str]()),
        ("q3", set[str]()),
        ("q5", set[str]()),
    ],
)
def test_the_invariants_that_its_figures_break(name: str, broken: set[str]) -> None:
    assert set(told(name).broken) == broken
    assert broken <= {*INVARIANTS, *PROPERTIES}, "each has a name here"


def test_five_steps_take_a_block_at_every_boundary() -> None:
    run = told("five-step").runs[0]
    assert [free_at(run, "A", n) for n in (200, 208, 209, 225, 241, 257)] == [7, 7, 6, 5, 4, 3]
    assert claim("five-step", "A's tokens when").found == 209
    assert claim("five-step", "A's blocks at 240").found == 15
    assert claim("five-step", "free blocks then").found == 5
    assert claim("five-step", "preempting A makes room for B and C").found == "no"
    assert claim("five-step", "preempting A makes room for C alone").right
    assert sum(c.right for c in told("five-step").claims) == 5


def test_five_steps_by_priority_admit_c_in_the_step_that_preempts_a() -> None:
    run = told("five-step").runs[1]
    (row,) = [row for row in run.rows if row.preempted]
    assert row.preempted == {"A": "recompute"}
    assert (row.blocks("C"), row.gpu_free, row.waits("A"), row.waits("B")) == (19, 1, True, True)
    again = next(r for r in run.rows if r.step > row.step and r.blocks("A"))
    assert again.waits("B"), "A goes back by its arrival, before B"
    assert again.tokens("A") == row.tokens("A"), "its tokens were kept"


def test_why_preemption_only_a_alone_makes_room() -> None:
    assert [claim("why-preemption", f"preempting {x}").found for x in "ABC"] == ["yes", "no", "no"]
    longest, last = (
        next(r for r in run.rows if r.preempted) for run in told("why-preemption").runs
    )
    assert set(longest.preempted) == {"A"}
    assert set(last.preempted) == {"B", "C"}
    assert longest.blocks("D") == last.blocks("D") == 25


def test_the_decision_tree_spares_b_and_swaps_only_what_fits() -> None:
    small, large = (next(r for r in run.rows if r.preempted) for run in told("decision-tree").runs)
    assert small.preempted == {"A": "recompute"}
    assert large.preempted == {"A": "swap"}
    assert large.cpu_used == 63
    assert small.blocks("B") == 13
    assert small.blocks("D") == 25
    assert claim("decision-tree", "blocks of the pool").found == 110
    assert not claim("decision-tree", "free blocks after").right


def test_the_simulator_ends_in_ten_steps_and_preempts_when_it_must() -> None:
    demo, small, tiny = told("simulator").runs
    assert len(demo.rows) == 10
    assert max(row.gpu_used for row in demo.rows) == 17
    assert demo.finished == {"A": 5, "B": 10, "C": 3}
    assert small.preemptions == 1
    assert small.finished == demo.finished
    assert "up to 4 blocks, the pool has 2" in tiny.rejected["A"]


def test_the_questions() -> None:
    strict, passing = told("q3").runs
    assert all(not row.blocks("B") for row in strict.rows if row.waits("A"))
    assert any(row.blocks("B") for row in passing.rows if row.waits("A"))
    assert all(c.right for c in (*told("q3").claims, *told("q5").claims))
    assert told("q5").runs[0].rows[0].blocks("R") == 16


def test_figures_are_judged_by_arithmetic() -> None:
    fine = Figures("", 10, 7, {"A": (33, 3)}, 4, 3, {"B": (16, 1)})
    assert fine.broken(16) == ()
    names = [
        b.invariant for b in Figures("", 10, 6, {"A": (33, 2)}, 2, -1, {"B": (48, 3)}).broken(16)
    ]
    assert names == ["conservation", "conservation", "capacity"]


def test_a_trace_leaves_quiet_steps_out() -> None:
    lines = told("five-step").runs[0].lines()
    assert "   ...  8 steps, a token each" in lines
    assert len(lines) < len(told("five-step").runs[0].rows) / 3


# ---- policies, exercises, giving way -----------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "what", "found"),
    [
        ("fcfs", "requests finished behind", 1),  # B; A needs 5 of 4 blocks: ceil(69 / 16)
        ("fcfs", "whoever was preempted", "before later arrivals"),
        ("priority", "the urgent request", "in step 4, having arrived before step 4"),
        ("priority", "the victim among", "newest"),
        ("fair", "tokens of the first step, 120", 100),  # one token for each of 100 seats
        ("fair", "tokens of the first step for prompts", 100),  # 10, and 90 of the other 200
        ("fair", "of two requests of 13", 1),  # 2 x 13 > 14
        ("fair", "a request that was scheduled", "no"),
        ("sjf", "the long job ends", "no"),
        ("weighted-fair", "blocks of 36 tokens", 3),  # ceil(36 / 16)
        ("modes", "the long one", "swap"),
        ("modes", "tokens known of the short", 102),  # 100, and two steps before it gave way
        ("victims", "lowest priority, all", "C"),
        ("parts", "most tokens of a step", 64),
        ("order", "steps in which", 0),
    ],
)
def test_a_figure_of_ours(name: str, what: str, found: int | str) -> None:
    every = [c for c in told(name).claims if c.what.startswith(what)]
    assert every[0].found == found


def test_service_goes_by_weights() -> None:
    share = claim("weighted-fair", "share of weight 3").found
    assert isinstance(share, str)
    assert abs(int(share.split("%")[0]) - 75) <= 3


def test_the_lessons_table_is_confirmed_or_corrected() -> None:
    found = measured()
    rates = [one.rate for one in found.values()]
    assert max(rates) <= 1.05 * min(rates)  # fairness and order cost no throughput
    assert found["vtc"].gap < found["fcfs"].gap / 8
    assert found["sjf"].ttft < found["fcfs"].ttft / 2
    assert found["sjf"].worst > 1.5 * found["fcfs"].worst
    assert found["priority"].urgent < 0.1 < found["priority"].rest
    words = {c.what: (c.written, c.found) for c in told("comparison").claims}
    assert words["sjf: throughput"] == ("Highest", "the same for all")
    assert words["sjf: latency"][0] == words["sjf: latency"][1]
    assert words["fair: fairness"][0] != words["fair: fairness"][1]


def test_every_erratum_names_what_it_breaks_and_what_shows_it() -> None:
    assert len(ERRATA) == 42
    assert len({(e.said, e.right) for e in ERRATA}) == 42
    for erratum in ERRATA:
        assert not erratum.breaks or erratum.breaks in {*INVARIANTS, *PROPERTIES}
        assert erratum.shown in LESSONS or erratum.shown.startswith("(")
