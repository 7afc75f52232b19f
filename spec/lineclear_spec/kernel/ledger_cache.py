"""The operators of prefix caching on plain data: blocks that are found under names, and blocks that rest.

Guarantees: `cached` has the blocks that can be found, by name, and `resting` those of them that no table
entry refers to, the one that rests longest first. A name stands for the tokens of a block and all before them, as a
block hash does in vLLM.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lineclear_spec.kernel.methods import Kernel
from lineclear_spec.kernel.records import Block, Broken, Limits, Request, Sequence

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from lineclear_spec.kernel.containers import Resting


class CachedBlocks(Kernel):
    """The operators of a ledger for blocks that are found by name.

    Attributes:
        limits: its constants.
        cached: the block that can be found under a name.
        resting: blocks that can be found and that no entry refers to, the longest at rest first.
        sealed: how many blocks ever got a name.
        unlisted: how many ever could be found no more while entries referred to them.
        journal: called with what has happened, or None.
    """

    __slots__ = ("cached", "journal", "limits", "resting", "sealed", "unlisted")

    limits: Limits
    cached: dict[int, Block]
    resting: Resting
    sealed: int
    unlisted: int
    journal: Callable[[str, tuple[object, ...]], None] | None

    def name_of(self, sequence: Sequence, index: int) -> int:
        """The name of the tokens of an entry's block; 0 if it is not given."""
        names = sequence.block_names
        return names[index] if index < len(names) else 0

    def name_blocks(self, sequence: Sequence, names: Iterable[int]) -> None:
        """Give the sequence's next blocks these names; those of the prompt are the request's, so all of its
        sequences get them.

        No action does this: a caller knows the tokens. In the proofs every block has from the beginning the
        name that it is ever given (`goals.start_state`), and a name that is not given yet is 0 here. Every guard that
        reads a name refuses 0. Two effects read names: `publish_run` and `finish_each` leave blocks out whose names
        are not given yet. A `publish_run` that leaves some out has the effect of `publish` on each of the others, one
        after another. A `finish_each` that leaves some out has the effect of `publish` on each of the others, then
        `leave_batch` and `finish`. So for each run on plain data there is a run of which the proofs speak, with the
        same state at the end.
        """
        added = tuple(names)
        request = sequence.request
        lacking = request.prompt // self.limits.block_size - len(sequence.block_names)
        if lacking > 0:  # every sequence of the request has names for as many blocks as this one
            late = added[:lacking]
            request.prompt_names = sequence.block_names + late
            for other in request.members:
                if other is not sequence:
                    other.block_names += late
        sequence.block_names += added
        if self.journal is not None:
            self.journal("name_blocks", (sequence, added))

    def inherit(self, parent: Sequence, child: Sequence, count: int) -> None:
        """The child's first names are its parent's; the others stay."""
        names = parent.block_names[:count]
        child.block_names = names + child.block_names[len(names) :]

    def is_listed(self, name: int) -> bool:
        """Whether a block can be found under the name."""
        return name in self.cached

    def all_listed(self, sequence: Sequence, count: int) -> bool:
        """Whether a block can be found under each of the sequence's first `count` names; False if it has fewer.

        Raises:
            Broken: count is negative.
        """
        names = sequence.block_names
        if count < 0:
            raise Broken(f"{count} names are asked for: the number must be at least 0")
        return count <= len(names) and all(map(self.cached.__contains__, names[:count]))

    def listing(self, name: int) -> Block:
        """The block that is found under the name.

        Raises:
            KeyError: none is.
        """
        return self.cached[name]

    def found(self, sequence: Sequence, count: int) -> list[Block]:
        """The blocks that are found under the sequence's first names.

        Raises:
            KeyError: none is found under one of them.
        """
        return list(map(self.cached.__getitem__, sequence.block_names[:count]))

    def finds(self, block: Block) -> bool:
        """Whether the block can be found under its name."""
        return self.cached.get(block.name) is block

    def found_among(self, blocks: Iterable[Block]) -> list[Block]:
        """Of the blocks, which have names, those that can be found under them."""
        if not self.unlisted:
            return list(blocks)
        cached = self.cached
        return [block for block in blocks if cached.get(block.name) is block]

    def lost_among(self, blocks: Iterable[Block]) -> list[Block]:
        """Of the blocks, which have names, those that cannot be found."""
        if not self.unlisted:
            return []
        cached = self.cached
        return [block for block in blocks if cached.get(block.name) is not block]

    @staticmethod
    def alone(block: Block) -> list[Block]:
        """The block as the only one of a list."""
        return [block]

    def seal(self, sequence: Sequence, index: int, name: int) -> None:
        """Give the block of an entry, the only one that refers to it, a name under which it can be found.

        Raises:
            Broken: its ref is not 1, it has a name, or the name is below 1 or taken.
        """
        block = sequence.table[index]
        if block.ref != 1 or block.name or name < 1 or name in self.cached:
            taken = "taken" if name in self.cached else "free"
            raise Broken(
                f"{block} with ref {block.ref} and name {block.name} cannot get the name {name}, which is {taken}: it "
                "needs ref 1 and no name yet, and a free name of at least 1"
            )
        block.name = name
        self.cached[name] = block
        self.sealed += 1

    def unnamed(self, sequence: Sequence, first: int, end: int) -> dict[int, Block]:
        """Of the blocks from one entry to before another those that `publish` would seal, by the names that they
        would get.
        """
        cached = self.cached
        entries = zip(sequence.block_names[first:end], sequence.table[first:end], strict=False)
        return {
            name: block
            for name, block in entries
            if name and block.ref == 1 and not block.name and name not in cached
        }

    @staticmethod
    def drop_each(unnamed: dict[int, Block]) -> None:
        """Each block, of one request, leaves the set that it holds; `seal_each` gives it its name next."""
        for request in {block.request for block in unnamed.values()}:
            if (block_ids := request.block_ids) is not None:  # kept if the first ones leave
                gone = [block.block_id for block in unnamed.values()]
                request.block_ids = (
                    block_ids[len(gone) :] if block_ids[: len(gone)] == gone else None
                )
            elif (held := request.held_set) is not None:
                for block in unnamed.values():
                    del held[block]

    def seal_each(self, to_seal: dict[int, Block]) -> None:
        """Each block gets its name, under which it can be found."""
        for name, block in to_seal.items():
            block.name = name
        self.cached.update(to_seal)
        self.sealed += len(to_seal)

    def forget_name(self, name: int) -> None:
        """No block can be found under the name any more.

        Raises:
            KeyError: none could be.
        """
        block = self.cached.pop(name)
        if block.ref:
            self.unlisted += 1
        else:
            self.resting.remove(block)

    def drop_sealed(self, request: Request) -> list[Block]:
        """Drop the references of the request's tables to sealed blocks, whose entries the caller removes; returns
        the sealed blocks that no entry refers to then, those at the end of a table first.
        """
        gone: list[Block] = []
        if not self.sealed:  # no block has a name
            return gone
        for sequence in request.members:
            for block in reversed(sequence.table):
                if block.name:
                    block.ref -= 1
                    if not block.ref:
                        gone.append(block)
        return gone

    def rest(self, blocks: list[Block]) -> None:
        """The blocks rest from now on."""
        self.resting.extend(blocks)

    def wake(self, blocks: Iterable[Block]) -> None:
        """The blocks rest no more, if they did."""
        for block in blocks:
            if not block.ref:
                self.resting.remove(block)
