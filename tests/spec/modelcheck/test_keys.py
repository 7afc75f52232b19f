# pyright: basic
"""Ledgers with equal keys are one state: the same happens to them for ever after."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from storage import everything

from lineclear_spec.actions import ACTIONS
from lineclear_spec.modelcheck.choices import arguments_of
from lineclear_spec.modelcheck.concrete import breaches
from lineclear_spec.modelcheck.explore import apply, as_asked, nearest, replay, search
from lineclear_spec.modelcheck.ghosts import GhostLedger
from lineclear_spec.modelcheck.keys import state_key
from lineclear_spec.modelcheck.worlds import BOUNDS, Bounds, Step, Trace

Key = Callable[[GhostLedger], Any]
TINY = Bounds("tiny", gpu_blocks=2, cpu_blocks=1, live=1, shapes=((1, 3, 1),), tokens=(1,), open=2)
FAMILY = Bounds(
    "family", gpu_blocks=3, cpu_blocks=2, live=1, shapes=((1, 3, 2),), tokens=(1,), max_steps_in_flight=1,
    max_num_seqs=2, open=2,
)  # fmt: skip


def successors(bounds: Bounds, ledger: GhostLedger) -> Iterator[tuple[Step, GhostLedger]]:
    """Every transition."""
    for name in ACTIONS:
        if name not in bounds.leave_out:
            for arguments in arguments_of(bounds, ledger, name):
                step = (name, arguments)
                if not ledger.failing(name, as_asked(ledger, step)):
                    after = ledger.clone()
                    apply(after, step)
                    yield step, after


def differences(
    bounds: Bounds, key: Key, classes: int, *, first: bool = False
) -> tuple[int, list[Any]]:
    """How many pairs with equal keys were compared, and those whose futures differ by one step, or
    the first of them.
    """
    known: Counter[Any] = Counter({key(replay(bounds, bounds.start)): 1})
    futures: dict[Any, tuple[Any, Trace]] = {}
    queue: deque[Trace] = deque([bounds.start])
    compared, found = 0, []
    while queue:
        trace = queue.popleft()
        ledger = replay(bounds, trace)
        assert breaches(ledger) == []
        future: Counter[Any] = Counter()
        for step, after in successors(bounds, ledger):
            reached = key(after)
            future[step[0], reached] += 1
            if known[reached] < 4 and (reached in known or len(known) < classes):
                known[reached] += 1
                queue.append((*trace, step))
        other, witness = futures.setdefault(key(ledger), (future, trace))
        if witness is not trace:
            compared += 1
            if other != future:
                found.append((witness, trace))
                if first:
                    break
    return compared, found


@pytest.mark.parametrize("bounds", BOUNDS, ids=lambda bounds: bounds.name)
def test_equal_keys_have_equal_futures(bounds: Bounds) -> None:
    """Up to 4 ledgers of each of the nearest 30 states of every world."""
    compared, found = differences(bounds, state_key, classes=30)
    assert compared >= 10
    assert found == []


@pytest.mark.deep
@pytest.mark.parametrize("bounds", BOUNDS, ids=lambda bounds: bounds.name)
def test_equal_keys_have_equal_futures_further_away(bounds: Bounds) -> None:
    """Up to 4 ledgers of each of the nearest 1,500 states of every world."""
    compared, found = differences(bounds, state_key, classes=1500)
    assert compared > 500
    assert found == []


SWAPS = ("submit", "admit", "schedule_tokens", "issue_step", "commit_step", "sample", "swap_out")
MORE = ("swap_in", "recompute", "complete_copy", "dispatch_copies", "lift_fences")
ONE = replace(TINY, leave_out=tuple(sorted(set(ACTIONS) - {*SWAPS, *MORE})))
WORLDS = {bounds.name: bounds for bounds in BOUNDS}
#: A block id is taken while its copy out is open, and given back: the copy is a barrier for others from then on.
TAKEN = Bounds(
    "a block id that is copied from is taken", block_size=1, gpu_blocks=2, cpu_blocks=1, live=3, shapes=(), tokens=(1,),
    max_steps_in_flight=1, max_num_seqs=2,
    leave_out=tuple(sorted(set(ACTIONS) - {"admit", "recompute", "schedule_tokens", "issue_step"})),
    start=(
        *[("submit", (1, 2, 1))] * 3, ("admit", ("r1",)), ("admit", ("r2",)), ("swap_out", ("r2",)),
    ),
)  # fmt: skip
#: What the key holds: its position, and a world in which the future depends on it.
PARTS = {
    "lift_fences": (3, ONE),
    "barrier": (4, TAKEN),
    "rows": (5, ONE),
    "operations": (7, ONE),
    "fences": (8, WORLDS["full pool"]),
}


@pytest.mark.parametrize("part", PARTS)
def test_a_key_without_one_of_its_parts_is_told_apart(part: str) -> None:
    """The nearest 1,000 states."""
    at, bounds = PARTS[part]

    def poorer(ledger: GhostLedger) -> Any:
        whole = state_key(ledger)
        return (*whole[:at], *whole[at + 1 :])

    assert differences(bounds, poorer, classes=1000, first=True)[1] != []


@pytest.mark.parametrize(
    ("bounds", "depth"),
    [(TINY, 7), (FAMILY, 5)],
    ids=lambda x: getattr(x, "name", x),
)
def test_the_reduced_search_reaches_what_the_unreduced_one_does(
    bounds: Bounds, depth: int
) -> None:
    """Every state within so many actions, once with all ids, block ids and clocks, once without."""
    start = replay(bounds, ())
    level: list[GhostLedger] = [start]
    exact = {repr(everything(start))}
    unreduced = {state_key(start)}
    for _ in range(depth):
        following: list[GhostLedger] = []
        for ledger in level:
            for _, after in successors(bounds, ledger):
                mark = repr(everything(after))
                if mark not in exact:
                    exact.add(mark)
                    unreduced.add(state_key(after))
                    following.append(after)
        level = following
    # The nearest states come first, so one more than there should be shows that there are too many.
    reduced = search(replace(bounds, max_states=len(unreduced) + 1), check=False)
    near = {state_key(replay(bounds, t)) for t in reduced.traces if len(t) <= depth}
    assert near == unreduced
    assert len(exact) > 3 * len(unreduced)


def test_a_request_that_ended_leaves_nothing_in_the_key() -> None:
    once: Trace = (("submit", (1, 3, 1)), ("admit", ("r1",)), ("abort", ("r1",)))
    again: Trace = (*once, ("submit", (1, 3, 1)), ("abort", ("r2",)))
    assert state_key(replay(TINY, once)) == state_key(replay(TINY, again))
    assert state_key(replay(TINY, once)) == state_key(replay(TINY, ()))


def test_a_place_that_an_open_copy_reads_is_not_any_free_place() -> None:
    swapped: Trace = (
        ("submit", (1, 3, 1)),
        ("admit", ("r1",)),
        ("swap_out", ("r1",)),
        ("dispatch_copies", ()),
    )
    fenced = replay(TINY, swapped)
    lifted = replay(TINY, (*swapped, ("complete_copy", (1,)), ("lift_fences", ())))
    assert fenced.gpu.order == lifted.gpu.order
    assert state_key(fenced) != state_key(lifted)


def test_the_key_is_the_same_for_a_copy() -> None:
    for trace in nearest(replace(FAMILY, max_states=200)):
        ledger = replay(FAMILY, trace)
        assert state_key(ledger) == state_key(ledger.clone())
