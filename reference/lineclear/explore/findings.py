"""Finds deadlocks, livelocks and starvation in a graph of states.

Guarantees: each finding is a trace and, where it goes round, a cycle that can be repeated for ever.

stuck       nothing is outstanding (every step committed, every copy complete, no block held), a request is live,
            and `schedule` goes round through empty plans alone
livelock    a cycle without submit, abort or failed copy that has a step committed or blocks moved
starvation  a cycle with arrivals and without abort or failed copy, up to the names of requests, in
            which one named request is never served although its copies complete and steps commit

No cycle holds a block: progress presumes that holds end.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from lineclear.explore.cycles import components, walk
from lineclear.explore.search import Edge, Graph
from lineclear.explore.world import Trace, World
from lineclear.policies import make, may_starve
from lineclear.policies.probe import CLOCKS

Tracked = tuple[int, int]


@dataclass(frozen=True, slots=True)
class ProgressFinding:
    """One way in which progress ends.

    Attributes:
        what: a sentence.
        trace: shortest way to where it begins.
        cycle: moves that may be repeated for ever after it.
        expected: the policy promises nothing else.
    """

    what: str
    trace: Trace
    cycle: Trace
    expected: bool = False

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "what": self.what,
            "expected": self.expected,
            "trace": [list(move) for move in self.trace],
            "cycle": [list(move) for move in self.cycle],
        }


def stuck(graph: Graph) -> list[ProgressFinding]:
    """States in which nothing is outstanding, and `schedule` leads nowhere."""

    def after(state: int) -> list[int]:
        if not graph.settled[state] or not graph.live[state]:
            return []
        return [e.target for e in graph.edges[state] if e.move == ("schedule",) and e.empty]

    return [
        ProgressFinding(
            f"{graph.live[state]} requests are live, nothing is outstanding, "
            "and the next step is empty",
            graph.trace(state),
            (("schedule",),) * len(component),
        )
        for component in components(range(graph.states), after)
        for state in [min(component)]
    ]


UNFAIR = frozenset({"abort", "fail", "reset", "hold"})


def worked(edge: Edge) -> bool:
    """Whether a step was committed, or a plan that is not empty was made."""
    return edge.move[0] == "commit" or (edge.move[0] == "schedule" and not edge.empty)


def livelocks(graph: Graph) -> list[ProgressFinding]:
    """Finds cycles of work: no request arrives or ends, and the same state comes again."""

    def usable(state: int) -> list[Edge]:
        edges = () if graph.reading[state] else graph.edges[state]
        return [e for e in edges if e.move[0] not in UNFAIR | {"submit"}]

    found: list[ProgressFinding] = []
    for component in components(range(graph.states), lambda s: [e.target for e in usable(s)]):
        inside = frozenset(component)
        for state in sorted(inside):
            edge = next((e for e in usable(state) if worked(e) and e.target in inside), None)
            if edge is not None:
                back = round_trip(state, edge, inside, usable)
                found.append(
                    ProgressFinding("a step is taken again and again", graph.trace(state), back)
                )
                break
    return found


def round_trip(state: int, first: Edge, inside: frozenset[int], usable: Any) -> Trace:
    """Moves from a state by an edge and back to it, within a component.

    Args:
        state: number of the state.
        first: an edge from it.
        inside: states of the component.
        usable: the edges of a state that may be taken.
    """
    moves = [first.move]
    if first.target == state:
        return tuple(moves)

    def after(one: int) -> Iterable[int]:
        return [e.target for e in usable(one) if e.target in inside]

    path = walk(first.target, lambda one: one == state, after)
    for here, there in pairwise(path):
        moves.append(next(e.move for e in usable(here) if e.target == there))
    return tuple(moves)


def starvation(graph: Graph) -> list[ProgressFinding]:
    """Cycles in which others come and are served, and one request is not."""

    def usable(node: Tracked) -> list[tuple[Edge, Tracked]]:
        state, place = node
        found: list[tuple[Edge, Tracked]] = []
        for edge in graph.edges[state]:
            if edge.move[0] in UNFAIR or graph.reading[state]:
                continue
            now, served = edge.names[place]
            if not served and now >= 0:
                found.append((edge, (edge.target, now)))
        return found

    if not timeless(graph):
        return []
    nodes = [(s, k) for s in range(graph.states) for k in range(graph.live[s])]
    config = graph.bounds.config
    expected = may_starve(make(config.scheduling_policy, dict(config.policy_options)))
    found: list[ProgressFinding] = []
    for component in components(nodes, lambda n: [other for _, other in usable(n)]):
        inside = frozenset(component)
        if not fair(graph, inside, usable):
            continue
        start, moves = wheel(graph, inside, usable)
        found.append(
            ProgressFinding(
                f"request {start[1] + 1} of {graph.live[start[0]]}, by age, is never served "
                "while others come and go",
                graph.trace(start[0]),
                moves,
                expected,
            )
        )
    return found


Usable = Callable[[Tracked], list[tuple[Edge, Tracked]]]


def wheel(graph: Graph, inside: frozenset[Tracked], usable: Usable) -> tuple[Tracked, Trace]:
    """A cycle within a component, from a commit through a state where it waits for no swap."""

    def after(node: Tracked) -> list[Tracked]:
        return [other for _, other in usable(node) if other in inside]

    start, edge, place = next(
        (node, edge, other)
        for node in sorted(inside)
        for edge, other in usable(node)
        if other in inside and edge.move[0] == "commit"
    )

    def free(node: Tracked) -> bool:
        return node[1] not in graph.copying[node[0]]

    def closed(node: Tracked) -> bool:
        return node == start

    moves = [edge.move]
    for goal in (free, closed):
        if goal(place):
            continue
        path = walk(place, goal, after)
        for here, there in pairwise(path):
            moves.append(next(e.move for e, other in usable(here) if other == there))
        place = path[-1]
    return start, tuple(moves)


def fair(graph: Graph, inside: frozenset[Tracked], usable: Usable) -> bool:
    """Whether the cycle commits steps, admits arrivals and completes its copies."""
    kinds = {edge.move[0] for node in inside for edge, other in usable(node) if other in inside}
    free = any(place not in graph.copying[state] for state, place in inside)
    return free and {"submit", "commit"} <= kinds


#: How often a cycle is gone round before it counts as endless.
ROUNDS = 12


def believed(graph: Graph, found: list[ProgressFinding]) -> list[ProgressFinding]:
    """Keeps findings whose cycle can be repeated while some request learns no token.

    Only those of a policy of which nothing is known are repeated: it may have acted on more than the search compares.
    """

    def goes_round(finding: ProgressFinding) -> bool:
        world = World(graph.bounds)
        return made(world, finding.trace) and bool(unserved(world, finding.cycle))

    return [finding for finding in found if not graph.bounds.own or goes_round(finding)]


def made(world: World, moves: Trace) -> bool:
    """Whether each move is a choice of the environment when its turn comes; makes the moves."""
    for move in moves:
        if move not in set(world.moves()):
            return False
        world.do(move)
    return True


def unserved(world: World, cycle: Trace) -> list[Hashable]:
    """Requests that learn no token while a cycle is made ROUNDS times; none if it cannot be made."""

    def tokens() -> dict[Hashable, int]:
        return {e.request_id: e.num_tokens(world.scheduler.ledger) for e in world.live()}

    known = tokens()
    if not made(world, cycle * ROUNDS):
        return []
    now = tokens()
    return [name for name, count in known.items() if now.get(name) == count]


def timeless(graph: Graph) -> bool:
    """Whether the policy looks at nothing that time would change: here all arrive at one moment."""
    return not graph.bounds.own or not World(graph.bounds).looks & CLOCKS
