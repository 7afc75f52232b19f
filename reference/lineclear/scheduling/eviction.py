"""Which blocks at rest are evicted first: those with the smallest key.

Invariant: any key is safe, since `evict` asks that no table names the block. Of equal keys the block that
rests longest goes first, so the end of a table goes before its beginning.

A policy is a function of what is known of a block when it comes to rest. No block is found more often than
the one before it, so of a prefix the end goes first with every policy here.
"""

from __future__ import annotations

import heapq
import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import NamedTuple

from lineclear_spec.kernel.containers import Resting
from lineclear_spec.kernel.records import Block


class BlockUse(NamedTuple):
    """What is known of a block that comes to rest.

    Attributes:
        name: of its tokens.
        found: how often requests that entered have found it.
        age: the key of the block that was evicted last, 0 before.
    """

    name: int
    found: int
    age: float


#: The block with the smallest number is evicted first.
EvictionKey = Callable[[BlockUse], float]


def lfu(use: BlockUse) -> float:
    """Blocks that were found least often go first."""
    return use.found


def lfu_aging(use: BlockUse) -> float:
    """The same, but what was found long ago counts less and less: each eviction lifts those that follow."""
    return use.age + use.found


#: By name; lru needs no key, since blocks rest in that order.
EVICTION: Mapping[str, EvictionKey | None] = MappingProxyType(
    {"lru": None, "lfu": lfu, "lfu_aging": lfu_aging}
)


class KeyedOrder:
    """The blocks at rest by their keys.

    Args:
        key: of each, asked once when it has come to rest.

    Attributes:
        found: by name, how often it was found.
        seen: how many blocks had come to rest when blocks were taken last.
        filed: by name, the entry of the heap that stands for the block at rest; other entries are stale.
    """

    def __init__(self, key: EvictionKey) -> None:
        """Nothing rests."""
        self.key = key
        self.age: float = 0
        self.turn = 0
        self.seen = 0
        self.found: Counter[int] = Counter()
        self.filed: dict[int, tuple[float, int, int]] = {}
        self.heap: list[tuple[float, int, int]] = []

    def wake(self, names: Iterable[int]) -> None:
        """A request that enters has found these."""
        for name in names:
            self.found[name] += 1
            self.filed.pop(name, None)

    def forget(self, names: Iterable[int]) -> None:
        """Nothing can be found under these any more."""
        for name in names:
            self.found.pop(name, None)
            self.filed.pop(name, None)

    def take(
        self,
        count: int,
        resting: Resting,
        finds: Callable[[Block], bool],
        spared: Callable[[int], bool],
    ) -> list[int]:
        """Names of so many blocks at rest, or of all that may be evicted, the first to go first.

        Args:
            count: how many.
            resting: the blocks at rest.
            finds: whether a block can be found under its name.
            spared: whether the block of this name is not to be evicted.

        Raises:
            ValueError: a key is not a number.
        """
        self._file(resting, finds)
        chosen: list[int] = []
        aside: list[tuple[float, int, int]] = []
        while len(chosen) < count and self.heap:
            entry = heapq.heappop(self.heap)
            key, _, name = entry
            if self.filed.get(name) is not entry:
                continue
            if spared(name):
                aside.append(entry)
            else:
                chosen.append(name)
                self.age = key
        for entry in aside:
            heapq.heappush(self.heap, entry)
        return chosen

    def _file(self, resting: Resting, finds: Callable[[Block], bool]) -> None:
        """Gives each block its key that has come to rest since, and rests."""
        newest = resting.newest(resting.added - self.seen)
        self.seen = resting.added
        for block in newest:
            name = block.name
            if name in self.filed or block.ref or not finds(block):
                continue
            key = self.key(BlockUse(name, self.found[name], self.age))
            if math.isnan(key):
                raise ValueError(f"the key of block {name} is {key!r}, and has to be a number")
            self.turn += 1
            entry = self.filed[name] = (key, self.turn, name)
            heapq.heappush(self.heap, entry)
        if len(self.heap) > 2 * len(self.filed) + 1024:
            self.heap = list(self.filed.values())
            heapq.heapify(self.heap)
