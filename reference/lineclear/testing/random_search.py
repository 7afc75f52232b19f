"""Random runs of a scheduler, by seed and number.

Guarantees: a run depends on its seed and its number alone; of the findings of one search, the one
with the lowest number is reported, whatever the number of workers.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from random import Random

from lineclear.testing.failure import Action, Failure
from lineclear.testing.machine import Machine, replay, run
from lineclear.testing.protocol import Make
from lineclear.testing.scope import propose


@dataclass(slots=True)
class Tally:
    """Counts of the runs; a search that tried nothing has found nothing.

    Attributes:
        runs: finished runs, with a finding or without.
        steps: steps of all runs.
        events: events checked.
        actions: actions by kind.
        submitted: requests submitted.
        accepted: requests accepted.
        preempted: requests preempted.
        hits: blocks found in the cache.
    """

    runs: int = 0
    steps: int = 0
    events: int = 0
    submitted: int = 0
    accepted: int = 0
    preempted: int = 0
    hits: int = 0
    actions: Counter[str] = field(default_factory=Counter[str])

    def add(self, machine: Machine) -> None:
        """Adds one run."""
        kinds = Counter(str(action[0]) for action in machine.actions)
        counts = machine.judge.counts
        self.runs += 1
        self.steps += machine.steps
        self.events += counts.total()
        self.submitted += kinds["submit"]
        self.accepted += machine.accepted
        self.preempted += counts["preempt"]
        self.hits += machine.judge.hits
        self.actions += kinds

    def __iadd__(self, other: Tally) -> Tally:
        """Adds both."""
        for name in ("runs", "steps", "events", "submitted", "accepted", "preempted", "hits"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.actions += other.actions
        return self


@dataclass(frozen=True, slots=True)
class Found:
    """A run that broke a rule."""

    number: int
    failure: Failure


def failure_of(make: Make, actions: Iterable[Action]) -> Failure | None:
    """The failure of a trace, or None."""
    try:
        replay(make, actions)
    except Failure as failure:
        return failure
    return None


def random_run(make: Make, seed: int, number: int, tally: Tally | None = None) -> Failure | None:
    """One run; returns its failure, or None.

    Args:
        make: creates the scheduler.
        seed: seed of all runs.
        number: number of this run.
        tally: counts it, if given.
    """
    begun: list[Machine] = []

    def actions(machine: Machine) -> list[Action]:
        begun.append(machine)
        return propose(Random(f"{seed}:{number}"), machine.limits)

    try:
        run(make, actions, drain=True)
    except Failure as failure:
        return failure
    finally:
        if tally is not None and begun:
            tally.add(begun[0])
    return None


def random_runs(
    make: Make,
    numbers: Iterable[int],
    *,
    seed: int = 0,
    until: Callable[[], bool] = lambda: False,
) -> tuple[Found | None, Tally]:
    """Runs by number until one breaks a rule.

    Args:
        make: creates the scheduler.
        numbers: numbers of the runs.
        seed: seed of all runs.
        until: called between runs; True ends the search.
    """
    tally = Tally()
    for turn, number in enumerate(numbers):
        if turn and until():  # at least one run, however long the start took
            break
        failure = random_run(make, seed, number, tally)
        if failure is not None:
            return Found(number, failure), tally
    return None, tally
