"""The quick loops leave what the plain loops leave, call for call and field for field."""

from __future__ import annotations

import random
from typing import Any

import pytest
from drive import dump, small

from lineclear.config import Config
from lineclear.quick import QuickLedger, QuickPool
from lineclear.request import Request
from lineclear.scheduler import Scheduler
from lineclear_spec.ledger import Ledger
from lineclear_spec.records import Broken, Limits, Pool


def fields(ledger: Ledger) -> list[Any]:
    """All there is, each record by the number under which it is first met.

    Of a pool's list only the free places count, in their order.
    """
    records = dump(ledger, without=("journal", "order", "position", "taken"))
    free = [pool.order[: pool.free] for pool in (ledger.gpu, ledger.cpu)]
    return [*free, *[shown for _, _, shown in records]]


class Pair:
    """A scheduler on each ledger, told the same."""

    def __init__(self, config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
        self.quick = Scheduler(config)
        with monkeypatch.context() as patch:
            patch.setattr("lineclear.scheduler.QuickLedger", Ledger)
            self.plain = Scheduler(config)
        assert type(self.quick.ledger) is QuickLedger
        assert type(self.plain.ledger) is Ledger

    def compare(self) -> None:
        assert fields(self.quick.ledger) == fields(self.plain.ledger)

    def both(self, name: str, *arguments: Any) -> tuple[Any, Any]:
        answers = (
            getattr(self.quick, name)(*arguments),
            getattr(self.plain, name)(*arguments),
        )
        self.compare()
        return answers


@pytest.mark.parametrize("depth", [1, 2])
@pytest.mark.parametrize("mode", ["swap", "recompute"])
@pytest.mark.parametrize("policy", ["fcfs", "priority"])
def test_both_ledgers_are_equal_after_every_call(
    depth: int, mode: str, policy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = small(
        num_gpu_blocks=14, num_cpu_blocks=6, depth=depth, preemption_mode=mode,
        scheduling_policy=policy,
    )  # fmt: skip
    pair = Pair(config, monkeypatch)
    draw = random.Random(depth)
    flights: list[tuple[Any, Any]] = []
    for number in range(45):
        pair.both(
            "add",
            Request(
                request_id=number,
                prompt_tokens=draw.randint(1, 14),
                max_tokens=draw.randint(1, 14),
                n=draw.choice((1, 1, 2)),
                priority=draw.randint(0, 2),
            ),
        )
        if draw.random() < 0.1:
            pair.both("abort", draw.randrange(number + 1))
        if len(flights) < depth:
            quick, plain = pair.both("schedule")
            assert quick.operations == plain.operations
            assert quick.tables == plain.tables
            assert tuple(quick.new_blocks) == tuple(plain.new_blocks)
            pair.both("complete", [o.number for o in quick.operations if "swap" in o.kind])
            if quick.step is not None:
                flights.append((quick, plain))
        if flights and (len(flights) == depth or draw.random() < 0.3):
            quick, plain = flights.pop(0)
            widths: dict[Any, int] = {}
            entries: list[Any] = []
            for row in quick.sampling:
                entry = pair.quick.entries.get(row.request_id)
                room = entry.user.n - entry.record.width if entry else 0
                fork = room > widths.get(row.request_id, 0) and draw.random() < 0.7
                widths[row.request_id] = widths.get(row.request_id, 0) + fork
                entries.append([[7], [7]] if fork else 7)
            assert pair.quick.commit(quick, entries) == pair.plain.commit(plain, entries)
            pair.compare()
    assert pair.quick.counters.preemptions[mode] >= 1


def test_a_loop_that_would_take_more_than_there_is_breaks_before_it_takes_anything() -> None:
    ledger = QuickLedger(Limits(block_size=4, gpu_blocks=2))
    sequence = ledger.add_member(ledger.new_request(8, 12, 1))
    with pytest.raises(Broken, match="no free GPU block"):
        ledger.repeat("take_blocks", 3, lambda _: None, sequence, 3)
    assert ledger.gpu.free == 2
    assert sequence.table == []
    ledger.repeat("take_blocks", -1, lambda _: None, sequence, -1)
    assert sequence.table == []


def test_a_place_that_is_free_is_not_given_up_again() -> None:
    pool = QuickPool("GPU", 3)
    plain = Pool("GPU", 3)
    for one in (pool, plain):
        assert [one.grant(), one.grant()] == [0, 1]
        one.give_up(0, 5)
        with pytest.raises(Broken, match="GPU block 0 is free already"):
            one.give_up(0, 6)
        assert (one.free, one.order[:2], one.until) == (2, [2, 0], [5, 0, 0])
    assert pool.grant_all(2) == [0, 2]
    with pytest.raises(Broken, match="no free GPU block"):
        pool.grant()


def test_a_loop_that_is_not_known_here_runs_plainly() -> None:
    seen: list[int] = []
    QuickLedger(Limits(block_size=4, gpu_blocks=2)).repeat("move_blocks", 3, seen.append)
    assert seen == [0, 1, 2]
