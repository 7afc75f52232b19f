"""Searches of a given duration, on every core, and their findings.

Guarantees: of the runs that were made it reports the finding with the lowest number, however many
workers there are; the first finding is kept with its shorter form.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import BrokenExecutor
from dataclasses import dataclass, field
from functools import partial

from lineclear.testing.exhaustive import Exhausted, exhaust
from lineclear.testing.failure import Action, Failure
from lineclear.testing.protocol import Make
from lineclear.testing.random_search import Found, Tally, failure_of, random_runs
from lineclear.testing.shrink import Shrunk, shrink
from lineclear.testing.target import load
from lineclear_spec.parallel import cores, in_parallel

Progress = Callable[[str], object]
#: Seconds after which the workers of one wave report.
WAVE = 2.0
#: Seconds of shrinking; a call that does not return costs its whole time limit with every replay.
SHRINKING = 30.0


@dataclass(slots=True)
class Campaign:
    """One search and its result.

    Attributes:
        target: the name of the scheduler.
        mode: random or exhaustive.
        seed: seed of the random runs.
        tally: counts of the runs.
        exhausted: result of the exhaustive search, or None.
        number: number of the run that failed, or None.
        first: the first failure, unshrunk, or None.
        shrunk: the failure after shrinking, or None.
        seconds: time until the finding, or in total.
        shrinking: time spent shrinking.
        died: the runs that were under way when a worker process died, or None.
        commit: of the scheduler's sources, "" if unknown.
    """

    target: str
    mode: str
    seed: int = 0
    tally: Tally = field(default_factory=Tally)
    exhausted: Exhausted | None = None
    number: int | None = None
    first: Failure | None = None
    shrunk: Shrunk | None = None
    seconds: float = 0.0
    shrinking: float = 0.0
    died: range | None = None
    commit: str = ""

    @property
    def failure(self) -> Failure | None:
        """The shortest form of the finding."""
        return self.first if self.shrunk is None else self.shrunk.failure

    @property
    def actions(self) -> tuple[Action, ...]:
        """The trace of the finding; replaying it adds steps until every request has ended."""
        if self.shrunk is not None:
            return self.shrunk.actions
        return () if self.first is None else self.first.actions

    @property
    def conclusive(self) -> bool:
        """Whether any request was tried, and an exhaustive search reached its bounds."""
        if self.exhausted is not None:
            return self.exhausted.complete
        if self.died is not None:
            return False
        return self.tally.accepted > 0


def batch(job: tuple[str, int, range, float]) -> tuple[Found | None, Tally] | None:
    """A worker's runs; None if it was interrupted."""
    target, seed, numbers, ends = job
    try:
        return random_runs(load(target), numbers, seed=seed, until=lambda: time.time() > ends)
    except KeyboardInterrupt:
        return None


def search_random(
    campaign: Campaign,
    seconds: float,
    *,
    workers: int | None = None,
    progress: Progress = lambda _: None,
) -> None:
    """Runs until one breaks a rule, or time is up.

    Args:
        campaign: what to search; gets the finding and the counts.
        seconds: time limit.
        workers: number of processes, None for one a core.
        progress: called now and then with one line.
    """
    started = time.time()
    workers = workers or cores()
    size, begin = 4, 0
    while campaign.first is None and time.time() - started < seconds:
        wave = time.time()
        numbers = [range(begin + k * size, begin + (k + 1) * size) for k in range(workers)]
        jobs = [(campaign.target, campaign.seed, part, started + seconds) for part in numbers]
        found: list[Found] = []
        try:
            for answer in in_parallel(batch, jobs, workers):
                if answer is None:
                    raise KeyboardInterrupt
                one, tally = answer
                campaign.tally += tally
                if one is not None:
                    found.append(one)
        except BrokenExecutor:  # not a finding: nothing says which run it was
            campaign.died = range(begin, begin + workers * size)
            campaign.seconds = time.time() - started
            return
        if found:
            lowest = min(found, key=lambda one: one.number)
            campaign.number, campaign.first = lowest.number, lowest.failure
        begin += workers * size
        if time.time() - wave < WAVE:
            size *= 2
        campaign.seconds = time.time() - started
        progress(f"{campaign.tally.runs:,} runs, {campaign.tally.steps:,} steps")
    shorten(campaign, progress)


def once(campaign: Campaign, number: int, progress: Progress = lambda _: None) -> None:
    """Repeats the run with this number."""
    started = time.time()
    make = load(campaign.target)
    found, campaign.tally = random_runs(make, [number], seed=campaign.seed)
    campaign.seconds = time.time() - started
    if found is not None:
        campaign.number, campaign.first = number, found.failure
    shorten(campaign, progress)


def shorten(campaign: Campaign, progress: Progress) -> None:
    """Shrinks the finding, if any."""
    if campaign.first is None:
        return
    progress(f"{campaign.first.rule}; shrinking {len(campaign.first.actions)} actions")
    started = time.time()
    campaign.shrunk = shrink(
        partial(failure_of, load(campaign.target)),
        campaign.first,
        until=lambda: time.time() - started > SHRINKING,
    )
    campaign.shrinking = time.time() - started


def search_all(
    campaign: Campaign, seconds: float, *, requests: int = 3, progress: Progress = lambda _: None
) -> None:
    """Every behaviour at small scope, until a rule is broken or time is up.

    Args:
        campaign: what to search; gets the finding and the counts.
        seconds: time limit.
        requests: maximum number of submitted requests.
        progress: called now and then with one line.
    """
    started = time.time()
    make: Make = load(campaign.target)
    campaign.exhausted = exhaust(
        make,
        requests=requests,
        max_states=1_000_000,
        until=lambda: time.time() - started > seconds,
        progress=lambda now: progress(f"{now.states:,} states, depth {now.depth}"),
    )
    campaign.first = campaign.exhausted.failure
    campaign.seconds = time.time() - started
