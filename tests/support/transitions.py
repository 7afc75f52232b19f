"""Transitions as test cases, driven on a scheduler and on whatever executes its plans.

Guarantees: every transition of a complete graph is one case; a case is a trace, and its outcome
the key of the state that it leads to.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from lineclear.explore.bounds import SearchBounds
from lineclear.explore.keys import world_key
from lineclear.explore.search import search
from lineclear.explore.world import Executor, Trace, World
from lineclear.scheduler import Scheduler


@dataclass(frozen=True, slots=True)
class Transition:
    """A transition: the moves up to it, itself last, and the key of the state after it."""

    trace: Trace
    after: Any


def cases(bounds: SearchBounds) -> Iterator[Transition]:
    """Every transition of the complete graph within the bounds.

    Raises:
        ValueError: the bounds were not exhausted, or something was violated.
    """
    graph = search(bounds)
    if not graph.complete or graph.violations:
        raise ValueError(f"{bounds.name}: the search was not exhausted without a violation")
    keys = [world_key(drive(bounds, graph.trace(state))) for state in range(graph.states)]
    for state, edges in enumerate(graph.edges):
        trace = graph.trace(state)
        for edge in edges:
            yield Transition((*trace, edge.move), keys[edge.target])


def drive(
    bounds: SearchBounds,
    trace: Trace,
    executor: Executor | None = None,
    kind: type[Scheduler] = Scheduler,
) -> World:
    """A new scheduler that a trace was done on; the executor was given each plan as it was made.

    Args:
        bounds: the world.
        trace: moves from the start.
        executor: gets each plan; None for none.
        kind: the class of the scheduler.
    """
    world = World(bounds, executor=executor, kind=kind)
    for move in trace:
        world.do(move)
    return world


def replay_transitions(bounds: SearchBounds, make_system: Callable[[], Executor]) -> int:
    """Every case on a new scheduler and a new executor of its own; how many there were.

    Args:
        bounds: of a small complete graph.
        make_system: makes an executor, which takes each plan and raises if it cannot.

    Raises:
        AssertionError: a case leads to another state than the search found.
    """
    count = 0
    for case in cases(bounds):
        if world_key(drive(bounds, case.trace, make_system())) != case.after:
            raise AssertionError(f"another state than the search found, after {case.trace}")
        count += 1
    return count
