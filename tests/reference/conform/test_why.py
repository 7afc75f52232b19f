"""Each planted stall is named by the guard that keeps each request; no run that moves is called stuck."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from conforming import WORLDS, Run

from lineclear.conform import Header, LayerGroup, PoolSize
from lineclear.conform.journal_log import header_of
from lineclear.conform.observe import Observed
from lineclear.conform.why import GUARDS, RequestState, Snapshot, judge, lines, why
from lineclear.monitor.relief import CANNOT_HELP, HELPS, NOTHING, fewest

Event = dict[str, Any]


def submit(r: str, prompt: int, most: int | None = 4, **rest: Any) -> Event:
    limit = {} if most is None else {"max": most}
    return {"e": "submit", "r": r, "prompt": prompt, **limit, **rest}


def alloc(r: str, *blocks: int, **rest: Any) -> Event:
    return {"e": "alloc", "r": r, "blocks": list(blocks), **rest}


def step(n: int, *rows: list[Any]) -> list[Event]:
    return [{"e": "step", "n": n, "rows": list(rows)}, {"e": "settle", "n": n}]


IDLE: list[Event] = [{"e": "idle"}] * 6
#: 4 blocks of 2 tokens, 2 rows and 8 tokens in a step.
SMALL = Header(4, 2, max_seqs=2, max_tokens=8)
A_RUNS = [submit("a", 3), alloc("a", 0, 1), *step(1, ["a", 0, 3, 1])]
BOTH_RUN = [
    submit("a", 3),
    submit("b", 3),
    alloc("a", 0, 1),
    alloc("b", 2, 3),
    *step(1, ["a", 0, 3, 1], ["b", 0, 3, 1]),
]


@dataclass(frozen=True)
class Plant:
    """A log that ends in a stall, and what is to be said of one request."""

    name: str
    events: list[Event]
    request: str
    guard: str
    waiting: str = HELPS
    abort: tuple[str, ...] = ()
    missing: int = 0
    header: Header = SMALL
    figures: dict[str, Any] = field(default_factory=dict[str, Any])
    standstill: bool = True


COPY = {"e": "copy", "op": 1, "src": [["gpu", 0], ["gpu", 1]], "dst": [["cpu", 0], ["cpu", 1]]}
OUT = [{"e": "preempt", "r": "a", "how": "swap"}, alloc("a", 0, 1, pool="cpu"), COPY]
SWAPPED = [
    *A_RUNS,
    *OUT,
    {"e": "done", "op": 1},
    {"e": "free", "r": "a", "at": 0, "blocks": [0, 1]},
]
CPU = replace(SMALL, pools={"cpu": PoolSize(4)})
AGAIN = {"e": "preempt", "r": "a", "how": "recompute"}
GONE = {"e": "free", "r": "a", "at": 0, "blocks": [0, 1]}

PLANTS = (
    Plant("a pool that another holds", [*A_RUNS, submit("b", 5, 2), *IDLE], "b", "blocks",
          abort=("a",), missing=1, figures={"needs": 3, "free": 2, "cached": 0}),
    Plant("a prompt that never fits", [submit("c", 9, 1), *IDLE], "c", "too_long",
          CANNOT_HELP, missing=1, figures={"needs": 5, "total": 4}),
    Plant("an output that may never fit", [submit("c", 4, 6), *IDLE], "c", "may_grow_too_long",
          NOTHING, missing=1, figures={"needs": 5, "total": 4}),
    Plant("a request that fills the pool with its last token but one", [submit("c", 4, 5), *IDLE],
          "c", "none", NOTHING),
    Plant("two that run and each need a block", [*BOTH_RUN, *step(2, ["a", 3, 1, 1], ["b", 3, 1, 1]),
          *IDLE], "a", "blocks", abort=("b",), missing=1),
    Plant("too many rows", [*BOTH_RUN, submit("c", 2, 2), *IDLE], "c", "seats", abort=("a",),
          missing=1, header=replace(SMALL, blocks=8)),
    Plant("too few tokens", [submit("a", 1), alloc("a", 0), *step(1, ["a", 0, 1, 1]), submit("b", 1),
          alloc("b", 1), *step(2, ["b", 0, 1, 1]), submit("c", 2, 2), *IDLE], "c", "tokens",
          abort=("a",), missing=1, header=Header(8, 2, max_tokens=2)),
    Plant("a copy that is never done", [*A_RUNS, *OUT, *IDLE], "a", "open_copy", header=CPU,
          standstill=False, figures={"copy": 1}),
    Plant("a step that is never settled", [*A_RUNS[:3], *IDLE], "a", "commit", standstill=False,
          figures={"steps": 1}),
    Plant("the head of the queue does not fit", [*A_RUNS, submit("b", 5, 2), submit("c", 1), *IDLE],
          "c", "head_of_line", header=replace(SMALL, order="fcfs"), figures={"behind": "b"}),
    Plant("the head itself", [*A_RUNS, submit("b", 5, 2), submit("c", 1), *IDLE], "b", "blocks",
          abort=("a",), missing=1, header=replace(SMALL, order="fcfs")),
    Plant("the head by priority", [*A_RUNS, submit("b", 1, priority=2), submit("c", 5, 2, priority=1),
          *IDLE], "b", "head_of_line", header=replace(SMALL, order="priority_low_first"),
          figures={"behind": "c"}),
    Plant("swapped out and no room", [*SWAPPED, submit("b", 5, 2), alloc("b", 0, 1, 2),
          *step(2, ["b", 0, 5, 1]), *IDLE], "a", "blocks", abort=("b",), missing=1, header=CPU,
          figures={"needs": 2, "free": 1, "cached": 0}),
    Plant("preempted and no room", [*A_RUNS, AGAIN, GONE, submit("b", 5, 2), alloc("b", 0, 1, 2),
          *step(2, ["b", 0, 5, 1]), *IDLE], "a", "blocks", abort=("b",), missing=1),
    Plant("a rule of the engine's own", [submit("a", 3), *IDLE], "a", "none", NOTHING),
    Plant("one that runs and is left out", [*A_RUNS, *IDLE], "a", "none", NOTHING),
    Plant("an ended request holds blocks", [*A_RUNS, {"e": "abort", "r": "a"}, submit("b", 5, 2),
          *IDLE], "b", "blocks", missing=1, header=replace(SMALL, late_release=True),
          figures={"needs": 3, "free": 2, "cached": 0, "held_by_ended_requests": 2}),
    Plant("more sequences than rows", [submit("a", 2, n=3), *IDLE], "a", "too_wide", CANNOT_HELP,
          missing=1, figures={"needs": 3, "max_seqs": 2}),
    Plant("published blocks are not evicted", [*A_RUNS, {"e": "store", "blocks": [0]}, GONE,
          {"e": "abort", "r": "a"}, submit("b", 7, 2), *IDLE], "b", "none", NOTHING),
    Plant("no room for a chunk", [*BOTH_RUN, {"e": "preempt", "r": "b", "how": "recompute"},
          submit("c", 5, 2), *IDLE], "c", "blocks", abort=("a",), missing=1,
          header=replace(SMALL, chunk=2), figures={"needs": 1, "free": 0, "cached": 0}),
    Plant("room for a chunk", [*A_RUNS, submit("c", 6, 2), *IDLE], "c", "none", NOTHING,
          header=replace(SMALL, chunk=4)),
    Plant("what two share is freed by neither alone",
          [submit("a", 3), alloc("a", 0, 1), *step(1, ["a", 0, 3, 1]), {"e": "store", "blocks": [0]},
           submit("b", 3), {"e": "hit", "r": "b", "blocks": [0]}, alloc("b", 2),
           *step(2, ["b", 2, 1, 1]), submit("c", 5, 2), *IDLE],
          "c", "blocks", abort=("a", "b"), missing=2),
    Plant("the smallest that is enough",
          [submit("a", 1), alloc("a", 0), submit("b", 5), alloc("b", 1, 2, 3),
           *step(1, ["a", 0, 1, 1], ["b", 0, 5, 1]), submit("c", 3, 2), *IDLE],
          "c", "blocks", abort=("b",), missing=2),
    Plant("a group of layers with blocks of another size",
          [submit("a", 4), alloc("a", 0, 1, group="full"), *IDLE], "a", "none", NOTHING,
          header=replace(SMALL, groups={"full": LayerGroup()})),
)  # fmt: skip


def observed(plant: Plant) -> Observed:
    watch = Observed(plant.header)
    for event in plant.events:
        found = watch.feed(event)
        assert not found or found[0].rule == "progress", found[0].message
    return watch


def test_there_are_at_least_twenty() -> None:
    assert len({plant.name for plant in PLANTS}) >= 20
    shown = {plant.guard for plant in PLANTS}
    assert shown | {"in_no_queue", "lost", "too_large"} == GUARDS.keys()


@pytest.mark.parametrize("plant", PLANTS, ids=[plant.name for plant in PLANTS])
def test_a_planted_stall_is_named(plant: Plant) -> None:
    report = why(observed(plant).snapshot())
    (row,) = [row for row in report.requests if row.request.request_id == plant.request]
    assert (row.guard, row.waiting) == (plant.guard, plant.waiting)
    assert (row.relief.abort, row.relief.missing) == (plant.abort, plant.missing)
    assert {name: row.figures[name] for name in plant.figures} == plant.figures
    assert report.standstill == plant.standstill
    text = "\n".join(lines(report))
    assert f"{plant.request!r} {row.request.phase}, holds" in text
    assert GUARDS[plant.guard] in text
    assert ("STANDSTILL" in text) == plant.standstill


def request(r: str = "r", **rest: Any) -> RequestState:
    settings: dict[str, Any] = {"phase": "waiting", "num_tokens": 6, **rest}
    return RequestState(r, **settings)


@pytest.mark.parametrize(
    ("snapshot", "guard", "waiting"),
    [
        (Snapshot(4, 2, 1, (request(),)), "lost", CANNOT_HELP),
        (Snapshot(4, 2, 4, (request(queued=False),)), "in_no_queue", CANNOT_HELP),
        (
            Snapshot(4, 2, 4, (request(),), max_tokens=5, whole_prompts=True),
            "too_large",
            CANNOT_HELP,
        ),
        (Snapshot(4, 2, 4, (request(),), max_tokens=5), "none", HELPS),
        (Snapshot(4, 2, 4, (request(width=3),), max_seqs=2), "too_wide", CANNOT_HELP),
        (Snapshot(4, 2, 4, (request(phase="running", width=3),), max_seqs=2), "none", HELPS),
        (Snapshot(4, 2, 1, (request(),), cached=3), "none", HELPS),
        (Snapshot(4, 2, 1, (request(), request("s", blocks=3)), held=3), "blocks", HELPS),
    ],
)
def test_a_snapshot_of_a_harness_is_judged(snapshot: Snapshot, guard: str, waiting: str) -> None:
    row = why(snapshot).requests[0]
    assert (row.guard, row.waiting) == (guard, waiting)


def test_a_request_that_may_end_early_is_not_hopeless() -> None:
    may_stop = request(limit=100)
    assert [row.guard for row in why(Snapshot(4, 2, 4, (may_stop,))).requests] == ["none"]
    runs = Snapshot(4, 2, 1, (request(limit=100, phase="running", blocks=3),), idle=9)
    assert not why(runs).hopeless()
    waits = why(Snapshot(4, 2, 4, (may_stop,), idle=9)).requests[0]
    assert (waits.guard, waits.waiting) == ("may_grow_too_long", NOTHING)
    assert waits.figures == {"needs": 50, "total": 4}
    grown = why(Snapshot(4, 2, 4, (request(num_tokens=9, limit=100),))).requests[0]
    assert (grown.guard, grown.waiting) == ("too_long", CANNOT_HELP)


def test_what_is_blocked() -> None:
    hopeless, other = request("h", num_tokens=9), request("o")
    assert why(Snapshot(4, 2, 4, (hopeless,))).blocked
    assert not why(Snapshot(4, 2, 4, (hopeless, other))).blocked
    assert why(Snapshot(4, 2, 4, (hopeless, other), idle=6)).blocked
    assert not why(Snapshot(4, 2, 4, (), idle=6)).blocked


def test_an_unknown_phase_is_refused_where_it_is_given() -> None:
    with pytest.raises(ValueError, match=r"^'r' has the phase 'runs'; known: waiting, running"):
        request(phase="runs")


def lifted(snapshot: Snapshot, abort: set[str]) -> Snapshot:
    """The snapshot after these requests have ended."""
    gone = [r for r in snapshot.requests if r.request_id in abort]
    return replace(
        snapshot,
        free=snapshot.free + sum(r.alone for r in gone),
        held=None if snapshot.held is None else snapshot.held - sum(r.alone for r in gone),
        requests=tuple(r for r in snapshot.requests if r.request_id not in abort),
    )


@pytest.mark.parametrize("plant", [p for p in PLANTS if p.abort], ids=lambda plant: plant.name)
def test_the_smallest_change_lifts_the_guard_and_a_smaller_one_does_not(plant: Plant) -> None:
    snapshot = observed(plant).snapshot()
    (mine,) = [r for r in snapshot.requests if r.request_id == plant.request]
    assert judge(lifted(snapshot, set(plant.abort)), mine).guard != plant.guard
    for less in plant.abort:
        rest = set(plant.abort) - {less}
        assert judge(lifted(snapshot, rest), mine).guard == plant.guard


def test_the_fewest_are_named() -> None:
    assert fewest(3, [("a", 2), ("b", 2), ("c", 1)]) == ("a", "b")
    assert fewest(2, [("a", 5), ("b", 2), ("c", 1)]) == ("b",)
    assert fewest(9, [("a", 5), ("b", 2)]) == ()


def watched(world: str, seed: int, steps: int) -> int:
    """Runs under pressure, judged after every call; how many calls there were."""
    settings = WORLDS[world]
    probe = Run(seed, 0, **settings)
    drafts = settings.get("num_lookahead_slots", 0)
    watch = Observed(header_of(probe.scheduler.ledger.limits, drafts), validate=False)
    blocked = 0

    def take(event: Event) -> None:
        nonlocal blocked
        assert not watch.feed(event), watch.checker.found[0].message
        if event["e"] in ("step", "idle"):
            report = why(watch.snapshot())
            assert not report.standstill
            assert not report.hopeless()
            assert not any(row.waiting == NOTHING for row in report.requests)
            blocked += any(row.guard == "blocks" for row in report.requests)

    Run(seed, steps, take, **settings)
    assert blocked > steps / 100  # memory was short
    return watch.calls


@pytest.mark.parametrize("world", WORLDS)
def test_no_run_that_moves_is_called_stuck(world: str) -> None:
    assert watched(world, 1, 200) > 100


@pytest.mark.deep
@pytest.mark.parametrize("world", WORLDS)
def test_no_run_that_moves_is_called_stuck_in_100_000_steps(world: str) -> None:
    """100,000 calls over all worlds."""
    calls = seed = 0
    while calls < 100_000 / len(WORLDS):
        seed += 1
        calls += watched(world, seed, 2_000)
