# pyright: basic, reportArgumentType=false
"""What the scheduler refuses: one clear error, and nothing has changed."""

from __future__ import annotations

import pickle
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from small_scheduler import finish_all, make, request, step

from lineclear.journal.file import digest
from lineclear.monitor.audit import audit
from lineclear.request import (
    Accepted,
    InvalidRequest,
    PlanError,
    Rejected,
    Request,
    SampledError,
    SchedulerError,
)

# ---- what is turned away -----------------------------------------------------------------------


@pytest.mark.parametrize(
    "sizes",
    [
        {"prompt_tokens": 0},
        {"prompt_tokens": -1},
        {"prompt_tokens": 2.0},
        {"prompt_tokens": True},
        {"prompt_tokens": "5"},
        {"max_tokens": 0},
        {"max_tokens": None},
        {"n": 0},
        {"n": 1.5},
        {"priority": 0.5},
        {"priority": False},
    ],
)
def test_invalid_sizes_are_refused_by_name(sizes: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest, match=next(iter(sizes))):
        Request(**{"request_id": "a", "prompt_tokens": 5, "max_tokens": 4, **sizes})


def test_the_id_of_a_live_request_is_refused_and_nothing_changes() -> None:
    scheduler = make()
    scheduler.add(request("a"))
    before = digest(scheduler.ledger)
    with pytest.raises(InvalidRequest, match="'a' is live already"):
        scheduler.add(request("a", prompt=9))
    with pytest.raises(InvalidRequest, match="hashable"):
        scheduler.add(request(["a"]))
    assert digest(scheduler.ledger) == before
    assert list(scheduler.entries) == ["a"]


@pytest.mark.parametrize(
    ("settings", "sizes", "reason"),
    [
        ({}, {"prompt": 45, "most": 4}, r"max_model_len \(up to 49 tokens, max_model_len is 48\)"),
        ({}, {"n": 5}, r"max_num_seqs \(n is 5, max_num_seqs is 4\)"),
        (
            {"num_gpu_blocks": 3},
            {"prompt": 10, "most": 4},
            r"GPU pool \(up to 4 blocks, the pool has 3",
        ),
        ({}, {"prompt": 16, "most": 33, "n": 2}, "max_model_len"),
        ({}, {"prompt": 3, "most": 22, "n": 3}, r"up to 18 blocks, the pool has 16"),
        ({"enable_chunked_prefill": False}, {"prompt": 30, "most": 4}, "up to 33 tokens at once"),
    ],
)
def test_what_can_never_run_is_rejected_with_the_figures(
    settings: dict[str, Any], sizes: dict[str, Any], reason: str
) -> None:
    scheduler = make(**settings)
    answer = scheduler.add(request("a", **sizes))
    assert not answer
    assert isinstance(answer, Rejected)
    assert re.search(reason, answer.reason), answer.reason
    assert not scheduler.entries
    assert scheduler.stats()["requests_rejected_total"] == 1


def test_what_just_fits_into_the_empty_pool_is_accepted_and_runs_to_its_end() -> None:
    # 10 + 3 - 1 positions in 3 blocks, no watermark when nothing runs.
    scheduler = make(num_gpu_blocks=3, watermark=0.4)
    assert scheduler.add(request("a", prompt=10, most=3))
    assert scheduler.add(request("b", prompt=10, most=3))
    assert finish_all(scheduler) == 6


def test_a_full_queue_and_a_draining_scheduler_take_no_request() -> None:
    scheduler = make(max_waiting=2)
    assert scheduler.add(request("a"))
    assert scheduler.add(request("b"))
    full = scheduler.add(request("c"))
    assert isinstance(full, Rejected)
    assert "max_waiting: 2" in full.reason
    step(scheduler)
    assert scheduler.add(request("c"))
    assert scheduler.drain() == 3
    draining = scheduler.add(request("d"))
    assert isinstance(draining, Rejected)
    assert "draining" in draining.reason
    finish_all(scheduler)


def test_tokens_are_counted_with_every_branch_until_the_request_runs() -> None:
    # 4 + 2 * 3 tokens may be queued beside nothing; then 10 wait, which is the most.
    scheduler = make(max_waiting_tokens=10, max_num_seqs=2, max_num_batched_tokens=16)
    assert scheduler.add(request("a", prompt=4, most=3, n=2))
    full = scheduler.add(request("b", prompt=1, most=1))
    assert isinstance(full, Rejected)
    assert full.code == "max_waiting_tokens"
    assert full.reason == (
        "max_waiting_tokens: 10 tokens are queued already, the limit is 10; retry later or raise it"
    )
    step(scheduler)
    assert scheduler.add(request("b", prompt=8, most=1))  # "a" runs, and nothing is queued
    assert scheduler.add(request("c", prompt=1, most=1))  # 9 are
    assert not scheduler.add(request("d", prompt=1, most=1))  # 11 are
    assert scheduler.abort("b")
    assert scheduler.add(request("d", prompt=1, most=1))
    finish_all(scheduler)
    assert scheduler.live.queued_tokens == 0


def test_abort_ends_a_request_in_any_phase_once() -> None:
    scheduler = make()
    scheduler.add(request("waiting"))
    assert scheduler.abort("waiting")
    assert not scheduler.abort("waiting")
    assert not scheduler.abort("never seen")
    scheduler.add(request("running"))
    plan = scheduler.schedule()
    assert scheduler.abort("running")
    assert scheduler.dropped(plan) == [0]
    assert scheduler.commit(plan, [7]) == []  # its late token is dropped
    for name in "abc":
        scheduler.add(request(name))
    step(scheduler)
    assert scheduler.abort_all() == ["a", "b", "c"]
    assert scheduler.ledger.gpu.free == 16
    audit(scheduler)


# ---- plans and samples that do not match -------------------------------------------------------


def test_plans_commit_first_in_first_out_and_once() -> None:
    scheduler, other = make(max_steps_in_flight=2), make(max_steps_in_flight=2)
    for s in (scheduler, other):
        s.add(request("a", most=9))
    first, foreign = scheduler.schedule(), other.schedule()
    second = scheduler.schedule()
    before = digest(scheduler.ledger)
    with pytest.raises(SchedulerError, match="2 of 2 steps are in flight"):
        scheduler.schedule()
    for copy in (first._replace(time=0.0), pickle.loads(pickle.dumps(first))):
        with pytest.raises(PlanError, match=r"copy .* commit the one that schedule returned"):
            scheduler.commit(copy, [7])
        with pytest.raises(PlanError, match="copy of the one that schedule returned"):
            scheduler.dropped(copy)
    with pytest.raises(PlanError, match="step 1 comes before step 2"):
        scheduler.commit(second, [7])
    with pytest.raises(PlanError, match="another scheduler's"):
        scheduler.commit(foreign, [7])
    assert digest(scheduler.ledger) == before
    name = hash(first)
    scheduler.commit(first, [7])
    assert hash(first) == name
    with pytest.raises(PlanError, match="committed already"):
        scheduler.commit(first, [7])
    with pytest.raises(PlanError, match="not in flight"):
        scheduler.dropped(first)
    scheduler.commit(second, [7])


@pytest.mark.parametrize(
    "sampled",
    [
        [7],
        [7, 7, 7],
        7,
        None,
        "77",
        np.array([[7], [7]]),
        np.array([7.0, 7.0]),
        [7, 7.0],
        [7, None],
        [7, "a"],
        [7, ["a"]],
        [7, [[]]],
        [7, [[7, 7]]],
        [7, [[7], [7]]],
        [7, {0: [7]}],
        {7, 8},
        frozenset({7, 8}),
        [7, {(7,)}],
        [7, [{7}]],
        [7, [["x"]]],
        [7, [[None]]],
        [7, [[True]]],
        [7, [np.array([7.0])]],
        {("a", 0): 7},
        {("a", 0): 7, ("b", 1): 7},
        {("a", 0): 7, ("b", 0): 7, ("c", 0): 7},
    ],
)
def test_samples_that_do_not_match_the_plan_change_nothing(sampled: Any) -> None:
    scheduler = make()
    scheduler.add(request("a"))
    scheduler.add(request("b"))
    plan = scheduler.schedule()
    before = digest(scheduler.ledger)
    with pytest.raises(SampledError):
        scheduler.commit(plan, sampled)
    assert digest(scheduler.ledger) == before
    assert scheduler.commit(plan, {("a", 0): 7, ("b", 0): [[7]]}) == []


def test_nonsense_does_not_type_check_either() -> None:
    """A strict type checker refuses each of these lines, or calls its comment needless."""
    scheduler = make()
    scheduler.add(request("a"))
    plan = scheduler.schedule()
    calls: list[Callable[[], object]] = [
        lambda: scheduler.commit(plan, 7),  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
        lambda: scheduler.commit(plan, "7"),  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
        lambda: scheduler.commit(plan, [7.0]),  # type: ignore[list-item]  # pyright: ignore[reportArgumentType]
        lambda: scheduler.commit(plan, ["7"]),  # type: ignore[list-item]  # pyright: ignore[reportArgumentType]
        lambda: scheduler.commit(plan, [[7]]),  # type: ignore[list-item]  # pyright: ignore[reportArgumentType]
        lambda: scheduler.commit(plan, {"a": 7}),  # type: ignore[dict-item]  # pyright: ignore[reportArgumentType]
        lambda: scheduler.commit(plan, [7], ["a"]),  # type: ignore[list-item]  # pyright: ignore[reportArgumentType]
    ]
    for call in calls:
        with pytest.raises(SampledError):
            call()
    assert scheduler.commit(plan, [7]) == []


@pytest.mark.parametrize(
    "stopped",
    [
        [2], [-1], ["a"], [0.0], [True], [(0, 1)], [(0, 0, 0)], [()], [(0,)], [(0, True)], [(False, 0)], 3,
    ],
)  # fmt: skip
def test_stopped_positions_that_do_not_exist_change_nothing(stopped: Any) -> None:
    scheduler = make()
    scheduler.add(request("a"))
    scheduler.add(request("b"))
    plan = scheduler.schedule()
    before = digest(scheduler.ledger)
    with pytest.raises(SampledError, match=r"stopped|continuation"):
        scheduler.commit(plan, [7, 7], stopped)
    assert digest(scheduler.ledger) == before
    finished = scheduler.commit(plan, [7, 7], np.array([1]))
    assert [f.request_id for f in finished] == ["b"]


def test_a_plan_without_a_step_needs_no_commit_and_takes_no_samples() -> None:
    scheduler = make()
    plan = scheduler.schedule()
    assert (plan.step, plan.is_empty, len(plan.sampling)) == (None, True, 0)
    assert scheduler.commit(plan, []) == []
    nonsense: Any = 7
    for wrong in ([7], nonsense):
        with pytest.raises(SampledError):
            scheduler.commit(plan, wrong)


def test_what_is_refused_is_named_with_the_limit_and_a_remedy() -> None:
    scheduler = make(max_waiting=1)
    scheduler.add(request("a"))
    full = scheduler.add(request("b"))
    assert isinstance(full, Rejected)
    assert full.reason == "max_waiting: 1 requests wait already; retry later or raise it"
    with pytest.raises(
        SchedulerError,
        match=r"operation 9 is no swap of a plan: plans have dispatched the operations up to 0; report",
    ):
        scheduler.complete([9])
    empty = make().schedule()
    assert empty.step is None
    with pytest.raises(SampledError, match="must be empty, they have 2 entries"):
        make().commit(empty, [7], [0])
    with pytest.raises(SampledError, match="sampled is 7; it must be a list"):
        make().commit(empty, 7)  # type: ignore[arg-type]


WRONG_CALLS: list[tuple[str, tuple[Any, ...], type[SchedulerError], str]] = [
    ("add", (None,), InvalidRequest, "request must be a lineclear.Request, not None"),
    ("add", ({},), InvalidRequest, "request must be a lineclear.Request"),
    (
        "add",
        (Accepted("b"),),
        InvalidRequest,
        r"request must be a lineclear.Request, not Accepted",
    ),
    ("add", (request(float("nan")),), InvalidRequest, "request_id must equal itself"),
    ("commit", (None, []), PlanError, "plan must be one that schedule returned, not None"),
    ("dropped", (None,), PlanError, "not in flight"),
    ("complete", (5,), SchedulerError, "must be lists of numbers, not 5"),
    ("complete", (None,), SchedulerError, "must be lists of numbers"),
    ("complete", ([[]],), SchedulerError, "must be lists of numbers"),
    ("complete", ([], 5), SchedulerError, "must be lists of numbers"),
    ("abort", ([1],), InvalidRequest, r"request_id must be hashable, not \[1\]"),
    ("restart", ([1],), InvalidRequest, "request_id must be hashable"),
    ("name_blocks", ([1], 0, (1,)), InvalidRequest, "request_id must be hashable"),
    ("name_blocks", ("a", 0, 3), SchedulerError, "names of blocks must be a sequence"),
    ("hold", ([],), InvalidRequest, "a prefix name must be a whole number of at least 1"),
    ("let_go", ([],), InvalidRequest, "a prefix name must be a whole number of at least 1"),
    ("pause", ([],), SchedulerError, "mode must be one of"),
    ("pause", (np.array(["keep", "wait"]),), SchedulerError, "mode must be one of"),
    (
        "name_blocks",
        ("a", np.array([0, 1]), (1,)),
        SchedulerError,
        "the next ones begin at 0, not array",
    ),
]


@pytest.mark.parametrize(("call", "arguments", "error", "message"), WRONG_CALLS)
def test_a_call_with_what_is_no_argument_of_it_changes_nothing(
    call: str, arguments: tuple[Any, ...], error: type[SchedulerError], message: str
) -> None:
    scheduler = make(prefix_caching="all")
    scheduler.add(request("a"))
    before = digest(scheduler.ledger)
    with pytest.raises(error, match=message):
        getattr(scheduler, call)(*arguments)
    assert digest(scheduler.ledger) == before
    assert list(scheduler.entries) == ["a"]
    finish_all(scheduler)
