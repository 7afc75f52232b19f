"""Every rule is seen to be broken by a scheduler that breaks it, and by no other."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
from tiny_scheduler import Request, TinyScheduler, make_broken, make_scheduler

from lineclear.testing import Failure, Limits, Observation, Row, random_runs, replay
from lineclear.testing.failure import RULES

ONE = [("submit", "a", (1, 2, 0), 3)]
TWO = [*ONE, ("submit", "b", (2, 2), 3)]


class Rows(TinyScheduler):
    """Changes the rows on their way to the model."""

    def change(self, row: Row) -> Row:
        return row

    def step(self, execute: Callable[[list[Row]], list[int]]) -> list[str]:
        return super().step(lambda rows: execute([self.change(row) for row in rows]))


class WrongBlock(Rows):
    """Names a block that the request does not hold."""

    def change(self, row: Row) -> Row:
        return Row(row.request_id, row.start, row.tokens, (*row.table[:-1], 4), row.samples)


class SamplesAlways(Rows):
    """Samples in the middle of a prompt."""

    def change(self, row: Row) -> Row:
        return Row(row.request_id, row.start, row.tokens, row.table, True)


class SamplesNever(Rows):
    """Computes the last known token and samples nothing."""

    def change(self, row: Row) -> Row:
        return Row(row.request_id, row.start, row.tokens, row.table, False)


class StartsLate(Rows):
    """Leaves out a position."""

    def change(self, row: Row) -> Row:
        skip = int(row.start == 0 and row.tokens > 1)
        return Row(row.request_id, skip, row.tokens - skip, row.table, row.samples)


class Twice(TinyScheduler):
    """Runs two forward passes in a step."""

    def step(self, execute: Callable[[list[Row]], list[int]]) -> list[str]:
        return super().step(lambda rows: [execute(rows), execute(rows)][1])


class Raises(TinyScheduler):
    """Raises in a step."""

    def step(self, execute: Callable[[list[Row]], list[int]]) -> list[str]:
        raise KeyError("a")


class Catches(WrongBlock):
    """Catches whatever the forward pass raises."""

    def step(self, execute: Callable[[list[Row]], list[int]]) -> list[str]:
        try:
            return super().step(execute)
        except BaseException:
            return []


class SaysNothing(TinyScheduler):
    """Answers None where True or False is expected."""

    def submit(self, name: str, prompt: list[int], max_new: int) -> Any:
        super().submit(name, prompt, max_new)


class EndsEarly(TinyScheduler):
    """Ends a request one token early."""

    def submit(self, name: str, prompt: list[int], max_new: int) -> bool:
        return super().submit(name, prompt, max(1, max_new - 1))


class EndsSilently(TinyScheduler):
    """Forgets to tell who ended."""

    def step(self, execute: Callable[[list[Row]], list[int]]) -> list[str]:
        super().step(execute)
        return []


class EndsTwice(TinyScheduler):
    """Tells an end twice."""

    def step(self, execute: Callable[[list[Row]], list[int]]) -> list[str]:
        ended = super().step(execute)
        return [*ended, *ended]


class TakesAll(TinyScheduler):
    """Refuses nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.limits = Limits(blocks=5, block_size=2, max_seqs=3, max_tokens=4, oversize=True)

    def submit(self, name: str, prompt: list[int], max_new: int) -> bool:
        self.waiting.append(Request(name, prompt, max_new))
        return True


class Leaks(TinyScheduler):
    """Loses a block with each release."""

    def release(self, request: Request) -> None:
        super().release(request)
        self.free = self.free[1:]


class FreesTwice(TinyScheduler):
    """Has a block twice in its free list."""

    def release(self, request: Request) -> None:
        super().release(request)
        self.free += self.free[:1]


class TooMany(TinyScheduler):
    """Exceeds the tokens of a step."""

    def __init__(self) -> None:
        super().__init__()
        self.limits = Limits(blocks=5, block_size=2, max_seqs=3, max_tokens=4)

    def step(self, execute: Callable[[list[Row]], list[int]]) -> list[str]:
        output, self.limits = self.limits, Limits(blocks=5, block_size=2, max_seqs=3, max_tokens=6)
        try:
            return super().step(execute)
        finally:
            self.limits = output


class Idle(TinyScheduler):
    """Never schedules anything."""

    def step(self, execute: Callable[[list[Row]], list[int]]) -> list[str]:
        return []


class Again(TinyScheduler):
    """Works in every step and computes the same tokens again and again."""

    def step(self, execute: Callable[[list[Row]], list[int]]) -> list[str]:
        for request in [r for r in self.running if r.computed == 4]:
            self.running.remove(request)
            self.release(request)
            self.keys.clear()
            self.waiting.insert(0, request)
        return super().step(execute)


class Forgets(TinyScheduler):
    """Has a waiting request in no queue."""

    def observe(self) -> Observation:
        seen = super().observe()
        waiting = [name for name in seen.waiting or () if name != "b"]
        return Observation(seen.tables, seen.free, seen.cached, waiting, seen.running)


class Jumps(TinyScheduler):
    """Serves the youngest first, and says first come, first served."""

    def __init__(self) -> None:
        super().__init__()
        self.limits = Limits(blocks=5, block_size=2, max_seqs=1, max_tokens=4, order="fcfs")

    def step(self, execute: Callable[[list[Row]], list[int]]) -> list[str]:
        self.waiting.reverse()
        return super().step(execute)


class KeepsAborted(TinyScheduler):
    """Keeps the blocks of an aborted request."""

    def abort(self, name: str) -> None:
        self.waiting = [r for r in self.waiting if r.name != name]

    def observe(self) -> Observation:
        return super().observe()


PLANTED: list[tuple[Callable[[], TinyScheduler], list[Any], str]] = [
    (WrongBlock, ONE, "row.table"),
    (SamplesAlways, [("submit", "a", (1, 2, 0, 0, 1), 1)], "row.samples"),
    (SamplesNever, ONE, "row.samples"),
    (StartsLate, ONE, "read.own"),
    (Twice, ONE, "step.once"),
    (Raises, ONE, "raises"),
    (Catches, ONE, "row.table"),
    (SaysNothing, ONE, "raises"),
    (EndsEarly, ONE, "end.early"),
    (EndsSilently, ONE, "end.late"),
    (EndsTwice, ONE, "end.once"),
    (TakesAll, [("submit", "a", (0,) * 10, 2)], "refused"),
    (Leaks, ONE, "conservation.free"),
    (FreesTwice, ONE, "conservation.free"),
    (TooMany, [("submit", "a", (1,) * 8, 1)], "budget.tokens"),
    (Idle, ONE, "progress.moves"),
    (Again, [("submit", "a", (1, 2, 0, 0, 1), 3)], "progress.kept"),
    (Forgets, TWO, "queues.lists"),
    (Jumps, TWO, "queue_order.passed"),
    (KeepsAborted, [*ONE, ("step",), ("abort", "a")], "once.holds"),
]


@pytest.mark.parametrize(
    ("make", "actions", "rule"), PLANTED, ids=lambda v: getattr(v, "__name__", "")
)
def test_a_broken_rule_is_named(
    make: Callable[[], TinyScheduler], actions: Iterable[Any], rule: str
) -> None:
    replay(make_scheduler, actions)
    with pytest.raises(Failure) as caught:
        replay(make, actions)
    assert caught.value.rule == rule
    assert caught.value.meaning
    assert caught.value.code.startswith("LC")


def test_every_rule_of_the_model_and_the_machine_is_seen_to_be_broken() -> None:
    here = {rule for _, _, rule in PLANTED}
    elsewhere = {"row.live", "row.tokens", "read.own"}  # test_model.py
    assert set(RULES) <= here | elsewhere | {"returns"}  # below


def test_a_call_that_does_not_return_is_interrupted(monkeypatch: pytest.MonkeyPatch) -> None:
    class Loops(TinyScheduler):
        def step(self, execute: Callable[[list[Row]], list[int]]) -> list[str]:
            while True:
                pass

    monkeypatch.setattr("lineclear.testing.machine.PATIENCE", 0.2)
    with pytest.raises(Failure) as caught:
        replay(Loops, ONE)
    assert caught.value.key == ("returns", "returns")


def test_the_place_of_what_is_raised_is_a_line_of_the_scheduler() -> None:
    with pytest.raises(Failure) as caught:
        replay(Raises, ONE)
    file, _, line = caught.value.place.partition(":")
    assert file == "test_machine.py"
    assert 'raise KeyError("a")' in Path(__file__).read_text().splitlines()[int(line) - 1]


class Dies(TinyScheduler):
    """An abort is a message that is read `late` steps later."""

    def __init__(self, late: int, declared: int) -> None:
        super().__init__()
        self.late = late
        self.aborted: list[tuple[int, str]] = []
        self.limits = Limits(
            blocks=5, block_size=2, max_seqs=3, max_tokens=4, dying_steps=declared
        )

    def abort(self, name: str) -> None:
        self.aborted.append((self.late, name))

    def step(self, execute: Callable[[list[Row]], list[int]]) -> list[str]:
        self.aborted = [(steps - 1, name) for steps, name in self.aborted]
        dead = [name for steps, name in self.aborted if steps < 0]
        for name in dead:
            super().abort(name)
        self.aborted = [one for one in self.aborted if one[1] not in dead]
        waits = {name for _, name in self.aborted}
        return [name for name in super().step(execute) if name not in waits]


ABORT = [*TWO, ("step",), ("abort", "a"), ("step",)]


def test_an_abort_may_be_a_message_for_as_long_as_it_is_declared() -> None:
    replay(lambda: Dies(1, 2), ABORT)
    found, tally = random_runs(lambda: Dies(1, 2), range(30))
    assert found is None
    assert tally.actions["abort"] > 10
    with pytest.raises(Failure) as caught:
        replay(lambda: Dies(1, 0), ABORT)
    assert caught.value.rule == "once.holds"
    with pytest.raises(Failure) as caught:
        replay(lambda: Dies(4, 1), ABORT)
    assert caught.value.rule == "once.holds"


def test_an_action_that_can_not_be_meant_does_nothing() -> None:
    machine = replay(
        make_scheduler, [("abort", "a"), *ONE, *ONE, ("submit", "b", (), 1), ("abort", "b")]
    )
    assert machine.accepted == 1
    assert machine.actions.count(ONE[0]) == 1
    with pytest.raises(ValueError, match="is not an action"):
        replay(make_scheduler, [("schedule",)])


def test_a_failure_can_be_told_by_a_worker() -> None:
    import pickle

    with pytest.raises(Failure) as caught:
        replay(Raises, ONE)
    again = pickle.loads(pickle.dumps(caught.value))
    assert (again.key, again.state, again.actions) == (
        caught.value.key,
        caught.value.state,
        caught.value.actions,
    )


def test_the_scheduler_of_the_examples_breaks_no_rule_and_its_twin_does() -> None:
    found, tally = random_runs(make_scheduler, range(40))
    assert found is None
    assert tally.preempted > 20
    assert tally.hits > 50
    broken, _ = random_runs(make_broken, range(40))
    assert broken is not None


class Eager(TinyScheduler):
    """Publishes the blocks of a prompt when they are granted, so that the same step finds them."""

    def __init__(self, declared: bool) -> None:
        super().__init__()
        self.limits = Limits(
            blocks=5, block_size=2, max_seqs=3, max_tokens=6, same_step_hits=declared
        )

    def grow(self, request: Request, tokens: int) -> bool:
        grown = super().grow(request, tokens)
        budget = self.limits.max_tokens
        whole = len(request.tokens) - request.computed <= budget
        alone = not any(r is not request for r in self.running)
        for k in range(len(request.tokens) // 2 if grown and whole and alone else 0):
            if request.table[k] not in self.keys and request.computed == 0:
                self.keys[request.table[k]] = tuple(request.tokens[: 2 * k + 2])
        return grown


SAME = [("submit", "a", (1, 2, 0), 1), ("submit", "b", (1, 2, 1), 1)]


def test_hits_in_the_same_step_are_a_finding_only_if_they_are_not_declared() -> None:
    machine = replay(lambda: Eager(True), SAME)
    assert machine.judge.hits == 1
    with pytest.raises(Failure):
        replay(lambda: Eager(False), SAME)


class Shifted(TinyScheduler):
    """Its block ids begin at 2."""

    def __init__(self) -> None:
        super().__init__()
        self.limits = Limits(blocks=5, block_size=2, max_seqs=3, max_tokens=4, first_block=2)
        self.free = [block + 2 for block in self.free]


class Below(Shifted):
    """Its block ids begin at 1, below what it says."""

    def __init__(self) -> None:
        super().__init__()
        self.free = [block - 1 for block in self.free]


def test_block_ids_may_begin_anywhere_but_where_they_are_said_to() -> None:
    found, tally = random_runs(Shifted, range(20))
    assert found is None
    assert tally.preempted > 5
    with pytest.raises(Failure) as caught:
        replay(Below, ONE)
    assert caught.value.rule == "conservation.free"


def test_a_scheduler_that_does_not_say_who_waits_is_tested_for_the_rest() -> None:
    class Silent(TinyScheduler):
        def observe(self) -> Observation:
            seen = super().observe()
            return Observation(seen.tables, seen.free, seen.cached)

    found, tally = random_runs(Silent, range(20))
    assert found is None
    assert tally.preempted > 5


def test_a_stop_token_ends_requests_early() -> None:
    class Stops(TinyScheduler):
        def __init__(self) -> None:
            super().__init__()
            self.limits = Limits(blocks=5, block_size=2, max_seqs=3, max_tokens=4, stop_token=2)

        def step(self, execute: Callable[[list[Row]], list[int]]) -> list[str]:
            sampled: dict[str, int] = {}

            def seen(rows: list[Row]) -> list[int]:
                tokens = execute(rows)
                sampled.update({r.request_id: t for r, t in zip(rows, tokens, strict=True)})
                return tokens

            ended = super().step(seen)
            for request in [r for r in self.running if sampled.get(r.name) == 2]:
                self.running.remove(request)
                self.release(request)
                ended.append(request.name)
            return ended

    found, _ = random_runs(Stops, range(20))
    assert found is None

    class Ignores(TinyScheduler):
        def __init__(self) -> None:
            super().__init__()
            self.limits = Limits(blocks=5, block_size=2, max_seqs=3, max_tokens=4, stop_token=2)

    ignored, _ = random_runs(Ignores, range(20))
    assert ignored is not None
    assert ignored.failure.rule == "end.late"
