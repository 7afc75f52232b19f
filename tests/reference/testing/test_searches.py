"""Three searches over one set of rules find the planted bug, and shrinking stays with it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, cast

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test
from tiny_scheduler import TinyScheduler, make_broken, make_scheduler

from lineclear.testing import (
    Failure,
    Row,
    exhaust,
    random_run,
    random_runs,
    replay,
    shrink,
    stateful,
)
from lineclear.testing.exhaustive import goes_round
from lineclear.testing.random_search import failure_of
from lineclear.testing.scope import Shape, propose, shapes

#: Seconds of processor time in which each search finds the planted bug, shrinking aside.
BOUND = 10.0


def test_random_runs_find_the_planted_bug() -> None:
    started = time.process_time()
    found, _ = random_runs(make_broken, range(1_000))
    assert time.process_time() - started < BOUND
    assert found is not None
    assert found.failure.rule == "allocation.published"


def test_the_exhaustive_search_finds_the_planted_bug() -> None:
    started = time.process_time()
    result = exhaust(make_broken)
    assert time.process_time() - started < BOUND
    assert result.failure is not None
    assert result.failure.rule == "allocation.published"
    assert not result.complete


def test_hypothesis_finds_the_planted_bug() -> None:
    # Without shrinking, which Hypothesis does after the finding.
    from hypothesis import Phase

    chosen = settings(
        max_examples=500,
        stateful_step_count=30,
        phases=[Phase.generate],
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow],
    )
    started = time.process_time()
    with pytest.raises(Failure) as caught:
        run_state_machine_as_test(stateful(make_broken), settings=chosen)
    assert time.process_time() - started < BOUND
    assert caught.value.rule == "allocation.published"
    assert failure_of(make_broken, caught.value.actions) is not None


def test_hypothesis_finds_nothing_in_the_sound_scheduler() -> None:
    chosen = settings(max_examples=15, stateful_step_count=20, deadline=None)
    run_state_machine_as_test(stateful(make_scheduler), settings=chosen)


def test_a_small_scope_is_exhausted() -> None:
    result = exhaust(make_scheduler, chosen=[Shape((1, 1, 1), 2), Shape((1, 1, 2), 4)], requests=2)
    assert result.complete
    assert result.failure is None
    assert result.states > 50


def test_a_search_that_stops_early_says_so() -> None:
    assert not exhaust(make_scheduler, max_states=20).complete
    assert not exhaust(make_scheduler, until=lambda: True).complete


class Hangs(TinyScheduler):
    """Serves no request any more once two requests wait at once."""

    def step(self, execute: Callable[[list[Row]], list[int]]) -> list[str]:
        if len(self.waiting) > 1:
            return []
        return super().step(execute)


class Spins(TinyScheduler):
    """Computes a prompt of five tokens again and again."""

    def step(self, execute: Callable[[list[Row]], list[int]]) -> list[str]:
        for request in [r for r in self.running if r.computed == 4 and len(r.tokens) == 5]:
            self.running.remove(request)
            self.release(request)
            self.keys.clear()
            self.waiting.insert(0, request)
        return super().step(execute)


@pytest.mark.parametrize(("make", "rule"), [(Hangs, "progress.moves"), (Spins, "progress.kept")])
def test_the_exhaustive_search_finds_what_goes_on_for_ever(
    make: Callable[[], TinyScheduler], rule: str
) -> None:
    result = exhaust(make, requests=2)
    assert result.failure is not None
    assert result.failure.rule == rule


def test_a_chain_of_steps_that_ends_does_not_go_round() -> None:
    assert goes_round({0: 0}, 0)
    assert goes_round({0: 1, 1: 2, 2: 1}, 0)
    assert not goes_round({0: 1, 1: 2}, 0)


def test_a_run_is_the_same_whenever_it_is_made() -> None:
    first = [random_run(make_broken, 3, number) for number in range(6)]
    again = [random_run(make_broken, 3, number) for number in range(6)]
    assert [f and (f.key, f.actions) for f in first] == [f and (f.key, f.actions) for f in again]
    other = [random_run(make_broken, 4, number) for number in range(6)]
    assert [f and f.actions for f in first] != [f and f.actions for f in other]


def test_what_the_limits_exclude_is_not_proposed() -> None:
    from random import Random

    from lineclear.testing import Limits

    sizes: dict[str, Any] = {"blocks": 4, "block_size": 2, "max_seqs": 2, "max_tokens": 4}
    for chunked in (True, False):
        limits = Limits(**sizes, aborts=False, chunked=chunked)
        for seed in range(20):
            for action in propose(Random(seed), limits):
                assert action[0] != "abort"
                if action[0] == "submit":
                    prompt, new = cast("tuple[tuple[int, ...], int]", action[2:])
                    assert len(prompt) + new <= limits.longest
        assert all(len(s.prompt) + s.max_new <= limits.longest for s in shapes(limits))
    tiny = Limits(blocks=1, block_size=1, max_seqs=1, max_tokens=1)
    assert shapes(tiny)
    assert all(len(s.prompt) + s.max_new <= tiny.longest for s in shapes(tiny))


class TwoBugs(TinyScheduler):
    """Keeps keys, and raises as soon as a prompt has one token."""

    def __init__(self) -> None:
        super().__init__(forgets=False)

    def submit(self, name: str, prompt: list[int], max_new: int) -> bool:
        if len(prompt) == 1:
            raise ValueError("a prompt of one token")
        return super().submit(name, prompt, max_new)


def test_shrinking_does_not_slip_to_another_bug() -> None:
    number = next(
        n for n in range(300)
        if (f := random_run(TwoBugs, 0, n)) is not None and f.rule == "allocation.published"
    )  # fmt: skip
    failure = random_run(TwoBugs, 0, number)
    assert failure is not None
    shrunk = shrink(partial(failure_of, TwoBugs), failure)
    assert shrunk.failure.key == failure.key
    assert len(shrunk.actions) < len(failure.actions)
    assert shrunk.complete
    assert [other.rule for other in shrunk.slipped] == ["raises"]
    again = failure_of(TwoBugs, shrunk.actions)
    assert again is not None
    assert again.key == failure.key


def test_shrinking_reaches_two_actions_and_says_when_it_gives_up() -> None:
    failure = random_run(make_broken, 0, 0)
    assert failure is not None
    run = partial(failure_of, make_broken)
    assert len(shrink(run, failure).actions) == 2
    hurried = shrink(run, failure, until=iter([False] * 3 + [True]).__next__)
    assert not hurried.complete
    assert hurried.replays <= 3
    hurried = shrink(run, failure, most=3)
    assert not hurried.complete
    assert hurried.replays == 3


def test_a_trace_that_fails_only_once_is_kept_as_it_is() -> None:
    failure = random_run(make_broken, 0, 0)
    assert failure is not None

    def never(actions: Sequence[Any]) -> None:
        return None

    shrunk = shrink(never, failure)
    assert shrunk.actions == failure.actions
    assert shrunk.failure is failure


class ShortAndLong(TinyScheduler):
    """Fails in the second call of `submit`, and in the fifth step."""

    calls = steps = 0

    def submit(self, name: str, prompt: list[int], max_new: int) -> bool:
        self.calls += 1
        if self.calls == 2:
            raise RuntimeError("a second request")
        return super().submit(name, prompt, max_new)

    def step(self, execute: Callable[[list[Row]], list[int]]) -> list[str]:
        self.steps += 1
        if self.steps == 5:
            raise RuntimeError("a fifth step")
        return super().step(execute)


def test_the_finding_has_the_fewest_requests_though_more_have_a_shorter_trace() -> None:
    result = exhaust(ShortAndLong, chosen=[Shape((1,), 6)])
    assert result.failure is not None
    assert "a fifth step" in result.failure.message
    assert [action[0] for action in result.failure.actions] == ["submit", *["step"] * 5]
    with pytest.raises(Failure, match="a second request"):
        replay(ShortAndLong, [("submit", "a", (1,), 6), ("submit", "b", (1,), 6)])
