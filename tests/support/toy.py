"""A second implementation of the toy, in plain tuples, to compare counts.

Guarantees: it shares no code with the table.
"""

from __future__ import annotations

from collections.abc import Iterator

NEW, WAITING, RUNNING, SWAPPED, OVER = range(5)
Row = tuple[int, int, tuple[int, ...]]
State = tuple[Row, ...]


def successors(state: State, gpu: int, cpu: int) -> Iterator[State]:
    """Every state that one move leads to."""
    held = {RUNNING: set[int](), SWAPPED: set[int]()}
    for phase, _, places in state:
        if phase in held:
            held[phase].update(places)
    free_gpu = [p for p in range(gpu) if p not in held[RUNNING]]
    free_cpu = [p for p in range(cpu) if p not in held[SWAPPED]]

    def grants(free: list[int], count: int) -> list[tuple[int, ...]]:
        if count > len(free):
            return []
        return [tuple(free[:count])]

    for r, (phase, tokens, places) in enumerate(state):
        after: list[Row] = []
        need = (tokens + 1) // 2
        if phase == NEW:
            after = [(WAITING, 1 + r % 3, ())]
        elif phase == WAITING:
            after = [(RUNNING, tokens, new) for new in grants(free_gpu, need)]
        elif phase == RUNNING:
            if tokens < 6 and tokens % 2:
                after.append((RUNNING, tokens + 1, places))
            elif tokens < 6:
                for new in grants(free_gpu, 1):
                    after.append((RUNNING, tokens + 1, tuple(sorted(places + new))))
            else:
                after.append((OVER, 0, ()))  # finish
            after += [(SWAPPED, tokens, new) for new in grants(free_cpu, need)]
            after.append((WAITING, tokens, ()))  # recompute
        elif phase == SWAPPED:
            after = [(RUNNING, tokens, new) for new in grants(free_gpu, need)]
        if phase in (WAITING, RUNNING, SWAPPED):
            after.append((OVER, 0, ()))  # abort
        for row in after:
            yield (*state[:r], row, *state[r + 1 :])


def plain_toy(requests: int, gpu: int, cpu: int) -> tuple[set[State], int]:
    """Every state, and the number of moves from one to another."""
    start: State = ((NEW, 0, ()),) * requests
    seen: set[State] = {start}
    layer: list[State] = [start]
    count = 0
    while layer:
        following: list[State] = []
        for state in layer:
            for after in successors(state, gpu, cpu):
                count += 1
                if after not in seen:
                    seen.add(after)
                    following.append(after)
        layer = following
    return seen, count
