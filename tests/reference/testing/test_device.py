"""The device of the test: it finds a missing wait under the right order, and raises no false alarm."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
from device_orders import ORDERS, order_named
from scheduler_machine import World

from lineclear.checks.walks import shrunk
from lineclear.config import Config
from lineclear.monitor.hazards import Hazard, Hazards
from lineclear.monitor.liveness import Watch
from lineclear.plan import BlockOperation, Joined, Plan, Scheduled
from lineclear.request import Request
from lineclear.scheduler import Scheduler
from lineclear.testing.bench import Disagreement
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


def with_drafts(config: Config) -> Config:
    """The same with drafts, if these rules take any."""
    most = max(config.max_num_batched_tokens, config.max_num_seqs * 3)
    return replace(config, num_lookahead_slots=2, max_num_batched_tokens=most)


class Pressed(World):
    """A world under watch, whose users and copies do all they may."""

    stops = 0.05

    def __init__(self, config: Config, seed: int, order: str = "early") -> None:
        super().__init__(config, seed, order=order)
        self.watch, self.made = Watch(self.scheduler), 0

    def run(self, turns: int) -> None:
        """Users come and go, a step is made or committed, copies end or fail, and a report may be wrong."""
        draw = self.random
        for _ in range(turns):
            while len(self.live) < 6:
                self.ask()
            if draw.random() < 0.1:
                self.abort(draw.choice(list(self.live)))
                self.check()
            self.turn(eager=draw.random() < 0.5)
            self.complete(draw.randint(0, 3), draw.random() < 0.3)
            self.check()
            if draw.random() < 0.1:
                self.bench.misreport(draw.randrange(8))
                self.check()

    def ends(self, turns: int = 600) -> bool:
        """Whether all requests end within this many turns, without arrivals and failures."""
        for _ in range(turns):
            if not self.live and not self.flights:
                break
            self.turn(eager=True, fail=0.0)
            self.complete(len(self.copies), failing=False)
            self.check()
        return not self.live

    def ask(self) -> None:
        """A request, or one that is a token too large."""
        draw, seats = self.random, self.config.max_num_seqs
        self.made += 1
        n = min(draw.choice((1, 1, 1, 2, 3)), seats)
        if draw.random() < 0.1:
            prompt = draw.randint(1, 12)
            self.bench.overask(
                Request(request_id="large", prompt_tokens=prompt, max_tokens=1, n=n)
            )
        elif (name := self.made % 7) not in self.live:
            self.add(draw.randint(1, 12), draw.randint(1, 9), n, draw.randint(0, 2), name)
            if name in self.live:
                self.watch.added(name)
        self.check()

    def turn(self, eager: bool, fail: float = 0.15) -> None:
        """Perhaps a step more; perhaps the oldest ends, some of whose copies fail before it runs."""
        if len(self.flights) < self.config.max_steps_in_flight:
            self.watch.scheduled(self.schedule())
            self.check()
        if self.flights and (eager or len(self.flights) == self.config.max_steps_in_flight):
            needed = self.device.record.needed(self.flights[0].forward.number)
            for number in needed.intersection(self.copies):
                if self.random.random() < fail:
                    self.device.spoil(number)
            self.commit()
            self.check()
            self.watch.committed()


MODES = ["swap", "recompute", "auto"]


@pytest.mark.parametrize("depth", [1, 2])
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("order", ORDERS)
def test_no_alarm_without_an_error(order: str, mode: str, depth: int) -> None:
    seen: Counter[str] = Counter()
    first = 4 * [*ORDERS].index(order) + 24 * MODES.index(mode) + 2 * depth
    for seed, policy in enumerate(("fcfs", "priority"), first):
        plain = shrunk(
            Config(scheduling_policy=policy, preemption_mode=mode, max_steps_in_flight=depth)
        )
        for config in (plain, with_drafts(plain)):
            run = Pressed(config, seed, order)
            run.run(40)
            assert run.ends()
            seen += run.counts
    assert seen["issue_step"] > 100
    assert min(seen[name] for name in ("fork", "prune", "abort", "finish", "reject")) > 0
    assert seen["swap_in"] or mode == "recompute"


def test_two_runs_of_a_seed_are_equal() -> None:
    config = shrunk(Config(max_steps_in_flight=2, preemption_mode="swap"))
    runs = [Pressed(config, 3, "random") for _ in range(2)]
    for run in runs:
        run.run(30)
    first, second = ([*run.ring.lines(run.scheduler.ledger.limits)] for run in runs)
    assert first == second


# ---- what the bench compares -------------------------------------------------------------------


abort = Scheduler.abort


def forgetful(self: Scheduler, request_id: Any) -> bool:
    """Says of every live request that it is not."""
    return not abort(self, request_id)


def test_a_wrong_answer_is_a_disagreement(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Scheduler, "abort", forgetful)
    run = Pressed(shrunk(Config()), 0)
    run.bench.judge = None
    with pytest.raises(Disagreement, match="abort of"):
        run.run(200)


def test_a_request_that_is_one_token_too_large_must_be_rejected() -> None:
    run = Pressed(replace(shrunk(Config()), num_gpu_blocks=3), 0)
    run.run(60)
    assert run.counts["reject"]


def test_an_unknown_order_is_named_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"^unknown order 'latest'; known: early, late, slow cop"):
        order_named("latest")
