"""Random walks through worlds that are too large to search: long runs under memory pressure.

Guarantees: equal seeds give equal walks; every move is judged as in a search (invariants, history, the
oracle of the step); a walk that fails is a trace that `World.do` does again.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass

from lineclear.explore.bounds import SearchBounds
from lineclear.explore.scripts import move_of
from lineclear.explore.world import Move, Trace, World
from lineclear.oracle.books import has_room

#: A wrong call comes after every so many moves, where any do.
WRONG = 5
#: A move that is written down: whatever a model may answer to the oldest step in flight.
ANSWER: Move = ("answer",)


@dataclass(frozen=True, slots=True)
class WalkResult:
    """The result of a walk.

    Attributes:
        trace: moves, the one that failed last.
        error: what it raised, or None.
        world: at its end.
    """

    trace: Trace
    error: Exception | None
    world: World


def commit(world: World, draw: random.Random) -> Move:
    """Chooses the outputs of the oldest step: mostly one token each; groups fork until they are full."""
    flight = world.bench.flights[0]
    owners, room = flight.owners, world.bench.room(flight)
    choices: list[str] = []
    for position, options in enumerate(world.choices()):
        pick = "go" if "go" in options else options[0]
        lucky = draw.random()
        if pick == "go":
            several = [option for option in options if option.startswith("=")]
            if several and lucky < 0.7:
                pick = draw.choice(several)
            elif "fork" in options and lucky < 0.6:
                if room[owners[position]] > 0:
                    room[owners[position]] -= 1
                    pick = "fork stop" if "fork stop" in options and lucky < 0.05 else "fork"
            elif "stop" in options and lucky > 0.96:
                pick = "stop"
            elif "prune" in options and lucky > 0.9:
                pick = "prune"
        choices.append(pick)
    return ("commit", tuple(choices))


def choose(world: World, draw: random.Random, lazy: bool = False) -> Move:
    """The next move: requests come as long as they may, little goes wrong.

    Args:
        world: before the move.
        draw: of the choices.
        lazy: whether the end of a copy is reported very late, so that a request may have a second one.
    """
    scheduler, bounds = world.scheduler, world.bounds
    copies = world.copies
    kinds: dict[str, float] = {}
    if len(scheduler.flights) < scheduler.config.max_steps_in_flight:
        kinds["schedule"] = 6.0
    if scheduler.flights:
        kinds["commit"] = 5.0
    if copies:
        kinds["complete"] = 0.3 if lazy else 3.0
        kinds["fail"] = 0.5 if bounds.fails else 0.0
    if len(scheduler.entries) < bounds.live:
        kinds["submit"] = 4.0 if has_room(scheduler) else 0.5  # then it is rejected
    if scheduler.entries and bounds.aborts:
        kinds["abort"] = 0.15
    if scheduler.ledger.cached and bounds.aborts:
        kinds["reset"] = 0.05
    kind = draw.choices(list(kinds), list(kinds.values()))[0]
    if kind == "commit":
        return commit(world, draw)
    if kind == "submit":
        return ("submit", draw.randrange(len(bounds.shapes)))
    if kind == "abort":
        return ("abort", draw.randrange(len(scheduler.entries)))
    if kind in ("complete", "fail"):
        return (kind, draw.randrange(len(copies)))
    return (kind,)


def walk(
    bounds: SearchBounds, seed: int, moves: int, first: Trace = (), *, ends: bool = False
) -> WalkResult:
    """So many moves, or fewer if one fails.

    Args:
        bounds: the world.
        seed: of the choices; if it is odd, copies end very late.
        moves: at most.
        first: moves that are written down (`scripts.py`), before those that are drawn.
        ends: whether progress is watched, wrong calls are made, and every request is left to end.
    """
    draw = random.Random(seed)
    world = World(bounds, watched=ends)
    trace: list[Move] = []
    try:
        for number in range(moves):
            if number >= len(first):
                move = choose(world, draw, bool(seed % 2))
            elif first[number] != ANSWER:
                move = move_of(world, first[number])
            elif world.scheduler.flights:
                move = commit(world, draw)
            else:
                continue  # the step had nothing to compute
            trace.append(move)
            world.do(move)
            if ends and number % WRONG == 0:
                trace.append(("wrong", number // WRONG))
                world.do(trace[-1])
        for move in to_the_end(world) if ends else ():
            trace.append(move)
            world.do(move)
    except Exception as error:  # whatever is raised is the finding
        return WalkResult(tuple(trace), error, world)
    return WalkResult(tuple(trace), None, world)


def to_the_end(world: World) -> Iterator[Move]:
    """Moves that let every request end: nothing arrives or fails. An end that does not come is for the watch to see."""
    scheduler = world.scheduler
    while scheduler.entries or scheduler.flights:
        if len(scheduler.flights) < scheduler.config.max_steps_in_flight:
            yield ("schedule",)
        if scheduler.flights:
            yield ("commit", tuple(options[0] for options in world.choices()))
        while world.copies:
            yield ("complete", 0)
