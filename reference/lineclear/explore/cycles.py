"""Cycles of a graph.

Guarantees: `components` finds exactly the sets of nodes that reach each other by a walk of at
least one edge, each node once.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable, Iterable
from typing import TypeVar

N = TypeVar("N", bound=Hashable)


def components(nodes: Iterable[N], after: Callable[[N], Iterable[N]]) -> list[list[N]]:
    """Strongly connected components that contain a cycle (Tarjan's algorithm, without recursion)."""
    index: dict[N, int] = {}
    low: dict[N, int] = {}
    stack: list[N] = []
    on_stack: set[N] = set()
    found: list[list[N]] = []
    for root in nodes:
        if root in index:
            continue
        index[root] = low[root] = len(index)
        stack.append(root)
        on_stack.add(root)
        work = [(root, iter(list(after(root))))]
        while work:
            node, rest = work[-1]
            for other in rest:
                if other not in index:
                    index[other] = low[other] = len(index)
                    stack.append(other)
                    on_stack.add(other)
                    work.append((other, iter(list(after(other)))))
                    break
                if other in on_stack:
                    low[node] = min(low[node], index[other])
            else:
                work.pop()
                if work:
                    above = work[-1][0]
                    low[above] = min(low[above], low[node])
                if low[node] == index[node]:
                    component: list[N] = []
                    while True:
                        member = stack.pop()
                        on_stack.discard(member)
                        component.append(member)
                        if member == node:
                            break
                    if len(component) > 1 or node in after(node):
                        found.append(component)
    return found


def walk(start: N, goal: Callable[[N], bool], after: Callable[[N], Iterable[N]]) -> list[N]:
    """A shortest walk of at least one edge from a node to a goal, both included; [] if none."""
    parents: dict[N, N] = {}
    queue: deque[N] = deque([start])
    while queue:
        node = queue.popleft()
        for other in after(node):
            if goal(other):
                path = [other, node]
                while path[-1] != start:
                    path.append(parents[path[-1]])
                return path[::-1]
            if other not in parents and other != start:
                parents[other] = node
                queue.append(other)
    return []
