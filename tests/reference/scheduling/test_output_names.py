"""Blocks of output are named and published when a request ends, is preempted or forks."""

from __future__ import annotations

import io
from collections.abc import Iterable
from typing import Any

import pytest

from lineclear.config import Config
from lineclear.conform.journal_log import journal_events
from lineclear.journal.file import JournalFile, replay
from lineclear.kv_events import Stored
from lineclear.monitor.audit import audit
from lineclear.request import InvalidRequest, Request, SchedulerError
from lineclear.scheduler import Scheduler

SIZE = 4
#: Of request k the block i has the name 100 * k + i + 1.
ASKED: list[Any] = []


def following(name: Any, branch: int, names: tuple[int, ...]) -> Iterable[int]:
    """More names than there can be blocks."""
    ASKED.append((name, branch, len(names)))
    return [100 * name + 1 + index + 50 * (branch > 0) for index in range(len(names), 9)]


def made(file: io.StringIO | None = None, *, ask: bool = True, **changes: Any) -> Scheduler:
    """Two requests with prompts of one block and a half, and a journal in the file if one is given."""
    settings: dict[str, Any] = {
        "num_gpu_blocks": 40, "block_size": SIZE, "prefix_caching": "all", "preemption_mode": "recompute",
    }  # fmt: skip
    scheduler = Scheduler(Config(**(settings | changes)))
    if file is not None:
        scheduler.ledger.journal = JournalFile(file, scheduler.ledger.limits)
    ASKED.clear()
    if ask:
        scheduler.ask_for_names(following)
    for name in range(2):
        scheduler.add(
            Request(
                request_id=name, prompt_tokens=6, max_tokens=9, n=1, prefix_names=(100 * name + 1,)
            )
        )
    return scheduler


def run(scheduler: Scheduler, steps: int) -> None:
    """Steps, each committed before the next one."""
    for _ in range(steps):
        plan = scheduler.schedule()
        scheduler.commit(plan, [0] * len(plan.sampling))
        audit(scheduler)


def published(scheduler: Scheduler) -> list[str]:
    """The actions that publish."""
    return [name for name, _ in scheduler.journal if name.startswith("publish")]  # type: ignore[attr-defined]


def test_output_is_published_when_a_request_ends() -> None:
    scheduler = made()
    run(scheduler, 8)
    assert {*scheduler.ledger.cached} == {1, 101}  # nothing that decodes is asked for
    assert not ASKED
    stored: list[Any] = []
    scheduler.watch_prefix_cache(stored.append)
    run(scheduler, 1)
    assert not scheduler.entries
    # 15 tokens are known and 14 computed: three full blocks.
    assert {*scheduler.ledger.cached} == {1, 2, 3, 101, 102, 103}
    assert ASKED == [(0, 0, 1), (1, 0, 1)]
    assert published(scheduler) == ["publish"] * 2  # `finish_each` publishes the rest
    assert stored == [Stored((2, 3), 1), Stored((102, 103), 101)]
    assert [block.name for block in scheduler.ledger.resting] == [3, 2, 1, 103, 102, 101]


def test_a_second_turn_finds_the_first() -> None:
    scheduler = made()
    run(scheduler, 9)
    scheduler.add(Request(request_id=5, prompt_tokens=15, max_tokens=1, prefix_names=(1, 2, 3)))
    plan = scheduler.schedule()
    assert [row.tokens for row in plan.scheduled_seq_groups] == [3]


@pytest.mark.parametrize("budget", [2048, 8192])
def test_a_long_second_turn_is_one_step_of_what_is_new(budget: int) -> None:
    config = Config(
        num_gpu_blocks=1024, block_size=16, max_num_batched_tokens=budget, max_model_len=8192,
        prefix_caching="all", preemption_mode="recompute",
    )  # fmt: skip
    scheduler = Scheduler(config)
    scheduler.ask_for_names(lambda _r, _b, names: range(len(names) + 1, 262))

    def first_token(name: str, prompt: int) -> list[int]:
        """Tokens of each step until the request samples."""
        names = range(1, prompt // 16 + 1)
        scheduler.add(
            Request(request_id=name, prompt_tokens=prompt, max_tokens=70, prefix_names=names)
        )
        tokens: list[int] = []
        sampled = False
        while scheduler.entries:
            plan = scheduler.schedule()
            if not sampled:
                tokens.append(plan.num_batched_tokens)
            sampled = sampled or bool(plan.sampling)
            scheduler.commit(plan, [0] * len(plan.sampling))
        return tokens

    assert first_token("first", 4096) == ([budget] * 2 if budget < 4096 else [4096])
    # 4,166 tokens are known and 4,165 have KV: 260 blocks are found.
    assert first_token("second", 4096 + 70 + 64) == [4096 + 70 + 64 - 4160]


def test_output_is_published_when_a_request_is_preempted_and_found_again() -> None:
    scheduler = made()
    run(scheduler, 7)
    scheduler.transitions.preempt(scheduler.entries[1])
    assert {*scheduler.ledger.cached} == {1, 101, 102, 103}
    plan = scheduler.schedule()
    assert [row.start for row in plan.scheduled_seq_groups if row.request_id == 1] == [12]
    scheduler.commit(plan, [0] * len(plan.sampling))
    run(scheduler, 1)
    assert ASKED == [(1, 0, 1), (0, 0, 1)]  # the other was asked for all of its names before


@pytest.mark.parametrize("ended", ["abort", "pause"])
def test_output_is_published_when_a_request_is_aborted_or_gives_all_up(ended: str) -> None:
    scheduler = made()
    run(scheduler, 7)
    if ended == "abort":
        scheduler.abort(1)
        assert {*scheduler.ledger.cached} == {1, 101, 102, 103}
    else:
        scheduler.pause("recompute")
        assert {*scheduler.ledger.cached} == {1, 2, 3, 101, 102, 103}
    audit(scheduler)


def test_a_step_in_flight_has_computed_nothing_yet() -> None:
    scheduler = made(max_steps_in_flight=2)
    run(scheduler, 6)  # 12 tokens are known, 11 computed
    scheduler.schedule()
    scheduler.abort(1)
    assert {*scheduler.ledger.cached} == {1, 101, 102}


def test_a_restart_publishes_nothing() -> None:
    """Its KV is lost, as a step of it has failed."""
    scheduler = made()
    run(scheduler, 7)
    scheduler.restart(1)
    assert {*scheduler.ledger.cached} == {1, 101}


def test_a_branch_publishes_what_it_is_about_to_share_and_what_is_its_own() -> None:
    scheduler = made(ask=False)
    scheduler.abort(0)
    scheduler.abort(1)
    scheduler.ask_for_names(following)
    request = Request(
        request_id=3, prompt_tokens=6, max_tokens=12, n=2, prefix_names=(301,), may_fork_later=True
    )
    scheduler.add(request)
    run(scheduler, 7)
    plan = scheduler.schedule()
    scheduler.commit(plan, [[[0], [0]]])
    first, second = scheduler.entries[3].record.members
    assert [block.name for block in first.table] == [301, 302, 303, 0]
    assert second.block_names == first.block_names[:3]
    run(scheduler, 3)
    plan = scheduler.schedule()
    scheduler.commit(plan, {(3, 0): [], (3, 1): 0})  # the first branch ends
    audit(scheduler)
    assert {*scheduler.ledger.cached} >= {301, 302, 303, 304}
    assert ASKED == [(3, 0, 1), (3, 1, 3)]  # the second one has all its tokens


@pytest.mark.parametrize("caching", ["prompt", "off"])
def test_nothing_is_asked_unless_outputs_are_shared(caching: str) -> None:
    scheduler = made(prefix_caching=caching)
    run(scheduler, 9)
    assert not ASKED
    assert {*scheduler.ledger.cached} == ({1, 101} if caching == "prompt" else set())


def test_a_request_without_names_publishes_nothing() -> None:
    scheduler = made(ask=False)
    scheduler.ask_for_names(lambda _request, _branch, _names: ())
    run(scheduler, 9)
    assert {*scheduler.ledger.cached} == {1, 101}


@pytest.mark.parametrize(
    ("answer", "error", "text"),
    [
        ([0], InvalidRequest, "a prefix name"),
        ([True], InvalidRequest, "a prefix name"),
        ([5, 5], InvalidRequest, "twice"),
        ([2, 1, 101], InvalidRequest, "1 is the name of an earlier block of the branch"),
        (None, InvalidRequest, "must be a sequence"),
        (KeyError("mine"), KeyError, "mine"),
        (KeyboardInterrupt("mine"), KeyboardInterrupt, "mine"),
    ],
)
def test_an_answer_that_is_none_ends_the_request_and_comes_out_of_the_next_call(
    answer: Any, error: type[BaseException], text: str
) -> None:
    def give(*_: Any) -> Any:
        if isinstance(answer, BaseException):
            raise answer
        return answer

    scheduler = made(ask=False)
    scheduler.ask_for_names(give)
    run(scheduler, 9)
    assert not scheduler.entries
    assert {*scheduler.ledger.cached} == {1, 101}
    with pytest.raises(error, match=text):
        scheduler.schedule()
    assert scheduler.schedule().step is None


def test_a_name_is_given_to_one_block_of_a_branch() -> None:
    scheduler = made(ask=False)
    with pytest.raises(InvalidRequest, match="1 is the name of an earlier block"):
        scheduler.name_blocks(0, 1, [7, 1])
    scheduler.name_blocks(0, 1, [7, 8])
    run(scheduler, 9)
    assert {1, 7, 8} <= {*scheduler.ledger.cached}


def test_abort_all_is_finished_if_who_is_asked_raises_meanwhile() -> None:
    scheduler = made(ask=False)
    run(scheduler, 8)

    def give(*_: Any) -> Any:
        raise KeyError("mine")

    scheduler.ask_for_names(give)
    assert scheduler.abort_all() == [0, 1]
    assert not scheduler.entries
    with pytest.raises(KeyError, match="mine"):
        scheduler.abort_all()
    assert scheduler.stats()["requests_aborted_total"] == 2


def test_who_is_asked_must_not_call_the_scheduler() -> None:
    scheduler = made(ask=False)

    def give(*_: Any) -> Any:
        scheduler.abort_all()

    scheduler.ask_for_names(give)
    run(scheduler, 9)
    with pytest.raises(SchedulerError, match="may not call the scheduler"):
        scheduler.schedule()


def test_of_two_equal_outputs_the_first_is_published() -> None:
    scheduler = made(ask=False)
    scheduler.ask_for_names(lambda _r, _b, names: range(7 + len(names), 10))
    stored: list[Any] = []
    scheduler.watch_prefix_cache(stored.append)
    run(scheduler, 9)
    assert stored == [Stored((1,), 0), Stored((101,), 0), Stored((8, 9), 1)]
    ledger = scheduler.ledger
    assert {*ledger.cached} == {1, 101, 8, 9}
    assert [block.name for block in ledger.resting] == [9, 8, 1, 101]
    assert ledger.gpu.free == 40 - 4


def test_journals_tell_names_and_runs() -> None:
    file = io.StringIO()
    scheduler = made(file)
    run(scheduler, 9)
    assert isinstance(scheduler.ledger.journal, JournalFile)
    scheduler.ledger.journal.end(scheduler.ledger)
    lines = file.getvalue().splitlines()
    assert '["name_blocks","s1",[2,3,4,5,6,7,8,9]]' in lines
    assert '["finish_each"]' in lines
    again = replay(lines)
    assert again.complete
    assert {*again.ledger.cached} == {1, 2, 3, 101, 102, 103}
    scheduler = made()
    run(scheduler, 9)
    lines = list(scheduler.journal.lines(scheduler.ledger.limits))  # type: ignore[attr-defined]
    assert {*replay(lines).ledger.cached} == {1, 2, 3, 101, 102, 103}
    _, events = journal_events(lines)
    stored = [key for event in events if event["e"] == "store" for key in event["keys"]]
    assert stored == [1, 101, 2, 3, 102, 103]


@pytest.mark.parametrize("together", [True, False])
def test_names_of_output_are_not_published_where_prompts_alone_are(together: bool) -> None:
    scheduler = made(prefix_caching="prompt")
    run(scheduler, 8)
    for name in range(2):
        scheduler.name_blocks(name, 1, [100 * name + 2, 100 * name + 3])
    plan = scheduler.schedule()
    scheduler.commit(plan, [0, 0], stopped=[] if together else [0, 1])
    assert not scheduler.entries
    assert {*scheduler.ledger.cached} == {1, 101}
    audit(scheduler)


def test_a_block_that_was_found_elsewhere_is_published_at_the_end() -> None:
    """The first block of the second request has the name of the first one's, which is gone when it ends."""
    scheduler = made(ask=False)
    scheduler.abort(1)
    scheduler.add(Request(request_id=1, prompt_tokens=6, max_tokens=11, prefix_names=(1,)))
    run(scheduler, 9)
    assert {*scheduler.ledger.cached} == {1}
    assert scheduler.reset_prefix_cache() == 1
    stored: list[Any] = []
    scheduler.watch_prefix_cache(stored.append)
    run(scheduler, 2)
    assert not scheduler.entries
    assert stored == [Stored((1,), 0)]
    assert {*scheduler.ledger.cached} == {1}
