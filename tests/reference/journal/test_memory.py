"""The journal in memory does again what was done."""

from __future__ import annotations

from typing import Any

import pytest

from lineclear.config import Config
from lineclear.journal.file import digest, replay
from lineclear.journal.memory import Ring
from lineclear.request import Request
from lineclear.scheduler import Scheduler

CONFIG = Config(
    num_gpu_blocks=10, num_cpu_blocks=12, block_size=4, max_num_seqs=6,
    max_num_batched_tokens=24, max_model_len=40, watermark=0.0, preemption_mode="swap",
)  # fmt: skip


def drive(scheduler: Scheduler, steps: int, first: int = 0) -> None:
    """Requests with branches, aborts, rejections and swaps."""
    for number in range(first, first + steps):
        scheduler.add(
            Request(
                request_id=number, prompt_tokens=1 + number % 9, max_tokens=9, n=1 + number % 3
            )
        )
        scheduler.add(Request(request_id=-1 - number, prompt_tokens=39, max_tokens=9))
        if number % 5 == 4:
            scheduler.abort(number - 2)
        plan = scheduler.schedule()
        scheduler.complete([o.number for o in plan.operations if o.kind.startswith("swap")])
        entries = [
            [[7]] * (scheduler.entries[row.request_id].user.n if row.prefill else 1)
            for row in plan.sampling
        ]
        fresh = all(
            scheduler.entries[row.request_id].record.width == 1
            for row in plan.sampling
            if row.prefill
        )
        scheduler.commit(plan, entries if fresh else [7] * len(plan.sampling))


def test_a_ring_that_dropped_nothing_rebuilds_an_equal_ledger_after_every_step() -> None:
    ring = Ring(1_000_000)
    scheduler = Scheduler(CONFIG, journal=ring)
    for number in range(60):
        drive(scheduler, 1, number)
        again = replay(ring.lines(CONFIG.limits()))
        assert digest(again.ledger) == digest(scheduler.ledger)
    done = {name for name, _ in ring}
    assert {"fork", "swap_out", "copy_on_write", "reject", "abort", "join_batch"} <= done


def test_the_same_calls_give_the_same_journal() -> None:
    first, second = Ring(1_000_000), Ring(1_000_000)
    for ring in (first, second):
        drive(Scheduler(CONFIG, journal=ring), 40)
    assert list(first) == list(second)


def test_a_ring_is_bounded_and_says_that_it_dropped_rows() -> None:
    ring, all_of_them = Ring(100), Ring(1_000_000)
    for journal in (ring, all_of_them):
        drive(Scheduler(CONFIG, journal=journal), 20)
    assert len(ring.items) == 100
    kept = list(ring)
    assert 20 <= len(kept) == len(ring) < len(all_of_them)
    assert kept == list(all_of_them)[-len(kept) :]
    with pytest.raises(ValueError, match="dropped"):
        next(ring.lines(CONFIG.limits()))


@pytest.mark.parametrize("wrong", [None, "x", 0, -1, 2.0, True])
def test_a_ring_has_a_size(wrong: Any) -> None:
    with pytest.raises(
        ValueError, match=f"^size must be a whole number of at least 1, not {wrong!r}"
    ):
        Ring(wrong)


def test_a_ring_holds_no_record() -> None:
    scheduler = Scheduler(CONFIG)
    drive(scheduler, 10)
    assert isinstance(scheduler.journal, Ring)
    assert all(type(value) is int for _, arguments in scheduler.journal for value in arguments)
