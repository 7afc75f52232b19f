"""Breadth-first search of the real scheduler under every choice of its environment.

Guarantees: every state within the bounds is visited once, with a shortest trace from the start;
the result says whether the bounds were exhausted, and every invariant was judged after every move.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from lineclear.explore.bounds import SearchBounds
from lineclear.explore.keys import world_key
from lineclear.explore.world import Move, Trace, World
from lineclear.scheduler import Scheduler

#: Live requests of the state before, by age: their place after the move (-1: ended), and whether
#: the move served them (they learned a token, or ended).
Names = tuple[tuple[int, bool], ...]


@dataclass(slots=True)
class Edge:
    """One transition.

    Attributes:
        move: what the environment did.
        target: number of the state after it.
        names: the state of each live request.
        empty: the move made a plan that has neither a step nor an operation.
    """

    move: Move
    target: int
    names: Names
    empty: bool


@dataclass(slots=True)
class Graph:
    """Every state that a search met, and every transition between two of them.

    Attributes:
        bounds: scope.
        edges: by state; a move that broke something has none.
        parents: by state, the state and the edge's place by which it was met first.
        depths: by state, moves of its shortest trace.
        settled: by state, whether nothing is outstanding: no step in flight, no open copy.
        live: by state, how many requests.
        copying: by state, the live requests whose copy is open, by age.
        transitions: moves carried out.
        complete: whether the bounds were exhausted.
        violations: (trace, what was broken), the shortest first; a rule of the order once.
        witnesses: sentence -> (state, move) that showed it first.
    """

    bounds: SearchBounds
    edges: list[list[Edge]] = field(default_factory=list[list[Edge]])
    parents: list[tuple[int, Move] | None] = field(default_factory=list[tuple[int, Move] | None])
    depths: list[int] = field(default_factory=list[int])
    settled: list[bool] = field(default_factory=list[bool])
    reading: list[bool] = field(default_factory=list[bool])
    live: list[int] = field(default_factory=list[int])
    copying: list[frozenset[int]] = field(default_factory=list[frozenset[int]])
    transitions: int = 0
    complete: bool = True
    violations: list[tuple[Trace, str]] = field(default_factory=list[tuple[Trace, str]])
    witnesses: dict[str, tuple[int, Move]] = field(default_factory=dict[str, tuple[int, Move]])

    @property
    def states(self) -> int:
        """Distinct states."""
        return len(self.parents)

    @property
    def depth(self) -> int:
        """Moves of the longest of the shortest traces."""
        return max(self.depths, default=0)

    def trace(self, state: int) -> Trace:
        """A shortest way to a state."""
        moves: list[Move] = []
        while (parent := self.parents[state]) is not None:
            state, move = parent
            moves.append(move)
        return tuple(reversed(moves))

    def witness(self, sentence: str) -> Trace:
        """A shortest trace that shows it."""
        state, move = self.witnesses[sentence]
        return (*self.trace(state), move)

    def enter(self, world: World, parent: tuple[int, Move] | None) -> int:
        """A state that was not met before; its number."""
        copies = world.copies
        self.parents.append(parent)
        self.depths.append(0 if parent is None else self.depths[parent[0]] + 1)
        reading = bool(world.held)
        self.settled.append(not copies and not world.scheduler.flights and not reading)
        self.reading.append(reading)
        entries = world.live()
        self.live.append(len(entries))
        self.copying.append(frozenset(k for k, e in enumerate(entries) if e.record.open_swap))
        self.edges.append([])
        return len(self.parents) - 1


def known(world: World) -> dict[Any, tuple[int, ...]]:
    """Known tokens of each live request's sequences, by name, the oldest first."""
    ledger = world.scheduler.ledger
    return {
        entry.request_id: tuple([ledger.num_tokens(s) for s in entry.record.members])
        for entry in world.live()
    }


def search(
    bounds: SearchBounds,
    *,
    kind: type[Scheduler] = Scheduler,
    key: Callable[[World], Any] = world_key,
    most_violations: int = 20,
) -> Graph:
    """Visits every state within the bounds.

    Args:
        bounds: scope.
        kind: the scheduler's class; a broken one in tests.
        key: when two worlds are one state.
        most_violations: after so many the search ends, and is not complete.
    """
    world = World(bounds, kind=kind)
    graph = Graph(bounds)
    numbers: dict[Any, int] = {key(world): graph.enter(world, None)}
    queue: deque[tuple[int, bytes]] = deque([(0, world.freeze())])
    against: set[str] = set()
    while queue:
        state, frozen = queue.popleft()
        world.thaw(frozen)
        before = known(world)
        for turn, move in enumerate(list(world.moves())):
            if turn:
                world.thaw(frozen)
            graph.transitions += 1
            try:
                world.do(move)
            except Exception as error:  # whatever is raised is the finding
                what = f"{type(error).__name__}: {error}"
                graph.violations.append(((*graph.trace(state), move), what))
                if len(graph.violations) >= most_violations:
                    graph.complete = False
                    return graph
                continue
            for sentence in world.notes.seen:
                if sentence not in graph.witnesses:
                    graph.witnesses[sentence] = state, move
            for rule in sorted(world.notes.against - against):
                graph.violations.append(((*graph.trace(state), move), rule))
            against |= world.notes.against  # each is reported once; the search goes on
            after = known(world)
            places = {name: k for k, name in enumerate(after)}
            names = tuple(
                [(places.get(name, -1), after.get(name) != had) for name, had in before.items()]
            )
            found = key(world)
            target = numbers.get(found)
            if target is None:
                if graph.states >= bounds.max_states:
                    graph.complete = False
                    continue
                target = numbers[found] = graph.enter(world, (state, move))
                queue.append((target, world.freeze()))
            empty = world.plan is not None and world.plan.is_idle
            graph.edges[state].append(Edge(move, target, names, empty))
    return graph
