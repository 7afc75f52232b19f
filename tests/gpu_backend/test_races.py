"""Races of real systems: each needs one wait, and shows when that wait is removed."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from device_orders import Favour, Late
from stand_ins import KINDS, DelayedStreams, RecordedGraphs

from lineclear.monitor.audit import InvariantViolation
from lineclear.monitor.hazards import Access, Hazard, Hazards
from lineclear.plan import BlockOperation
from lineclear_gpu.graphs import Graphs
from lineclear_gpu.tag_run import Load, TagRun, WrongTag, pressure

Wait = Callable[[BlockOperation], int]
SEEDS = range(6)
#: Many swaps of single sequences, two steps in flight.
CONFIG = pressure(preemption_mode="swap", scheduling_policy="priority", num_cpu_blocks=20)


def run(
    seed: int,
    wait: Wait | None,
    choose: Any,
    *,
    check: bool,
    steps: int = 250,
    graphs: Graphs | None = None,
) -> TagRun:
    """One run under memory pressure."""
    load = Load(groups=0.2, fork=0.3)
    streams = DelayedStreams(choose, seed)
    made = TagRun(CONFIG, seed, load=load, streams=streams, check=check, wait=wait, graphs=graphs)
    made.run(steps)
    return made


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(
    "choose",
    [
        None,
        Favour("swap_out", "swap_in", "forward"),
        Favour("swap_in", "swap_out"),
        Favour("forward", "swap_in", "swap_out"),
        Favour("forward"),
        Late(),
    ],
    ids=["random", "copies first", "loads first", "compute first", "copies late", "late"],
)
def test_no_order_that_the_waits_allow_does_any_harm(seed: int, choose: Any) -> None:
    done = run(seed, None, choose, check=True, steps=100)
    events = done.figures.events
    assert events["swap"] >= 3
    assert done.hazards is not None
    assert done.hazards.checked > 20


def test_recorded_steps_wait_as_launched_ones_do() -> None:
    done = run(
        3,
        None,
        Favour("swap_out", "swap_in", "forward"),
        check=True,
        steps=80,
        graphs=RecordedGraphs(),
    )
    assert done.figures.events["swap"] >= 3
    assert done.figures.events["fork"] >= 3
    assert done.hazards is not None
    assert done.hazards.checked > 20


@pytest.mark.parametrize(
    ("kind", "hurry"),
    [("swap_out", ("out", "in")), ("swap_in", ("in", "out")), ("forward", ("compute",))],
)
def test_a_recorded_step_without_a_wait_spoils_content(kind: str, hurry: tuple[str, ...]) -> None:
    with pytest.raises(WrongTag, match="not its own"):
        run_all(
            without(kind),
            Favour(*(KINDS[name] for name in hurry)),
            check=False,
            graphs=RecordedGraphs(),
        )


def without(kind: str) -> Wait:
    """Removes the waits of operations of this kind."""
    return lambda operation: 0 if operation.kind == kind else operation.wait


#: race: (description, kind without its wait, early streams)
RACES = {
    "R1": ("a store reads KV before the forward that writes it", "swap_out", ("out", "in")),
    "R2": ("a load writes a block that the step before still reads", "swap_in", ("in", "out")),
    "R3": ("a load writes a block that an ended request still writes", "swap_in", ("in",)),
    "R6": ("a host block is written again before the load that reads it", "swap_out", ("out",)),
    "R7": ("a forward writes a block before the store that reads it", "forward", ("compute",)),
    "R11": ("a forward reads a block before the load that writes it", "forward", ("compute",)),
}


def run_all(wait: Wait, choose: Any, *, check: bool, graphs: Graphs | None = None) -> None:
    for seed in SEEDS:
        run(seed, wait, choose, check=check, graphs=graphs)


@pytest.mark.parametrize("name", RACES)
def test_without_its_wait_a_race_breaks_the_rule(name: str) -> None:
    _, kind, _ = RACES[name]
    with pytest.raises(Hazard, match="nothing orders the two"):
        run_all(without(kind), None, check=True)


@pytest.mark.parametrize("name", RACES)
def test_without_its_wait_a_race_spoils_content(name: str) -> None:
    _, kind, hurry = RACES[name]
    with pytest.raises(WrongTag, match="not its own"):
        run_all(without(kind), Favour(*(KINDS[name] for name in hurry)), check=False)


# ---- each race by itself, on the rule -----------------------------------------------------------


def gpu(place: int, *, write: bool = False) -> Access:
    return Access("gpu", place, write)


def cpu(place: int, *, write: bool = False) -> Access:
    return Access("cpu", place, write)


#: race: operations as (stream, accesses); the last one needs to wait for the first.
ALONE: dict[str, list[tuple[str, list[Access]]]] = {
    "R1": [("compute", [gpu(1, write=True)]), ("out", [gpu(1), cpu(0, write=True)])],
    "R2": [("compute", [gpu(1)]), ("in", [cpu(0), gpu(1, write=True)])],
    "R3": [("compute", [gpu(1, write=True)]), ("in", [cpu(0), gpu(1, write=True)])],
    "R5": [("in", [cpu(0), gpu(1, write=True)]), ("compute", [gpu(1, write=True)])],
    "R6": [("in", [cpu(0), gpu(1, write=True)]), ("out", [gpu(2), cpu(0, write=True)])],
    "R7": [("out", [gpu(1), cpu(0, write=True)]), ("compute", [gpu(1, write=True)])],
    "R11": [("out", [gpu(1), cpu(0, write=True)]), ("in", [cpu(0), gpu(2, write=True)])],
}


@pytest.mark.parametrize("name", ALONE)
def test_two_accesses_that_conflict_need_an_order(name: str) -> None:
    operations = ALONE[name]
    with pytest.raises(Hazard):
        issue(operations, set())
    issue(operations, {1})


def issue(operations: list[tuple[str, list[Access]]], after: set[int]) -> None:
    hazards = Hazards()
    for number, (stream, accesses) in enumerate(operations, 1):
        hazards.issue(number, stream, after if number == len(operations) else set(), accesses)


def test_two_reads_need_no_order_and_one_stream_needs_no_wait() -> None:
    issue([("compute", [gpu(1)]), ("out", [gpu(1), cpu(0, write=True)])], set())
    issue([("out", [cpu(1, write=True)]), ("out", [cpu(1, write=True)])], set())


def test_a_chain_of_waits_is_an_order() -> None:
    hazards = Hazards()
    hazards.issue(1, "compute", (), [gpu(1, write=True)])
    hazards.issue(2, "out", [1], [gpu(2)])
    hazards.issue(3, "in", [2], [gpu(1, write=True)])  # behind 1, transitively through 2
    assert hazards.checked == 1


def test_what_is_complete_needs_no_order() -> None:
    hazards = Hazards()
    hazards.issue(1, "compute", (), [gpu(1, write=True)])
    hazards.complete(1)
    hazards.issue(2, "in", (), [gpu(1, write=True)])
    assert hazards.checked == 0


def test_a_copy_that_fails_loses_no_token_and_harms_no_other_request() -> None:
    done = TagRun(
        pressure(preemption_mode="swap", scheduling_policy="priority"),
        2,
        load=Load(fail=0.3),
        streams=DelayedStreams(seed=2),
    )
    figures = done.run(400)
    assert figures.events["failed"] >= 10
    assert figures.events["finished"] >= 50


def failing(seed: int, kind: type[TagRun] = TagRun) -> TagRun:
    """A run in which copies fail and requests are aborted while their copies are in flight."""
    return kind(
        pressure(preemption_mode="swap", scheduling_policy="priority"),
        seed,
        load=Load(fail=0.08, abort=0.15),
        streams=DelayedStreams(seed=seed),
        check=False,
    )


@pytest.mark.parametrize("seed", [3, 4, 7, 9, 11])
def test_a_request_aborted_before_its_failed_copy_is_reported_is_no_wrong_tag(seed: int) -> None:
    events = failing(seed).run(200).events
    assert events["abort"]
    assert events["failed"]


def test_samples_of_a_failed_copy_are_excused() -> None:
    assert sum(failing(seed).run(200).events["excused"] for seed in (3, 4, 7)) > 0


class TakenAsGood(TagRun):
    """Reports a failed copy to the scheduler as done."""

    def _report(self, done: list[int], failed: list[int]) -> None:
        for number in failed:
            life, first = self.copies.pop(number)
            if life is not None:
                self.excused.setdefault(life, []).append((first, self.launches))
        super()._report(done, [])
        if failed:
            self.scheduler.complete(failed)


def test_what_a_failed_copy_left_is_excused_only_until_the_failure_is_reported() -> None:
    with pytest.raises(WrongTag) as found:
        failing(7, TakenAsGood).run(400)
    (note,) = found.value.__notes__
    assert re.match(r"seed 7, Load\(.*fail=0.08.*Config\(", note)


def test_whatever_ends_a_run_names_its_seed_and_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(_: object) -> None:
        raise InvariantViolation("conservation", "the pool leaks")

    monkeypatch.setattr("lineclear_gpu.tag_run.audit", wrong)
    with pytest.raises(InvariantViolation) as found:
        TagRun(CONFIG, 5).run(10)
    assert found.value.__notes__[0].startswith("seed 5, Load(")


@pytest.mark.deep
def test_two_hundred_thousand_steps_with_failures_and_aborts() -> None:
    for seed in range(100):
        events = failing(seed).run(2_000).events
        assert events["failed"] >= 20
        assert events["abort"] >= 100


# ---- prefix caching ------------------------------------------------------------------------------


#: Prompts that mostly begin as an earlier sequence did.
SHARING = Load(waiting=1, prompt=60, output=20, shared=0.9, abort=0.03, fail=0.1, reset=0.01)


def caching(
    seed: int, kind: type[TagRun] = TagRun, load: Load | None = None, **changes: Any
) -> TagRun:
    """A run whose requests share blocks, with two steps in flight and copies in any order."""
    settings = {"prefix_caching": "all", "num_gpu_blocks": 64, "block_size": 4}
    load = load or SHARING
    streams = DelayedStreams(seed=seed)
    check = kind is TagRun
    return kind(pressure(**settings | changes), seed, load=load, streams=streams, check=check)


@pytest.mark.parametrize(
    ("mode", "depth", "policy"),
    [("recompute", 2, "priority"), ("swap", 2, "fcfs"), ("auto", 1, "vtc")],
)
def test_requests_that_share_blocks_read_their_own_content(
    mode: str, depth: int, policy: str
) -> None:
    made = caching(
        depth, preemption_mode=mode, max_steps_in_flight=depth, scheduling_policy=policy
    )
    events = made.run(240).events
    assert events["hits"] > 225
    assert events["evict"] > 30
    assert events["recompute"] >= 3
    assert events["fork"] >= 3
    assert events["reset"] >= 1
    if mode == "swap":
        assert events["swap"] >= 1
    assert made.hazards is not None
    assert made.names is not None
    assert {*made.names.live} <= {*made.lives}


def test_recorded_steps_share_blocks_as_launched_ones_do() -> None:
    made = caching(1)
    recorded = TagRun(
        made.config, 1, load=made.load, streams=DelayedStreams(seed=1), graphs=RecordedGraphs()
    )
    events = recorded.run(50).events
    assert events["hits"] > 30
    assert events == made.run(50).events


class WithoutSalt(TagRun):
    """Names blocks as if all requests had one salt."""

    def _add(self, request: Any, tokens: list[int]) -> Any:
        names = self.names
        assert names is not None
        add = names.add
        names.add = (  # type: ignore[method-assign]
            lambda request_id, tokens, salt, submit: add(request_id, tokens, None, submit)
        )
        try:
            return super()._add(request, tokens)
        finally:
            names.add = add  # type: ignore[method-assign]


class Guessed(TagRun):
    """Names the last full block of output with a guess of its last token."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        names, book = self.names, self.book
        assert names is not None

        def guessed(name: Any, branch: int, given: tuple[int, ...]) -> tuple[int, ...]:
            lane = book.lane.get((name, branch), 0)
            last = int(book.num_tokens[lane]) // book.block_size * book.block_size - 1
            token = book.tokens[lane, last]
            book.tokens[lane, last] = 1
            found = names.following(name, branch, given)
            book.tokens[lane, last] = token
            return found

        self.scheduler.ask_for_names(guessed)

    def _prompt(self, length: int) -> list[int]:
        """Some prompts hold the guess where an earlier sequence goes on otherwise."""
        tokens = super()._prompt(length)
        if self.said and self.random.random() < 0.7:
            size = self.config.block_size
            said = self.random.choice(self.said)[:length]
            full = len(said) // size * size
            tokens[:full] = [*said[: full - 1], 1][:full]
        return tokens


@pytest.mark.parametrize("kind", [WithoutSalt, Guessed])
def test_wrong_names_are_seen_by_the_tags(kind: type[TagRun]) -> None:
    load = Load(waiting=1, prompt=60, shared=0.95, private=0.0, groups=0.0)
    run = caching(3, kind, load, num_gpu_blocks=200, max_num_seqs=4)
    with pytest.raises(WrongTag, match="not its own"):
        run.run(400)


class Early(TagRun):
    """A scheduler that publishes blocks before committed steps have computed them."""

    def _launch(self) -> None:
        super()._launch()
        ledger = self.scheduler.ledger
        for entry in self.scheduler.entries.values():
            for sequence in entry.record.members:
                full = (
                    min(ledger.num_dispatched_tokens(sequence), ledger.num_tokens(sequence))
                    // ledger.limits.block_size
                )
                for index in range(min(full, len(sequence.block_names), len(sequence.table))):
                    name, block = sequence.block_names[index], sequence.table[index]
                    running = entry.record in ledger.running and not entry.record.open_swap
                    if running and name not in ledger.cached and block.ref == 1 and not block.name:
                        ledger.seal_entry(sequence, index, name)


def test_blocks_that_are_published_in_flight_are_seen_by_the_audit() -> None:
    made = caching(1, Early)
    made.hazards = Hazards()
    with pytest.raises(InvariantViolation, match="own_names"):
        made.run(60)


@pytest.mark.deep
def test_many_steps_with_shared_blocks() -> None:
    for seed in range(60):
        mode = ("recompute", "swap", "auto")[seed % 3]
        events = (
            caching(seed, preemption_mode=mode, max_steps_in_flight=1 + seed % 2).run(2_000).events
        )
        assert events["hits"] > 1_000
