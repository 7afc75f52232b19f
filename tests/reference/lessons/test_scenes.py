"""The lesson's policies, exercises, modes and victims: each figure worked out by hand beside it."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import pytest

from lineclear.lessons import LESSONS, Claim, LessonResult, tell
from lineclear.lessons.errata import settle, settled
from lineclear.lessons.errata_list import ERRATA, Erratum
from lineclear.lessons.measured import CONFIG, measure, requests
from lineclear.lessons.phases import driven
from lineclear.policies.fair import Fair
from lineclear.simulation.simulate import Simulation
from lineclear_spec.actions import ACTIONS
from lineclear_spec.invariants import INVARIANTS


@cache
def result_of(name: str) -> LessonResult:
    return tell(LESSONS[name])


def claim(name: str, what: str) -> Claim:
    (found,) = [c for c in result_of(name).claims if c.what.startswith(what)]
    return found


def both(name: str, what: str) -> tuple[object, object]:
    return claim(name, what).written, claim(name, what).found


def test_a_head_that_can_never_run_is_rejected() -> None:
    # 2000 + 2 tokens have KV for 2001: 126 blocks of 16, and there are 10. B takes 2 steps.
    assert both("fcfs", "requests of 2 that finish") == (0, 1)
    assert both("fcfs", "steps until that ends") == (101, 2)


def test_a_preempted_request_goes_on_before_later_arrivals() -> None:
    # A holds 2 blocks, B 1 of 4. In step 2 A has 33 tokens (3 blocks) and B 17 (2): B is preempted and
    # 1 block is free, enough for C. At the tail B lets C pass in step 3; in its place it stands
    # before C until A, which generates 4 tokens, has ended: step 5.
    assert both("fcfs", "step in which C runs") == (3, 5)
    assert both("fcfs", "B waits longer than C") == ("yes", "no")


def test_skipping_what_does_not_fit_starves_the_most_important() -> None:
    # 3 small ones hold 9 of 10 blocks; each step one ends and one of the 20 comes, so at most 4 are
    # free until no more come. s20 enters in step 20 and has ended before step 23. U needs 8.
    # If no request passes another, s2 and s3 end before steps 5 and 6: 7 blocks are free, then 10.
    skipping, strict, ours = (run.admitted("U") for run in result_of("priority").runs)
    assert (skipping, strict, ours) == (23, 6, 4)
    assert both("priority", "requests admitted before U") == (17, 0)  # s4 to s20


def test_fair_shares_lose_nothing_and_are_never_nothing() -> None:
    # 100 // 2 = 50: A needs 10 of them, B gets 50 and the 40 that are left. 100 // 120 = 0.
    assert both("fair", "tokens used of a budget") == (60, 100)
    assert result_of("fair").runs[0].rows[0].outputs.scheduled == {"A": 10, "B": 90}
    assert both("fair", "tokens of the first step") == (0, 100)
    assert both("fair", "requests scheduled in it with 0") == (120, 0)
    crowd = result_of("fair").runs[1]
    assert len(crowd.rows) == 12  # 120 prompts of 10 tokens, 100 in a step
    assert set(crowd.rows[0].outputs.scheduled.values()) == {1}  # 100 // 120 is less than 1
    assert len(crowd.rows[0].outputs.scheduled) == 100
    assert both("fair", "requests of 13 blocks") == (2, 1)
    assert both("fair", "times that A") == (2, 1)


def test_a_share_of_nothing_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    def lessons(_self: Fair, _request: object, budget: int, sharers: int) -> int:
        return budget // sharers

    monkeypatch.setattr(Fair, "share", lessons)
    crowd = tell(LESSONS["fair"]).runs[1]
    assert set(crowd.rows[0].outputs.scheduled.values()) != {1}


def test_weights_are_turns() -> None:
    # A request costs 16 + 2 * 1 = 18, divided by the weight: 18 for a, 9 for b. After a and b the
    # counters are 18 and 9, so that b goes again; then they are equal.
    order = sorted(
        result_of("weighted-fair").runs[0].names, key=result_of("weighted-fair").runs[0].admitted
    )
    assert [name[0] for name in order[:12]] == list("abb" * 4)
    assert both("weighted-fair", "turns of 12") == (0, 8)
    assert both("weighted-fair", "blocks of A") == (1, 3)  # 33 to 48 tokens
    assert both("weighted-fair", "phase") == ("waiting", "running")
    assert claim("weighted-fair", "a weight of 0").found == "refused"
    assert claim("weighted-fair", "weights 1 and -1").found == "refused"


def test_shortest_first_starves_and_with_aging_does_not() -> None:
    # One short job every second step, 2 steps each, the last arrives in step 59. With aging the long
    # one counts as 1 + 0.5 * 40 = 21, a short one as its arrival + 1: those up to step 19 go before.
    plain, aged, prompts, guessed = result_of("sjf").runs
    assert (plain.admitted("L"), aged.admitted("L")) == (61, 21)
    assert both("sjf", "short jobs done") == (30, 30)
    assert both("sjf", "the same with aging") == (30, 10)
    assert prompts.admitted("P") == guessed.admitted("X") == 1


def test_what_prevents_starvation() -> None:
    # Aging: L counts as 1, an urgent one as its arrival - 10: those of steps 1 to 9 go before, and
    # the one of step 11 is equal and later. Ceiling 4: L has number 2, urgent number k counts as
    # k - 4: 1, 3, 4 and 5 go before, 6 is equal and later. Two tenants take turns.
    steps = [run.admitted("L") for run in result_of("q4").runs]
    assert steps == [61, 11, 9, 61, 3]
    assert [c.found for c in result_of("q4").claims] == ["no", "yes", "yes", "no", "yes"]


def test_modes_of_preemption() -> None:
    # L knows 560 + 2 tokens in 36 blocks (561 to 576), S 202 in 13. 208 * 0.16 = 33 < 201.
    modes = [
        next(m for row in run.rows for m in row.preempted.values())
        for run in result_of("swap-or-recompute").runs
    ]
    assert modes == ["swap", "recompute", "recompute", "recompute", "swap", "swap"]
    assert claim("swap-or-recompute", "pairs of blocks").found == 36
    assert both("swap-or-recompute", "CPU blocks taken") == (36, 0)
    assert both("swap-or-recompute", "tokens known of S") == (200, 202)
    assert both("swap-or-recompute", "who takes the one free") == ("B", "A")  # A's 49th token
    assert both("swap-or-recompute", "steps that swap in and out") == (1, 0)


def test_victims() -> None:
    # B has priority 3; A has 503 tokens; C came last. Each has 10 - 2 = 8 blocks or more.
    assert [c.found for c in result_of("victims").claims] == [
        "B",
        "A",
        "C",
        "C",
        "G",
    ]  # G: 2 * 102
    assert [c.right for c in result_of("victims").claims] == [True, True, True, False, False]


def test_budget_queues_and_outputs() -> None:
    assert both("budget", "tokens of the first step") == (120, 64)  # 40 + 24
    assert both("budget", "sequences in it") == (3, 2)
    assert claim("budget", "tokens of the second step").right  # 16 + 1
    assert claim("budget", "a request for 0").found == "refused"
    assert both("budget", "blocks of 40 tokens") == (3, 2)  # 40 / 16, 40 / 32
    assert claim("budget", "steps in which A and B").found == "1, 61"  # A generates 60 tokens
    assert all(c.right for c in result_of("outputs").claims)
    assert [c.found for c in result_of("queues").claims[:4]] == [3, 10, "yes", 0]


def test_the_lessons_order_swaps_in_only_what_stays() -> None:
    both, swaps, steps = driven()
    assert both == 0
    assert swaps > 4, "there is something to see"
    assert steps < 2000, "everybody comes to an end"
    assert claim("order", "steps in which").found == 0


def test_the_lessons_table_is_confirmed_or_corrected() -> None:
    found = measure()
    rates = [one.throughput for one in found.values()]
    assert max(rates) <= 1.1 * min(rates), "order and fairness cost no throughput"
    assert found["vtc"].gap < found["fcfs"].gap / 5
    assert found["sjf"].ttft < found["fcfs"].ttft / 2
    assert found["priority"].urgent < found["fcfs"].urgent / 10
    words = {c.what.partition(":")[0] + c.what.partition(":")[2]: c.right for c in
             result_of("policy-table").claims}  # fmt: skip
    assert not words["throughput sjf, the highest: more than fcfs"]
    assert words["latency sjf, the lowest mean"]


def test_what_was_measured_is_what_a_run_gives() -> None:
    simulation = Simulation(requests(), CONFIG, check_every=10)
    result = simulation.run()
    times = simulation.collector.times.values()
    waits = [t.scheduled - t.arrived for t in times if t.scheduled is not None]
    tokens = sum(sum(r.output_tokens) for r in requests().requests)
    assert result.violations == ()
    fcfs = measure()["fcfs"]
    assert fcfs.wait == max(waits)
    assert fcfs.throughput == pytest.approx(tokens / result.metrics["duration"])
    assert list(measure()) == ["fcfs", "priority", "fair", "sjf", "vtc"]
    for c in result_of("policy-table").claims:
        assert (c.found == "yes") == c.right


def test_every_erratum_is_there_once_and_names_what_there_is() -> None:
    assert [e.number for e in ERRATA] == list(range(1, 43))
    assert len(settle({name: result_of(name) for name in LESSONS})) == 42
    folder = Path(__file__).resolve().parents[3] / "spec/lineclear_spec/actions"
    guards = "".join(path.read_text() for path in folder.glob("*.py"))
    for erratum in ERRATA:
        assert erratum.lesson in ("", *LESSONS)
        assert erratum.lesson or erratum.guard
        for name in erratum.breaks:
            assert name in INVARIANTS or re.fullmatch(r"P\d+[ab]?'?|F[1-8]", name)
        match = re.fullmatch(r"guard of `(\w+)`: (.*)", erratum.guard)
        assert match is None or (match[1] in ACTIONS and f'"{match[2]}"' in guards)
    # An erratum has no figures exactly if no run can show it.
    assert [e.number for e in ERRATA if not e.lesson] == [7, 26, 35]


def test_an_erratum_that_leads_nowhere_is_refused() -> None:
    lost = Erratum(43, "", "", (), "q5", "no such claim")
    with pytest.raises(LookupError, match=r"erratum 43: 0 claims or states of q5 are called"):
        settled(lost, {"q5": result_of("q5")})
    with pytest.raises(LookupError, match="erratum 44: 4 claims"):
        settled(Erratum(44, "", "", (), "q5", ""), {"q5": result_of("q5")})
