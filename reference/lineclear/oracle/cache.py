"""The blocks that can be found by the names of their tokens, as plain data.

Guarantees: what is found, what rests and what is evicted follows from these lists alone, which are read
from the scheduler before a call and changed by rules of the oracle's own. Without prefix caching they are
empty.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from lineclear_spec.records import Sequence as Branch

if TYPE_CHECKING:
    from lineclear.scheduler import Scheduler

__all__ = ["BlockNumbers", "OracleCache", "cache_of", "cached_names"]


class BlockNumbers(dict[Any, int]):
    """BlockNumbers of blocks, given as they are asked for."""

    def __missing__(self, block: Any) -> int:
        """The next one."""
        number = self[block] = len(self) + 1
        return number


@dataclass(eq=False, slots=True)
class OracleCache:
    """Blocks by number.

    Attributes:
        names: what can be found: name -> block.
        sealed: blocks that have a name, found or not.
        resting: those that no table names, the one that rests longest first.
        read: those that readers outside hold.
        due: blocks that sequences of the decode batch take at the end of the step being built.
        evicted: how many were evicted.
        hits: tokens that were found by requests admitted for the first time, and `queries`, all of theirs.
    """

    names: dict[int, int] = field(default_factory=dict[int, int])
    sealed: set[int] = field(default_factory=set[int])
    resting: list[int] = field(default_factory=list[int])
    read: set[int] = field(default_factory=set[int])
    due: int = 0
    evicted: int = 0
    hits: int = 0
    queries: int = 0

    def found(self, words: Sequence[int]) -> list[int]:
        """The blocks of the first names, up to the first that leads to none."""
        blocks: list[int] = []
        for word in words:
            if word not in self.names:
                break
            blocks.append(self.names[word])
        return blocks

    def evict(self, count: int, keep: Iterable[int] = ()) -> None:
        """So many blocks, or all that may be, are found no more."""
        spared = {*keep} | self.read
        for block in [block for block in self.resting if block not in spared][: max(count, 0)]:
            self.resting.remove(block)
            self.names = {name: other for name, other in self.names.items() if other != block}
            self.evicted += 1

    def rest(self, blocks: Iterable[int]) -> None:
        """No table names these any more: those that can be found rest from now on."""
        known = set(self.names.values()) | self.read
        self.resting += [block for block in blocks if block in known]

    def wake(self, blocks: Iterable[int]) -> None:
        """A table names these from now on."""
        awake = {*blocks}
        self.resting = [block for block in self.resting if block not in awake]


def cached_names(scheduler: Scheduler, sequence: Branch) -> tuple[int, ...]:
    """Names of a sequence's tokens."""
    return sequence.words if scheduler.config.prefix_caching != "off" else ()


def cache_of(scheduler: Scheduler, names: BlockNumbers) -> OracleCache:
    """What can be found between two calls; what readers hold after a reset is found no more."""
    ledger, cache = scheduler.ledger, scheduler.cache
    tables = [s.table for entry in scheduler.entries.values() for s in entry.record.members]
    sealed = {names[block] for table in tables for block in table if block.name}
    return OracleCache(
        names={n: names[b] for n, b in ledger.cached.items() if n not in cache.forgotten},
        sealed=sealed | {names[block] for block in ledger.cached.values()},
        resting=[names[block] for block in ledger.resting],
        read={names[ledger.cached[name]] for name in cache.held},
    )
