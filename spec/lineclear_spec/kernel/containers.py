"""The containers of a ledger that are more than a list or a dict.

Guarantees: if `mark` is called only for sequences that are not listed, which is proved of every action, a
calendar lists each sequence under one step at most; no step has an empty bucket.
"""

from __future__ import annotations

from collections import deque
from itertools import islice
from typing import TYPE_CHECKING, TypeVar

from lineclear_spec.kernel.records import Broken, Several

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from lineclear_spec.kernel.records import Block, Sequence

T = TypeVar("T")
#: The bucket of every step under which nothing is listed; immutable, so it is shared.
EMPTY: Several[Sequence] = Several(())
#: `Resting` drops its stale entries once they outnumber the blocks at rest by more than this.
SPARE = 1024


class DecodeMembers(dict["Sequence", None]):
    """The sequences in the decode batch, in the order in which they joined.

    Attributes:
        changes: grows whenever a sequence joins or leaves.
    """

    __slots__ = ("changes",)

    def __init__(self) -> None:
        self.changes = 0

    def add(self, sequence: Sequence) -> None:
        """Add a sequence that is not in the batch."""
        self[sequence] = None
        self.changes += 1

    def remove(self, sequence: Sequence) -> None:
        """Remove a sequence.

        Raises:
            KeyError: it is not in the batch.
        """
        del self[sequence]
        self.changes += 1


class Calendar(dict[int, dict["Sequence", None]]):
    """Sequences in the decode batch by the one step under which they are listed."""

    __slots__ = ()

    def mark(self, step: int, sequence: Sequence) -> None:
        """Add the sequence to the step's bucket; it must be in none."""
        self.setdefault(step, {})[sequence] = None

    def unmark(self, step: int, sequence: Sequence) -> None:
        """Remove the sequence from the step's bucket.

        Raises:
            KeyError: it is not there.
        """
        bucket = self[step]
        del bucket[sequence]
        if not bucket:
            del self[step]

    def postpone(self, step: int, by: int) -> None:
        """Move the step's bucket so many steps further."""
        late = self.pop(step, None)
        if late:
            bucket = self.get(step + by)
            if bucket is None:
                self[step + by] = late
            else:
                bucket.update(late)

    def bucket(self, step: int) -> Several[Sequence]:
        """The sequences in the step's bucket now."""
        found = self.get(step)
        return Several(found) if found else EMPTY


class Resting:
    """The blocks at rest, the one that rests longest first.

    A block that rests no more leaves its entry behind: to rest costs next to nothing, and who looks for blocks passes
    over the entries that are stale. If a block has several entries, the older ones are stale.

    Attributes:
        added: how many blocks ever came to rest.
    """

    __slots__ = ("_entries", "_size", "_stale", "added")

    def __init__(self) -> None:
        self.added = 0
        self._size = 0
        self._entries: deque[Block] = deque()
        self._stale: dict[Block, int] = {}  # how many of a block's entries are stale

    def __len__(self) -> int:
        return self._size

    def __iter__(self) -> Iterator[Block]:
        passed: dict[Block, int] = {}
        for block in self._entries:
            if self._stale and passed.get(block, 0) < self._stale.get(block, 0):
                passed[block] = passed.get(block, 0) + 1
            else:
                yield block

    def newest(self, count: int) -> list[Block]:
        """The last `count` entries, the oldest first, each block once: some may rest no more."""
        found = dict.fromkeys(islice(reversed(self._entries), count))
        return list(reversed(found))

    def extend(self, blocks: Collection[Block]) -> None:
        """The blocks, none of which rests, rest from now on."""
        self._entries.extend(blocks)
        self.added += len(blocks)
        self._size += len(blocks)

    def remove(self, block: Block) -> None:
        """The block, which rests, rests no more."""
        stale, entries = self._stale, self._entries
        stale[block] = stale.get(block, 0) + 1
        self._size -= 1
        while entries and entries[0] in stale:
            first = entries.popleft()
            stale[first] -= 1
            if not stale[first]:
                del stale[first]
        if len(entries) > 2 * self._size + SPARE:
            self._entries = deque(self)
            stale.clear()


class Numbered(dict[int, T]):
    """A dict by number: `d[n]` of a missing number raises `Broken`; `pop` raises `KeyError`, `get` gives None.

    Args:
        missing: the error's text, with {} for the number.
    """

    __slots__ = ("missing",)

    def __init__(self, missing: str) -> None:
        self.missing = missing

    def __missing__(self, number: int) -> T:
        raise Broken(self.missing.format(number))
