# pyright: basic
"""Broken tables in which no wrong token was found: every execution from one in which the missing statement matters.

Guarantees: `searched` visits each state once, breadth first, with every action that the world tries, every operation
that the device may carry out next and every copy that may fail; T1 is evaluated whenever the device runs a forward, T2
whenever tokens are accepted. It says how many states it saw, and whether these are all.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Any, NamedTuple

from lineclear_spec.actions import ACTIONS
from lineclear_spec.kernel.records import Broken
from lineclear_spec.modelcheck.choices import arguments_of
from lineclear_spec.modelcheck.keys import state_key
from lineclear_spec.modelcheck.kv_walks import KvWalk, follow, steps_of
from lineclear_spec.modelcheck.worlds import Step
from lineclear_spec.mutation.kv_mutants import (
    WORLDS,
    actions_of,
    broken,
    refused,
    text_of,
    wrong_tokens_of,
)
from lineclear_spec.mutation.mutants import Mutant

#: States that a search visits at most.
STATES = 500
#: Never tried: what ends a new request, what only audits read, and readers, who touch no KV.
LEFT_OUT = frozenset({"reject", "lift_fences", "hold_block", "release_block"})


class Searched(NamedTuple):
    """What a search saw.

    Attributes:
        world: its bounds, by name.
        begin: the execution from which it sets out.
        states: that it visited.
        depth: steps beyond `begin` within which every execution was tried.
        complete: whether there are no other states.
        wrong: an execution in which a token is wrong; "" if none was found.
    """

    world: str
    begin: str
    states: int
    depth: int
    complete: bool
    wrong: str


def state_of(walk: KvWalk) -> tuple[Any, ...]:
    """A key that two states of a walk share only if they are alike."""
    ledger, device = walk.ledger, walk.ledger.device
    waiting = [(*key, repr(row)) for key, row in device.rows.items() if key[0] not in device.ran]
    memory = [(*slot, repr(kv)) for slot, kv in device.memory.items()]
    parts = (device.ran, device.fails, memory, waiting, device.foreseen.items())
    return (state_key(ledger), ledger.dispatched, *[tuple(sorted(part)) for part in parts])


def moves(walk: KvWalk) -> Iterator[Step]:
    """What may happen next."""
    ledger = walk.ledger
    for number in range(1, ledger.dispatched + 1):
        if number not in ledger.device.ran:
            yield "run", (number, False)
            if ledger.history[number].kind in ("swap_in", "swap_out"):
                yield "run", (number, True)
    for name in ACTIONS:
        if name not in LEFT_OUT:
            yield from ((name, arguments) for arguments in arguments_of(walk.bounds, ledger, name))


def searched(mutant: Mutant, world: str, begin: str, most: int = STATES) -> Searched:
    """What is seen of the broken table.

    Args:
        mutant: the broken table.
        world: bounds, by name.
        begin: an execution of it, in which no token is wrong yet.
        most: states that are visited.

    Raises:
        ValueError: it cannot be executed, or a token is wrong already.
    """
    steps = steps_of(begin)
    own = actions_of(mutant)
    with broken(mutant) as bodies:
        first = follow(KvWalk(WORLDS[world], bodies), steps, wrong_tokens_of)
        if len(first.trace) < len(steps) or wrong_tokens_of(first):
            raise ValueError(f"{mutant.name}: {begin} stops after {text_of(first.trace)}")
        seen, queue = {state_of(first)}, deque([(first, 0)])
        longest, cut = 0, most
        while queue:
            walk, depth = queue.popleft()
            longest = max(longest, depth)
            for step in moves(walk):
                runs = step[0] == "run"
                if not runs and step[0] not in own and refused(walk, step):
                    continue
                after = walk.copy()
                try:
                    if not (after.runs(*step[1]) if runs else after.act(step)):
                        continue
                # A question about a state that no operator expects is an error, and no token.
                except Broken:
                    continue
                if wrong_tokens_of(after):
                    wrong = text_of(after.trace)
                    return Searched(world, begin, len(seen), depth, False, wrong)
                state = state_of(after)
                if state not in seen and len(seen) >= most:
                    # each state up to this depth is visited, and its steps are tried
                    cut = min(cut, depth)
                elif state not in seen:
                    seen.add(state)
                    queue.append((after, depth + 1))
    complete = cut == most
    return Searched(world, begin, len(seen), longest if complete else cut + 1, complete, "")
