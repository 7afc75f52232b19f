"""The blocks that can be found by the names of their tokens, as plain data.

Guarantees: what is found, what rests and what is evicted follows from these lists alone, which are read from the
scheduler before a call and changed by rules of the oracle's own. Without prefix caching they are empty.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from lineclear_spec.kernel.records import Sequence as Branch

if TYPE_CHECKING:
    from lineclear.scheduler import Scheduler


class BlockNumbers(dict[Any, int]):
    """Numbers of blocks, given as they are asked for."""

    def __missing__(self, block: Any) -> int:
        """The next one."""
        number = self[block] = len(self) + 1
        return number


@dataclass(eq=False, slots=True)
class Uses:
    """What has to be remembered of blocks from call to call, by name.

    Attributes:
        finds: how often requests that entered found it.
        marks: of each at rest, the number by which it is evicted; it stays as it was when it came to rest.
        last: the mark of the block that was evicted last.
    """

    finds: dict[int, int] = field(default_factory=dict[int, int])
    marks: dict[int, float] = field(default_factory=dict[int, float])
    last: float = 0

    def forget(self, kept: Iterable[int]) -> None:
        """Only these can still be found."""
        names = {*kept}
        for of in (self.finds, self.marks):
            for name in [name for name in of if name not in names]:
                of.pop(name)

    def order(self, rule: str, resting: Iterable[int]) -> list[int]:
        """Names of the blocks at rest, of which the one that rests longest is given first, in the order of the rule."""
        names = list(resting)
        for name in names:
            finds = self.finds.get(name, 0)
            mark = {"lru": 0, "lfu": finds, "lfu_aging": self.last + finds}[rule]
            self.marks.setdefault(name, mark)
        return sorted(names, key=self.marks.__getitem__)


@dataclass(eq=False, slots=True)
class OracleCache:
    """Blocks by number.

    Attributes:
        names: what can be found: name -> block.
        sealed: blocks that have a name, found or not.
        resting: those that no table names, the one that rests longest first.
        read: those that readers outside hold.
        kept: names that a reset has forgotten and under which readers hold blocks.
        due: blocks that sequences of the decode batch take at the end of the step being built.
        evicted: how many were evicted.
        rule: by which blocks are evicted, and `uses`, what it goes by.
        hits: tokens that were found by requests admitted for the first time, and `queries`, all of theirs.
    """

    names: dict[int, int] = field(default_factory=dict[int, int])
    sealed: set[int] = field(default_factory=set[int])
    resting: list[int] = field(default_factory=list[int])
    read: set[int] = field(default_factory=set[int])
    kept: set[int] = field(default_factory=set[int])
    due: int = 0
    rule: str = "lru"
    uses: Uses = field(default_factory=Uses)
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
        if count <= 0:
            return
        spared = {*keep} | self.read
        named = {block: name for name, block in self.names.items()}
        found = [named[block] for block in self.resting if block in named]
        order = [
            name for name in self.uses.order(self.rule, found) if self.names[name] not in spared
        ]
        for name in order[:count]:
            self.uses.last = self.uses.marks[name]
            self.resting.remove(self.names.pop(name))
            self.evicted += 1
        self.uses.forget(self.names)

    def rest(self, blocks: Iterable[int]) -> None:
        """No table names these any more: those that can be found rest from now on."""
        known = set(self.names.values()) | self.read
        self.resting += [block for block in blocks if block in known]

    def wake(self, blocks: Iterable[int]) -> None:
        """A table names these from now on, since a request that entered has found them."""
        awake = {*blocks}
        self.resting = [block for block in self.resting if block not in awake]
        for name in [name for name, block in self.names.items() if block in awake]:
            self.uses.finds[name] = self.uses.finds.get(name, 0) + 1
            self.uses.marks.pop(name, None)


def uses_of(scheduler: Scheduler) -> Uses:
    """What the scheduler remembers: believed after a step that was not judged."""
    order = scheduler.cache.order
    if order is None:
        return Uses()
    marks = {name: key for name, (key, *_) in order.filed.items()}
    return Uses(dict(order.found), marks, order.age)


def cached_names(scheduler: Scheduler, sequence: Branch) -> tuple[int, ...]:
    """Names of a sequence's tokens."""
    return sequence.block_names if scheduler.config.prefix_caching != "off" else ()


def cache_of(scheduler: Scheduler, names: BlockNumbers, uses: Uses) -> OracleCache:
    """What can be found between two calls; what readers hold after a reset is found no more.

    Args:
        scheduler: whose.
        names: numbers of blocks.
        uses: what is remembered of them.
    """
    ledger, cache = scheduler.ledger, scheduler.cache
    tables = [s.table for entry in scheduler.entries.values() for s in entry.record.members]
    sealed = {names[block] for table in tables for block in table if block.name}
    uses.forget(ledger.cached)
    return OracleCache(
        rule=scheduler.config.prefix_eviction,
        uses=uses,
        names={n: names[b] for n, b in ledger.cached.items() if n not in cache.forgotten},
        sealed=sealed | {names[block] for block in ledger.cached.values()},
        resting=[names[block] for block in ledger.resting],
        read={names[ledger.cached[name]] for name in cache.held},
        kept=set(cache.forgotten),
    )
