"""Requests that begin with the same tokens share blocks, and nothing that is checked elsewhere suffers."""

# pyright: basic

from __future__ import annotations

from typing import Any

import pytest
from named_requests import ask, computed, config, step

from lineclear.config import EVICTION
from lineclear.monitor.audit import InvariantViolation, audit
from lineclear.prefix_names import PrefixNames
from lineclear.request import InvalidRequest, Request, SchedulerError
from lineclear.scheduler import Scheduler
from lineclear_spec import actions
from lineclear_spec.kernel.records import Refused


def test_a_second_request_computes_only_what_is_not_found() -> None:
    scheduler = Scheduler(config())
    ask(scheduler, "first", (1, 2, 3))
    assert computed(step(scheduler), "first") == 7
    ask(scheduler, "second", (1, 2, 9))
    plan = step(scheduler)
    assert computed(plan, "second") == 7 - 4
    tables = {name: places for name, _, places in plan.tables}
    first = (
        [b.block_id for b in scheduler.entries["first"].first.table]
        if "first" in scheduler.entries
        else []
    )
    assert not first or tables["second"][:2] == tuple(first[:2])
    assert scheduler.counters.prefix_hits == 4
    assert scheduler.counters.prefix_queries == 14


def test_blocks_of_a_request_that_ended_rest_and_are_found() -> None:
    scheduler = Scheduler(config())
    ask(scheduler, "first", (1, 2, 3), most=1)
    step(scheduler)
    assert not scheduler.entries
    ledger = scheduler.ledger
    assert [block.name for block in ledger.resting] == [3, 2, 1]  # the end of a table rests first
    assert ledger.gpu.free == 12 - 3
    ask(scheduler, "again", (1, 2, 3))
    assert computed(step(scheduler), "again") == 1
    assert not ledger.resting


def test_a_whole_hit_still_computes_the_last_token() -> None:
    scheduler = Scheduler(config())
    ask(scheduler, "first", (1, 2, 3), most=1)
    step(scheduler)
    ask(scheduler, "again", (1, 2, 3), prompt=6)
    # the last block, since its last token must be computed
    assert computed(step(scheduler), "again") == 2


def test_the_block_that_rested_longest_is_evicted_but_no_hit() -> None:
    scheduler = Scheduler(config(num_gpu_blocks=8))
    for name, names in (("old", (1, 2)), ("new", (5, 6))):
        ask(scheduler, name, names, most=1)
        step(scheduler)
    ledger = scheduler.ledger
    assert [block.name for block in ledger.resting] == [2, 1, 6, 5]
    ask(scheduler, "next", (1, 2, 7, 8, 9), most=1)  # needs 6 blocks: 2 found, 4 free
    step(scheduler)
    assert scheduler.counters.evicted == 0
    # 7 blocks: 1 found, so 6 are to be free
    ask(scheduler, "more", (1, 11, 12, 13, 14, 15), most=1)
    step(scheduler)
    assert {5, 6} & {*ledger.cached} == set()
    assert 1 in ledger.cached


def test_different_salts_never_share_a_block() -> None:
    scheduler = Scheduler(config())
    names = PrefixNames(2, scheduler.ledger.cached)
    prompt = [7, 7, 7, 7, 7]
    ask(scheduler, "ours", names.of(prompt, extra="ours"), most=1)
    step(scheduler)
    ask(scheduler, "theirs", names.of(prompt, extra="theirs"))
    assert computed(step(scheduler), "theirs") == 5
    ask(scheduler, "ours again", names.of(prompt, extra="ours"))
    assert computed(step(scheduler), "ours again") == 1


def test_a_request_without_names_neither_finds_nor_is_found() -> None:
    scheduler = Scheduler(config())
    ask(scheduler, "first", (1, 2))
    step(scheduler)
    ask(scheduler, "private", (), prompt=5, most=1)
    assert computed(step(scheduler), "private") == 5
    assert {*scheduler.ledger.cached} == {1, 2}


def test_outputs_are_found_by_the_next_turn() -> None:
    scheduler = Scheduler(config())
    ask(scheduler, "turn", (1,), prompt=3, most=4)
    step(scheduler)
    scheduler.name_blocks("turn", 1, [2])
    for _ in range(3):
        step(scheduler)
    assert not scheduler.entries
    assert {*scheduler.ledger.cached} == {1, 2}
    ask(scheduler, "next turn", (1, 2, 3))
    assert computed(step(scheduler), "next turn") == 7 - 4


def test_outputs_are_not_published_with_prompts_alone() -> None:
    scheduler = Scheduler(config(prefix_caching="prompt"))
    ask(scheduler, "turn", (1,), prompt=3, most=4)
    step(scheduler)
    scheduler.name_blocks("turn", 1, [2])
    for _ in range(3):
        step(scheduler)
    assert {*scheduler.ledger.cached} == {1}


def test_branches_share_a_prompt_that_others_find() -> None:
    scheduler = Scheduler(config())
    ask(scheduler, "pair", (1, 2), most=3, n=2)
    plan = scheduler.schedule()
    scheduler.commit(plan, [[[0], [1]]])
    audit(scheduler)
    assert {*scheduler.ledger.cached} == {1, 2}  # published before the branch forked
    ask(scheduler, "third", (1, 2, 3))
    assert computed(step(scheduler), "third") == 3


def test_a_preempted_request_finds_its_own_blocks() -> None:
    scheduler = Scheduler(config(num_gpu_blocks=6, max_model_len=12))
    ask(scheduler, "first", (1, 2), most=6)
    step(scheduler)
    ask(scheduler, "second", (5,), most=6)
    while not scheduler.counters.preemptions["recompute"]:
        step(scheduler)
    victim = scheduler.entries["second"]
    assert victim.record in scheduler.ledger.waiting
    known = victim.first.own_tokens
    while "first" in scheduler.entries:
        step(scheduler)
    hits = scheduler.counters.prefix_hits
    plan = step(scheduler)
    assert victim.record in scheduler.ledger.running
    if 5 in scheduler.ledger.cached:
        assert computed(plan, "second") <= known
    assert scheduler.counters.prefix_hits == hits  # a return does not count for the hit rate


def test_reset_while_two_steps_are_in_flight() -> None:
    scheduler = Scheduler(config(max_steps_in_flight=2))
    ask(scheduler, "first", (1, 2, 3), most=6)
    plan = scheduler.schedule()
    scheduler.commit(plan, [0])
    plans = [scheduler.schedule(), scheduler.schedule()]
    assert scheduler.reset_prefix_cache() == 3
    assert not scheduler.ledger.cached
    audit(scheduler)
    for plan in plans:
        scheduler.commit(plan, [0])
        audit(scheduler)
    ask(scheduler, "second", (1, 2, 3))
    assert computed(step(scheduler), "second") == 7
    while scheduler.entries:
        step(scheduler)
    assert scheduler.ledger.gpu.free + len(scheduler.ledger.resting) == 12


def test_a_victim_that_shares_blocks_is_never_swapped() -> None:
    scheduler = Scheduler(config(num_gpu_blocks=6, preemption_mode="swap", num_cpu_blocks=6))
    ask(scheduler, "first", (1, 2), most=6)
    ask(scheduler, "second", (5,), most=6)
    while scheduler.entries:
        step(scheduler)
    assert scheduler.counters.preemptions["recompute"] > 0
    assert scheduler.counters.preemptions["swap"] == 0


@pytest.mark.parametrize("names", [(0,), (-1,), (1.5,), ("a",), (1, 1), 7, (True,)])
def test_bad_names_are_refused(names: Any) -> None:
    with pytest.raises(InvalidRequest, match="name"):
        Request(request_id=1, prompt_tokens=9, max_tokens=1, prefix_names=names)


def test_names_for_what_is_not_there_are_refused() -> None:
    scheduler = Scheduler(config())
    with pytest.raises(SchedulerError, match="not live"):
        scheduler.name_blocks("nothing", 0, [1])
    ask(scheduler, "one", (1,))
    with pytest.raises(SchedulerError, match="no branch 3"):
        scheduler.name_blocks("one", 1, [2], branch=3)
    with pytest.raises(InvalidRequest):
        scheduler.name_blocks("one", 1, [0])
    with pytest.raises(SchedulerError, match="has names for 1 blocks"):
        scheduler.name_blocks("one", 2, [3])
    assert scheduler.entries["one"].first.block_names == (1,)


def test_the_table_refuses_what_is_not_certain() -> None:
    scheduler = Scheduler(config())
    ask(scheduler, "first", (1, 2), most=6)
    plan = scheduler.schedule()
    ledger, sequence = scheduler.ledger, scheduler.entries["first"].first
    with pytest.raises(Refused, match="committed steps have computed"):
        actions.publish(ledger, sequence, 0)
    scheduler.commit(plan, [0])
    with pytest.raises(Refused, match="under the name"):
        actions.publish(ledger, sequence, 0)  # it is published already
    with pytest.raises(Refused, match="no table entry refers to the block"):
        actions.evict(ledger, 1)
    with pytest.raises(Refused, match="a block can be found"):
        actions.evict(ledger, 77)


@pytest.mark.parametrize("n", [1, 2])
def test_a_restart_keeps_names(n: int) -> None:
    scheduler = Scheduler(config(num_gpu_blocks=20))
    ask(scheduler, "one", (1, 2), most=9, n=n)
    step(scheduler)
    scheduler.name_blocks("one", 2, [3])
    for _ in range(3):
        step(scheduler)
    assert {*scheduler.ledger.cached} == {1, 2, 3}
    assert scheduler.restart("one")
    again = scheduler.entries["one"].first
    assert again.block_names == ((1, 2, 3) if n == 1 else (1, 2))  # of a group those of its prompt
    known = again.own_tokens
    assert computed(step(scheduler), "one") == known - (6 if n == 1 else 4)
    scheduler.name_blocks("one", len(again.block_names), [4] if n == 1 else [3])
    while scheduler.entries:
        step(scheduler)
    assert {*scheduler.ledger.cached} == ({1, 2, 3, 4} if n == 1 else {1, 2, 3})


def test_without_caching_names_of_blocks_are_not_kept() -> None:
    scheduler = Scheduler(config(prefix_caching="off"))
    ask(scheduler, "one", (1, 2))
    sequence = scheduler.entries["one"].first
    lines = len(scheduler.journal)  # type: ignore[arg-type]
    scheduler.name_blocks("one", 2, [3])
    scheduler.name_blocks("one", 7, [0])  # is not looked at
    assert sequence.block_names == ()
    assert len(scheduler.journal) == lines  # type: ignore[arg-type]
    with pytest.raises(SchedulerError, match="not live"):
        scheduler.name_blocks("two", 0, [1])


@pytest.mark.parametrize("fault", ["name", "ref", "resting", "twice", "leads", "words"])
def test_the_audit_sees_a_broken_cache(fault: str) -> None:
    scheduler = Scheduler(config())
    ask(scheduler, "first", (1, 2), most=6)
    step(scheduler)
    ask(scheduler, "gone", (5,), most=1)
    step(scheduler)
    ledger = scheduler.ledger
    block = ledger.cached[1]
    if fault == "name":
        block.name = 2
    elif fault == "ref":
        block.ref += 1
    elif fault == "words":
        scheduler.entries["first"].first.block_names = (7, 2)
    elif fault == "resting":
        ledger.resting.remove(next(iter(ledger.resting)))
    elif fault == "twice":
        ledger.resting.extend([*ledger.resting])
    else:
        ledger.cached[1] = ledger.cached[2]
    with pytest.raises(InvariantViolation):
        audit(scheduler)


# ---- readers ------------------------------------------------------------------------------------


def full_of(*families: tuple[int, ...], **changes: Any) -> Scheduler:
    """A scheduler in which the blocks of requests that ended rest."""
    scheduler = Scheduler(config(num_gpu_blocks=8, **changes))
    for k, names in enumerate(families):
        ask(scheduler, str(k), names, most=1)
        step(scheduler)
    return scheduler


@pytest.mark.parametrize("rule", EVICTION)
def test_a_block_that_is_held_is_not_evicted(rule: str) -> None:
    scheduler = full_of((1, 2), (5, 6), prefix_eviction=rule)
    place = scheduler.hold(2)  # it has rested longest
    assert place == scheduler.ledger.cached[2].block_id
    assert scheduler.cache.available == 7
    assert scheduler.hold(77) is None
    ask(scheduler, "large", (11, 12, 13, 14, 15, 16), most=1)
    step(scheduler)
    assert scheduler.ledger.cached[2].block_id == place
    assert {1, 5, 6} & {*scheduler.ledger.cached} == set()
    assert "1 blocks are held by readers; progress presumes that holds end" in (
        scheduler.stall_report().text()
    )
    scheduler.let_go(2)
    assert scheduler.cache.available == 8
    ask(scheduler, "larger", (*range(21, 27), 28, 29), prompt=16, most=1)
    step(scheduler)
    assert 2 not in scheduler.ledger.cached
    with pytest.raises(SchedulerError, match="no reader holds a block under the name 2"):
        scheduler.let_go(2)


def test_the_table_refuses_what_would_take_a_block_from_its_reader() -> None:
    """Whatever a scheduler decides: of a block that tables name, and of one that rests."""
    scheduler = full_of((1, 2))
    ask(scheduler, "runs", (1, 2, 3), most=6)
    step(scheduler)
    ask(scheduler, "ended", (7,), most=1)
    step(scheduler)
    ledger, done = scheduler.ledger, []
    ledger.journal = lambda name, arguments: done.append((name, *arguments))
    for name, action in ((1, actions.unlist), (7, actions.evict)):
        scheduler.hold(name)
        scheduler.hold(name)
        scheduler.let_go(name)
        with pytest.raises(Refused, match="no reader holds the block"):
            action(ledger, name)
        scheduler.let_go(name)
        with pytest.raises(Refused, match="a reader holds the block"):
            actions.release_block(ledger, name)
        action(ledger, name)
    held = [("hold_block", 1), ("hold_block", 1), ("release_block", 1), ("release_block", 1)]
    assert done[:5] == [*held, ("unlist", 1)]


def test_a_reset_keeps_what_is_held_until_it_is_let_go_and_no_request_finds_it() -> None:
    scheduler = full_of((1, 2))
    assert scheduler.hold(1) == scheduler.hold(1)
    assert scheduler.reset_prefix_cache() == 2
    assert scheduler.reset_prefix_cache() == 0
    assert scheduler.hold(1) is None
    ask(scheduler, "again", (1, 2), most=1)
    assert computed(step(scheduler), "again") == 5
    scheduler.let_go(1)
    assert 1 in scheduler.ledger.cached
    scheduler.let_go(1)
    assert 1 not in scheduler.ledger.cached
    audit(scheduler)


def test_a_request_shares_what_a_reader_holds() -> None:
    scheduler = full_of((1, 2))
    for name in (1, 2):
        scheduler.hold(name)
    ask(scheduler, "again", (1, 2, 3), most=6)
    assert computed(step(scheduler), "again") == 3
    assert scheduler.cache.gain(scheduler.entries["again"].record) == 2  # what is held stays
    while scheduler.entries:
        step(scheduler)
    assert scheduler.cache.available == 6


def test_a_request_waits_for_blocks_that_readers_hold() -> None:
    scheduler = full_of((1, 2, 3, 4, 5))
    for name in range(1, 6):
        scheduler.hold(name)
    ask(scheduler, "next", (11, 12, 13), most=1)
    step(scheduler)
    assert "next" in scheduler.entries
    scheduler.let_go(5)
    step(scheduler)
    assert "next" not in scheduler.entries


@pytest.mark.parametrize("fault", ["held", "forgotten", "readers"])
def test_the_audit_sees_a_hold_of_nothing(fault: str) -> None:
    scheduler = full_of((1, 2))
    what = "a reader holds a block that cannot be found"
    if fault == "held":
        scheduler.cache.held[9] = 1
    elif fault == "forgotten":
        scheduler.cache.forgotten.add(1)
    else:
        scheduler.ledger.cached[1].readers = 1
        what = "blocks have {1: 1} readers"
    with pytest.raises(InvariantViolation, match=what):
        audit(scheduler)
