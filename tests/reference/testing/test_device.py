"""The device of the test: it finds a missing wait under the right order, and raises no false alarm."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
from device_orders import ORDERS, order_named
from pressure import Pressure, with_drafts

from lineclear.checks.walks import shrunk
from lineclear.config import Config
from lineclear.monitor.hazards import Hazard, Hazards
from lineclear.plan import BlockOperation, Joined, Plan, Scheduled
from lineclear.scheduler import Scheduler
from lineclear.testing.bench import Bench, Disagreement
from lineclear.testing.device import Device, WrongContent
from lineclear.testing.operations import Dispatched, OperationRecord, RecordError

SIZE = 2


def step(
    number: int,
    rows: list[Scheduled],
    operations: list[tuple[str, int, list[tuple[int, int]]]],
    tables: list[tuple[Any, int, tuple[int, ...]]] | None = None,
    first: int = 1,
) -> Plan:
    """A plan: operations are (kind, wait, pairs), numbered from `first`."""
    made = tuple(
        BlockOperation(n, kind, wait, None, tuple(pairs))
        for n, (kind, wait, pairs) in enumerate(operations, first)
    )
    sampling = tuple(row for row in rows if row.samples)
    return Plan(
        number if rows else None,
        Joined(tuple(rows), ()),
        Joined(sampling, ()),
        sum(row.tokens for row in rows),
        len(rows),
        made,
        (),
        tuple(tables or ()),
        (),
    )


def prompt(name: str, tokens: int = 2) -> Scheduled:
    """A row that computes a whole prompt."""
    return Scheduled(name, 0, tokens, 0, 0, True, True)


def goes_on(name: str, start: int) -> Scheduled:
    """A row that computes one token."""
    return Scheduled(name, 0, 1, 0, start, True, False)


def out_and_in(device: Device, out_waits: int, in_waits: int, last_waits: int) -> None:
    """`a` runs in block 0 and is moved out; `b` takes block 0; `a` comes back to block 1 and goes on.

    Operations: 1 forward of a, 2 its copy out, 3 forward of b, 4 copy in of a, 5 forward of a.
    """
    device.add("a", 2)
    device.add("b", 2)
    plans = [
        step(1, [prompt("a")], [("forward", 0, [])], [("a", 0, (0,))]),
        step(
            2,
            [prompt("b")],
            [("swap_out", out_waits, [(0, 0)]), ("forward", last_waits, [])],
            [("b", 0, (0,))],
            first=2,
        ),
        step(
            3,
            [goes_on("a", 2)],
            [("swap_in", in_waits, [(0, 1)]), ("forward", 4, [])],
            [("a", 0, (1, 2))],
            first=4,
        ),
    ]
    for plan in plans:
        device.launch(plan)
    device.finish(plans[-1])


#: What each operation waits for, where nothing is missing: the copy out for the forward that wrote,
#: b's forward for the copy out, the copy in for the copy out.
RIGHT = {"out_waits": 1, "last_waits": 2, "in_waits": 2}


@pytest.mark.parametrize("order", ORDERS)
def test_with_every_wait_no_order_reads_what_is_not_its_own(order: str) -> None:
    for seed in range(20):
        out_and_in(Device(SIZE, order_named(order, seed), Hazards()), **RIGHT)


@pytest.mark.parametrize(
    ("missing", "orders"),
    [
        ("out_waits", {"slow forwards"}),
        ("last_waits", {"late", "slow copies", "adversarial"}),
        ("in_waits", {"late", "adversarial"}),
    ],
)
def test_a_missing_wait_is_a_wrong_read_in_some_order(missing: str, orders: set[str]) -> None:
    wrong: set[str] = set()
    for order in ORDERS:
        for seed in range(20 if order == "random" else 1):
            try:
                out_and_in(Device(SIZE, order_named(order, seed)), **{**RIGHT, missing: 0})
            except WrongContent:
                wrong.add(order)
    assert wrong >= orders | {"random"}
    assert "early" not in wrong  # in the order of the plan everything looks right


@pytest.mark.parametrize("missing", RIGHT)
def test_a_missing_wait_breaks_the_rule_of_order_whatever_runs_first(missing: str) -> None:
    with pytest.raises(Hazard):
        out_and_in(Device(SIZE, hazards=Hazards()), **{**RIGHT, missing: 0})


def test_a_copy_reads_what_is_there_when_it_runs() -> None:
    device = Device(SIZE, order_named("late"))
    device.add("a", 2)
    device.launch(step(1, [prompt("a")], [("forward", 0, [])], [("a", 0, (0,))]))
    device.launch(step(2, [], [("swap_out", 0, [(0, 3)])], first=2))
    device.run(2)  # before the forward that writes
    assert device.content["cpu", 3, 0] == (0, frozenset({2}))


def test_a_row_that_reads_what_a_failed_copy_left_rests_on_it() -> None:
    device = Device(SIZE)
    device.add("a", 2)
    first = step(1, [prompt("a")], [("forward", 0, [])], [("a", 0, (0,))])
    device.launch(first)
    device.launch(step(2, [], [("swap_out", 1, [(0, 0)])], first=2))
    last = step(
        2,
        [goes_on("a", 2)],
        [("swap_in", 2, [(0, 1)]), ("forward", 3, [])],
        [("a", 0, (1, 2))],
        first=3,
    )
    device.launch(last)
    (row,) = device.finish(last).sampling
    assert device.rests_on_failure(row) == frozenset()
    device.spoil(3)
    assert device.rests_on_failure(row) == {3}
    assert device.content["gpu", 2, 0][1] == {2, 3}  # what it wrote rests on them too
    assert device.record.urgent(4) == [3]
    with pytest.raises(RecordError, match="failed copy 3"):
        device.committed(last)


def test_the_host_knows_what_was_reported_and_what_a_committed_step_waited_for() -> None:
    record = OperationRecord()
    record.dispatch(Dispatched(1, "swap_out"))
    record.dispatch(Dispatched(2, "swap_in", wait=1))
    record.dispatch(Dispatched(3, "swap_out"))
    record.dispatch(Dispatched(4, "forward", wait=2))
    assert [o.number for o in record.ready()] == [1, 3]
    assert record.needed(4) == {1, 2, 4}
    with pytest.raises(RecordError, match="has not run"):
        record.reported([1])
    with pytest.raises(RecordError, match="may not run"):
        record.ran(4)
    for number in (1, 2, 4):
        record.ran(number)
    assert record.committed(4) == {1, 2, 4}
    assert list(record.unknown) == [3]
    with pytest.raises(RecordError, match="waits for"):
        record.dispatch(Dispatched(5, "forward", wait=5))


# ---- no false alarm ----------------------------------------------------------------------------


@pytest.mark.parametrize("depth", [1, 2])
@pytest.mark.parametrize("mode", ["swap", "recompute", "auto"])
@pytest.mark.parametrize("order", ORDERS)
def test_no_alarm_without_an_error(order: str, mode: str, depth: int) -> None:
    seen: Counter[str] = Counter()
    for number, policy in enumerate(("fcfs", "priority")):
        plain = shrunk(
            Config(scheduling_policy=policy, preemption_mode=mode, max_steps_in_flight=depth)
        )
        for config in (plain, with_drafts(plain)):
            run = Pressure(Scheduler(config), order_named(order, number), number, hazards=True)
            run.run(40)
            assert run.end()
            seen += run.seen
    assert seen["issue_step"] > 100
    assert min(seen[name] for name in ("fork", "prune", "abort", "finish", "reject")) > 0
    assert seen["swap_in"] or mode == "recompute"


def test_two_runs_of_a_seed_are_equal() -> None:
    config = shrunk(Config(max_steps_in_flight=2, preemption_mode="swap"))
    runs = [Pressure(Scheduler(config), order_named("random", 3), 3) for _ in range(2)]
    for run in runs:
        run.run(30)
    assert runs[0].moves == runs[1].moves


# ---- what the bench compares -------------------------------------------------------------------


class Forgetful(Scheduler):
    """Says of every live request that it is not."""

    def abort(self, request_id: Any) -> bool:
        return not super().abort(request_id)


def test_a_wrong_answer_is_a_disagreement() -> None:
    run = Pressure(Forgetful(shrunk(Config())), order_named("early"), 0)
    with pytest.raises(Disagreement, match="abort of"):
        run.run(200)


def test_a_request_that_is_one_token_too_large_must_be_rejected() -> None:
    config = replace(shrunk(Config()), num_gpu_blocks=3)
    run = Pressure(Scheduler(config), order_named("early"), 0)
    run.run(60)
    assert any(move.startswith("rejected") for move in run.moves)
    assert isinstance(run.bench, Bench)


def test_an_unknown_order_is_named_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"^unknown order 'latest'; known: early, late, slow cop"):
        order_named("latest")
