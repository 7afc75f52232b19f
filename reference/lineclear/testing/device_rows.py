"""What a test device keeps of a sequence, and of each sequence's part in a forward.

Invariant: nothing here computes; the device fills it in.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field

#: (request id, branch).
Name = tuple[Hashable, int]
#: (tier, block, offset in the block).
Slot = tuple[str, int, int]
#: Rests on no copy that may fail.
SURE: frozenset[int] = frozenset()


@dataclass(eq=False, slots=True)
class DeviceSequence:
    """A sequence as an executor knows it.

    Attributes:
        tokens: the prompt, and what commits have kept.
        pending: sampled by steps that are not committed.
        table: its GPU blocks, as plans gave them.
        has_table: whether a plan gave the whole table since the sequence was made, or since its request was
            preempted; only then may a plan name it or give blocks that are added.
        position: the first position without KV.
    """

    tokens: list[int]
    pending: list[int] = field(default_factory=list[int])
    table: list[int] = field(default_factory=list[int])
    position: int = 0
    has_table: bool = False

    @property
    def history(self) -> list[int]:
        """All its tokens."""
        return self.tokens + self.pending


@dataclass(eq=False, slots=True)
class DeviceRow:
    """What a forward does for one sequence.

    Attributes:
        name: (request id, branch).
        branch: the sequence.
        reads: slots, each with the token that should be there.
        writes: slots, each with the token that is written.
        guesses: drafts that the step verifies.
        token: sampled after the last position, None if the step samples nothing for the sequence.
        sure: the first position after those that are no drafts.
        copies: copies on whose content the row rests, filled in when the forward runs.
    """

    name: Name
    branch: DeviceSequence
    reads: list[tuple[Slot, int]]
    writes: list[tuple[Slot, int]]
    guesses: list[int]
    token: int | None
    sure: int
    copies: frozenset[int] = SURE


@dataclass(eq=False, slots=True)
class Forward:
    """The forward of a step: its number, every row, and those that sample, in the plan's order."""

    number: int
    step: int
    rows: list[DeviceRow]
    sampling: list[DeviceRow]


def label(name: Name) -> str:
    """A sequence, as messages name it."""
    return f"request {name[0]!r}, branch {name[1]}"
