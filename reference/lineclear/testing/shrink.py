"""Shrinks a failing trace.

Guarantees: the result fails with the key of the original failure (rule and place), so that the
trace of one bug does not turn into that of another. It is not always a shortest trace.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import cast

from lineclear.testing.failure import Action, Failure

Run = Callable[[Sequence[Action]], Failure | None]


@dataclass(frozen=True, slots=True)
class Shrunk:
    """The shorter trace.

    Attributes:
        failure: failure of the shorter trace, or the original one if no shorter trace has its key.
        actions: the trace; without the steps that a replay adds after its last action.
        replays: number of runs.
        slipped: other failures of shorter traces, one per key.
        complete: whether no simplification was left to try.
    """

    failure: Failure
    actions: tuple[Action, ...]
    replays: int
    slipped: tuple[Failure, ...]
    complete: bool


def shrink(
    run: Run,
    failure: Failure,
    *,
    most: int = 2_000,
    until: Callable[[], bool] = lambda: False,
) -> Shrunk:
    """Removes actions, and makes requests smaller, while the failure stays the same.

    Args:
        run: the failure of a trace, or None.
        failure: the original one; its `actions` are the trace.
        most: maximum number of runs.
        until: called before each run; True ends the search for a shorter trace.
    """
    key = failure.key
    best: tuple[Action, ...] = tuple(failure.actions)
    found = failure
    tried: set[tuple[Action, ...]] = {best}
    slipped: dict[tuple[str, str], Failure] = {}
    replays = 0
    over = False

    def fails(actions: tuple[Action, ...]) -> bool:
        nonlocal best, found, replays, over
        over = over or replays >= most or until()
        if over or actions in tried:
            return False
        tried.add(actions)
        replays += 1
        other = run(actions)
        if other is None:
            return False
        if other.key != key:
            slipped.setdefault(other.key, other)
            return False
        best, found = actions, other
        return True

    smaller = True
    while smaller and not over:
        smaller = without(lambda: best, fails) | simpler(lambda: best, fails)
    while best and best[-1] == ("step",) and fails(best[:-1]):
        pass
    return Shrunk(found, best, replays, tuple(slipped.values()), not over)


Best = Callable[[], tuple[Action, ...]]
Fails = Callable[[tuple[Action, ...]], bool]


def without(best: Best, fails: Fails) -> bool:
    """Removes pieces, large ones first; returns whether any could be removed."""
    shorter = False
    size = max(1, len(best()) // 2)
    while True:
        start = 0
        while start < len(best()):
            now = best()
            if fails((*now[:start], *now[start + size :])):
                shorter = True
            else:
                start += size
        if size == 1:
            return shorter
        size = max(1, size // 2)


def simpler(best: Best, fails: Fails) -> bool:
    """Makes requests smaller; returns whether any could be."""
    smaller = False
    position = 0
    while position < len(best()):
        now = best()
        if now[position][0] != "submit":
            position += 1
            continue
        for other in requests(now[position]):
            if fails((*now[:position], other, *now[position + 1 :])):
                smaller = True
                break
        else:
            position += 1
    return smaller


def requests(action: Action) -> Iterator[Action]:
    """Smaller versions of one request, smallest first."""
    _, name, prompt, max_new = cast("tuple[str, str, tuple[int, ...], int]", action)
    for length in dict.fromkeys((1, len(prompt) // 2, len(prompt) - 1)):
        if 1 <= length < len(prompt):
            yield ("submit", name, prompt[:length], max_new)
    for tokens in dict.fromkeys((1, max_new // 2, max_new - 1)):
        if 1 <= tokens < max_new:
            yield ("submit", name, prompt, tokens)
    if any(prompt):
        yield ("submit", name, (0,) * len(prompt), max_new)
        for k, token in enumerate(prompt):
            if token:
                yield ("submit", name, (*prompt[:k], 0, *prompt[k + 1 :]), max_new)
