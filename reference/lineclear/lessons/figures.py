"""A state of the two pools as a text gives it, and which invariants it breaks.

Guarantees: it judges by arithmetic on the figures alone, so it can judge a state that no ledger
could be brought into.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class FigureBreach:
    """An invariant that figures break.

    Attributes:
        invariant: its name in the specification.
        arithmetic: the figures that do not agree.
    """

    invariant: str
    arithmetic: str


@dataclass(frozen=True, slots=True)
class StateFigures:
    """One state, as written.

    Attributes:
        where: the place in the text.
        total: blocks of the GPU pool.
        free: free blocks of the GPU pool.
        held: tokens and GPU blocks of each request that holds any.
        cpu_total: blocks of the CPU pool.
        cpu_free: free blocks of the CPU pool.
        cpu_held: tokens and CPU blocks of each request that was swapped out.
    """

    where: str
    total: int
    free: int
    held: Mapping[str, tuple[int, int]] = field(default_factory=dict[str, tuple[int, int]])
    cpu_total: int = 0
    cpu_free: int = 0
    cpu_held: Mapping[str, tuple[int, int]] = field(default_factory=dict[str, tuple[int, int]])

    def broken(self, block_size: int) -> tuple[FigureBreach, ...]:
        """What the figures break, conservation first."""
        found = [
            *conservation("GPU", self.total, self.free, self.held),
            *conservation("CPU", self.cpu_total, self.cpu_free, self.cpu_held),
        ]
        for name, (tokens, blocks) in {**self.held, **self.cpu_held}.items():
            need = -(-tokens // block_size)
            if need != blocks:
                found.append(
                    FigureBreach(
                        "capacity", f"{name}: {tokens} tokens need {need} blocks, not {blocks}"
                    )
                )
        return tuple(found)

    def text(self) -> str:
        """The state in one line."""
        parts = [f"{self.free} of {self.total} free"]
        parts += [f"{name} {tokens} tokens in {n}" for name, (tokens, n) in self.held.items()]
        if self.cpu_total:
            parts.append(f"CPU {self.cpu_free} of {self.cpu_total} free")
        parts += [f"{name} {tokens} tokens in {n}" for name, (tokens, n) in self.cpu_held.items()]
        return ", ".join(parts)


def conservation(
    tier: str, total: int, free: int, held: Mapping[str, tuple[int, int]]
) -> list[FigureBreach]:
    """Whether free and held blocks add up to all there are.

    Args:
        tier: name of the pool.
        total: blocks of the pool.
        free: free blocks.
        held: tokens and blocks of each holder.
    """
    blocks = [count for _, count in held.values()]
    found: list[FigureBreach] = []
    if free < 0:
        found.append(
            FigureBreach("conservation", f"{tier}: {sum(blocks)} blocks held, {total} exist")
        )
    elif free + sum(blocks) != total:
        terms = " + ".join(str(count) for count in (free, *blocks))
        owned = "" if blocks else " + nothing held"
        found.append(FigureBreach("conservation", f"{tier}: {terms}{owned} is not {total}"))
    return found
