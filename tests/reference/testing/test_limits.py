"""What a scheduler declares of itself is allowed to it, and nothing beyond."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from broken_schedulers import ONE, TWO
from tiny_scheduler import Request, TinyScheduler

from lineclear.testing import Failure, Limits, Observation, Row, random_runs, replay


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


class Eager(TinyScheduler):
    """Publishes the blocks of a prompt when they are allocated, so that the same step finds them."""

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
