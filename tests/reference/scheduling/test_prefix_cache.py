"""Requests that begin with the same tokens share blocks, and nothing that is checked elsewhere suffers."""

from __future__ import annotations

import io
import json
import random
from typing import Any

import pytest

from lineclear.config import Config
from lineclear.journal.file import JournalFile, replay
from lineclear.monitor.audit import InvariantViolation, audit
from lineclear.monitor.observer import Observer
from lineclear.plan import Plan
from lineclear.prefix_names import PrefixNames
from lineclear.request import InvalidRequest, Request, SchedulerError
from lineclear.scheduler import Scheduler
from lineclear_spec import actions
from lineclear_spec.records import Refused


def config(**changed: Any) -> Config:
    """A small pool with prefix caching."""
    settings: dict[str, Any] = {
        "num_gpu_blocks": 12,
        "num_cpu_blocks": 4,
        "block_size": 2,
        "max_num_seqs": 4,
        "max_num_batched_tokens": 16,
        "max_model_len": 24,
        "watermark": 0.0,
        "prefix_caching": "all",
        "preemption_mode": "recompute",
    }
    return Config(**settings | changed)


def ask(
    scheduler: Scheduler,
    name: str,
    names: tuple[int, ...],
    prompt: int = 0,
    most: int = 2,
    n: int = 1,
) -> None:
    """Adds a request whose prompt has one token more than its names cover."""
    size = scheduler.config.block_size
    tokens = prompt or len(names) * size + 1
    assert scheduler.add(
        Request(request_id=name, prompt_tokens=tokens, max_tokens=most, n=n, prefix_names=names)
    )


def step(scheduler: Scheduler) -> Plan:
    """One step, committed at once."""
    plan = scheduler.schedule()
    if plan.step is not None:
        scheduler.commit(plan, [0] * len(plan.sampling))
    audit(scheduler)
    return plan


def computed(plan: Plan, name: str) -> int:
    """Tokens that a plan computes of a request."""
    return sum([row.tokens for row in plan.scheduled_seq_groups if row.request_id == name])


def test_a_second_request_computes_only_what_is_not_found() -> None:
    scheduler = Scheduler(config())
    ask(scheduler, "first", (1, 2, 3))
    assert computed(step(scheduler), "first") == 7
    ask(scheduler, "second", (1, 2, 9))
    plan = step(scheduler)
    assert computed(plan, "second") == 7 - 4
    tables = {name: places for name, _, places in plan.tables}
    first = (
        [b.place for b in scheduler.entries["first"].first.table]
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
    assert (
        computed(step(scheduler), "again") == 2
    )  # the last block, since its last token must be computed


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
    ask(
        scheduler, "more", (1, 11, 12, 13, 14, 15), most=1
    )  # 7 blocks: 1 found, so 6 are to be free
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
    scheduler.name_blocks("turn", [2])
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
    scheduler.name_blocks("turn", [2])
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
    known = victim.first.known_tokens
    while "first" in scheduler.entries:
        step(scheduler)
    hits = scheduler.counters.prefix_hits
    plan = step(scheduler)
    assert victim.record in scheduler.ledger.running
    if 5 in scheduler.ledger.cached:
        assert computed(plan, "second") <= known
    assert scheduler.counters.prefix_hits == hits  # a return does not count for the hit rate


def test_reset_while_two_steps_are_in_flight() -> None:
    scheduler = Scheduler(config(depth=2))
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


def test_off_writes_the_journal_of_a_scheduler_without_names() -> None:
    def run(names: bool, caching: str) -> str:
        scheduler = Scheduler(config(prefix_caching=caching, num_gpu_blocks=8))
        file = io.StringIO()
        scheduler.ledger.journal = journal = JournalFile(file, scheduler.ledger.limits)
        for k in range(4):
            request = Request(
                request_id=k,
                prompt_tokens=5,
                max_tokens=4,
                prefix_names=(1, 2 + k) if names else (),
            )
            scheduler.add(request)
        while scheduler.entries:
            step(scheduler)
        journal.end(scheduler.ledger)
        return file.getvalue()

    assert run(True, "off") == run(False, "off") == run(False, "all")
    assert run(True, "all") != run(False, "all")


def test_a_run_is_replayed_from_its_journal() -> None:
    scheduler = Scheduler(config(num_gpu_blocks=7))
    file = io.StringIO()
    scheduler.ledger.journal = journal = JournalFile(file, scheduler.ledger.limits)
    for k, names in enumerate(((1, 2, 3), (1, 2, 4), (1, 5), (1, 2, 3))):
        ask(scheduler, str(k), names, most=4)
        step(scheduler)
    scheduler.name_blocks("3", [6])
    while scheduler.entries:
        step(scheduler)
    journal.end(scheduler.ledger)
    lines = file.getvalue().splitlines()
    done: set[Any] = {json.loads(line)[0] for line in lines[1:-1]}
    assert done >= {"publish", "admit_cached", "evict", "name_blocks"}
    again = replay(lines)
    assert again.complete
    assert {n: b.place for n, b in again.ledger.cached.items()} == {
        n: b.place for n, b in scheduler.ledger.cached.items()
    }


def test_the_journal_in_memory_is_replayed_too() -> None:
    scheduler = Scheduler(config())
    for name in ("first", "second"):
        ask(scheduler, name, (1, 2))
        step(scheduler)
    lines = list(scheduler.journal.lines(scheduler.ledger.limits))  # type: ignore[attr-defined]
    assert {*replay(lines).ledger.cached} == {*scheduler.ledger.cached}


@pytest.mark.parametrize("names", [(0,), (-1,), (1.5,), ("a",), (1, 1), 7, (True,)])
def test_bad_names_are_refused(names: Any) -> None:
    with pytest.raises(InvalidRequest, match="name"):
        Request(request_id=1, prompt_tokens=9, max_tokens=1, prefix_names=names)


def test_names_for_what_is_not_there_are_refused() -> None:
    scheduler = Scheduler(config())
    with pytest.raises(SchedulerError, match="not live"):
        scheduler.name_blocks("nothing", [1])
    ask(scheduler, "one", (1,))
    with pytest.raises(SchedulerError, match="no branch 3"):
        scheduler.name_blocks("one", [2], branch=3)
    with pytest.raises(InvalidRequest):
        scheduler.name_blocks("one", [0])
    assert scheduler.entries["one"].first.words == (1,)


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
    with pytest.raises(Refused, match="no table entry names the block"):
        actions.evict(ledger, 1)
    with pytest.raises(Refused, match="a block can be found"):
        actions.evict(ledger, 77)


@pytest.mark.parametrize("fault", ["name", "ref", "resting", "leads", "words"])
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
        scheduler.entries["first"].first.words = (7, 2)
    elif fault == "resting":
        ledger.resting.popitem()
    else:
        ledger.cached[1] = ledger.cached[2]
    with pytest.raises(InvariantViolation):
        audit(scheduler)


FAMILIES = [[1000 * family + k + 1 for k in range(32)] for family in range(3)]


def drive(seed: int, steps: int = 150) -> Scheduler:
    """A run at random, audited after every call."""
    draw = random.Random(seed)
    settings = config(
        num_gpu_blocks=draw.choice([12, 20, 40]),
        num_cpu_blocks=draw.choice([0, 8]),
        block_size=draw.choice([1, 2, 4]),
        max_num_seqs=8,
        max_num_batched_tokens=draw.choice([16, 32]),
        max_model_len=48,
        prefix_caching=draw.choice(["prompt", "all"]),
        preemption_mode=draw.choice(["swap", "recompute", "auto"]),
        depth=draw.choice([1, 2]),
        victim=draw.choice(["last", "longest", "newest"]),
        scheduling_policy=draw.choice(["fcfs", "priority", "fair", "vtc"]),
    )
    scheduler = Scheduler(settings)
    observer, ring = Observer(scheduler.ledger), scheduler.journal

    def journal(name: str, arguments: tuple[Any, ...]) -> None:
        ring(name, arguments)
        observer(name, arguments)

    scheduler.ledger.journal = journal
    plans: list[Plan] = []
    made, own = 0, 1_000_000
    for _ in range(steps):
        while len(scheduler.entries) < draw.randint(1, 8) and made < 60:
            made += 1
            prompt = draw.randint(1, 20)
            full = prompt // settings.block_size
            names = draw.choice(FAMILIES)[: min(draw.randrange(10), full)]
            names += range(own, own + full - len(names))
            own += full
            request = Request(
                request_id=made,
                prompt_tokens=prompt,
                max_tokens=draw.randint(1, 12),
                n=draw.choice([1, 1, 1, 2]),
                priority=draw.randint(0, 2),
                prefix_names=names if draw.random() < 0.9 else (),
            )
            scheduler.add(request)
        if not scheduler.entries:
            break
        if draw.random() < 0.03:
            scheduler.reset_prefix_cache()
        if draw.random() < 0.05:
            scheduler.abort(draw.choice(list(scheduler.entries)))
        if len(plans) < settings.depth:
            plan = scheduler.schedule()
            if plan.step is not None:
                plans.append(plan)
            for operation in plan.operations:
                if operation.kind in ("swap_in", "swap_out"):
                    failed = [operation.number] if draw.random() < 0.1 else []
                    if operation.number in scheduler.ledger.operations:
                        scheduler.complete([operation.number], failed)
        elif plans:
            plan = plans.pop(0)
            sampled: list[Any] = []
            for row in plan.sampling:
                entry = scheduler.entries.get(row.request_id)
                forks = entry is not None and entry.record.width < entry.n and row.branch == 0
                sampled.append([[0], [0]] if forks and draw.random() < 0.5 else 0)
            scheduler.commit(plan, sampled)
            for entry in scheduler.entries.values():
                for sequence in entry.record.members:
                    full = scheduler.ledger.known(sequence) // settings.block_size
                    lacking = full - len(sequence.words)
                    if sequence.words and lacking > 0:
                        given = range(own, own + lacking)
                        own += lacking
                        scheduler.name_blocks(entry.name, given, entry.branch(sequence))
        audit(scheduler)
        observer.check()
    return scheduler


@pytest.mark.parametrize("seeds", [range(8)])
def test_random_runs_keep_every_invariant(seeds: range) -> None:
    runs = [drive(seed).counters for seed in seeds]
    assert sum([run.prefix_hits for run in runs]) > 100
    assert sum([run.evicted for run in runs]) > 100
    assert sum([sum(run.preemptions.values()) for run in runs]) > 10
    assert not any(run.preempted_alone for run in runs)


@pytest.mark.deep
def test_many_random_runs_keep_every_invariant() -> None:
    assert not any(drive(seed, 400).counters.preempted_alone for seed in range(300))
