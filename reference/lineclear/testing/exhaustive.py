"""Every behaviour of a scheduler at small scope, breadth first.

Guarantees: a state is reached by replaying its trace with a new scheduler, never by copying one,
so any scheduler can be searched; a finding has a shortest trace among those with the fewest requests
that lead to one (with more requests there may be a shorter one). Two states count as equal if they
agree in what is observed, in the model's content of blocks in use, and in `Observation.extra`.
Whatever a scheduler hides from all three may hide behaviours from the search.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass

from lineclear.testing.failure import Action, Failure
from lineclear.testing.machine import Machine, replay, run
from lineclear.testing.protocol import Make
from lineclear.testing.scope import Shape, shapes


@dataclass(slots=True)
class Exhausted:
    """The result of a search.

    Attributes:
        states: distinct states with at most the last number of requests that was searched.
        transitions: actions that were executed, in the searches with fewer requests too.
        depth: length of the longest of the shortest traces.
        complete: whether every state within the scope was visited.
        failure: the first finding, or None.
        scope: the scope in words.
    """

    states: int = 0
    transitions: int = 0
    depth: int = 0
    complete: bool = True
    failure: Failure | None = None
    scope: str = ""


def state_key(machine: Machine) -> Hashable:
    """A key, equal for states that count as equal; requests are named by order of arrival."""
    seen, model = machine.seen, machine.model
    assert model is not None
    names = [n for n, one in model.sequences.items() if one.over is None or n in seen.tables]
    number = {name: k for k, name in enumerate(names)}
    requests = tuple(
        (
            tuple(model.sequences[n].tokens),
            model.sequences[n].prompt,
            model.sequences[n].max_new,
            model.sequences[n].over,
            seen.tables.get(n, ()),
        )
        for n in names
    )
    used = sorted({*seen.cached, *(b for table in seen.tables.values() for b in table)})
    return (
        requests,
        tuple(number.get(n, -1) for n in seen.waiting or ()),
        tuple(number.get(n, -1) for n in seen.running or ()),
        seen.free,
        tuple((b, seen.cached.get(b), model.holds(b)) for b in used),
        tuple(seen.extra.items()),
        machine.judge.progress_key(),
    )


def exhaust(
    make: Make,
    *,
    chosen: Sequence[Shape] | None = None,
    requests: int = 3,
    max_states: int = 20_000,
    until: Callable[[], bool] = lambda: False,
    progress: Callable[[Exhausted], object] = lambda _: None,
) -> Exhausted:
    """Visits every state within the scope, until a rule is broken.

    Args:
        make: creates the scheduler.
        chosen: requests that may be submitted.
        requests: maximum number of submitted requests.
        max_states: maximum number of states.
        until: called now and then; True ends the search, which is then incomplete.
        progress: called now and then with the progress.
    """
    try:
        first = Machine(make)
    except Failure as failure:
        return Exhausted(failure=failure, complete=False)
    offered = shapes(first.limits) if chosen is None else chosen
    sizes = ", ".join(f"{len(s.prompt)}+{s.max_new}" for s in offered)
    result = Exhausted(scope=f"up to {requests} requests of {sizes} tokens")

    def search(most: int) -> None:
        """The search with at most this many requests."""
        nodes = [Node((), (), 0)]
        numbers: dict[Hashable, int] = {(state_key(first), 0): 0}
        queue = deque([0])
        following: dict[int, int] = {}  # state with live requests -> the state after a step
        while queue:
            state = queue.popleft()
            node = nodes[state]
            for action in moves(node, offered, most, first.limits.aborts):
                if until() or result.states >= max_states:
                    result.complete = False
                    return
                result.transitions += 1
                trace = (*node.trace, action)
                try:
                    machine = at(make, trace)
                    submitted = node.submitted + (action[0] == "submit")
                    key = state_key(machine), submitted
                    target = numbers.get(key)
                    if target is None:
                        target = numbers[key] = len(nodes)
                        nodes.append(Node(trace, tuple(machine.live), submitted))
                        queue.append(target)
                        result.states = len(nodes)
                        result.depth = max(result.depth, len(trace))
                        progress(result)
                    if action == STEP and node.live:
                        following[state] = target
                        if goes_round(following, state):
                            replay(make, trace)  # the checker decides whether it is endless
                except Failure as failure:
                    result.failure = failure
                    result.complete = False
                    return

    for most in range(1, requests + 1):  # few requests first: most findings need no more
        result.states = 1
        search(most)
        if not result.complete:
            break
    return result


STEP: Action = ("step",)


@dataclass(frozen=True, slots=True)
class Node:
    """A state: a shortest trace to it, its live requests, and the number of submitted requests."""

    trace: tuple[Action, ...]
    live: tuple[str, ...]
    submitted: int


def moves(node: Node, chosen: Sequence[Shape], most: int, aborts: bool) -> Iterator[Action]:
    """Possible actions in a state; aborts last, so that shortest traces avoid them.

    Args:
        node: the state.
        chosen: requests that may be submitted.
        most: maximum number of submitted requests.
        aborts: whether requests may be aborted.
    """
    if node.live:
        yield STEP
    if node.submitted < most:
        for shape in chosen:
            yield ("submit", f"r{node.submitted}", shape.prompt, shape.max_new)
    if aborts:
        for name in node.live:
            yield ("abort", name)


def at(make: Make, trace: Sequence[Action]) -> Machine:
    """Creates a scheduler and replays a trace."""
    return run(make, lambda _: trace, drain=False)


def goes_round(following: dict[int, int], state: int) -> bool:
    """Whether steps alone lead from a state back to it."""
    now, seen = following.get(state), {state}
    while now is not None and now not in seen:
        seen.add(now)
        now = following.get(now)
    return now is not None
