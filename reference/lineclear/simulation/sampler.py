"""A model that generates what the workload says: how many tokens a step samples, and when to stop.

Guarantees: each branch generates exactly its length, however it was preempted meanwhile.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field

from lineclear.plan import Scheduled
from lineclear.workload.workload import Arrival


@dataclass(slots=True)
class SimulatedRequest:
    """A request that has not ended, as the simulated engine knows it.

    Attributes:
        arrival: what the workload says of it.
        targets: tokens that each branch generates before it stops, by branch number.
        generated: tokens that each branch has generated.
        computed: positions that were computed for it and are not lost.
        cap: tokens that the scheduler lets a branch generate.
        fresh: tokens that were sampled for it last.
        slot: where `Decodes` keeps its counters; -1 if they are here.
    """

    arrival: Arrival
    targets: list[int]
    cap: int
    generated: list[int] = field(default_factory=lambda: [0])
    computed: int = 0
    fresh: int = 0
    slot: int = -1

    @property
    def most(self) -> int:
        """Generated tokens of its longest branch."""
        return max(self.generated)

    def done(self, branch: int) -> bool:
        """Whether the branch has generated all that it does."""
        return self.generated[branch] >= self.targets[branch]


class Sampler:
    """Draws how many drafts are accepted, in each run alike; everything else follows from the workload.

    Args:
        acceptance: the probability that a drafted token is accepted if those before it were.
    """

    def __init__(self, acceptance: float) -> None:
        self.acceptance = acceptance
        self._draw = random.Random(0).random

    def lengths(self, live: SimulatedRequest, row: Scheduled) -> list[int]:
        """Tokens of each continuation; the first token of a request makes all its branches."""
        if len(live.targets) > 1 and live.generated == [0]:
            # A branch of one token ends with it, so it never becomes a sequence of its own.
            live.fresh = len(live.targets)
            live.targets = [target for target in live.targets if target > 1] or live.targets[:1]
            live.generated = [1] * len(live.targets)
            return list(live.generated)
        accepted = 0
        while accepted < row.drafts and self._draw() < self.acceptance:
            accepted += 1
        length = min(1 + accepted, live.targets[row.branch] - live.generated[row.branch])
        live.generated[row.branch] += length
        live.computed -= row.drafts + 1 - length
        live.fresh = length
        return [length]
