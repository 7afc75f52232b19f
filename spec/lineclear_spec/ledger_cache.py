"""The operators of prefix caching on plain data: blocks that are found under names, and blocks that rest.

Guarantees: `cached` has the blocks that can be found, by name, and `resting` those of them that no table
entry names, the one that rests longest first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lineclear_spec.kernel import Kernel
from lineclear_spec.records import Block, Broken, Limits, Named, Request, Sequence

if TYPE_CHECKING:
    from collections import OrderedDict
    from collections.abc import Iterable

    from lineclear_spec.containers import Calendar

__all__ = ["CachedBlocks"]


class CachedBlocks(Kernel):
    """The part of a ledger that knows names.

    Attributes:
        limits: its constants.
        settled: steps committed.
        boundaries: steady sequences by the step in which their table is full.
        cached: the block that can be found under a name.
        resting: blocks that can be found and that no entry names, oldest first.
        sealed: how many blocks ever got a name.
    """

    limits: Limits
    settled: int
    boundaries: Calendar
    cached: dict[int, Block]
    resting: OrderedDict[Block, None]
    sealed: int

    def name_of(self, sequence: Sequence, index: int) -> int:
        """The name of the tokens of a block and of all before them; 0 if they have none."""
        words = sequence.words
        return words[index] if index < len(words) else 0

    def inherit(self, parent: Sequence, child: Sequence, count: int) -> None:
        """The child's first names are its parent's."""
        child.words = parent.words[:count]

    def is_listed(self, name: int) -> bool:
        """Whether a block can be found under the name."""
        return name in self.cached

    def all_listed(self, sequence: Sequence, count: int) -> bool:
        """Whether a block can be found under each of the sequence's first names."""
        words = sequence.words
        if count < 0:
            raise Broken(f"{count} names asked for")
        return count <= len(words) and all(map(self.cached.__contains__, words[:count]))

    def listing(self, name: int) -> Block:
        """The block that is found under the name."""
        return self.cached[name]

    def found(self, sequence: Sequence, count: int) -> list[Block]:
        """The blocks that are found under the sequence's first names."""
        return list(map(self.cached.__getitem__, sequence.words[:count]))

    def finds(self, block: Block) -> bool:
        """Whether the block can be found under its name."""
        return self.cached.get(block.name) is block

    def found_among(self, blocks: Iterable[Block]) -> list[Block]:
        """Of the blocks, those that can be found under their names."""
        cached = self.cached
        return [block for block in blocks if cached.get(block.name) is block]

    def lost_among(self, blocks: Iterable[Block]) -> list[Block]:
        """Of the blocks, those that can be found no more."""
        cached = self.cached
        return [block for block in blocks if cached.get(block.name) is not block]

    @staticmethod
    def alone(block: Block) -> list[Block]:
        """The block as the only one of a list."""
        return [block]

    def seal(self, sequence: Sequence, index: int, name: int) -> None:
        """The block of an entry, which no other entry names, gets a name under which it can be found."""
        block = sequence.table[index]
        if block.ref != 1 or block.name or name < 1 or name in self.cached:
            raise Broken(f"{block}, named {block.ref} times, cannot be found under {name} only")
        block.name = name
        self.cached[name] = block
        self.sealed += 1

    def newest_full(self, step: int) -> Named:
        """The newest full block of each steady sequence whose table is full in the step: those that
        `publish` may publish, with the names of their tokens.
        """
        size, settled, cached = self.limits.block_size, self.settled, self.cached
        blocks: list[Block] = []
        names: list[int] = []
        for sequence in self.boundaries.get(step, ()):
            index = (sequence.offset + settled) // size - 1  # of what is computed
            words, table = sequence.words, sequence.table
            if not 0 <= index < len(words) or index >= len(table):
                continue
            name, block = words[index], table[index]
            if not name or name in cached or block.name or block.ref != 1 or block.request.copy:
                continue
            blocks.append(block)
            names.append(name)
        return Named(blocks, names)

    @staticmethod
    def named_apart(named: Named) -> bool:
        """Whether no two of the blocks are to get one name."""
        return len(set(named.names)) == len(named.names)

    @staticmethod
    def drop_each(named: Named) -> None:
        """Each block leaves its request, and gets its name next."""
        for block in named.blocks:
            del block.request.held[block]

    def seal_each(self, named: Named) -> None:
        """Each block gets its name, under which it can be found."""
        for block, name in zip(named.blocks, named.names, strict=True):
            block.name = name
        self.cached.update(zip(named.names, named.blocks, strict=True))
        self.sealed += len(named.blocks)

    def forget_name(self, name: int) -> None:
        """No block can be found under the name any more."""
        self.resting.pop(self.cached.pop(name), None)

    def drop_sealed(self, request: Request) -> list[Block]:
        """The tables of the request's sequences name no sealed block any more; the sealed blocks that
        no entry names then, those at the end of a table first.
        """
        gone: list[Block] = []
        if not self.sealed:
            return gone
        for sequence in request.members:
            for block in reversed(sequence.table):
                if block.name:
                    block.ref -= 1
                    if not block.ref:
                        gone.append(block)
        return gone

    def rest(self, blocks: Iterable[Block]) -> None:
        """These blocks rest from now on."""
        resting = self.resting
        for block in blocks:  # an OrderedDict takes twice as long to update
            resting[block] = None

    def wake(self, blocks: Iterable[Block]) -> None:
        """These blocks rest no more."""
        for block in blocks:
            self.resting.pop(block, None)
