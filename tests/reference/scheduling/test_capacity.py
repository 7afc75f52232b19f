"""Who may enter: blocks kept for what is still to be generated, and the worst cases of all that run."""

from __future__ import annotations

import random
from typing import Any

import pytest
from drive import Drive

from lineclear.config import MODES, Config, ConfigError

GUARANTEED: dict[str, Any] = {"capacity_policy": "guaranteed_no_evict"}


def filled(seed: int, **changes: Any) -> Drive:
    """A run under memory pressure, to its end."""
    draw = random.Random(seed)
    drive = Drive(
        num_gpu_blocks=12,
        num_cpu_blocks=draw.choice((0, 6)),
        max_num_seqs=6,
        max_num_batched_tokens=24,
        max_steps_in_flight=draw.choice((1, 2)),
        preemption_mode=draw.choice(MODES),
        watermark=draw.choice((0.0, 0.2)),
        **changes,
    )
    for name in range(30):
        drive.add(name, draw.randint(1, 12), draw.randint(1, 20), n=draw.choice((1, 1, 2)))
        drive.step()
    drive.run()
    return drive


def test_nothing_is_preempted_if_worst_cases_fit() -> None:
    pressed = kept = 0
    for seed in range(12):
        pressed += sum(filled(seed).scheduler.counters.preemptions.values())
        kept += sum(filled(seed, **GUARANTEED).scheduler.counters.preemptions.values())
    assert pressed > 20
    assert kept == 0


def test_a_request_waits_until_its_worst_case_fits_beside_the_others() -> None:
    drive = Drive(num_gpu_blocks=8, max_num_seqs=4, **GUARANTEED)
    drive.add("a", 4, 13)  # may need 4 blocks of 4: the last token has no position
    drive.add("b", 4, 17)  # 5 blocks
    drive.add("c", 4, 5)
    drive.step()
    assert drive.phases() == {"a": "RUNNING", "b": "WAITING", "c": "WAITING"}
    (first, *_) = [one for one in drive.scheduler.stall_report().held if one.request_id == "b"]
    assert (first.guard, first.figures) == ("worst_cases", {"wants": 5, "left": 4})
    drive.run()
    assert drive.scheduler.live.worst == 0


def test_a_more_important_request_still_displaces() -> None:
    drive = Drive(num_gpu_blocks=8, scheduling_policy="priority", watermark=0.0, **GUARANTEED)
    drive.add("a", 4, 13, priority=1)
    drive.step()
    drive.add("b", 4, 17, priority=2)
    plan = drive.step()
    assert [name for name, _ in plan.preempted] == ["a"]
    assert drive.phase("b") == "RUNNING"
    drive.run()


def test_blocks_are_kept_for_what_running_requests_may_still_generate() -> None:
    for share, phase in ((0.0, "RUNNING"), (0.5, "RUNNING"), (1.0, "WAITING")):
        drive = Drive(num_gpu_blocks=8, watermark=0.0, schedule_conservativeness=share)
        drive.add("a", 8, 17)
        drive.step()  # 2 blocks and a token; 16 more may come
        drive.add("b", 8, 2)
        drive.step()
        assert drive.phase("b") == phase
        drive.run()


def test_when_no_request_runs_no_block_is_kept() -> None:
    drive = Drive(num_gpu_blocks=8, watermark=0.0, schedule_conservativeness=50.0)
    for name in "abc":
        drive.add(name, 8, 17)
    drive.step()
    assert list(drive.phases().values()).count("RUNNING") == 1
    assert set(drive.run()) == set("abc")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"schedule_conservativeness": -0.1},
            "schedule_conservativeness must be a number of at least 0",
        ),
        (
            {"schedule_conservativeness": 1e308},
            r"must be a number of at least 0 and below 1e\+09, not",
        ),
        ({"capacity_policy": "hope"}, "capacity_policy must be one of max_utilization"),
    ],
)
def test_settings_that_can_not_be_are_refused(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        Config(**changes)
