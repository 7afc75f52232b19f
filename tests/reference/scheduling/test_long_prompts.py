"""Progress under any order, with a limit on the tokens of one prompt."""

from __future__ import annotations

import pytest

from lineclear.config import Config
from lineclear.plan import Plan
from lineclear.policies.view import View
from lineclear.request import Request, Sample
from lineclear.scheduler import Scheduler
from lineclear.scheduling import step as step_module
from lineclear.theorems.guarantees import Guarantee, guarantees


class TurnsRound:
    """A request that waits comes before all that run; each may be displaced."""

    name = "turns_round"

    def key(self, request: View) -> int:
        return 0 if request.waiting is not None else 1

    def may_displace(self, waiting: View, running: View) -> bool:
        return True

    def review(self, request: View) -> int:
        return 1


def unfinished(threshold: int) -> tuple[int, int]:
    """Requests that are live after 200 steps, and tokens that were kept in the last 150 of these."""
    config = Config(
        num_gpu_blocks=8,
        num_cpu_blocks=0,
        block_size=4,
        max_num_seqs=4,
        max_num_batched_tokens=8,
        max_model_len=28,
        watermark=0.0,
        preemption_mode="recompute",
        depth=2,
        long_prefill_token_threshold=threshold,
    )
    scheduler = Scheduler(config, TurnsRound())
    for number, (prompt, most, n) in enumerate(((4, 9, 1), (10, 11, 2), (12, 8, 2))):
        request = Request(request_id=number, prompt_tokens=prompt, max_tokens=most, n=n)
        assert scheduler.add(request)
    flights: list[Plan] = []
    kept = 0
    for step in range(200):
        if step == 50:
            kept = scheduler.counters.generated_tokens
        plan = scheduler.schedule()
        if plan.step is not None:
            flights.append(plan)
        if len(flights) == 2 or (plan.step is None and flights):
            oldest = flights.pop(0)
            answers: list[Sample] = []
            for row in oldest.sampling:
                entry = scheduler.entries.get(row.request_id)
                rows = sum(other.request_id == row.request_id for other in oldest.sampling)
                forks = entry is not None and rows == 1 and len(entry.record.members) < entry.seats
                answers.append([[0], [0]] if forks else 0)
            scheduler.commit(oldest, answers)
    return len(scheduler.entries), scheduler.counters.generated_tokens - kept


@pytest.mark.parametrize("threshold", [0, 1, 2, 3, 4, 6])
def test_an_order_that_turns_round_is_no_livelock(threshold: int) -> None:
    assert unfinished(threshold)[0] == 0


def test_requests_that_enter_beside_a_prompt_displace_each_other_unless_they_are_sheltered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def sheltered(displacing: bool, lacking: bool) -> bool:
        return displacing

    monkeypatch.setattr(step_module, "is_sheltered", sheltered)
    assert unfinished(2) == (3, 0)


@pytest.mark.parametrize("label", ["P6a", "P6b", "P7"])
def test_with_a_limit_progress_is_claimed_within_other_bounds(label: str) -> None:
    def found(threshold: int) -> Guarantee:
        config = Config(long_prefill_token_threshold=threshold, max_num_seqs=8)
        (row,) = [row for row in guarantees(config) if row.theorem == f"fcfs.{label}"]
        return row

    off, on = found(0), found(512)
    assert off.status == on.status == "holds"
    assert off.bound is not None
    assert off.bound.number is not None
    assert on.bound is not None
    assert on.bound.number is not None
    assert off.bound.number < on.bound.number
