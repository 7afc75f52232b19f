"""Policies side by side: what is measured, and that it shows what each is for."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lineclear.config import Config
from lineclear.policies import BUILT_IN
from lineclear.simulation.compare import PolicyRow, ServiceGoal, compare
from lineclear.theorems.service import Service
from lineclear.workload.generators import generate
from lineclear.workload.workload import Arrival

CONFIG = Config(num_gpu_blocks=256, num_cpu_blocks=48, max_model_len=2048, max_num_seqs=32)


@pytest.fixture(scope="module")
def rows() -> dict[str, PolicyRow]:
    workload = generate("tenants", 160, 12, 0)
    return {row.policy: row for row in compare(workload, CONFIG, list(BUILT_IN), check_every=7)}


def test_every_policy_finishes_everything_without_a_violation(rows: dict[str, PolicyRow]) -> None:
    for row in rows.values():
        assert row.result.finished == 160
        assert row.result.violations == row.result.failures == ()
        assert row.result.stalled == ""


def test_all_policies_give_everybody_the_same_in_the_end(rows: dict[str, PolicyRow]) -> None:
    workload = generate("tenants", 160, 12, 0)
    due: Counter[str] = Counter()
    for request in workload.requests:
        due[request.client] += request.prompt_tokens + 2 * sum(request.output_tokens)
    for row in rows.values():
        served = dict(zip(row.service.tenants, row.service.served, strict=True))
        # A token that was sampled and dropped with the KV it was computed from is served twice.
        assert all(due[client] <= served[client] <= 1.02 * due[client] for client in due)


def test_sharing_policies_keep_their_bound_and_others_pass_no_request_in_order(
    rows: dict[str, PolicyRow],
) -> None:
    assert rows["fcfs"].passed == 0
    assert rows["priority"].passed > rows["ceiling"].passed > 0
    assert rows["ceiling"].passed <= 16
    gaps = {name: row.service.gap or 0.0 for name, row in rows.items()}
    for name in ("vtc", "drr"):
        bound = rows[name].bound
        assert bound is not None
        assert 0 < gaps[name] <= bound
        assert gaps[name] < gaps["fcfs"] / 4


def test_the_rows_are_the_same_in_one_process_and_in_two() -> None:
    workload = generate("tenants", 40, 12, 0)
    output: list[list[dict[str, Any]]] = []
    ended: list[str] = []
    for workers in (1, 2):
        rows = compare(
            workload, CONFIG, ["vtc", "fcfs"], workers=workers, on_row=lambda: ended.append("")
        )
        output.append([row.json() for row in rows])
    assert output[0] == output[1]
    assert [row["policy"] for row in output[0]] == ["vtc", "fcfs"]
    assert len(ended) == 4


def test_attainment_counts_requests_within_the_goal() -> None:
    workload = generate("poisson", 30, 12, 0)
    all_of_them, none = (
        compare(workload, CONFIG, ["fcfs"], goal=goal)[0].attained
        for goal in (ServiceGoal(1e6, 1e6), ServiceGoal(0.0, 0.0))
    )
    assert (all_of_them, none) == (1.0, 0.0)


def arrival(name: str, client: str, prompt: int = 10) -> Arrival:
    return Arrival(name, 0.0, prompt, (5,), 5, client=client)


def plan(*names: str, preempted: tuple[str, ...] = ()) -> Any:
    from lineclear.plan import Joined, Plan, Scheduled

    rows = tuple(Scheduled(name, 0, 1, 0, 0, True, False) for name in names)
    both = Joined(rows, ())
    gone = tuple((name, "swap") for name in preempted)
    return Plan(1, both, both, len(rows), 0, (), (), (), gone)


def test_the_gap_counts_only_while_both_wait() -> None:
    service = Service(["a", "b"], 1.0, 1.0)
    for number in range(4):
        service.arrive(arrival(f"a{number}", "a"))
    service.step(plan("a0"), 0.0)
    assert service.gap == 0.0  # b did not wait
    service.arrive(arrival("b0", "b"))
    service.arrive(arrival("b1", "b"))
    service.step(plan("a0", "a1"), 1.0)  # both wait from here: 11 + 12 against 0
    service.step(plan("a0", "a1", "a2"), 2.0)
    assert service.gap == 13.0
    service.step(plan("b0"), 3.0)
    assert service.gap == 13.0
    service.step(plan("b1", "a3"), 4.0)
    assert sum(service.waiting.values()) == 0


def test_who_came_before_and_is_scheduled_later_was_passed() -> None:
    service = Service([""])
    for name in ("x", "y", "z"):
        service.arrive(arrival(name, ""))
    service.step(plan("z"), 0.0)
    service.step(plan("y"), 1.0)
    service.step(plan("x"), 2.0)
    assert service.passed == {"x": 2, "y": 1}


def test_a_more_important_one_that_was_never_scheduled_makes_an_inversion() -> None:
    service = Service([""])
    for name, priority in (("low", 0), ("high", 2), ("middle", 1)):
        service.arrive(replace(arrival(name, ""), priority=priority))
    service.step(plan("low"), 0.0)  # high and middle wait
    service.step(plan("high"), 1.0)  # none above it waits
    service.step(plan("middle"), 2.0)
    assert service.inversions == 1


def test_pictures_are_drawn_and_drawn_again_alike(
    rows: dict[str, PolicyRow], tmp_path: Path
) -> None:
    pytest.importorskip("matplotlib")
    from lineclear.report.plots import draw

    chosen = [rows["fcfs"], rows["vtc"]]
    first = [Path(path).read_bytes() for path in draw(chosen, str(tmp_path / "a"))]
    again = [Path(path).read_bytes() for path in draw(chosen, str(tmp_path / "b"))]
    assert first == again
    assert len(first) == 4
    assert all(b"<svg" in picture for picture in first)
