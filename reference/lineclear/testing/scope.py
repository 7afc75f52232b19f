"""Generates requests: sizes and tokens that put a scheduler under memory pressure.

Guarantees: it proposes nothing that the limits exclude; the same random numbers give the same proposal.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from lineclear.testing.failure import Action
from lineclear.testing.protocol import Limits


@dataclass(frozen=True, slots=True)
class Shape:
    """A request of the exhaustive search."""

    prompt: tuple[int, ...]
    max_new: int


def shapes(limits: Limits) -> list[Shape]:
    """Four requests: a short one, two with a common first block, and one that fills the device."""
    size, longest = limits.block_size, limits.longest
    longer = min(size + 1, max(1, longest - 1))
    found = [
        Shape((1,), min(size + 1, longest - 1)),
        Shape((1,) * longer, min(2, longest - longer)),
        Shape((1,) * max(1, longer - 1) + (2,), min(size, longest - longer)),
        Shape((1,) * max(1, longest // 2), longest - max(1, longest // 2)),
    ]
    fits = [s for s in found if s.max_new >= 1 and len(s.prompt) + s.max_new <= longest]
    return list(dict.fromkeys(fits))


def propose(random: Random, limits: Limits, length: int = 40) -> list[Action]:
    """A trace of about this many actions.

    Load, lengths and abort rate differ from trace to trace, since no single mixture reaches every state.
    """
    arrivals = random.choice((0.15, 0.3, 0.6))
    aborts = random.choice((0.0, 0.05, 0.2)) if limits.aborts else 0.0
    reach = random.choice((0.3, 0.6, 1.0))
    prefixes = [
        [random.randrange(3) for _ in range(limits.longest)] for _ in range(random.choice((1, 2)))
    ]
    names: list[str] = []
    actions: list[Action] = []
    for _ in range(length):
        drawn = random.random()
        if drawn < arrivals or not names:
            name = f"r{len(names)}"
            names.append(name)
            prompt, max_new = request(random, limits, reach, prefixes)
            actions.append(("submit", name, prompt, max_new))
        elif drawn < arrivals + aborts:
            actions.append(("abort", random.choice(names[-4:])))
        else:
            actions.append(("step",))
    return actions


def request(
    random: Random, limits: Limits, reach: float, prefixes: Sequence[Sequence[int]]
) -> tuple[tuple[int, ...], int]:
    """A prompt and the number of new tokens.

    Args:
        random: draws it.
        limits: of the scheduler.
        reach: the longest request, as a share of the longest that must be served.
        prefixes: token ids that prompts may begin with.
    """
    if limits.longest < 2:
        return (random.randrange(3),), 1
    if limits.oversize and random.random() < 0.1:
        total = limits.device_blocks * limits.block_size + 2
    else:
        total = random.randint(2, max(2, round(limits.longest * reach)))
    prompt = random.randint(1, total - 1)
    common = random.choice(prefixes)[: random.randint(0, prompt)]
    own = [random.randrange(3) for _ in range(prompt - len(common))]
    return (*common, *own), total - prompt
